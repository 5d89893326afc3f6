// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"
)

// size writes bytes the way people read them.
func size(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB"}
	u := 0
	for n >= 1024 && n%1024 == 0 && u < len(units)-1 {
		n /= 1024
		u++
	}
	return fmt.Sprintf("%d %s", n, units[u])
}

func nanoseconds(n uint64) string { return time.Duration(n).String() }
