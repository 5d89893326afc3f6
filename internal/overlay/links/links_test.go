// SPDX-License-Identifier: Apache-2.0

package links

import (
	"testing"
	"time"

	"sandstream/internal/overlay/script"
	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// What the machines above ask of a link: of one that nobody knows too.
func TestWhatIsKnownOfALink(t *testing.T) {
	l := New(turn.New(turn.DefaultConfig(), script.Host(script.Self), 1))
	l.Up = &above{t: l.Turn}
	b := script.Host("b")
	if q, measured := l.QualityTo(b.ID); measured || q.CostUs != l.Cfg.DefaultCostUs || l.CostTo(b.ID) != q.CostUs || l.Get(b.ID) != nil {
		t.Errorf("the link to a host that is not known: %+v, measured: %v", q, measured)
	}
	l.Advance(time.Second)
	p := l.Know(b)
	if l.Know(b) != p || l.Get(b.ID) != p || l.Len() != 1 || p.Heard() != time.Second || p.ProbedAt() != time.Second {
		t.Errorf("a host is known, and it is %+v", p)
	}
	for i := range 5 {
		if p.Settled() || p.Measured() != (i > 0) {
			t.Errorf("after %d round trips measured: %v, settled: %v", i, p.Measured(), p.Settled())
		}
		l.Ping(p)
		l.Advance(l.Now + 10*time.Millisecond)
		moved := wire.Peer{ID: b.ID, Addr: wire.SampleHost.Addr}
		l.Heard(moved)
		l.Handle(moved, &wire.Ack{Seq: p.probe.seq})
	}
	if !p.Settled() || l.CostTo(b.ID) != 5000 {
		t.Errorf("after five round trips: settled: %v, %d us", p.Settled(), l.CostTo(b.ID))
	}
	// A host is reached where it was last heard from.
	if p.Addr != wire.SampleHost.Addr || p.Heard() != l.Now {
		t.Errorf("%s was last heard from at %v", p.Peer, p.Heard())
	}
	for q := range l.All() {
		if q != p {
			t.Errorf("there is %s too", q.ID)
		}
	}
}
