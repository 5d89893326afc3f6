// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/sys/cpu"

	"sandstream/internal/live/frame"
	"sandstream/internal/live/replay"
)

// A datagram: 16 bytes of header, big-endian, then
//
//   - of a control message: its bytes sealed, and the tag; the header is authenticated.
//
//   - of a stream's packet: 16 bytes of MAC, then the packet as it is (package frame),
//     whose payload its publisher has sealed. The MAC is the tag of the session's AEAD
//     over nothing, with header and packet header as associated data: GMAC where both
//     hosts have AES in hardware, else Poly1305. It stands in front of the packet, so
//     that a relay moves no byte of that.
//
//     0  1  type: 1 control, 4 data
//     1  3  reserved: 0 when sent, ignored
//     4  4  the receiver's index for the session
//     8  8  counter, from 0, the nonce
const (
	outerSize = 16
	tagSize   = 16
	overhead  = outerSize + tagSize
)

type datagramType uint8

const (
	typeControl datagramType = 1
	typeSealed1 datagramType = 2 // data of version 1
	typeClear1  datagramType = 3 // and in the clear
	typeData    datagramType = 4
)

type outer struct {
	typ     datagramType
	index   uint32
	counter uint64
}

func (o *outer) encode(b []byte) {
	_ = b[outerSize-1]
	binary.BigEndian.PutUint32(b, uint32(o.typ)<<24|reservedToCome)
	binary.BigEndian.PutUint32(b[4:], o.index)
	binary.BigEndian.PutUint64(b[8:], o.counter)
}

// decode says whether b can be a sealed datagram.
func (o *outer) decode(b []byte) bool {
	if len(b) < overhead || len(b) > maxUDP {
		return false
	}
	o.typ = datagramType(b[0]) // what is reserved may mean something to hosts to come
	o.index = binary.BigEndian.Uint32(b[4:])
	o.counter = binary.BigEndian.Uint64(b[8:])
	return o.typ == typeControl || o.typ == typeData && len(b) >= overhead+frame.HeaderSize
}

// Limits of one session's keys. A new session is made well before.
const (
	rekeyPackets  = 1 << 32
	rejectPackets = 1 << 33
)

// session is a pair of keys, one a direction, agreed on by one handshake.
// Sealing is done by one goroutine at a time (the sender), opening by the
// reader only.
type session struct {
	peer    *peer
	local   uint32 // index in datagrams to us
	remote  uint32 // index in datagrams to the peer
	useAES  bool
	link    bool // the peer answers what is asked over the session: see link.go
	run     run  // of the peer
	sendKey [32]byte
	recvKey [32]byte
	created time.Duration // on the transport's clock
	// confirmed: the other side has the session as well, so we may send.
	confirmed atomic.Bool
	sent      atomic.Uint64 // the next counter
	replay    replay.Window // the reader's

	// The expanded keys take 800 bytes each, so that they are kept only while
	// the session is busy: see quiet.
	partials       atomic.Pointer[partials] // the reader's
	sealer, opener atomic.Pointer[expanded]
	uses           atomic.Uint32
}

// hasAES: without AES in hardware ChaCha20-Poly1305 is several times faster,
// and free of timing leaks.
func hasAES() bool {
	return cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ || cpu.ARM64.HasAES && cpu.ARM64.HasPMULL
}

func newAEAD(useAES bool, key *[32]byte) (cipher.AEAD, error) {
	if !useAES {
		return chacha20poly1305.New(key[:])
	}
	// 128 bits, as TLS 1.3 chooses: the keys are as strong as the handshake that
	// they come from, and sealing is most of what a packet costs.
	block, err := aes.NewCipher(key[:16])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// expanded is a key ready for use by one goroutine at a time, with the buffers
// that would else be allocated for every datagram.
type expanded struct {
	cipher.AEAD
	nonce [12]byte
	head  [macHead]byte
}

// with sets the nonce.
func (e *expanded) with(counter uint64) *expanded {
	binary.BigEndian.PutUint64(e.nonce[4:], counter)
	return e
}

func (s *session) aead(slot *atomic.Pointer[expanded], key *[32]byte) *expanded {
	uses := s.uses.Add(1)
	if e := slot.Load(); e != nil {
		return e
	}
	a, err := newAEAD(s.useAES, key)
	if err != nil {
		panic(fmt.Sprintf("transport: a key of 32 bytes: %v", err)) // the only error there is
	}
	e := &expanded{AEAD: a}
	if uses > keepAfter {
		slot.Store(e)
	}
	return e
}

// keepAfter is how many datagrams of a second use keys that are then thrown away: a
// session that only shows signs of life keeps none.
const keepAfter = 8

// quiet drops the expanded keys if the session had fewer than least datagrams
// since it was last called.
func (s *session) quiet(least uint32) {
	if s.uses.Swap(0) < least {
		s.sealer.Store(nil)
		s.opener.Store(nil)
		s.partials.Store(nil)
	}
}

// room is where what a datagram of type typ carries begins in its buffer.
func room(typ datagramType) int {
	if typ == typeData {
		return overhead
	}
	return outerSize
}

// seal seals the control message b[room:n] in place, or authenticates the header of the
// packet that is there, and writes what is around it. It gives the datagram's size, or 0
// if the session's keys are used up.
func (s *session) seal(typ datagramType, b []byte, n int) int {
	counter := s.sent.Load()
	if counter >= rejectPackets {
		return 0
	}
	s.sent.Store(counter + 1)
	aead := s.aead(&s.sealer, &s.sendKey).with(counter)
	o := outer{typ: typ, index: s.remote, counter: counter}
	o.encode(b)
	if typ == typeData {
		aead.Seal(b[outerSize:outerSize], aead.nonce[:], nil, aead.macHead(b))
		return n
	}
	sealed := aead.Seal(b[outerSize:outerSize], aead.nonce[:], b[outerSize:n], b[:outerSize])
	return outerSize + len(sealed)
}

// macHead is the size of what a data datagram's MAC stands for.
const macHead = outerSize + frame.HeaderSize

func (e *expanded) macHead(b []byte) []byte {
	copy(e.head[:], b[:outerSize])
	copy(e.head[outerSize:], b[overhead:overhead+frame.HeaderSize])
	return e.head[:]
}

// open opens datagram b, whose header is o, in place: it gives a control message, or a
// packet whose header is the peer's word. What the packet carries stays sealed.
func (s *session) open(o *outer, b []byte) ([]byte, error) {
	aead := s.aead(&s.opener, &s.recvKey).with(o.counter)
	if o.typ == typeControl {
		return aead.Open(b[outerSize:outerSize], aead.nonce[:], b[outerSize:], b[:outerSize])
	}
	if _, err := aead.Open(nil, aead.nonce[:], b[outerSize:overhead], aead.macHead(b)); err != nil {
		return nil, err
	}
	return b[overhead:], nil
}
