// SPDX-License-Identifier: Apache-2.0

// Package replay remembers which numbers have been seen, so that nothing is taken, or
// sealed, twice under one number.
package replay

import "math"

// Window remembers which of the last Size numbers have been seen. (The sliding window of
// RFC 6479: words are reused, bits are not shifted.) The zero Window has seen none. It is
// not safe for concurrent use.
type Window struct {
	top  uint64 // one more than the greatest number seen
	bits [words]uint64
}

const (
	words = 33 // one word is being cleared while 32 count
	// Size is how many numbers below the greatest are told apart.
	Size = (words - 1) * 64
)

// Top is one more than the greatest number seen.
func (w *Window) Top() uint64 { return w.top }

// Old says whether n is so far back that it cannot be told whether it was seen.
func (w *Window) Old(n uint64) bool { return n < w.top && w.top-n > Size }

// Fresh says whether n is neither seen nor too old.
func (w *Window) Fresh(n uint64) bool {
	if n >= w.top {
		return n != math.MaxUint64 // top could not stand above it
	}
	return !w.Old(n) && w.bits[n/64%words]&(1<<(n%64)) == 0
}

// Add marks n as seen; n must be fresh.
func (w *Window) Add(n uint64) {
	if n >= w.top {
		if w.top == 0 {
			w.bits[n/64%words] = 0
		} else if from, to := (w.top-1)/64, n/64; to-from >= words {
			clear(w.bits[:])
		} else {
			for i := from + 1; i <= to; i++ {
				w.bits[i%words] = 0
			}
		}
		w.top = n + 1
	}
	w.bits[n/64%words] |= 1 << (n % 64)
}
