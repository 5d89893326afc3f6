// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"path/filepath"
	"strings"
	"testing"
)

// An address of another machine is named as such.
func TestAnothersAddress(t *testing.T) {
	cfg := Config{Create: true, Listen: "192.0.2.1:7000", Token: testToken, StateDir: t.TempDir(), Socket: filepath.Join(t.TempDir(), "s")}
	if _, err := New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "no address of this machine") {
		t.Errorf("another machine's address: %v", err)
	}
}
