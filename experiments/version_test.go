// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

func TestVersion(t *testing.T) {
	if newRoot().Version == "" {
		t.Error("there is no --version")
	}
}
