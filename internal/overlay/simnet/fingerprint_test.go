// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

var (
	fingerprintWrite = flag.Bool("fingerprint.write", false, "write testdata/fingerprints.txt instead of comparing with it")
	fingerprintLog   = flag.String("fingerprint.log", "", "folder for everything that was hashed, one text file a seed")
)

const fingerprintSeeds = 16

// TestFingerprint is the oracle of every change that is to change no behaviour: for
// each seed a network lives through all that the protocol knows, and the hash
// over every message that was sent (when, by whom, to whom, as it is on the wire) and
// every effect is what it was before the first such change. Where a seed differs,
// -fingerprint.log of both trees shows the first line that does.
func TestFingerprint(t *testing.T) {
	const file = "testdata/fingerprints.txt"
	want := map[string]string{}
	if !*fingerprintWrite {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for l := range strings.Lines(string(b)) {
			if f := strings.Fields(l); len(f) == 2 && f[0] != "#" {
				want[f[0]] = f[1]
			}
		}
	}
	got := make([]string, fingerprintSeeds)
	t.Run("seeds", func(t *testing.T) {
		for seed := range uint64(fingerprintSeeds) {
			if raceDetector && seed >= 2 {
				break
			}
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				got[seed] = lifePrint(t, seed)
				if w := want[fmt.Sprint(seed)]; !*fingerprintWrite && got[seed] != w {
					t.Errorf("the messages of seed %d have the hash %s, not %s: the protocol behaves otherwise", seed, got[seed], w)
				}
			})
		}
	})
	if !*fingerprintWrite {
		return
	}
	var b strings.Builder
	b.WriteString("# Hashes over all messages and effects of simulated networks, a line a seed; see fingerprint_test.go.\n")
	for i, h := range got {
		fmt.Fprintln(&b, i, h)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// life is a network in whose life everything happens.
type life struct {
	t    *testing.T
	w    *Net
	r    *rand.Rand
	out  io.Writer
	ids  []wire.StreamID
	fwd  map[int]map[wire.StreamID]*overlay.ForwardEntry
	loss map[[2]int]float64
	lost map[string]float64 // by kind of message
}

func lifePrint(t *testing.T, seed uint64) string {
	h := sha256.New()
	var out io.Writer = h
	if *fingerprintLog != "" {
		f, err := os.Create(filepath.Join(*fingerprintLog, fmt.Sprint(seed, ".txt")))
		if err != nil {
			t.Fatal(err)
		}
		b := bufio.NewWriter(f)
		defer func() { _, _ = b.Flush(), f.Close() }()
		out = io.MultiWriter(h, b)
	}
	cfg := config(seed)
	cfg.Links, cfg.Jitter, cfg.Loss = plane{7}, .2, .002
	cfg.Overlay.Radix = 2 + int(seed%2)
	cfg.Overlay.RegionInterval = 10 * time.Second // so that regions shrink as well
	if seed%3 == 0 {
		cfg.Overlay.CapacityBps = 1_700_000
	}
	l := &life{
		t: t, w: New(cfg), r: rand.New(rand.NewPCG(seed, 77)), out: out,
		fwd: map[int]map[wire.StreamID]*overlay.ForwardEntry{}, loss: map[[2]int]float64{},
	}
	l.w.Filter, l.w.OnEffect = l.message, l.effect
	l.live()
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func (l *life) message(from, to *Host, m wire.Message) bool {
	b := wire.Encode(nil, m)
	fmt.Fprintf(l.out, "%d %d>%d %x\n", l.w.now, from.Index, to.Index, b)
	if l.w.order%8 == 0 { // the receiver reads what was sent
		if got, err := wire.Decode(b); err != nil || !bytes.Equal(wire.Encode(nil, got), b) {
			l.t.Errorf("%x is read as %+v, %v", b, got, err)
		}
	}
	p := max(l.loss[[2]int{from.Index, to.Index}], l.lost[wire.KindOf(m).String()])
	return p == 0 || l.r.Float64() >= p
}

// effect writes what the effects were when the fingerprints were noted: fields that
// come later are not part of them.
func (l *life) effect(h *Host, e overlay.Effect) {
	fmt.Fprintf(l.out, "%d %d ", l.w.now, h.Index)
	switch e := e.(type) {
	case overlay.Forward:
		if l.fwd[h.Index] == nil {
			l.fwd[h.Index] = map[wire.StreamID]*overlay.ForwardEntry{}
		}
		if e.Entry == nil {
			delete(l.fwd[h.Index], e.Stream)
			fmt.Fprintf(l.out, "forward %s no more\n", e.Stream)
			return
		}
		f := e.Entry
		l.fwd[h.Index][e.Stream] = f
		fmt.Fprintf(l.out, "forward %s %v %v %d %v %v %d:", e.Stream, f.Publisher, f.Upstream, f.InUs, f.Ingress, f.Local, f.RateBps)
		for _, c := range f.Children {
			fmt.Fprintf(l.out, " %v,%d,%s,%d", c.Host, c.OutUs, c.SPA, c.SharePpm)
		}
		l.path(f.Path)
	case overlay.SubChanged:
		u := e.Sub
		fmt.Fprintf(l.out, "sub %d %s %s %v %q %s %d %d %d %d %v:", u.ID, u.Stream, u.Name, u.State, u.Reason, u.Degraded, u.Predicted.CostUs,
			u.Predicted.LossPpm, u.Swaps, u.Repairs, e.Ended)
		l.path(u.Path)
	case overlay.Owned:
		fmt.Fprintf(l.out, "owned %v %d\n", e.Record.Zone, e.Record.Counter)
	case overlay.Released:
		fmt.Fprintf(l.out, "released %v %d\n", e.Record.Zone, e.Record.Counter)
	case overlay.Event:
		fmt.Fprintf(l.out, "event %s %v %s\n", e.Kind, e.Host, e.Detail)
	case overlay.Joined:
		fmt.Fprintln(l.out, "joined")
	case overlay.Left:
		fmt.Fprintln(l.out, "left")
	default:
		l.t.Errorf("effect %T is not part of the fingerprint", e)
	}
}

func (l *life) path(v []wire.Hop) {
	for _, h := range v {
		fmt.Fprintf(l.out, " %v,%d,%d,%d,%s", h.Host, h.CostUs, h.LossPpm, h.StayUs, h.SPA)
	}
	fmt.Fprintln(l.out)
}

func (l *life) live() {
	const hosts = 44
	w := l.w
	first := w.Add()
	w.Do(first, func(n *overlay.Node, now Time) { n.Create(now) })
	l.publish(first, wire.StreamInfo{Name: "news", Public: true, RateBps: 1_000_000})
	for len(w.hosts) < hosts {
		// Hand-overs that come to nothing, in either phase.
		l.lost = map[string]float64{}
		if n := len(w.hosts); n > 12 && n < 17 {
			l.lost[[]string{"commit", "done", "accept", "offer"}[n%4]] = .97
			l.join()
			l.run(5 * time.Second)
		}
		l.join()
		l.run(Time(50+l.r.IntN(250)) * time.Millisecond)
		if l.r.IntN(3) == 0 {
			l.subscribe()
		}
	}
	l.publish(l.any(), wire.StreamInfo{Name: "film", Public: true, RateBps: 900_000, Pipeline: []wire.Stage{
		{SPA: "monitor"}, {SPA: "transform", Place: wire.Anywhere, Params: map[string]uint64{"key": 7}}, {SPA: "filter", Place: wire.AtSink},
	}})
	l.split(l.any())
	for range 36 {
		l.run(300 * time.Millisecond)
		l.subscribe()
	}
	l.crowd()
	l.stranger()
	l.run(8 * time.Second)
	// Links that lose, for as long as it takes to go around them.
	for range 6 {
		a, b := l.r.IntN(hosts), l.r.IntN(hosts)
		if f := l.fwd[a]; len(f) > 0 { // one that carries a stream
			for _, id := range l.ids {
				if e := f[id]; e != nil && len(e.Children) > 0 {
					b = w.HostByID(e.Children[0].Host.ID).Index
				}
			}
		}
		l.loss[[2]int{a, b}], l.loss[[2]int{b, a}] = .15, .15
	}
	l.run(25 * time.Second)
	clear(l.loss)
	for range 5 {
		w.Crash(l.any())
		l.run(Time(l.r.IntN(3000)) * time.Millisecond)
	}
	for _, h := range w.hosts {
		if !h.Up && l.r.IntN(2) == 0 {
			w.Restart(h, []wire.Peer{first.Peer, l.any().Peer})
		}
	}
	l.lies()
	l.run(6 * time.Second)
	for _, h := range w.hosts {
		h.Group = h.Index >> l.r.IntN(3) & 1
	}
	l.run(9 * time.Second)
	for range 3 {
		l.join()
		l.subscribe()
	}
	l.run(2 * time.Second)
	for _, h := range w.hosts {
		h.Group = 0
	}
	l.run(15 * time.Second)
	for range 6 {
		l.unsubscribe()
		l.leave(l.any())
		l.run(Time(l.r.IntN(1000)) * time.Millisecond)
		l.lies()
	}
	for _, h := range w.hosts {
		for _, id := range l.ids[1:] {
			w.Do(h, func(n *overlay.Node, now Time) { _ = n.Withdraw(now, id) }) // refused where it is not published
		}
	}
	l.run(4 * time.Second)
	for len(l.members()) > 6 {
		l.leave(l.any())
		l.run(200 * time.Millisecond)
	}
	l.run(75 * time.Second)
	for _, h := range l.members() {
		l.leave(h)
	}
	l.leave(first)
	l.run(10 * time.Second)
}

// run lets time pass, and reports to all hosts what their data planes saw.
func (l *life) run(d Time) {
	const part = 500 * time.Millisecond
	for end := l.w.now + d; l.w.now < end; {
		l.w.Run(min(end, l.w.now+part))
		for _, h := range l.w.hosts {
			if h.Up {
				l.report(h)
			}
		}
	}
}

func (l *life) report(h *Host) {
	const part, packets = 500 * time.Millisecond, 60
	for _, id := range l.ids {
		e := l.fwd[h.Index][id]
		if e == nil {
			continue
		}
		l.w.Do(h, func(n *overlay.Node, now Time) {
			n.Residence(now, id, uint32(20+l.r.IntN(30)))
			for _, c := range e.Children {
				if c.SPA != "" {
					n.Thinned(now, id, c.SPA, 60_000, uint64(15_000+l.r.IntN(9_000)))
				}
			}
		})
	}
	for _, u := range h.Node.Status(l.w.now).Subs {
		keep, us := 1.0, Time(0)
		for i := 1; i < len(u.Path); i++ {
			a, b := l.w.HostByID(u.Path[i-1].Host.ID), l.w.HostByID(u.Path[i].Host.ID)
			keep *= 1 - l.loss[[2]int{a.Index, b.Index}]
			us += l.w.Delay(a, b)
		}
		got := 0
		for range packets {
			if l.r.Float64() < keep {
				got++
			}
		}
		rep := overlay.Report{
			Packets: uint64(got), Lost: uint64(packets - got), Bytes: uint64(got) * 1000, Duration: part,
			MeanUs: uint32(us / time.Microsecond), P99Us: uint32(us/time.Microsecond) + uint32(l.r.IntN(900)),
		}
		l.w.Do(h, func(n *overlay.Node, now Time) { n.Measured(now, u.ID, rep) })
	}
}

func (l *life) members() (v []*Host) {
	for _, h := range l.w.hosts[1:] {
		if h.Up && h.Node.State() == overlay.Member {
			v = append(v, h)
		}
	}
	return v
}

// any is a member, but for the first host.
func (l *life) any() *Host {
	if v := l.members(); len(v) > 0 {
		return v[l.r.IntN(len(v))]
	}
	return l.w.hosts[0]
}

func (l *life) join() {
	seeds := []wire.Peer{l.any().Peer, l.w.hosts[0].Peer}
	l.w.Do(l.w.Add(), func(n *overlay.Node, now Time) { n.Join(now, seeds) })
}

func (l *life) leave(h *Host) {
	l.w.Do(h, func(n *overlay.Node, now Time) { n.Leave(now) })
}

func (l *life) publish(h *Host, info wire.StreamInfo) wire.StreamID {
	info.ID = wire.StreamID{byte(len(l.ids) + 1), byte(l.r.IntN(256))}
	l.announce(h, info)
	return info.ID
}

func (l *life) announce(h *Host, info wire.StreamInfo) {
	l.ids = append(l.ids, info.ID)
	l.w.Do(h, func(n *overlay.Node, now Time) {
		if err := n.Announce(now, info); err != nil {
			fmt.Fprintln(l.out, err)
		}
	})
}

func (l *life) split(h *Host) {
	parts := []wire.Part{{ID: wire.StreamID{101}, Weight: 2}, {ID: wire.StreamID{102}, Weight: 1}}
	for _, p := range parts {
		l.announce(h, wire.StreamInfo{ID: p.ID, RateBps: 300_000, Parts: parts})
	}
}

func (l *life) subscribe() {
	id, name := l.ids[l.r.IntN(len(l.ids))], ""
	var c wire.Contract
	var avoid []wire.HostID
	switch l.r.IntN(9) {
	case 0:
		c.LatencyUs = uint32(8_000 + l.r.IntN(25_000)) // an exchange of ids may be needed
	case 1:
		c.LossPpm = 10_000
	case 2:
		c.MinRateBps = uint64(200_000 + l.r.IntN(1_500_000))
	case 3, 8:
		c.Degrade, c.MinRateBps = []string{"filter"}, 100_000
	case 4:
		c.BestEffort, c.LatencyUs, c.LossPpm = true, 9_000, 5_000
	case 5:
		id, name = wire.StreamID{}, "news"
	case 6:
		avoid = []wire.HostID{l.any().Peer.ID}
	case 7:
		c.LatencyUs, c.NoSwap, c.LossPpm = 60_000, true, 20_000
	}
	if l.r.IntN(12) == 0 {
		id[9] = 99 // nobody publishes it
	}
	l.w.Do(l.any(), func(n *overlay.Node, now Time) {
		if _, err := n.SubscribeAvoiding(now, id, name, c, avoid); err != nil {
			fmt.Fprintln(l.out, err)
		}
	})
}

// crowd is more subscriptions at once than requests may be under way.
func (l *life) crowd() {
	h := l.any()
	for range 80 {
		l.w.Do(h, func(n *overlay.Node, now Time) {
			if _, err := n.Subscribe(now, l.ids[l.r.IntN(len(l.ids))], "", wire.Contract{}); err != nil {
				fmt.Fprintln(l.out, err)
			}
		})
	}
}

// stranger is a host whose ids have another radix.
func (l *life) stranger() {
	own := l.w.cfg.Overlay.Radix
	l.w.cfg.Overlay.Radix = 5 - own
	h := l.w.Add()
	l.w.cfg.Overlay.Radix = own
	l.w.Do(h, func(n *overlay.Node, now Time) { n.Join(now, []wire.Peer{l.any().Peer}) })
	l.run(2 * time.Second)
	if st := h.Node.State(); st != overlay.Gone {
		l.t.Errorf("a host of another radix is %s", st)
	}
}

func (l *life) unsubscribe() {
	h := l.any()
	for _, u := range h.Node.Status(l.w.now).Subs {
		l.w.Do(h, func(n *overlay.Node, now Time) { _ = n.Unsubscribe(now, u.ID) }) // it is there
	}
}

// lies injects what honest hosts do not send: each is to be ignored or answered in
// the one way that the protocol has for it.
func (l *life) lies() {
	from, to := l.any(), l.any()
	if from == to {
		return
	}
	zones := to.Node.Status(l.w.now).Zones
	if len(zones) == 0 {
		return
	}
	z := zones[0]
	other := uint8(5 - l.w.cfg.Overlay.Radix)
	own := wire.Record{Zone: z.Zone, Counter: z.Counter + uint64(l.r.IntN(3)), Owner: from.Peer}
	leap := own
	leap.Counter += 1 << 30
	third := own
	third.Owner = l.any().Peer
	all := []wire.Message{
		&wire.Announce{Records: []wire.Record{own}, Radix: uint8(l.w.cfg.Overlay.Radix)},
		&wire.Announce{Records: []wire.Record{leap, third}, Radix: uint8(l.w.cfg.Overlay.Radix)},
		&wire.Moved{Records: []wire.Record{third}},
		&wire.Moved{Records: []wire.Record{own}, Hearsay: true},
		&wire.Query{Zone: z.Zone},
		&wire.Dead{Records: []wire.Record{z}},
		&wire.JoinAsk{Req: 5, Radix: other},
		&wire.Lookup{Req: 6, Kind: wire.Find, Origin: from.Peer, Radix: other},
		&wire.Offer{Xfer: 3, Give: []wire.Record{own}, Region: wire.Region{Radix: uint8(l.w.cfg.Overlay.Radix)}},
		&wire.Accept{Xfer: 9, OK: true}, &wire.Commit{Xfer: 9}, &wire.Done{Xfer: 9}, &wire.Cancel{Xfer: 9},
		&wire.Found{Req: 4, Region: wire.Region{N: 9, Version: 1 << 40, Radix: uint8(l.w.cfg.Overlay.Radix)}},
		&wire.Attach{Stream: l.ids[0]}, &wire.Attach{Stream: wire.StreamID{9, 9}}, &wire.Detach{Stream: l.ids[0]},
		&wire.NoStream{Stream: l.ids[0]}, &wire.Refuse{Req: 8}, &wire.SwapNo{Req: 8},
		&wire.Beat{Stream: l.ids[0], Path: []wire.Hop{{Host: from.Peer}}, Info: wire.StreamInfo{ID: l.ids[0]}},
		&wire.SubReq{Req: 11, Stream: l.ids[0], Subscriber: from.Peer, Point: z.Zone.Path},
		&wire.SwapFind{Req: 12, Stream: l.ids[0], Subscriber: from.Peer, BoundUs: 9000},
		&wire.Heirloom{Peers: []wire.Peer{from.Peer}}, &wire.PingReq{Seq: 3, Target: third.Owner}, &wire.PingRes{Seq: 3, Target: third.Owner.ID},
	}
	for range 6 {
		i := l.r.IntN(len(all))
		fmt.Fprintf(l.out, "lie %d>%d %s\n", from.Index, to.Index, wire.KindOf(all[i]))
		l.w.Inject(from, to, all[i])
		all = slices.Delete(all, i, i+1)
	}
}
