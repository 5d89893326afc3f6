// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"testing"
	"time"

	"sandstream/internal/overlay/script"
	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// Subscriptions ask with requests that leave room for others: 32 at a time. Who finds no
// room asks a little later, and nobody is forgotten.
func TestManySubscriptions(t *testing.T) {
	n, _ := newStreams(turn.DefaultConfig())
	const all = 100
	asked := map[wire.Point]bool{}
	n.Route = func(l *wire.Lookup) {
		asked[l.Target] = true
		n.After(10*time.Millisecond, turn.Timer{Of: turn.Zones, Key: l.Req})
	}
	for i := range byte(all) {
		if _, err := n.Subscribe(wire.StreamID{1, i}, "", wire.Contract{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(asked) != 32 || n.Counts()["request-refused"] != all-32 {
		t.Errorf("%d of %d asked at once, %d found no room", len(asked), all, n.Counts()["request-refused"])
	}
	for end := n.Now + 2*time.Second; n.Deadline() <= end; {
		n.Advance(n.Deadline())
		switch w, _ := n.Turn.Due(); w.Of {
		case turn.Requests:
			n.Retry(w.Key)
		case turn.Streams:
			n.Due(w)
		case turn.Zones: // the directory has no entry
			turn.Answered[*wire.Lookup](n.Turn, w.Key).Then(script.Host("o"), &wire.Found{})
		case turn.Links:
		}
	}
	if len(asked) != all {
		t.Errorf("%d of %d asked after a while", len(asked), all)
	}
}

// A host has 256 children in one stream's tree. Another is sent away, to find another parent;
// it is not told that there is no stream, since from the publisher that means the end.
func TestManyChildren(t *testing.T) {
	n, _ := newStreams(turn.DefaultConfig())
	s := n.addStream(wire.StreamInfo{ID: wire.StreamID{5}})
	s.publisher = true
	var last wire.Message
	attach := func(i int) {
		from := wire.Peer{ID: wire.HostID{2, byte(i), byte(i >> 8)}, Addr: wire.SampleHost.Addr}
		n.Handle(from, &wire.Attach{Stream: s.info.ID})
		n.Effects(func(e turn.Effect) {
			if e, ok := e.(turn.Send); ok && e.To.ID == from.ID {
				last = e.Msg
			}
		})
	}
	for i := range maxChildren {
		attach(i)
	}
	attach(maxChildren)
	if b, ok := last.(*wire.Beat); len(s.children) != maxChildren || !ok || !b.Leave {
		t.Errorf("%d children, and another is told %+v", len(s.children), last)
	}
	attach(0) // its lease is renewed
	if len(s.children) != maxChildren {
		t.Errorf("%d children", len(s.children))
	}
}

func TestContractStatesHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for c := Resolving; c <= Lost; c++ {
		if seen[c.String()] || c.String() == "" {
			t.Errorf("state %d is called %q", c, c)
		}
		seen[c.String()] = true
	}
	if got := (Lost + 1).String(); got != "ContractState(11)" {
		t.Errorf("no state is called %q", got)
	}
}
