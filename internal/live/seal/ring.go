// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"crypto/cipher"
	"errors"
	"slices"
	"sync"

	"sandstream/internal/live/frame"
)

// ErrForged means that a packet's payload, or the sealer's part of its header, is not
// what was sealed.
var ErrForged = errors.New("the payload's seal does not fit")

// Bounds of a Ring.
const (
	keptKeys    = 3  // epochs: the one in force, the one before, and the next
	keptSealers = 32 // whose keys stay derived
)

// Ring is the keys of a stream that a host was given, by epoch. Its methods may be called
// from anywhere.
type Ring struct {
	stream [16]byte

	mu      sync.Mutex
	keys    []Key // at most keptKeys, of ascending epochs
	derived map[sealerKey]cipher.AEAD
	changed chan struct{} // closed when there is another key
}

type sealerKey struct {
	epoch  uint32
	sealer uint64
}

// NewRing makes a ring without keys.
func NewRing(stream [16]byte) *Ring {
	return &Ring{stream: stream, changed: make(chan struct{})}
}

// Add adds the key of an epoch; the oldest goes if there are too many. It says whether
// the key is new.
func (r *Ring) Add(k Key) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, have := slices.BinarySearchFunc(r.keys, k.Epoch, func(k Key, epoch uint32) int { return int(int64(k.Epoch) - int64(epoch)) })
	switch {
	case have && r.keys[i] == k || k.Check() != nil:
		return false
	case have:
		r.keys[i] = k // the publisher's word changes: what was derived is void
		r.derived = nil
	default:
		r.keys = slices.Insert(r.keys, i, k)
	}
	if over := len(r.keys) - keptKeys; over > 0 {
		for _, old := range r.keys[:over] {
			for d := range r.derived {
				if d.epoch == old.Epoch {
					delete(r.derived, d)
				}
			}
		}
		clear(r.keys[:over])
		r.keys = slices.Clone(r.keys[over:])
	}
	close(r.changed)
	r.changed = make(chan struct{})
	return true
}

// Key gives the key of an epoch.
func (r *Ring) Key(epoch uint32) (Key, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.keys {
		if k.Epoch == epoch {
			return k, true
		}
	}
	return Key{}, false
}

// Newest is the greatest epoch of which there is a key, 0 if there is none.
func (r *Ring) Newest() uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.keys) == 0 {
		return 0
	}
	return r.keys[len(r.keys)-1].Epoch
}

// MayCome says whether the key of an epoch, which is not there, may be under way: there is
// none yet, or it is one of the next.
func (r *Ring) MayCome(epoch uint32) bool {
	newest := r.Newest()
	return newest == 0 || epoch > newest && epoch-newest <= 2
}

// Changed is closed when there is another key.
func (r *Ring) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// aead gives the AEAD of a sealer; kept says that it proved to be one before.
func (r *Ring) aead(k sealerKey) (a cipher.AEAD, kept bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.derived[k]; a != nil {
		return a, true, nil
	}
	for i := range r.keys {
		if r.keys[i].Epoch == k.epoch {
			a, err := r.keys[i].derive(r.stream, k.sealer)
			return a, false, err
		}
	}
	return nil, false, ErrNoKey
}

// keep remembers the AEAD of a sealer whose packet was opened: what a header says alone
// costs no memory.
func (r *Ring) keep(k sealerKey, a cipher.AEAD) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.ContainsFunc(r.keys, func(have Key) bool { return have.Epoch == k.epoch }) {
		return
	}
	if r.derived == nil {
		r.derived = map[sealerKey]cipher.AEAD{}
	}
	for d := range r.derived {
		if len(r.derived) < keptSealers {
			break
		}
		delete(r.derived, d)
	}
	r.derived[k] = a
}

// Opener opens packets with the keys of a Ring. It is for one goroutine at a time.
type Opener struct {
	ring  *Ring
	last  sealerKey
	aead  cipher.AEAD // of last
	nonce [12]byte
}

// Opener makes an opener.
func (r *Ring) Opener() *Opener { return &Opener{ring: r} }

// Open opens packet b, whose header is h, into dst, which has as much room or is b
// itself, and gives header and payload in the clear. A thinned packet has no payload, and
// nothing that could be proven.
func (o *Opener) Open(dst []byte, h *frame.Header, b []byte) ([]byte, error) {
	if h.Thinned {
		return dst[:copy(dst, b)], nil
	}
	k := sealerKey{h.Epoch, h.Sealer}
	aead, known := o.aead, true
	if aead == nil || o.last != k {
		var err error
		if aead, known, err = o.ring.aead(k); err != nil {
			return nil, err
		}
	}
	if _, err := aead.Open(dst[frame.HeaderSize:frame.HeaderSize], nonce(&o.nonce, h.Seq), b[frame.HeaderSize:], b[:frame.SealedHead]); err != nil {
		return nil, ErrForged
	}
	if !known {
		o.ring.keep(k, aead)
	}
	o.last, o.aead = k, aead
	copy(dst[:frame.HeaderSize], b)
	return dst[:len(b)-frame.TagSize], nil
}
