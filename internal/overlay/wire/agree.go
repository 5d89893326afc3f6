// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"hash/fnv"
)

// What all hosts must compute alike.

// DigestOf is a hash over zones, counters and heirs; 0 only for none.
func DigestOf(rs []Record) uint64 {
	var sum uint64
	for i := range rs {
		h := fnv.New64a()
		var b [17]byte
		binary.BigEndian.PutUint64(b[:], uint64(rs[i].Zone.Path))
		b[8] = rs[i].Zone.Len
		binary.BigEndian.PutUint64(b[9:], rs[i].Counter)
		h.Write(b[:])
		for _, p := range rs[i].Heirs {
			h.Write(p.ID[:])
		}
		sum += h.Sum64() | 1
	}
	return sum
}

// PointOfStream is the id, of radix k, whose owner keeps a stream's directory entry.
func PointOfStream(id StreamID, k int) Point { return hashPoint('i', id[:], k) }

// PointOfName is the id whose owner keeps the entries of public streams of a name.
func PointOfName(name string, k int) Point { return hashPoint('n', []byte(name), k) }

func hashPoint(tag byte, b []byte, k int) Point {
	h := fnv.New64a()
	h.Write([]byte{tag})
	h.Write(b)
	x := h.Sum64()
	// FNV mixes its low bits well and its high bits badly; ids use the high ones.
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	return PointOf(x, k)
}
