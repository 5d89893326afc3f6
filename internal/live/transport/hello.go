// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"encoding/binary"
	"errors"
)

// hello is what both sides send on the first stream of a QUIC connection, the
// dialler first. 48 bytes, big-endian:
//
//	 0  4  "SNDS"
//	 4  1  version = 1
//	 5  1  flags: 1 the host has AES in hardware, 2 it takes payload in the clear
//	 6  2  UDP port of the data socket, not 0
//	 8  4  the index that datagrams to the sender carry
//	12  4  reserved, 0
//	16 32  proof of the join token
type hello struct {
	aes      bool
	clear    bool
	dataPort uint16
	index    uint32
	proof    [32]byte
}

const (
	helloSize    = 48
	helloVersion = 1
	helloAES     = 1
	helloClear   = 2
)

var errHello = errors.New("malformed hello")

func (h *hello) encode() []byte {
	b := make([]byte, helloSize)
	copy(b, "SNDS")
	b[4] = helloVersion
	if h.aes {
		b[5] |= helloAES
	}
	if h.clear {
		b[5] |= helloClear
	}
	binary.BigEndian.PutUint16(b[6:], h.dataPort)
	binary.BigEndian.PutUint32(b[8:], h.index)
	copy(b[16:], h.proof[:])
	return b
}

func (h *hello) decode(b []byte) error {
	if len(b) != helloSize || string(b[:4]) != "SNDS" {
		return errHello
	}
	if b[4] != helloVersion {
		return ErrVersion
	}
	port := binary.BigEndian.Uint16(b[6:])
	if b[5]&^(helloAES|helloClear) != 0 || port == 0 || binary.BigEndian.Uint32(b[12:]) != 0 {
		return errHello
	}
	*h = hello{
		aes:      b[5]&helloAES != 0,
		clear:    b[5]&helloClear != 0,
		dataPort: port,
		index:    binary.BigEndian.Uint32(b[8:]),
		proof:    [32]byte(b[16:]),
	}
	return nil
}
