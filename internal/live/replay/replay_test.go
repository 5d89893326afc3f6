// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The window against a set that forgets nothing.
func TestWindow(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		var w Window
		seen := map[uint64]bool{}
		var base, top uint64
		for range 5000 {
			switch r.IntN(200) {
			case 0:
				base += r.Uint64N(10 * Size)
			case 1:
				base += r.Uint64N(70)
			}
			n := base + r.Uint64N(1+r.Uint64N(2*Size))
			old := top > Size && n < top-Size
			if got, want := w.Fresh(n), !seen[n] && !old; got != want || w.Old(n) != old {
				t.Fatalf("number %d with %d the greatest: fresh is %v, want %v; old %v", n, top-1, got, want, w.Old(n))
			}
			if w.Fresh(n) {
				w.Add(n)
				seen[n] = true
				top = max(top, n+1)
			}
		}
		if w.Top() != top || w.Fresh(math.MaxUint64) {
			t.Fatalf("top is %d, want %d", w.Top(), top)
		}
	}
}
