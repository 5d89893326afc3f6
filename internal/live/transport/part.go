// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"encoding/binary"
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// A sealed datagram that is longer than the link carries is sent in parts, which the
// next host puts together before it looks at it. Big-endian:
//
//	 0  1  type: 5
//	 1  1  place of the part, from 0; at most 7
//	 2  2  bytes of the whole datagram
//	 4  4  the receiver's index for the session
//	 8  8  the datagram's counter
//	16  2  where the part begins in the datagram
//	18  2  reserved: 0 when sent, ignored
//	20  n  bytes of the datagram
//
// Parts are not authentic, the whole is: who forges parts of a session whose index it has
// guessed spoils datagrams, as who drops them does.
const typePart datagramType = 5

const (
	partHead = 20
	maxParts = 8
	partsTo  = 8 // datagrams of one session that may be put together at a time
)

type partHeader struct {
	place         uint8
	total, offset int
	index         uint32
	counter       uint64
}

func (h *partHeader) encode(b []byte) {
	_ = b[partHead-1]
	b[0], b[1] = byte(typePart), h.place
	binary.BigEndian.PutUint16(b[2:], uint16(h.total))
	binary.BigEndian.PutUint32(b[4:], h.index)
	binary.BigEndian.PutUint64(b[8:], h.counter)
	binary.BigEndian.PutUint16(b[16:], uint16(h.offset))
	b[18], b[19] = 0, 0
}

// decode reads the header of part b, and gives the bytes that follow.
func (h *partHeader) decode(b []byte) (rest []byte, ok bool) {
	if len(b) <= partHead || b[0] != byte(typePart) {
		return nil, false
	}
	*h = partHeader{
		place: b[1], total: int(binary.BigEndian.Uint16(b[2:])), offset: int(binary.BigEndian.Uint16(b[16:])),
		index: binary.BigEndian.Uint32(b[4:]), counter: binary.BigEndian.Uint64(b[8:]),
	}
	rest = b[partHead:]
	return rest, h.place < maxParts && h.total >= overhead && h.total <= maxDatagram && h.offset+len(rest) <= h.total
}

// partsOf is how many parts of at most size bytes a datagram of n bytes needs.
func partsOf(n, size int) int {
	if n <= size {
		return 1
	}
	return (n + size - partHead - 1) / (size - partHead)
}

// addParts is add for a datagram that may be longer than the link's size.
func (t *txBatch) addParts(p *peer, to *net.UDPAddr, n int, gso bool, size int) {
	if n <= size {
		t.add(p, to, n, gso)
		return
	}
	whole := t.whole[:copy(t.whole[:], t.arena[t.used:t.used+n])]
	parts := partsOf(n, size)
	each := (n + parts - 1) / parts
	h := partHeader{total: n, index: binary.BigEndian.Uint32(whole[4:]), counter: binary.BigEndian.Uint64(whole[8:])}
	for h.offset < n {
		d := t.next()
		h.encode(d)
		m := copy(d[partHead:], whole[h.offset:min(n, h.offset+each)])
		t.add(p, to, partHead+m, gso)
		h.offset += m
		h.place++
	}
}

// partial is a datagram of which some parts have come.
type partial struct {
	counter     uint64
	total, have int
	seen        uint8 // places, a bit each
	buf         [maxDatagram]byte
}

// partials are those of one session, by their counter's last bits.
type partials [partsTo]partial

// add takes a part, and gives the whole datagram when that was the last one missing.
func (ps *partials) add(h *partHeader, b []byte) []byte {
	w := &ps[h.counter%partsTo]
	if w.total == 0 || w.counter < h.counter {
		w.counter, w.total, w.have, w.seen = h.counter, h.total, 0, 0
	}
	if w.counter != h.counter || w.total != h.total || w.seen&(1<<h.place) != 0 {
		return nil // older than what took its place, or come before
	}
	w.seen |= 1 << h.place
	w.have += copy(w.buf[h.offset:], b)
	if w.have != w.total {
		return nil
	}
	w.total = 0
	return w.buf[:w.have]
}

// part takes a part of a datagram.
func (r *reader) part(b []byte, from *net.UDPAddr) {
	var h partHeader
	rest, ok := h.decode(b)
	if !ok {
		r.t.stats.malformed.Add(1)
		return
	}
	s := r.sessionOf(h.index)
	if s == nil {
		return
	}
	if !s.replay.Fresh(h.counter) {
		r.t.stats.replayed.Add(1)
		return
	}
	ps := s.partials.Load()
	if ps == nil {
		ps = new(partials)
		s.partials.Store(ps)
	}
	r.t.stats.rxParts.Add(1)
	if whole := ps.add(&h, rest); whole != nil {
		r.datagram(whole, from)
		r.forward() // before the next datagram takes its place
	}
}

// isTooBig says whether the kernel did not send a datagram because of its size.
func isTooBig(err error) bool { return errors.Is(err, unix.EMSGSIZE) }
