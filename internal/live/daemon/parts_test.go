// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"math"
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"

	"sandstream/internal/live/delivery"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
	"sandstream/overlayapi/overlayv1"
)

// partPaths are the hosts of each part's path to d, publisher and d among them;
// nil if a part has none.
func partPaths(t *testing.T, d *Daemon, stream string) [][]string {
	t.Helper()
	r, err := client(t, d).Streams(t.Context(), connect.NewRequest(&overlayv1.StreamsRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]*overlayv1.Stream{}
	for _, s := range r.Msg.Streams {
		byID[s.Id] = s
	}
	whole := byID[stream]
	if whole == nil {
		return nil
	}
	var paths [][]string
	for _, id := range whole.Parts {
		var p []string
		for _, h := range byID[id].GetPath() {
			p = append(p, h.Host.Id)
		}
		if len(p) < 2 {
			return nil
		}
		paths = append(paths, p)
	}
	return paths
}

// One stream over two paths by weight: in order, each once, over different hosts;
// when a host of one path dies, the other part never stops.
func TestSplit(t *testing.T) {
	// A busy machine is to break no path: the counts are of all packets.
	proto := overlay.DefaultConfig()
	proto.AckTimeout, proto.IndirectTimeout, proto.BeatTimeout = 4*time.Second, 4*time.Second, 6*time.Second
	var ds []*Daemon
	byID := map[string]*Daemon{}
	for len(ds) < 10 {
		var first *Daemon
		if len(ds) > 0 {
			first = ds[0]
		}
		d := start(t, first, func(c *Config) { c.Protocol = &proto })
		<-d.Joined()
		ds = append(ds, d)
		byID[d.Self().ID.Hex()] = d
	}
	src := publishNumbers(t, ds[0], &overlayv1.Announce{Name: "numbers", Public: true, RateBps: 40_000, Split: []uint32{3, 1}})
	// The test is about a host that gets the first part over another one.
	var x *reader
	var direct int
	var paths [][]string
	var at *Daemon
	for _, d := range ds[1:] {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := readNumbersUntil(ctx, t, d, &overlayv1.SubscribeRequest{Stream: "numbers", Contract: &overlayv1.Contract{LatencyUs: 2_000_000, MinRateBps: 12_000}})
		r.wait(t, "payloads", 20*time.Second, func() bool { return r.count > 20 })
		p := partPaths(t, d, src.id)
		for end := time.Now().Add(30 * time.Second); len(p) != 2; p = partPaths(t, d, src.id) {
			if time.Now().After(end) {
				t.Fatalf("host %s: paths %v", d.Self(), p)
			}
			time.Sleep(20 * time.Millisecond)
		}
		shared := slices.ContainsFunc(p[0][1:len(p[0])-1], func(h string) bool { return slices.Contains(p[1], h) })
		if len(p[0]) == 2 {
			direct++
		} else if !shared {
			x, paths, at = r, p, d
			break
		}
		cancel()
	}
	switch {
	case x == nil && direct == len(ds)-1:
		t.Skip("all hosts are next to the publisher: no path to cut")
	case x == nil:
		t.Fatal("wherever the first part has a host between, the second comes over it too")
	}

	// Long enough to count: 3:1 within 5 %.
	x.mu.Lock()
	begin := x.count
	x.mu.Unlock()
	x.wait(t, "payloads", 30*time.Second, func() bool { return x.count > begin+600 })
	r, err := client(t, ds[0]).Streams(t.Context(), connect.NewRequest(&overlayv1.StreamsRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Msg.Streams {
		if s.Id == src.id {
			n0, n1 := float64(s.Counters["split.packets0"]), float64(s.Counters["split.packets1"])
			if n1 == 0 || math.Abs(n0/n1-3) > 0.15 {
				t.Errorf("%v packets over the first path, %v over the second: not 3:1", n0, n1)
			}
		}
	}
	arrived := map[uint16][]uint64{} // from now on, at the subscriber's host
	sub := arrivals(t, at, src.id, arrived)
	x.mu.Lock()
	begin = x.count
	x.mu.Unlock()
	x.wait(t, "payloads", 30*time.Second, func() bool { return x.count > begin+800 })
	sub()
	if n0, n1 := float64(len(arrived[0])), float64(len(arrived[1])); n1 < 50 || math.Abs(n0/n1-3) > 0.15 {
		t.Errorf("%v packets came over the first path, %v over the second: not 3:1", n0, n1)
	}
	c, err := client(t, at).Subscriptions(t.Context(), connect.NewRequest(&overlayv1.SubscriptionsRequest{}))
	if err != nil || len(c.Msg.Subscriptions) != 1 {
		t.Fatalf("the two parts are not one contract: %v, %v", c, err)
	}
	x.mu.Lock()
	if u := c.Msg.Subscriptions[0]; u.Contract.MinRateBps != 12_000 || u.Measured.Packets == 0 || !slices.Contains(x.states, "admitted") {
		t.Errorf("contract: %v, states %v", u, x.states)
	}
	x.mu.Unlock()

	// The first host of the first path dies.
	after := map[uint16][]uint64{}
	x.mu.Lock()
	last := x.last
	x.mu.Unlock()
	sub = arrivals(t, at, src.id, after)
	byID[paths[0][1]].Close()
	x.wait(t, "payloads after the death", 30*time.Second, func() bool { return x.last > last+500 })
	deadline := time.Now().Add(30 * time.Second)
	for {
		x.mu.Lock()
		from := x.last
		gaps := x.gaps
		x.mu.Unlock()
		x.wait(t, "payloads", 30*time.Second, func() bool { return x.last > from+100 })
		x.mu.Lock()
		whole := x.gaps == gaps
		x.mu.Unlock()
		if whole {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the part whose path broke is not back; paths %v, then %v", paths, partPaths(t, at, src.id))
		}
	}
	sub()
	// Of those that were sent between the first and the last that came over the second path.
	second := after[1]
	if len(second) < 100 {
		t.Fatalf("%d packets came over the second path", len(second))
	}
	from, to := second[0], second[len(second)-1]
	sent, first := float64(to-from+1), 0
	for _, seq := range after[0] {
		if seq >= from && seq <= to {
			first++
		}
	}
	t.Logf("of %.0f packets since the death %d came over the first path, %d over the second", sent, first, len(second))
	if want := sent / 4; float64(len(second)) < want*0.95 {
		t.Errorf("the part whose path was whole lost %v of %v packets", want-float64(len(second)), want)
	}
	if float64(first) > sent*0.75-20 {
		t.Errorf("the part whose host died lost nothing: the test tests nothing")
	}
	src.stop()
	if err := <-x.done; err != nil {
		t.Error(err)
	}
	if len(x.wrong) > 0 || x.states[len(x.states)-1] != "withdrawn" {
		t.Errorf("out of order: %v; states %v", x.wrong, x.states)
	}
}

// arrivals counts packets of a stream by their path, at a host, until stopped.
func arrivals(t *testing.T, d *Daemon, stream string, by map[uint16][]uint64) (stop func()) {
	t.Helper()
	id, err := wire.ParseStreamID(stream)
	if err != nil {
		t.Fatal(err)
	}
	k := d.tr.AddSink(id, sinkCounting(by))
	return k.Close
}

func sinkCounting(by map[uint16][]uint64) transport.SinkConfig {
	return transport.SinkConfig{Queue: delivery.SinkQueue, Deliver: func(ds []transport.Delivery) {
		for i := range ds {
			by[ds[i].Header.Path] = append(by[ds[i].Header.Path], ds[i].Header.Seq)
		}
	}}
}
