// SPDX-License-Identifier: Apache-2.0

package engine

import "encoding/binary"

const (
	// HeaderLen is that of the overlay's data header, the least a datagram has.
	HeaderLen = 64
	// MaxDatagram is the longest datagram an SPA is given: header and payload.
	MaxDatagram = mtu - 28

	mtu      = 1500
	frontLen = 42 // Ethernet 14, IPv4 20, UDP 8
	outNet   = 10 // outputs are 10.0.0.0/8
)

var localMAC = [6]byte{0x02, 0, 0, 0, 0, 0x01}

// Addr is the IPv4 address of an output as the value of a parameter of type
// IPV4 (network order in the low 32 bits): Set("next_ip", Addr(3)).
func Addr(out int) uint64 {
	a := addr4(out)
	return uint64(binary.LittleEndian.Uint32(a[:]))
}

func addr4(out int) [4]byte {
	return [4]byte{outNet, byte(out >> 16), byte(out >> 8), byte(out)}
}

// front is the header in front of each datagram but for lengths and IPv4 checksum:
// from 10.255.255.255 to output 0, port 9 to 9, TTL 64, no UDP checksum.
var front = [frontLen]byte{
	0x02, 0, 0, 0, 0, 0x01, 0x02, 0, 0, 0, 0, 0x02, 0x08, 0x00,
	0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, outNet, 255, 255, 255, outNet, 0, 0, 0,
	0, 9, 0, 9, 0, 0, 0, 0,
}

// frontSum is the sum of the IPv4 header's words, length and checksum 0.
const frontSum = 0x4500 + 0x4000 + 64<<8 + 17 + outNet<<8 + 255 + 0xffff + outNet<<8

// putFront writes the header for a datagram of n bytes.
func putFront(b []byte, n int) {
	_ = b[frontLen-1]
	copy(b, front[:])
	total := uint32(n + 28)
	sum := frontSum + total
	sum = sum&0xffff + sum>>16
	sum = sum&0xffff + sum>>16
	binary.BigEndian.PutUint16(b[16:], uint16(total))
	binary.BigEndian.PutUint16(b[24:], ^uint16(sum))
	binary.BigEndian.PutUint16(b[38:], uint16(n+8))
}

// receive puts a datagram into the receive ring, or counts why not.
func (in *Instance) receive(p []byte) {
	if len(p) < HeaderLen || len(p) > MaxDatagram {
		in.own.tooLong++
		return
	}
	if f := in.takeFrame(len(p) + frontLen); f != nil {
		putFront(f, len(p))
		copy(f[frontLen:], p)
	}
}

// takeFrame takes a free frame from the fill ring, enters it into the receive
// ring with n bytes, and returns those. Nil: there is none.
func (in *Instance) takeFrame(n int) []byte {
	s := &in.slice
	if in.dead != nil {
		return nil
	}
	// Entries beyond the ring's length would be an index gone mad; they are not followed.
	if waiting := le32(s.u32(s.fill.at)) - s.fill.own; waiting == 0 || waiting > s.fill.size ||
		s.received() >= s.rx.size {
		in.own.noFrame++
		return nil
	}
	a := le64(s.view[s.fill.at+ringDesc+s.fill.own%s.fill.size*8:])
	s.fill.own++
	put32(s.u32(s.fill.at+ringCons), s.fill.own)
	if a >= uint64(s.umemLen) {
		in.own.badTX++
		return nil
	}
	a = a&^(chunkSize-1) + headroom
	d := s.bytes(s.rx.at+ringDesc+s.rx.own%s.rx.size*16, 16)
	put64(d, a)
	put64(d[8:], uint64(n))
	s.rx.own++
	put32(s.u32(s.rx.at), s.rx.own)
	return s.bytes(s.umem+uint32(a), uint32(n))
}

// transmit hands over what is in the transmit ring and gives the frames back.
func (in *Instance) transmit(emit Emit) error {
	return in.drain(func(f []byte) {
		if len(f) < frontLen || f[30] != outNet {
			in.own.badTX++
			return
		}
		if emit != nil {
			emit(int(binary.BigEndian.Uint32(f[30:])&MaxOutput), f[frontLen:len(f):len(f)])
		}
	})
}

// drain takes all frames from the transmit ring.
func (in *Instance) drain(each func(frame []byte)) error {
	s := &in.slice
	n := le32(s.u32(s.tx.at)) - s.tx.own
	if n > s.tx.size {
		in.dead = &AbortError{SPA: in.name, Cause: Fault, Detail: "the transmit ring's index jumped past the ring"}
		return in.dead
	}
	if n == 0 {
		return nil
	}
	for range n {
		d := s.bytes(s.tx.at+ringDesc+s.tx.own%s.tx.size*16, 16)
		addr, length := le64(d), uint64(le32(d[8:]))
		s.tx.own++
		if addr >= uint64(s.umemLen) || length > chunkSize-addr%chunkSize {
			in.own.badTX++
			continue
		}
		each(s.bytes(s.umem+uint32(addr), uint32(length)))
		// Never more entries than frames, but for an SPA that sends one twice; then the oldest are lost.
		put64(s.view[s.comp.at+ringDesc+s.comp.own%s.comp.size*8:], addr)
		s.comp.own++
	}
	// An SPA that sent frames twice would see more completions than the ring is long.
	if back := s.comp.own - le32(s.u32(s.comp.at+ringCons)); back > s.comp.size {
		in.dead = &AbortError{SPA: in.name, Cause: Fault, Detail: "it sent more frames than it has"}
		return in.dead
	}
	put32(s.u32(s.tx.at+ringCons), s.tx.own)
	put32(s.u32(s.comp.at), s.comp.own)
	return nil
}
