// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"time"
)

// run is one life of a host, from its start to its end. Two that live at one time
// have one key on two machines.
type run struct {
	Name  [16]byte `cbor:"1,keyasint"` // random
	Start uint64   `cbor:"2,keyasint"` // ns since 1970, by the host's clock
}

func newRun(start time.Time) run {
	r := run{Start: uint64(start.UnixNano())}
	_, _ = rand.Read(r.Name[:]) // never fails
	return r
}

// before orders runs by their start. Clocks that differ do not matter but to which
// of the two is said to be the later one.
func (r run) before(o run) bool {
	return cmp.Or(cmp.Compare(r.Start, o.Start), slices.Compare(r.Name[:], o.Name[:])) < 0
}

// sealed is what a host signs to say that it is in this run.
func (r run) sealed() []byte {
	b := append([]byte("sandstream run v2\x00"), r.Name[:]...)
	return binary.BigEndian.AppendUint64(b, r.Start)
}

// sameKey is what a host in run r signs when it is asked whether it lives, since a
// host in run other has shown the same key: only who has the key can have made it,
// and only since that other run has begun.
func (r run) sameKey(other run) []byte {
	b := append([]byte("sandstream two runs v2\x00"), r.Name[:]...)
	b = binary.BigEndian.AppendUint64(b, r.Start)
	b = append(b, other.Name[:]...)
	return binary.BigEndian.AppendUint64(b, other.Start)
}

// twin proves to a host that another one lives with its key.
type twin struct {
	run  run
	mark [ed25519.SignatureSize]byte // of run.sameKey
}

const twinSize = 16 + 8 + ed25519.SignatureSize

func (w *twin) encode() []byte {
	b := append([]byte(nil), w.run.Name[:]...)
	b = binary.BigEndian.AppendUint64(b, w.run.Start)
	return append(b, w.mark[:]...)
}

func (w *twin) decode(b []byte) bool {
	if len(b) != twinSize {
		return false
	}
	w.run = run{Name: [16]byte(b), Start: binary.BigEndian.Uint64(b[16:])}
	w.mark = [ed25519.SignatureSize]byte(b[24:])
	return true
}

// proves says whether the twin is one of a host in run own with that key.
func (w *twin) proves(key ed25519.PublicKey, own run) bool {
	return w.run.Name != own.Name && ed25519.Verify(key, w.run.sameKey(own), w.mark[:])
}
