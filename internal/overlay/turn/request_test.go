// SPDX-License-Identifier: Apache-2.0

package turn

import (
	"slices"
	"testing"
	"time"

	"sandstream/internal/overlay/wire"
)

var other = wire.Peer{ID: wire.HostID{2}, Addr: wire.SampleHost.Addr}

// pass lets time pass, and gives when requests were sent again.
func pass(u *Turn, d Time) (sent []Time) {
	for end := u.Now + d; u.Deadline() <= end; {
		u.Advance(u.Deadline())
		if w, ok := u.Due(); ok {
			u.Retry(w.Key)
		}
		sent = append(sent, sendings(u)...)
	}
	return sent
}

func sendings(u *Turn) (sent []Time) {
	u.Effects(func(e Effect) {
		if _, ok := e.(Send); ok {
			sent = append(sent, u.Now)
		}
	})
	return sent
}

// A request is sent as often as it says, each wait twice the one before, and then given
// up, once.
func TestRequestsAreSentAgain(t *testing.T) {
	u := newTurn()
	failed := []Time{}
	r := &Request{To: other, Msg: &wire.SwapFind{}, Tries: 3, Wait: time.Second, Failed: func() { failed = append(failed, u.Now) }}
	if !u.Ask(r) || u.Request(r.ID) != r {
		t.Fatal("the request is not under way")
	}
	sent := slices.Concat(sendings(u), pass(u, time.Minute))
	if want := []Time{0, time.Second, 3 * time.Second}; !slices.Equal(sent, want) {
		t.Errorf("sent after %v, want %v", sent, want)
	}
	if want := []Time{7 * time.Second}; !slices.Equal(failed, want) {
		t.Errorf("given up after %v, want %v", failed, want)
	}
	if u.Request(r.ID) != nil {
		t.Error("a request that was given up is under way")
	}
}

// An answer ends a request; it counts only if it is one to this kind of request.
func TestRequestsAreAnswered(t *testing.T) {
	u := newTurn()
	r := &Request{To: other, Msg: &wire.SwapFind{}, Tries: 3, Wait: time.Second}
	u.Ask(r)
	if r.Msg.(*wire.SwapFind).Req != r.ID {
		t.Error("the message does not bear the request's number")
	}
	if Answered[*wire.SubReq](u, r.ID) != nil || Answered[*wire.SwapFind](u, r.ID+2) != nil {
		t.Error("an answer to something else ends the request")
	}
	if Answered[*wire.SwapFind](u, r.ID) != r || Answered[*wire.SwapFind](u, r.ID) != nil {
		t.Error("one answer ends the request, and a second finds none")
	}
	sendings(u)
	if again := pass(u, time.Minute); again != nil {
		t.Errorf("sent after its answer: %v", again)
	}

	// It may end without anything following, too.
	r = &Request{To: other, Msg: &wire.SwapFind{}, Tries: 1, Wait: time.Second, Failed: func() { t.Error("it was forgotten") }}
	u.Ask(r)
	u.Forget(r.ID)
	u.Forget(r.ID)
	pass(u, time.Minute)
}

// The message is stamped with the number and the radix. A lookup to nobody in particular
// is routed from here, a copy each time: the host that routes it counts its hops. One to a
// host, be it known by its address alone, is sent there.
func TestLookupsAreRouted(t *testing.T) {
	u := newTurn()
	var routed []*wire.Lookup
	u.Route = func(l *wire.Lookup) {
		routed = append(routed, l)
		l.Hops++
	}
	r := &Request{Msg: &wire.Lookup{Target: 5}, Tries: 2, Wait: time.Second}
	u.Ask(r)
	pass(u, time.Minute)
	if len(routed) != 2 || routed[0] == routed[1] {
		t.Fatalf("routed %v", routed)
	}
	for _, l := range routed {
		if l.Req != r.ID || l.Radix != 3 || l.Hops != 1 || l.Target != 5 {
			t.Errorf("routed %+v", l)
		}
	}
	u.Ask(&Request{To: wire.Peer{Addr: other.Addr}, Msg: &wire.Lookup{}, Tries: 1, Wait: time.Second})
	if n := len(sendings(u)); n != 1 || len(routed) != 2 {
		t.Errorf("a lookup to an address is sent %d times and routed %d times", n, len(routed)-2)
	}
}

// 64 requests are under way at most, and of those that yield no more than the first 32: the
// rest is for what holds the overlay together.
func TestRequestsYield(t *testing.T) {
	u := newTurn()
	ask := func(yields bool) bool {
		return u.Ask(&Request{To: other, Msg: &wire.SubReq{}, Tries: 1, Wait: time.Second, Yields: yields})
	}
	fill := func(yields bool) (n int) {
		for ask(yields) {
			n++
		}
		return n
	}
	if n := fill(true); n != 32 {
		t.Errorf("room for %d that yield", n)
	}
	if n := fill(false); n != 32 {
		t.Errorf("room for %d more that do not", n)
	}
	if ask(true) || u.Counts()["request-refused"] != 3 {
		t.Errorf("refused %d times", u.Counts()["request-refused"])
	}
}

// Answers are told by the numbers of requests: who has seen many cannot guess the next,
// and none is 0, which means no request.
func TestNumbersCannotBeGuessed(t *testing.T) {
	u := newTurn()
	seen, steps := map[uint64]bool{}, map[uint64]bool{}
	last := uint64(0)
	var ones [64]int
	const n = 2000
	for range n {
		r := &Request{To: other, Msg: &wire.SubReq{}, Tries: 1, Wait: time.Second}
		u.Ask(r)
		if r.ID == 0 || seen[r.ID] || steps[r.ID-last] {
			t.Fatalf("number %x", r.ID)
		}
		seen[r.ID], steps[r.ID-last], last = true, true, r.ID
		for i := range ones {
			ones[i] += int(r.ID >> i & 1)
		}
		u.Forget(r.ID)
	}
	for i, k := range ones[1:] {
		if k < n/2-200 || k > n/2+200 {
			t.Errorf("bit %d is set in %d of %d numbers", i+1, k, n)
		}
	}
}

// Machines find their own among the requests under way.
func TestRequestsUnderWay(t *testing.T) {
	u := newTurn()
	for i := range 3 {
		u.Ask(&Request{To: other, Msg: &wire.SwapFind{Depth: uint8(i)}, Tries: 1, Wait: time.Second})
	}
	u.Ask(&Request{To: other, Msg: &wire.SubReq{}, Tries: 1, Wait: time.Second})
	deep := func(depth uint8) bool {
		return Asking(u, func(_ *Request, m *wire.SwapFind) bool { return m.Depth == depth })
	}
	if !deep(2) || deep(3) || Asking(u, func(*Request, *wire.JoinAsk) bool { return true }) {
		t.Error("what is under way?")
	}
	visited := 0
	u.Pending(func(*Request) bool { visited++; return true })
	if visited != 4 {
		t.Errorf("%d of 4 visited", visited)
	}
	visited = 0
	u.Pending(func(*Request) bool { visited++; return visited < 2 })
	if visited != 2 {
		t.Errorf("%d visited where 2 are enough", visited)
	}
}
