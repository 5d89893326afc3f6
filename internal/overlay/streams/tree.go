// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"slices"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// stream is our part of a stream's tree.
type stream struct {
	info      wire.StreamInfo
	gen       uint64 // tells timers of this entry from those of an earlier one
	publisher bool
	since     Time
	seq       uint64
	stayUs    uint32
	epochs    wire.Epochs

	upstream
	mending
	children []child
	thinned  map[string]*thinning // by SPA, what those here leave
	todo     []wire.Stage         // stages not run before us
	ingress  []wire.Stage         // stages that we run
	detour   detour
	plain    plainPath
}

// plainPath is a path as it is told to those who have not asked for jitter: made once for
// each path, not for each child.
type plainPath struct {
	of   *wire.Hop // the first of the path that it was made from
	path []wire.Hop
}

// upstream is what lies above us in the tree.
type upstream struct {
	parent   wire.Peer  // zero: none, or we publish
	path     []wire.Hop // from the publisher to us, as the last beat or graft said
	degraded string     // the SPA that thins the stream out above us
	abovePpm uint32     // what it leaves of the rate, in millionths; 0: not known
	heard    Time       // beat of the parent
	link     linkLoss   // from the parent
	told     uint32     // readers that the parent was told of
}

const maxChildren = 256 // of a host in one stream's tree

type child struct {
	wire.Peer
	until Time
	spa   string // degrades this branch
	outUs uint32 // cost of the link as the data plane was told
	beats uint64 // sent to it
	trial bool   // it wants beats only

	jitter  Time   // until then it wants to hear of the links' jitter
	readers uint32 // subscriptions served there and below, as it says
}

func (n *Streams) addStream(info wire.StreamInfo) *stream {
	s := &stream{info: info, gen: n.Serial(), since: n.Now, upstream: upstream{heard: n.Now}, todo: info.Pipeline}
	if n.streams == nil {
		n.streams = map[wire.StreamID]*stream{}
	}
	n.streams[info.ID] = s
	n.After(n.Cfg.BeatTimeout/4, turn.Timer{Of: turn.Streams, What: timerStream, Host: wire.HostID(info.ID), Key: s.gen})
	return s
}

// locals are our own subscriptions to s.
func (n *Streams) locals(s *stream) []SubID {
	var v []SubID
	for _, u := range n.subs {
		if u.stream == s.info.ID && u.wants() {
			v = append(v, u.id)
		}
	}
	return v
}

// forward tells the data plane.
func (n *Streams) forward(s *stream) {
	e := &ForwardEntry{
		Publisher: s.publisher, Upstream: s.parent, Ingress: slices.Clone(s.ingress), Local: n.locals(s),
		Path: slices.Clone(s.path), RateBps: s.info.RateBps, Info: s.info,
	}
	if !s.publisher && !s.parent.ID.IsZero() {
		e.InUs = n.links.CostTo(s.parent.ID)
	}
	for i := range s.children {
		c := &s.children[i]
		c.outUs = n.links.CostTo(c.ID)
		if c.trial {
			continue
		}
		e.Children = append(e.Children, Child{Host: c.Peer, OutUs: c.outUs, SPA: c.spa})
	}
	n.Emit(Forward{Stream: s.info.ID, Entry: e})
	n.tellReaders(s)
}

// measureChildren keeps the costs right that the data plane adds up: links that carry a
// stream are measured a few times at once and then at each Maintain, not when their turn
// comes.
func (n *Streams) measureChildren(s *stream) {
	changed := false
	for i := range s.children {
		c := &s.children[i]
		if p := n.links.Get(c.ID); p != nil && (!p.Settled() || n.Now-p.ProbedAt() >= n.Cfg.Maintain) {
			n.links.Ping(p)
		}
		changed = changed || n.links.CostTo(c.ID) != c.outUs
	}
	if changed {
		n.forward(s)
	}
}

// drop takes our part of a stream away.
func (n *Streams) drop(s *stream) {
	n.dropDetour(s)
	if !s.parent.ID.IsZero() {
		n.Send(s.parent, &wire.Detach{Stream: s.info.ID})
	}
	delete(n.streams, s.info.ID)
	n.Emit(Forward{Stream: s.info.ID})
}

// beat is what a child is told of the stream.
func (s *stream) beat(c *child) *wire.Beat {
	b := &wire.Beat{Stream: s.info.ID, Path: s.path, Info: s.info, Epochs: s.epochs}
	if c.jitter == 0 && len(s.path) > 0 {
		if s.plain.of != &s.path[0] {
			s.plain = plainPath{of: &s.path[0], path: wire.WithoutJitter(s.path)}
		}
		b.Path = s.plain.path
	}
	return b
}

// sendAway tells a child, or who would be one, to find another parent.
func (n *Streams) sendAway(s *stream, c *child) {
	b := s.beat(c)
	b.Leave = true
	n.Send(c.Peer, b)
}

// setParent makes a host our parent in a stream.
func (n *Streams) setParent(s *stream, p wire.Peer, degrade string) {
	if s.parent.ID != p.ID && !s.parent.ID.IsZero() {
		n.Send(s.parent, &wire.Detach{Stream: s.info.ID})
	}
	if s.parent.ID != p.ID {
		s.link = linkLoss{}
	}
	s.parent, s.degraded, s.abovePpm = p, degrade, 0
	n.dropDetour(s)
	s.broken, s.tries, s.heard = false, 0, n.Now
	n.links.Know(p)
	n.attach(s, degrade)
}

// attach asks the parent for the stream, thinned out by the SPA degrade unless that is
// "", and renews the lease.
func (n *Streams) attach(s *stream, degrade string) {
	n.Send(s.parent, &wire.Attach{Stream: s.info.ID, Degrade: degrade})
	s.told = n.readers(s)
	if s.told > 0 || n.wantsJitter(s) {
		n.attachFor(s, degrade)
	}
}

// attachFor asks for the jitter of the links above as well, and says how many readers
// there are. It is a message beside the other, because an older host refuses it, and must
// not for that take us for gone.
func (n *Streams) attachFor(s *stream, degrade string) {
	s.told = n.readers(s)
	n.Send(s.parent, &wire.Attach{Stream: s.info.ID, Degrade: degrade, Jitter: n.wantsJitter(s), Readers: s.told + 1})
}

// readers is how many subscriptions are served here and below.
func (n *Streams) readers(s *stream) uint32 {
	sum := uint64(len(n.locals(s)))
	for i := range s.children {
		sum += uint64(s.children[i].readers)
	}
	return uint32(min(sum, maxReaders))
}

// maxReaders is the most that any host is believed.
const maxReaders = 1 << 24

// tellReaders tells the parent how many readers there are, if that is not what it knows.
func (n *Streams) tellReaders(s *stream) {
	if !s.parent.ID.IsZero() && !s.broken && s.told != n.readers(s) {
		n.attachFor(s, n.wantDegrade(s))
	}
}

// wantsJitter says whether a contract here or below bounds it.
func (n *Streams) wantsJitter(s *stream) bool {
	return slices.ContainsFunc(s.children, func(c child) bool { return c.jitter > n.Now }) ||
		slices.ContainsFunc(n.subs, func(u *sub) bool { return u.stream == s.info.ID && u.contract.JitterUs > 0 })
}

func (n *Streams) onAttach(from wire.Peer, m *wire.Attach) {
	s := n.streams[m.Stream]
	if s == nil {
		n.Send(from, &wire.NoStream{Stream: m.Stream, Why: n.remembered(m.Stream)})
		return
	}
	if s.onPath(from.ID) {
		n.sendAway(s, &child{Peer: from})
		return
	}
	i := slices.IndexFunc(s.children, func(c child) bool { return c.ID == from.ID })
	fresh := i < 0
	if fresh {
		if len(s.children) >= maxChildren {
			// Not NoStream: from the publisher that means the end.
			n.sendAway(s, &child{Peer: from})
			return
		}
		s.children = append(s.children, child{Peer: from, trial: m.Trial})
		i = len(s.children) - 1
		n.links.Know(from)
	}
	c := &s.children[i]
	c.until = n.Now + n.Cfg.LeaseTime
	if m.Jitter {
		before := n.wantsJitter(s)
		c.jitter = c.until
		if !before && !s.parent.ID.IsZero() {
			n.attachFor(s, n.wantDegrade(s))
		}
	}
	if m.Readers > 0 {
		c.readers = min(m.Readers-1, maxReaders)
		n.tellReaders(s)
	}
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

func (n *Streams) onDetach(from wire.Peer, m *wire.Detach) {
	if s := n.streams[m.Stream]; s != nil {
		n.removeChild(s, from.ID)
	}
}

func (n *Streams) removeChild(s *stream, h wire.HostID) {
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

// Residence takes the time that packets of a stream spend in this host.
func (n *Streams) Residence(id wire.StreamID, us uint32) {
	if s := n.streams[id]; s != nil {
		s.stayUs = us
	}
}
