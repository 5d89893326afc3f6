// SPDX-License-Identifier: Apache-2.0

// Package bigmem makes large slices that are read at random: in pages of 2 MB
// where the system leaves that to programs (transparent_hugepage "madvise",
// Debian's default), since with pages of 4 kB most reads of a 64 MB table miss
// the translation buffer as well as the cache.
package bigmem

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	least = 4 << 20 // smaller slices gain nothing
	page  = 2 << 20
)

// Make is make([]T, n) for a T without pointers.
func Make[T any](n int) []T {
	s := make([]T, n)
	var t T
	size := uintptr(n) * unsafe.Sizeof(t)
	if size < least {
		return s
	}
	start := uintptr(unsafe.Pointer(unsafe.SliceData(s)))
	skip := -start & (page - 1)
	if length := (size - skip) &^ (page - 1); skip < size && length > 0 {
		// Only advice: on failure the pages stay small.
		_ = unix.Madvise(unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(s)), skip)), length), unix.MADV_HUGEPAGE)
	}
	return s
}
