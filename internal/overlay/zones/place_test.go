// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sandstream/internal/overlay/script"
	"sandstream/internal/overlay/wire"
)

// member is a host with the zones and neighbours given, as in a script.
func member(own, table string) *host {
	h := newHost()
	must(h.m.Set(&h.z.region.Region, "n:4 version:1 radix:3"))
	h.given("member", "")
	h.given("own", own)
	h.given("table", table)
	return h
}

// hear is a message from a host, as in a script.
func (h *host) hear(t *testing.T, from, text string) {
	t.Helper()
	m, err := h.m.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	h.handle(script.Host(from), m)
}

func TestWhatOthersSee(t *testing.T) {
	h := member("00/3 21/4", "01/4@b 1/5@c 22/6@b")
	z := h.z
	if z.State() != Member || z.Region().N != 4 || len(z.Owned()) != 2 {
		t.Errorf("%s, %d digits, %d zones", z.State(), z.Region().N, len(z.Owned()))
	}
	if z.Owned()[0].Counter = 9; z.own[0].Counter != 3 {
		t.Error("who looks at our zones can change them")
	}
	if v := z.OwnedBy(script.Host("b").ID); len(v) != 2 {
		t.Errorf("b owns %v", v)
	}
	var names []string
	for p := range z.Neighbours() {
		names = append(names, script.Name(p.ID))
	}
	if s := strings.Join(names, ""); s != "bcb" {
		t.Errorf("neighbours %s", s)
	}
	for range z.Neighbours() {
		break // an iterator can be left
	}
	// c's 1 is next to both of our zones; b's 01 to 00. Nobody knows f.
	for by, want := range map[string]string{"b": "00", "c": "00", "f": "00"} {
		if p := z.Near(script.Host(by).ID); !zone(want).Covers(p) {
			t.Errorf("near %s: %s", by, script.Point(p))
		}
	}
	if p := member("22/3 00/4", "01/4@b").z.Near(script.Host("b").ID); !zone("00").Covers(p) {
		t.Errorf("near b, which is next to 00 only: %s", script.Point(p))
	}
	if p := member("", "").z.Near(script.Host("b").ID); p != 0 {
		t.Errorf("near who owns nothing: %s", script.Point(p))
	}
	if z.Moving() || z.Giving() {
		t.Error("moving")
	}
	z.Exchange(script.Host("b"), script.Stream("$news"))
	if !z.Moving() || !z.Giving() {
		t.Error("not moving")
	}
	if s := z.Dump(); !strings.Contains(s, "own: 00/3") || !strings.Contains(s, "giving:") {
		t.Errorf("dump %s", s)
	}
}

// Of two neighbours that are drawn the one with the cheaper link is taken, so that the
// cheapest of all comes up most often, and the others do come up.
func TestSideways(t *testing.T) {
	h := member("00/3", "01/4@b 02/4@c 1/5@d 2/5@e")
	never := func(wire.HostID) bool { return false }
	got := map[string]int{}
	for range 300 {
		p := h.z.Sideways(func(x wire.HostID) bool { return x == script.Host("e").ID })
		got[script.Name(p.ID)]++
	}
	if len(got) != 3 || got["e"] > 0 {
		t.Errorf("drawn: %v", got)
	}
	if p := h.z.Sideways(func(wire.HostID) bool { return true }); p != nil {
		t.Errorf("all to be avoided: %s", p)
	}
	if p := member("00/3", "").z.Sideways(never); p != nil {
		t.Errorf("no neighbours: %s", p)
	}
}

// A host is calm if it has ids, and nobody next to it died or came back lately.
func TestCalm(t *testing.T) {
	h := member("0/3", "1/4@b+c 2/5@c")
	calm := func(want bool, when string) {
		t.Helper()
		if h.z.Calm(10*time.Second) != want {
			t.Errorf("calm %s: %t", when, !want)
		}
	}
	pass := func(d Time) { h.m.Turn.Advance(h.m.Turn.Now + d) }
	calm(true, "at first")
	h.l.Die(h.l.Get(script.Host("b").ID))
	calm(false, "after a death")
	pass(11 * time.Second)
	calm(true, "a while after a death")
	h.hear(t, "b", "ping seq:1 digest:7 region:{n:4 version:1 radix:3}")
	calm(false, "after a return")
	pass(11 * time.Second)
	calm(true, "a while after a return")
	h.z.state = Joining
	calm(false, "without ids")
}

func TestSomebody(t *testing.T) {
	h := member("", "")
	if p := h.z.Somebody(); !p.ID.IsZero() {
		t.Errorf("nobody was met, but there is %s", p)
	}
	for _, name := range "bcdefghijklmnopq" {
		h.z.meet(script.Host(string(name)))
	}
	if len(h.z.join.known) != maxKnown {
		t.Errorf("%d hosts kept", len(h.z.join.known))
	}
	h.z.meet(script.Host("a"))
	h.z.meet(wire.Peer{})
	if slices.ContainsFunc(h.z.join.known, func(p wire.Peer) bool { return p.ID.IsZero() || p.ID == h.m.Turn.Self.ID }) {
		t.Error("we have met ourselves, or nobody")
	}
	if p := h.z.Somebody(); p.ID.IsZero() {
		t.Error("all are forgotten")
	}
	h.given("own", "0/3")
	if p := h.z.Somebody(); !p.ID.IsZero() {
		t.Errorf("who has neighbours needs nobody, but there is %s", p)
	}
}
