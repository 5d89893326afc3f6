// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bytes"
	"testing"
	"time"

	"sandstream/internal/live/frame"
	"sandstream/internal/overlay/wire"
)

// heardOnly fails if anything but one text is heard.
type heardOnly struct {
	t     *testing.T
	want  string
	heard int
}

func (h *heardOnly) Control(_ wire.Peer, b []byte) {
	if string(b) != h.want {
		h.t.Errorf("heard %q, which nobody sent", b)
	}
	h.heard++
}

func (*heardOnly) Unreachable(wire.Peer, error) {}

func (*heardOnly) Twin(string, bool) {}

// FuzzDatagram gives the reader any bytes in place of what a peer sends, and a
// change of what it sends: nothing gets through but what was sealed, once.
func FuzzDatagram(f *testing.F) {
	f.Add(uint16(20), byte(1), []byte("anything"))
	f.Add(uint16(4), byte(0), []byte{})
	f.Add(uint16(0), byte(3), make([]byte, 80))
	f.Fuzz(func(t *testing.T, at uint16, flip byte, junk []byte) {
		listen := &heardOnly{t: t, want: "a message"}
		tr := &Transport{
			start: time.Now(), handler: listen,
			peers: map[wire.HostID]*peer{}, sessions: map[uint32]*session{}, streams: map[wire.StreamID]*stream{},
		}
		tr.control = &endpoint{t: tr, side: newQUICSide(nil)}
		tr.cfg.defaults()
		p := tr.peerFor(wire.Peer{ID: wire.HostID{1}})
		ours := &session{peer: p, local: 7, useAES: true, recvKey: [32]byte{9}}
		tr.sessions[7] = ours
		theirs := &session{remote: 7, useAES: true, sendKey: [32]byte{9}}
		var got [][]byte
		s := tr.makeStream(testStream)
		s.entry = &Entry{
			Upstream: []Leg{{Host: wire.Peer{ID: p.id}}},
			Process: func(in [][]byte, _ func([]byte)) {
				for _, b := range in {
					got = append(got, bytes.Clone(b))
				}
			},
		}
		r := &reader{t: tr, now: 1}
		// Junk, of no session and with the session's index.
		r.datagram(bytes.Clone(junk), nil)
		if len(junk) >= 8 {
			b := bytes.Clone(junk)
			b[4], b[5], b[6], b[7] = 0, 0, 0, 7
			r.datagram(b, nil)
		}
		d := make([]byte, maxDatagram)
		n := theirs.seal(typeControl, d, outerSize+copy(d[outerSize:], "a message"))
		control := bytes.Clone(d[:n])
		h := frame.Header{Stream: testStream, Seq: 5}
		room := room(typeData)
		h.Encode(d[room:])
		packet := append(bytes.Clone(d[room:room+frame.HeaderSize]), "payload and its sealer's tag"...)
		n = theirs.seal(typeData, d, room+copy(d[room:], packet))
		data := bytes.Clone(d[:n])
		for _, whole := range [][]byte{control, data} {
			bad := bytes.Clone(whole)
			i := int(at) % len(bad)
			bad[i] ^= flip
			// The sealed payload is the one part that a relay cannot answer for: readers find out.
			if payload := whole[0] == byte(typeData) && i >= overhead+frame.HeaderSize; flip != 0 && !payload {
				r.datagram(bad, nil)
			}
		}
		r.forward()
		if listen.heard != 0 || len(got) != 0 {
			t.Fatalf("%d messages and %d packets came of what nobody sent", listen.heard, len(got))
		}
		for range 2 {
			r.datagram(bytes.Clone(control), nil)
			r.datagram(bytes.Clone(data), nil)
		}
		r.forward()
		if listen.heard != 1 || len(got) != 1 || !bytes.Equal(got[0], packet) {
			t.Fatalf("of what was sent twice, %d messages and %d packets came", listen.heard, len(got))
		}
	})
}
