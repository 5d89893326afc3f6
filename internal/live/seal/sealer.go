// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"sync"

	"sandstream/internal/live/frame"
	"sandstream/internal/live/replay"
)

// Errors of Seal.
var (
	ErrTwice = errors.New("the number was sealed before")
	ErrNoKey = errors.New("no key of the packet's epoch")
	ErrRoom  = errors.New("no room for the tag")
)

// Sealer seals a stream's packets at one place: the publisher, or a stage of a pipeline
// on one host. Its methods may be called from anywhere.
type Sealer struct {
	stream [16]byte
	host   [16]byte
	stage  uint16

	mu     sync.Mutex
	key    Key
	id     uint64
	aead   cipher.AEAD // nil: no key yet
	used   replay.Window
	sealed uint64 // under the key
	nonce  [12]byte
}

// NewSealer makes a sealer without a key: Use gives it one.
func NewSealer(stream, host [16]byte, stage uint16) *Sealer {
	return &Sealer{stream: stream, host: host, stage: stage}
}

// Use seals with another key from now on.
func (s *Sealer) Use(k Key) error {
	if err := k.Check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aead != nil && s.key == k {
		return nil
	}
	s.key = k
	return s.begin()
}

// begin makes a key of its own for what follows. s.mu is held.
func (s *Sealer) begin() error {
	id := sealerOf(s.host, s.stage)
	aead, err := s.key.derive(s.stream, id)
	if err != nil {
		return err
	}
	s.id, s.aead, s.used, s.sealed = id, aead, replay.Window{}, 0
	return nil
}

// Epoch is that of the present key, 0 if there is none.
func (s *Sealer) Epoch() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aead == nil {
		return 0
	}
	return s.key.Epoch
}

// Sealed counts the packets under the present key.
func (s *Sealer) Sealed() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sealed
}

// Seal seals packet b, header and payload in the clear, in place, and gives what it has
// become: b needs room for a tag behind it. The header says afterwards who sealed it. A
// thinned packet, which has no payload, stays as it is.
func (s *Sealer) Seal(b []byte) ([]byte, error) {
	n := len(b)
	if cap(b) < n+frame.TagSize {
		return nil, ErrRoom
	}
	if frame.IsThinned(b) {
		return b, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aead == nil {
		return nil, ErrNoKey
	}
	seq := frame.Seq(b)
	if !s.used.Fresh(seq) {
		if !s.used.Old(seq) {
			return nil, fmt.Errorf("%w: %d", ErrTwice, seq)
		}
		// The publisher has begun anew, or an SPA has: what was used is not known any more.
		if err := s.begin(); err != nil {
			return nil, err
		}
	}
	s.used.Add(seq)
	s.sealed++
	frame.PutSealer(b, s.id, s.key.Epoch)
	s.aead.Seal(b[frame.HeaderSize:frame.HeaderSize], nonce(&s.nonce, seq), b[frame.HeaderSize:n], b[:frame.SealedHead])
	return b[:n+frame.TagSize], nil
}
