// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/fxamacker/cbor/v2"
)

// hello is what both sides send on the first stream of a QUIC connection, the
// dialler first, in a frame that never changes, so that hosts of any version can
// tell one another which ones they speak:
//
//	0  4  "SNDS"
//	4  1  2: hosts of version 1 of the wire say 1 here, and refuse others
//	5  1  reserved: 0 when sent, ignored
//	6  2  n, at most 1,016, big-endian
//	8  n  a CBOR map (RFC 8949) with small integers for keys
//
// Keys that a host does not know it ignores.
type hello struct {
	Min      uint16   `cbor:"1,keyasint"` // versions of the wire
	Max      uint16   `cbor:"2,keyasint"`
	Minor    uint16   `cbor:"3,keyasint"`
	Features features `cbor:"4,keyasint"`
	Build    string   `cbor:"5,keyasint"` // of overlayd, for people
	Index    uint32   `cbor:"6,keyasint"` // that datagrams to the sender carry
	Proof    []byte   `cbor:"7,keyasint"` // of the join token, 32 bytes
	Run      run      `cbor:"8,keyasint"`
	Sealed   []byte   `cbor:"9,keyasint"`  // the host's signature of Run
	Largest  uint16   `cbor:"10,keyasint"` // datagram that the sender can take, bytes; 0: what version 2.0 needs
	ToCome   string   `cbor:"1000,keyasint,omitempty"`
}

const (
	helloHead  = 8
	helloFrame = 2 // the fifth byte
	maxHello   = 1016
	maxBuild   = 100
)

var errHello = errors.New("malformed hello")

var (
	helloEnc = must(cbor.CoreDetEncOptions().EncMode())
	helloDec = must(cbor.DecOptions{
		DupMapKey:       cbor.DupMapKeyEnforcedAPF,
		IndefLength:     cbor.IndefLengthForbidden,
		TagsMd:          cbor.TagsForbidden,
		MaxMapPairs:     64,
		MaxNestedLevels: 8,
		UTF8:            cbor.UTF8RejectInvalid,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // options of this file: a mistake of the programmer
	}
	return v
}

func (h *hello) versions() versions {
	return versions{min: h.Min, max: h.Max, minor: h.Minor, build: words(h.Build)}
}

func (h *hello) encode() []byte {
	body, err := helloEnc.Marshal(h)
	if err != nil || len(body) > maxHello {
		panic(fmt.Sprintf("transport: a hello of %d bytes: %v", len(body), err)) // its fields are bounded
	}
	b := make([]byte, helloHead, helloHead+len(body))
	copy(b, "SNDS")
	b[4] = helloFrame
	binary.BigEndian.PutUint16(b[6:], uint16(len(body)))
	return append(b, body...)
}

// size gives the length of the body that follows a hello's head.
func helloSize(head []byte) (int, error) {
	if len(head) != helloHead || string(head[:4]) != "SNDS" || head[4] != helloFrame {
		return 0, errHello
	}
	n := int(binary.BigEndian.Uint16(head[6:]))
	if n > maxHello {
		return 0, errHello
	}
	return n, nil
}

// decode reads a hello's body.
func (h *hello) decode(body []byte) error {
	var got hello
	if err := helloDec.Unmarshal(body, &got); err != nil {
		return fmt.Errorf("%w: %w", errHello, err)
	}
	// What a host of other versions has beside them may be anything.
	if got.Min == 0 || got.Max < got.Min || len(got.Build) > maxBuild {
		return errHello
	}
	if got.Min <= wireMax && got.Max >= wireMin && (len(got.Proof) != 32 || len(got.Sealed) != ed25519.SignatureSize) {
		return errHello
	}
	*h = got
	return nil
}

// readHello reads the other side's hello.
func readHello(r io.Reader) (*hello, error) {
	b := make([]byte, helloHead)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	n, err := helloSize(b)
	if err != nil {
		return nil, err
	}
	b = make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	h := new(hello)
	return h, h.decode(b)
}
