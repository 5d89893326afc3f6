// SPDX-License-Identifier: Apache-2.0

package netem

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// Packet is what the emulator reads of an IPv4 packet.
type Packet struct {
	Src, Dst netip.Addr
	Proto    byte // 17 is UDP, 6 is TCP
	// Ports of UDP and TCP; 0 for others, and in all fragments but the first.
	SrcPort, DstPort uint16
	// Payload is what follows the UDP header, or the IPv4 header of any other protocol.
	// It points into the packet.
	Payload []byte
	total   int
}

// Why a packet does not parse.
var (
	ErrNotIPv4   = errors.New("no IPv4 packet")
	ErrTruncated = errors.New("IPv4 packet shorter than its headers say")
)

const (
	ipv4HeaderLen = 20
	udpHeaderLen  = 8
	protoTCP      = 6
	protoUDP      = 17
)

// Parse reads the headers of the IPv4 packet b, which may have padding behind it.
// The checksums are not verified.
func Parse(b []byte) (Packet, error) {
	if len(b) == 0 || b[0]>>4 != 4 {
		return Packet{}, ErrNotIPv4
	}
	if len(b) < ipv4HeaderLen {
		return Packet{}, ErrTruncated
	}
	header := int(b[0]&15) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if header < ipv4HeaderLen || total < header || total > len(b) {
		return Packet{}, ErrTruncated
	}
	p := Packet{
		Src:   netip.AddrFrom4([4]byte(b[12:16])),
		Dst:   netip.AddrFrom4([4]byte(b[16:20])),
		Proto: b[9],
		total: total,
	}
	p.Payload = b[header:total]
	if binary.BigEndian.Uint16(b[6:])&0x1fff != 0 { // a later fragment
		return p, nil
	}
	if (p.Proto == protoUDP || p.Proto == protoTCP) && len(p.Payload) >= 4 {
		p.SrcPort = binary.BigEndian.Uint16(p.Payload)
		p.DstPort = binary.BigEndian.Uint16(p.Payload[2:])
	}
	if p.Proto == protoUDP {
		if len(p.Payload) < udpHeaderLen {
			return Packet{}, ErrTruncated
		}
		p.Payload = p.Payload[udpHeaderLen:]
	}
	return p, nil
}

// finishChecksum completes a checksum the kernel left to the device: the sum from
// start to the end of b goes to start+offset, where the pseudo header's sum is.
func finishChecksum(b []byte, start, offset int) error {
	at := start + offset
	if start > len(b) || at+2 > len(b) {
		return ErrTruncated
	}
	var sum uint64
	rest := b[start:]
	for ; len(rest) >= 4; rest = rest[4:] {
		sum += uint64(binary.BigEndian.Uint32(rest))
	}
	if len(rest) >= 2 {
		sum += uint64(binary.BigEndian.Uint16(rest))
		rest = rest[2:]
	}
	if len(rest) == 1 {
		sum += uint64(rest[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	check := ^uint16(sum)
	if check == 0 { // 0 would mean "no checksum" in UDP; in TCP both are the same number
		check = 0xffff
	}
	binary.BigEndian.PutUint16(b[at:], check)
	return nil
}
