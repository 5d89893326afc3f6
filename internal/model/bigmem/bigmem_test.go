// SPDX-License-Identifier: Apache-2.0

package bigmem

import "testing"

func TestMake(t *testing.T) {
	for _, n := range []int{0, 1, least/4 - 1, least / 4, least, 5<<20 + 3} {
		s := Make[uint32](n)
		if len(s) != n {
			t.Fatalf("%d elements, want %d", len(s), n)
		}
		for i := range s {
			if s[i] != 0 {
				t.Fatalf("element %d of %d is %d", i, n, s[i])
			}
			s[i] = uint32(i)
		}
	}
}
