// SPDX-License-Identifier: Apache-2.0

package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// Sizes in bytes.
const (
	HeaderSize = 48
	MaxPayload = 1316 // seven MPEG-TS packets: fits Ethernet's 1500 with every header in front
	MaxSize    = HeaderSize + MaxPayload
)

// Version is the only version there is.
const Version = 1

// NoBudget as BudgetUs means that the stream has no latency budget.
const NoBudget = math.MaxUint32

// Flags say what a packet is to those who may drop or change it.
type Flags uint8

// The flags of a packet.
const (
	Key         Flags = 1 << iota // a decoder can start here
	Discardable                   // decoding survives without it
	Compressed                    // the payload is packed by the SPA transform
	End                           // the stream's last packet
	Beat                          // no payload: the stream lives but has nothing to say

	known = Key | Discardable | Compressed | End | Beat
)

func (f Flags) String() string {
	if f == 0 {
		return "-"
	}
	var s []string
	for i, name := range []string{"key", "discardable", "compressed", "end", "beat"} {
		if f&(1<<i) != 0 {
			s = append(s, name)
		}
	}
	if f&^known != 0 {
		s = append(s, fmt.Sprintf("%#x", uint8(f&^known)))
	}
	return strings.Join(s, "|")
}

// Header is the decoded header of one packet.
type Header struct {
	Flags     Flags
	Path      uint16
	BudgetUs  uint32
	Stream    [16]byte
	Seq       uint64 // from 1
	SentNs    uint64
	ElapsedUs uint32
	Hops      uint16
}

// What Decode refuses, for errors.Is.
var (
	ErrShort    = errors.New("frame: shorter than its header of 48 bytes")
	ErrLong     = errors.New("frame: longer than 1364 bytes")
	ErrVersion  = errors.New("frame: not version 1")
	ErrFlags    = errors.New("frame: unknown flag")
	ErrReserved = errors.New("frame: reserved field is not 0")
	ErrSeq      = errors.New("frame: sequence number 0")
	ErrBeat     = errors.New("frame: a beat with payload")
)

// Decode reads the header of packet b and gives its payload, a part of b.
// It allocates nothing, and refuses whatever Encode would not write.
func (h *Header) Decode(b []byte) (payload []byte, err error) {
	if len(b) < HeaderSize {
		return nil, ErrShort
	}
	if len(b) > MaxSize {
		return nil, ErrLong
	}
	if b[0] != Version {
		return nil, ErrVersion
	}
	flags := Flags(b[1])
	if flags&^known != 0 {
		return nil, ErrFlags
	}
	if b[46]|b[47] != 0 {
		return nil, ErrReserved
	}
	seq := binary.BigEndian.Uint64(b[24:])
	if seq == 0 {
		return nil, ErrSeq
	}
	if flags&Beat != 0 && len(b) != HeaderSize {
		return nil, ErrBeat
	}
	h.Flags = flags
	h.Path = binary.BigEndian.Uint16(b[2:])
	h.BudgetUs = binary.BigEndian.Uint32(b[4:])
	h.Stream = [16]byte(b[8:24])
	h.Seq = seq
	h.SentNs = binary.BigEndian.Uint64(b[32:])
	h.ElapsedUs = binary.BigEndian.Uint32(b[40:])
	h.Hops = binary.BigEndian.Uint16(b[44:])
	return b[HeaderSize:], nil
}

// Encode writes the header into the first 48 bytes of b, which must be there.
func (h *Header) Encode(b []byte) {
	_ = b[HeaderSize-1]
	b[0] = Version
	b[1] = byte(h.Flags)
	binary.BigEndian.PutUint16(b[2:], h.Path)
	binary.BigEndian.PutUint32(b[4:], h.BudgetUs)
	copy(b[8:24], h.Stream[:])
	binary.BigEndian.PutUint64(b[24:], h.Seq)
	binary.BigEndian.PutUint64(b[32:], h.SentNs)
	binary.BigEndian.PutUint32(b[40:], h.ElapsedUs)
	binary.BigEndian.PutUint16(b[44:], h.Hops)
	b[46], b[47] = 0, 0
}

// Stream gives the stream id of packet b, which must have passed Decode.
func Stream(b []byte) [16]byte { return [16]byte(b[8:24]) }

// Path gives the path of packet b, which must have passed Decode.
func Path(b []byte) uint16 { return binary.BigEndian.Uint16(b[2:]) }

// Advance accounts for one hop in packet b, which must have passed Decode: the
// packet stayed here and will take the link that follows, together spent. The
// budget stops at 0; elapsed time and hops stop at their greatest value.
func Advance(b []byte, spent time.Duration) {
	_ = b[HeaderSize-1]
	us := uint64(max(spent, 0) / time.Microsecond)
	if budget := binary.BigEndian.Uint32(b[4:]); budget != NoBudget {
		binary.BigEndian.PutUint32(b[4:], uint32(uint64(budget)-min(us, uint64(budget))))
	}
	elapsed := uint64(binary.BigEndian.Uint32(b[40:])) + us
	binary.BigEndian.PutUint32(b[40:], uint32(min(elapsed, math.MaxUint32)))
	if hops := binary.BigEndian.Uint16(b[44:]); hops != math.MaxUint16 {
		binary.BigEndian.PutUint16(b[44:], hops+1)
	}
}
