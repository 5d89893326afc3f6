// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"reflect"
	"slices"

	"sandstream/internal/overlay/wire"
)

// stream is our part of a stream's tree.
type stream struct {
	info      wire.StreamInfo
	gen       uint64 // tells timers of this entry from those of an earlier one
	publisher bool
	parent    wire.Peer            // zero: none, or we publish
	path      []wire.Hop           // from the publisher to us, as the last beat or graft said
	degraded  string               // the SPA that thins the stream out above us
	abovePpm  uint32               // what it leaves of the rate, in millionths; 0: not known
	thinned   map[string]*thinning // by SPA, what those here leave
	todo      []wire.Stage         // stages not run before us
	ingress   []wire.Stage         // stages that we run
	children  []child
	heard     wire.Time // beat of the parent
	since     wire.Time
	seq       uint64
	stayUs    uint32

	broken bool // the parent is gone; a new path is sought
	tries  int
	avoid  []wire.HostID
	req    uint64

	link   linkLoss // from the parent
	detour detour
}

type child struct {
	wire.Peer
	until wire.Time
	spa   string // degrades this branch
	outUs uint32 // cost of the link as the data plane was told
	beats uint64 // sent to it
	trial bool   // it wants beats only
}

func (n *Node) addStream(info wire.StreamInfo) *stream {
	n.reqs++
	s := &stream{info: info, gen: n.reqs, heard: n.now, since: n.now, todo: info.Pipeline}
	if n.streams == nil {
		n.streams = map[wire.StreamID]*stream{}
	}
	n.streams[info.ID] = s
	n.after(n.cfg.BeatTimeout/4, timer{what: tStream, host: wire.HostID(info.ID), key: s.gen})
	return s
}

// locals are our own subscriptions to s.
func (n *Node) locals(s *stream) []SubID {
	var v []SubID
	for _, u := range n.subs {
		if u.stream == s.info.ID && u.wants() {
			v = append(v, u.id)
		}
	}
	return v
}

// forward tells the data plane.
func (n *Node) forward(s *stream) {
	e := &ForwardEntry{
		Publisher: s.publisher, Upstream: s.parent, Ingress: slices.Clone(s.ingress), Local: n.locals(s),
		Path: slices.Clone(s.path), RateBps: s.info.RateBps, Info: s.info,
	}
	if !s.publisher && !s.parent.ID.IsZero() {
		e.InUs = n.costTo(s.parent.ID)
	}
	for i := range s.children {
		c := &s.children[i]
		c.outUs = n.costTo(c.ID)
		if c.trial {
			continue
		}
		e.Children = append(e.Children, Child{Host: c.Peer, OutUs: c.outUs, SPA: c.spa})
	}
	n.emit(Forward{Stream: s.info.ID, Entry: e})
}

// measureChildren keeps the costs right that the data plane adds up: links that carry a
// stream are measured a few times at once and then at each Maintain, not when their turn
// comes.
func (n *Node) measureChildren(s *stream) {
	changed := false
	for i := range s.children {
		c := &s.children[i]
		if p := n.peers[c.ID]; p != nil && (p.samples < uint32(len(p.last)) || n.now-p.pingAt >= n.cfg.Maintain) {
			n.ping(p)
		}
		changed = changed || n.costTo(c.ID) != c.outUs
	}
	if changed {
		n.forward(s)
	}
}

// drop takes our part of a stream away.
func (n *Node) drop(s *stream) {
	n.dropDetour(s)
	if !s.parent.ID.IsZero() {
		n.send(s.parent, &wire.Detach{Stream: s.info.ID})
	}
	delete(n.streams, s.info.ID)
	n.emit(Forward{Stream: s.info.ID})
}

// endStream tells all below that there will be nothing more.
func (n *Node) endStream(s *stream, why string) {
	for _, c := range s.children {
		n.send(c.Peer, &wire.Beat{Stream: s.info.ID, Path: s.path, Info: s.info, End: true})
	}
	for _, u := range n.subs {
		if u.stream == s.info.ID {
			n.setSub(u, Withdrawn, why)
		}
	}
	n.drop(s)
}

// setParent makes a host our parent in a stream.
func (n *Node) setParent(s *stream, p wire.Peer, degrade string) {
	if s.parent.ID != p.ID && !s.parent.ID.IsZero() {
		n.send(s.parent, &wire.Detach{Stream: s.info.ID})
	}
	if s.parent.ID != p.ID {
		s.link = linkLoss{}
	}
	s.parent, s.degraded, s.abovePpm = p, degrade, 0
	n.dropDetour(s)
	s.broken, s.tries, s.heard = false, 0, n.now
	n.peer(p)
	n.send(p, &wire.Attach{Stream: s.info.ID, Degrade: degrade})
}

func (n *Node) onAttach(from wire.Peer, m *wire.Attach) {
	s := n.streams[m.Stream]
	if s == nil {
		n.send(from, &wire.NoStream{Stream: m.Stream})
		return
	}
	if s.onPath(from.ID) {
		n.send(from, &wire.Beat{Stream: m.Stream, Path: s.path, Info: s.info, Leave: true})
		return
	}
	i := slices.IndexFunc(s.children, func(c child) bool { return c.ID == from.ID })
	fresh := i < 0
	if fresh {
		if len(s.children) >= MaxChildren {
			// Not NoStream: from the publisher that means the end.
			n.send(from, &wire.Beat{Stream: m.Stream, Path: s.path, Info: s.info, Leave: true})
			return
		}
		s.children = append(s.children, child{Peer: from, trial: m.Trial})
		i = len(s.children) - 1
		n.peer(from)
	}
	c := &s.children[i]
	c.until = n.now + n.cfg.LeaseTime
	if m.Trial && !fresh {
		return // only the lease is renewed
	}
	fresh = fresh || c.trial
	if fresh || c.spa != m.Degrade || c.Addr != from.Addr {
		c.Peer, c.spa, c.trial = from, m.Degrade, m.Trial
		n.forward(s)
	}
	if fresh && !s.broken && len(s.path) > 0 {
		n.beatTo(s, c)
	}
}

func (n *Node) onDetach(from wire.Peer, m *wire.Detach) {
	if s := n.streams[m.Stream]; s != nil {
		n.removeChild(s, from.ID)
	}
}

func (n *Node) removeChild(s *stream, h wire.HostID) {
	before := len(s.children)
	s.children = slices.DeleteFunc(s.children, func(c child) bool { return c.ID == h })
	if len(s.children) != before {
		n.forward(s)
	}
}

// onPath says whether a host is on the way from the publisher to us.
func (s *stream) onPath(h wire.HostID) bool {
	return slices.ContainsFunc(s.path, func(p wire.Hop) bool { return p.Host.ID == h })
}

// beatDue is the publisher's heartbeat.
func (n *Node) beatDue(t timer) {
	s := n.streams[wire.StreamID(t.host)]
	if s == nil || s.gen != t.key || !s.publisher {
		return
	}
	n.place(s)
	s.seq++
	for i := range s.children {
		n.beatTo(s, &s.children[i])
	}
	n.measureChildren(s)
	n.after(n.cfg.BeatInterval, t)
}

func (n *Node) beatTo(s *stream, c *child) {
	c.beats++
	spa := s.thinsFor(c)
	n.send(c.Peer, &wire.Beat{
		Stream: s.info.ID, Seq: s.seq, Path: s.path, Info: s.info, Todo: s.todo, Degrade: spa, SharePpm: s.sharePpm(spa), Number: c.beats,
	})
}

// place decides which stages of the pipeline run here: those for the source at
// the publisher, those for anywhere at the first host that has capacity left.
func (n *Node) place(s *stream) {
	pipeline := s.todo
	if s.publisher {
		pipeline = s.info.Pipeline
	}
	var here, rest []wire.Stage
	busy := n.cfg.CapacityBps > 0 && n.load() > 0.8*float64(n.cfg.CapacityBps)
	sink := !slices.ContainsFunc(s.children, func(c child) bool { return !c.trial })
	idle := !s.publisher && sink && len(n.locals(s)) == 0 // nobody to run it for
	for _, st := range pipeline {
		switch {
		case st.Place == wire.AtSource && s.publisher,
			st.Place == wire.Anywhere && len(rest) == 0 && !idle && (!busy || sink):
			here = append(here, st)
		default:
			rest = append(rest, st)
		}
	}
	changed := !reflect.DeepEqual(here, s.ingress)
	s.ingress, s.todo = here, rest
	if changed {
		n.forward(s)
	}
}

func (n *Node) onBeat(from wire.Peer, m *wire.Beat) {
	s := n.streams[m.Stream]
	if s == nil || s.publisher {
		n.send(from, &wire.Detach{Stream: m.Stream})
		return
	}
	if from.ID == s.detour.next.ID && !n.detourBeat(s, m) {
		return
	}
	if s.parent.ID != from.ID {
		n.send(from, &wire.Detach{Stream: m.Stream})
		return
	}
	if m.Info.ID != m.Stream {
		n.counts["beat-dropped"]++
		return
	}
	if m.End {
		n.endStream(s, "the publisher has withdrawn the stream")
		return
	}
	if m.Leave {
		n.lostParent(s, "the host above leaves")
		return
	}
	if len(m.Path) == 0 || len(m.Path) >= wire.MaxPath || m.Path[len(m.Path)-1].Host.ID != from.ID ||
		slices.ContainsFunc(m.Path, func(h wire.Hop) bool { return h.Host.ID == n.self.ID }) {
		n.counts["stream-loop"]++
		s.parent = wire.Peer{}
		n.send(from, &wire.Detach{Stream: m.Stream})
		n.lostParent(s, "the path above is a loop")
		return
	}
	p := n.peer(from)
	s.link.took(m.Number)
	hop := wire.Hop{Host: n.self, CostUs: p.costUs, LossPpm: max(p.lossPpm, s.link.ppm()), StayUs: s.stayUs}
	s.heard, s.broken = n.now, false
	if len(m.Path) > 0 {
		hop.SPA = m.Degrade
	}
	same := len(s.path) == len(m.Path)+1
	for i := 0; same && i < len(m.Path); i++ {
		same = s.path[i].Host.ID == m.Path[i].Host.ID
	}
	s.path = append(slices.Clone(m.Path), hop)
	s.info, s.todo, s.seq, s.degraded, s.abovePpm = m.Info, m.Todo, m.Seq, m.Degrade, min(m.SharePpm, 1e6)
	n.place(s)
	if !same {
		n.forward(s)
	}
	for i := range s.children {
		n.beatTo(s, &s.children[i])
	}
	n.measureChildren(s)
	if p.samples < uint32(len(p.last)) {
		n.ping(p)
	}
	n.pathKnown(s, false)
}

// streamDue watches one stream: the parent's beats, our lease there, and the
// children's leases here.
func (n *Node) streamDue(t timer) {
	s := n.streams[wire.StreamID(t.host)]
	if s == nil || s.gen != t.key {
		return
	}
	n.after(n.cfg.BeatTimeout/4, t)
	gone := len(s.children)
	s.children = slices.DeleteFunc(s.children, func(c child) bool { return c.until < n.now })
	if gone != len(s.children) {
		n.forward(s)
	}
	if s.publisher {
		return
	}
	if len(s.children) == 0 && !n.subscribes(s.info.ID) && n.now-s.since > n.cfg.LeaseTime {
		n.drop(s)
		return
	}
	renew := uint64(n.now/(n.cfg.LeaseTime/4)) != uint64((n.now-n.cfg.BeatTimeout/4)/(n.cfg.LeaseTime/4))
	n.tryOn(s, renew)
	switch {
	case s.parent.ID.IsZero() && !s.broken && n.now-s.since > n.cfg.BeatTimeout:
		n.lostParent(s, "no host above")
	case s.broken:
		n.repair(s)
	case n.now-s.heard > n.cfg.BeatTimeout:
		n.lostParent(s, "the host above is silent")
	case renew:
		n.send(s.parent, &wire.Attach{Stream: s.info.ID, Degrade: n.wantDegrade(s)})
	}
}

// wantDegrade is the SPA that our parent runs for us, not one further up.
func (n *Node) wantDegrade(s *stream) string {
	if len(s.path) >= 2 && s.path[len(s.path)-2].SPA == s.degraded {
		return ""
	}
	return s.degraded
}

// lostParent starts to look for a new path.
func (n *Node) lostParent(s *stream, why string) {
	if s.broken {
		return
	}
	n.event("path-lost", s.parent, s.info.ID.String()+": "+why)
	n.dropDetour(s)
	s.broken, s.tries, s.since = true, 0, n.now
	s.avoid = nil
	if !s.parent.ID.IsZero() {
		s.avoid = []wire.HostID{s.parent.ID}
		s.parent = wire.Peer{}
	}
	for _, u := range n.subs {
		if u.stream == s.info.ID && u.wants() {
			n.setSub(u, Interrupted, why)
		}
	}
	n.repair(s)
}

// repair asks the hosts of the old path for a new one, the nearest first: they
// are on the publisher's side of the break. After them, the directory.
func (n *Node) repair(s *stream) {
	if r := n.pending[s.req]; r != nil && r.what == reqSub {
		return
	}
	s.tries++
	up := len(s.path) - 2 - s.tries // the parent is at len-2: start above it
	if up < -2 {
		if s.tries > len(s.path)+8 {
			n.giveUp(s)
			return
		}
		up = -1
	}
	to := s.info.Publisher
	if up > 0 {
		to = s.path[up].Host
	}
	c := wire.Contract{BestEffort: true}
	for _, u := range n.subs {
		if u.stream == s.info.ID && u.wants() {
			c.Degrade = u.contract.Degrade
		}
	}
	// A way that came to nothing led over another dead host, which nobody on it has
	// noticed yet: the second try is for the link between the two, which is always there.
	m := &wire.SubReq{Stream: s.info.ID, Subscriber: n.self, Point: n.ownPoint(to.ID), Contract: c, Exclude: s.avoid, Direct: s.tries > 1}
	r := &request{what: reqSub, to: to, msg: m, tries: 1, wait: n.cfg.RepairTimeout, strm: s.info.ID}
	if n.request(r) {
		s.req = r.id
	} else {
		s.tries-- // nobody was asked
	}
}

// giveUp lets a stream go that no host knows a path for: our subscriptions start
// over at the directory.
func (n *Node) giveUp(s *stream) {
	n.event("path-given-up", s.info.Publisher, s.info.ID.String())
	n.drop(s)
	for _, u := range n.subs {
		if u.stream == s.info.ID && (u.wants() || u.state == Resolving && u.swapping) {
			u.swapping = false // an exchange may come to its end, but decides nothing any more
			if u.state != Resolving {
				u.since = n.now
			}
			n.wait(u, "the path broke and no host of it answers")
		}
	}
}

// ownPoint is an id of ours, to be found by: one next to the host that will
// look for it, if there is one.
func (n *Node) ownPoint(by wire.HostID) wire.Point {
	for i := range n.table {
		if r := &n.table[i]; r.Owner.ID == by {
			for j := range n.zones {
				if n.zones[j].Zone.Adjacent(r.Zone) {
					return n.zones[j].Zone.Path
				}
			}
		}
	}
	if len(n.zones) == 0 {
		return 0
	}
	return n.zones[0].Zone.Path
}

func (n *Node) onNoStream(from wire.Peer, m *wire.NoStream) {
	const withdrawn = "the publisher has withdrawn the stream"
	s := n.streams[m.Stream]
	if s != nil && !s.publisher && from.ID == s.info.Publisher.ID {
		// The publisher must know: the beat that said so was lost.
		if r := n.pending[m.Req]; r != nil && r.what == reqSub && r.strm == m.Stream {
			delete(n.pending, m.Req)
		}
		n.endStream(s, withdrawn)
		return
	}
	if r := n.pending[m.Req]; s == nil && r != nil && r.what == reqSub && r.to.ID == from.ID {
		// A path is asked of the publisher when the tree is not known any more.
		// Who merely says in the directory to be the publisher cannot end it.
		if u := n.subByID(r.sub); u != nil && u.state == Resolving && u.from.ID == from.ID {
			delete(n.pending, m.Req)
			n.setSub(u, Withdrawn, withdrawn)
			return
		}
	}
	if r := n.pending[m.Req]; m.Req != 0 && r != nil && r.what == reqSub && r.to.ID == from.ID {
		delete(n.pending, m.Req)
		n.subReqFailed(r, noSuchStream)
		return
	}
	if s != nil && s.detour.next.ID == from.ID {
		n.dropDetour(s)
		return
	}
	if s != nil && s.parent.ID == from.ID {
		s.parent = wire.Peer{}
		n.lostParent(s, "the host above does not have the stream")
	}
}

func (n *Node) streamPeerDead(h wire.HostID) {
	for _, s := range n.sortedStreams() {
		n.removeChild(s, h)
		if s.parent.ID == h {
			n.lostParent(s, "the host above died")
		}
	}
}

// leaveStreams tells children and parents that we go.
func (n *Node) leaveStreams() {
	for _, s := range n.sortedStreams() {
		if s.publisher {
			n.unput(s)
			n.endStream(s, "the publisher has left")
			continue
		}
		for _, c := range s.children {
			n.send(c.Peer, &wire.Beat{Stream: s.info.ID, Path: s.path, Info: s.info, Leave: true})
		}
		n.drop(s)
	}
	for _, u := range n.subs {
		n.emit(SubChanged{Sub: n.subStatus(u), Ended: true})
	}
	n.subs = nil
}

// Residence takes the time that packets of a stream spend in this host.
func (n *Node) Residence(now wire.Time, id wire.StreamID, us uint32) {
	n.advance(now)
	if s := n.streams[id]; s != nil {
		s.stayUs = us
	}
}
