// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// A message on the wire is its kind in one byte, then the fields in CBOR (RFC
// 8949, core deterministic encoding) with small integers for keys.
var (
	encMode = must(cbor.CoreDetEncOptions().EncMode())
	decMode = must(cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		MaxArrayElements: MaxRecords,
		MaxMapPairs:      32,
		MaxNestedLevels:  8,
		UTF8:             cbor.UTF8RejectInvalid,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // options of this file: a mistake of the programmer
	}
	return v
}

// ErrMessage is the root of all errors of Decode.
var ErrMessage = errors.New("not a message of the overlay")

// Encode appends the wire form of m to dst.
func Encode(dst []byte, m Message) []byte {
	b, err := encMode.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("wire: %T: %v", m, err)) // no message holds what CBOR cannot say
	}
	return append(append(dst, byte(m.kind())), b...)
}

// Decode reads one message that fills b. What is too long, unknown or out of
// range is refused, so that the core never sees it.
func Decode(b []byte) (Message, error) {
	if len(b) == 0 || len(b) > MaxMessage {
		return nil, fmt.Errorf("%w: %d bytes", ErrMessage, len(b))
	}
	if int(b[0]) >= NumKinds || kinds[b[0]].blank == nil {
		return nil, fmt.Errorf("%w: kind %d", ErrMessage, b[0])
	}
	k := &kinds[b[0]]
	m := k.blank()
	if err := decMode.Unmarshal(b[1:], m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMessage, k.name, err)
	}
	if k.check == nil {
		return m, nil
	}
	if err := k.check(m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMessage, k.name, err)
	}
	return m, nil
}
