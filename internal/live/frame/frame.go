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
	HeaderSize = 64
	SealedHead = 52   // of the header, what the payload's seal stands for too
	TagSize    = 16   // behind a sealed payload
	MaxPayload = 1316 // seven MPEG-TS packets: what the publisher puts into a packet
	MaxSize    = 1440 // of a frame, sealed: with 32 of a session, UDP and IPv4 1500
	MaxPlain   = MaxSize - TagSize
	// MaxMessage is the longest payload that a publisher can give at once. It goes as
	// several packets.
	MaxMessage = 1 << 16
	MaxParts   = 256 // packets of a message
)

// Version is the only version that Decode takes. Version 1 sealed from hop to hop.
const Version = 2

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
	Alone                         // each part of the message is of use without the others

	known = Key | Discardable | Compressed | End | Beat | Alone
)

func (f Flags) String() string {
	if f == 0 {
		return "-"
	}
	var s []string
	for i, name := range []string{"key", "discardable", "compressed", "end", "beat", "alone"} {
		if f&(1<<i) != 0 {
			s = append(s, name)
		}
	}
	if f&^known != 0 {
		s = append(s, fmt.Sprintf("%#x", uint8(f&^known)))
	}
	return strings.Join(s, "|")
}

// Class is the order in which packets may go where not all can pass: a relay that has
// no key sees it, and nobody without the key can change it.
type Class uint8

// Drop classes, as the publisher's parser of the format gives them. Others are in
// order between them.
const (
	Keep       Class = 0 // what a decoder needs to start, and whatever is not understood
	Secondary  Class = 1 // sound and data beside the pictures
	Predicted  Class = 2 // pictures that need earlier ones
	Disposable Class = 3 // what nothing else needs
	Stuffing   Class = 4 // bytes without content
)

// thinned is the one mark.
const thinned = 1

// Header is the decoded header of one packet.
type Header struct {
	Flags     Flags
	Class     Class
	Part      uint8 // place in the message
	LastPart  uint8 // and that of the message's last packet
	Stream    [16]byte
	Seq       uint64 // from 1
	SentNs    uint64
	Sealer    uint64
	Epoch     uint32
	Path      uint16
	Hops      uint8
	Thinned   bool // a relay has taken the payload out
	BudgetUs  uint32
	ElapsedUs uint32
}

// What Decode refuses, for errors.Is.
var (
	ErrShort    = errors.New("frame: shorter than its header of 64 bytes")
	ErrLong     = errors.New("frame: longer than 1440 bytes")
	ErrVersion  = errors.New("frame: not version 2")
	ErrFlags    = errors.New("frame: unknown flag or mark")
	ErrReserved = errors.New("frame: reserved field is not 0")
	ErrPart     = errors.New("frame: a part behind the message's last")
	ErrSeq      = errors.New("frame: sequence number 0")
	ErrBeat     = errors.New("frame: a beat or a thinned packet with payload")
	ErrUnsealed = errors.New("frame: no room for the payload's tag")
)

// Decode reads the header of packet b, as it is on the wire, and gives its sealed
// payload with the tag, a part of b; of a thinned packet nothing. It allocates
// nothing, and refuses whatever Encode would not write.
func (h *Header) Decode(b []byte) (sealed []byte, err error) { return h.decode(b, TagSize) }

// DecodePlain reads the header of a packet whose payload is in the clear.
func (h *Header) DecodePlain(b []byte) (payload []byte, err error) { return h.decode(b, 0) }

// decode reads the header of a packet with tag bytes behind its payload.
func (h *Header) decode(b []byte, tag int) ([]byte, error) {
	if len(b) < HeaderSize {
		return nil, ErrShort
	}
	if len(b) > MaxSize-TagSize+tag {
		return nil, ErrLong
	}
	if b[0] != Version {
		return nil, ErrVersion
	}
	flags := Flags(b[1])
	if flags&^known != 0 || b[55]&^thinned != 0 {
		return nil, ErrFlags
	}
	if b[3]|b[6]|b[7] != 0 {
		return nil, ErrReserved
	}
	if b[4] > b[5] {
		return nil, ErrPart
	}
	seq := binary.BigEndian.Uint64(b[24:])
	if seq == 0 {
		return nil, ErrSeq
	}
	switch rest := len(b) - HeaderSize; {
	case b[55] != 0:
		if rest != 0 {
			return nil, ErrBeat
		}
	case rest < tag:
		return nil, ErrUnsealed
	case flags&Beat != 0 && rest != tag:
		return nil, ErrBeat
	}
	h.Flags = flags
	h.Class = Class(b[2])
	h.Part, h.LastPart = b[4], b[5]
	h.Stream = [16]byte(b[8:24])
	h.Seq = seq
	h.SentNs = binary.BigEndian.Uint64(b[32:])
	h.Sealer = binary.BigEndian.Uint64(b[40:])
	h.Epoch = binary.BigEndian.Uint32(b[48:])
	h.Path = binary.BigEndian.Uint16(b[52:])
	h.Hops = b[54]
	h.Thinned = b[55] != 0
	h.BudgetUs = binary.BigEndian.Uint32(b[56:])
	h.ElapsedUs = binary.BigEndian.Uint32(b[60:])
	return b[HeaderSize:], nil
}

// Encode writes the header into the first 64 bytes of b, which must be there.
func (h *Header) Encode(b []byte) {
	_ = b[HeaderSize-1]
	b[0] = Version
	b[1] = byte(h.Flags)
	b[2], b[3] = byte(h.Class), 0
	b[4], b[5], b[6], b[7] = h.Part, h.LastPart, 0, 0
	copy(b[8:24], h.Stream[:])
	binary.BigEndian.PutUint64(b[24:], h.Seq)
	binary.BigEndian.PutUint64(b[32:], h.SentNs)
	PutSealer(b, h.Sealer, h.Epoch)
	binary.BigEndian.PutUint16(b[52:], h.Path)
	b[54], b[55] = h.Hops, 0
	if h.Thinned {
		b[55] = thinned
	}
	binary.BigEndian.PutUint32(b[56:], h.BudgetUs)
	binary.BigEndian.PutUint32(b[60:], h.ElapsedUs)
}

// PutSealer says in packet b under whose key its payload is sealed, and of which epoch.
func PutSealer(b []byte, sealer uint64, epoch uint32) {
	binary.BigEndian.PutUint64(b[40:], sealer)
	binary.BigEndian.PutUint32(b[48:], epoch)
}

// Stream gives the stream id of packet b, which must have passed Decode.
func Stream(b []byte) [16]byte { return [16]byte(b[8:24]) }

// Seq gives the number of packet b, which must have passed Decode.
func Seq(b []byte) uint64 { return binary.BigEndian.Uint64(b[24:]) }

// Path gives the path of packet b, which must have passed Decode.
func Path(b []byte) uint16 { return binary.BigEndian.Uint16(b[52:]) }

// IsThinned says whether the payload of packet b, which must have passed Decode, was
// taken out on the way.
func IsThinned(b []byte) bool { return b[55]&thinned != 0 }

// Advance accounts for one hop in packet b, which must have passed Decode: the
// packet stayed here and will take the link that follows, together spent. The
// budget stops at 0; elapsed time and hops stop at their greatest value.
func Advance(b []byte, spent time.Duration) {
	_ = b[HeaderSize-1]
	us := uint64(max(spent, 0) / time.Microsecond)
	if budget := binary.BigEndian.Uint32(b[56:]); budget != NoBudget {
		binary.BigEndian.PutUint32(b[56:], uint32(uint64(budget)-min(us, uint64(budget))))
	}
	elapsed := uint64(binary.BigEndian.Uint32(b[60:])) + us
	binary.BigEndian.PutUint32(b[60:], uint32(min(elapsed, math.MaxUint32)))
	if b[54] != math.MaxUint8 {
		b[54]++
	}
}
