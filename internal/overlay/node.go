// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"math/rand/v2"
	"slices"

	"sandstream/internal/overlay/wire"
)

// Node is the protocol state of one host. It is not safe for concurrent use.
type Node struct {
	cfg  Config
	self wire.Peer
	rng  rand.PCG
	now  wire.Time

	state   MemberState
	seeds   []wire.Peer
	region  wire.Region
	zones   []wire.Record // owned, none overlapping
	digest  uint64        // of zones
	table   []wire.Record // owned by others: the zones next to ours
	dirty   bool          // the table may have gaps
	touched bool          // heirsDue is set
	peers   map[wire.HostID]*peer
	ring    []wire.HostID // order of probing
	ringPos int
	turn    uint32
	seq     uint32

	graves     []grave
	tentative  []tentative
	disputes   []dispute
	returned   []returned
	rivals     []rival
	introduced int // hosts told of one another for the message at hand
	poll       poll
	wards      []ward
	claims     []claim // zones of dead owners, and when we claim them

	pending  map[uint64]*request
	reqs     uint64
	out      *xfer            // the hand-over we give
	in       map[uint64]*xfer // hand-overs we take
	done     []doneXfer
	verified []wire.Record // owners looked up for an exchange
	join     joinState
	known    []wire.Peer // hosts met, for the day when all neighbours are gone
	knownAt  wire.Time   // when one of them was last asked
	gapReq   int         // lookups for gaps in flight
	gaps     map[wire.Zone]int
	legacy   []legacy
	refused  map[wire.HostID]bool // who did not take our zones, while leaving: true if it leaves as well
	leftAt   wire.Time            // when we began to leave
	aloneAt  wire.Time            // since when all neighbours do; 0 if one stays

	estimate regionState
	store    map[wire.Point][]stored // directory entries of our ids
	streams  map[wire.StreamID]*stream
	subs     []*sub
	subSeq   uint64

	timers timers
	fx     []Effect
	sent   [wire.NumKinds]uint64
	recv   [wire.NumKinds]uint64
	counts map[string]uint64
}

// New makes a host that is not yet part of an overlay. All its chance comes
// from seed. cfg must pass Check.
func New(cfg Config, self wire.Peer, seed uint64) *Node {
	n := &Node{
		cfg: cfg, self: self, peers: map[wire.HostID]*peer{}, pending: map[uint64]*request{},
		in: map[uint64]*xfer{}, counts: map[string]uint64{},
	}
	n.region.Radix = uint8(cfg.Radix)
	n.rng.Seed(seed, 0x5a9d57a3a3)
	// Request numbers of a host that starts anew must not meet its old ones.
	n.reqs = n.rng.Uint64() >> 16 << 8
	return n
}

// Self is the host itself.
func (n *Node) Self() wire.Peer { return n.self }

// State is where the host stands.
func (n *Node) State() MemberState { return n.state }

// Effects gives what is to be done since the last call, in order.
func (n *Node) Effects(yield func(Effect)) {
	// A driver may call back into the node only after Effects returned.
	fx := n.fx
	for i, e := range fx {
		yield(e)
		fx[i] = nil
	}
	n.fx = fx[:0]
}

// Create makes this host the first of a new overlay: it owns all ids.
func (n *Node) Create(now wire.Time) {
	n.advance(now)
	if n.state != Idle {
		return
	}
	n.region = wire.Region{N: n.regionFor(1), Version: 1, Hosts: 1, Radix: n.region.Radix}
	n.start()
	n.gain(wire.Record{Zone: wire.Zone{}, Counter: 1, Owner: n.self})
	n.joined()
}

// start sets the periodic timers.
func (n *Node) start() {
	n.state = Joining
	n.after(n.jitter(n.cfg.ProbeInterval), timer{what: tProbe})
	n.after(n.jitter(n.cfg.Maintain), timer{what: tMaintain})
	n.after(n.jitter(n.cfg.GraveInterval), timer{what: tGrave})
	n.after(n.jitter(n.cfg.RegionInterval), timer{what: tRegion})
}

func (n *Node) joined() {
	if n.state == Joining {
		n.state = Member
		n.emit(Joined{})
	}
}

// Handle takes a message that came from an authenticated host.
func (n *Node) Handle(now wire.Time, from wire.Peer, m wire.Message) {
	n.advance(now)
	if n.state == Idle || n.state == Gone || from.ID == n.self.ID {
		return
	}
	n.recv[wire.KindOf(m)]++
	n.introduced = 0
	if k, says := wire.RadixOf(m); says && k != n.region.Radix {
		n.otherRadix(from, m)
		return
	}
	if p := n.peers[from.ID]; p != nil {
		p.heard = now
		p.Addr = from.Addr
	}
	switch m := m.(type) {
	case *wire.Ping:
		n.onPing(from, m)
	case *wire.Ack:
		n.onAck(from, m)
	case *wire.PingReq:
		n.onPingReq(from, m)
	case *wire.PingRes:
		n.onPingRes(from, m)
	case *wire.Pull:
		n.send(from, n.ownings(false))
	case *wire.Announce:
		n.onAnnounce(from, m)
	case *wire.Moved:
		n.onMoved(from, m)
	case *wire.Query:
		n.onQuery(from, m)
	case *wire.Dead:
		n.onDead(from, m)
	case *wire.Heirloom:
		n.onHeirloom(from, m)
	case *wire.Lookup:
		n.onLookup(from, m)
	case *wire.Found:
		n.onFound(from, m)
	case *wire.JoinAsk:
		n.onJoinAsk(from, m)
	case *wire.JoinNo:
		n.onJoinNo(from, m)
	case *wire.Offer:
		n.onOffer(from, m)
	case *wire.Accept:
		n.onAccept(from, m)
	case *wire.Commit:
		n.onCommit(from, m)
	case *wire.Done:
		n.onDone(from, m)
	case *wire.Cancel:
		n.onCancel(from, m)
	case *wire.SubReq:
		n.onSubReq(from, m)
	case *wire.Graft:
		n.onGraft(from, m)
	case *wire.Attach:
		n.onAttach(from, m)
	case *wire.Detach:
		n.onDetach(from, m)
	case *wire.NoStream:
		n.onNoStream(from, m)
	case *wire.Beat:
		n.onBeat(from, m)
	case *wire.Refuse:
		n.onRefuse(from, m)
	case *wire.SwapFind:
		n.onSwapFind(from, m)
	case *wire.SwapNo:
		n.onSwapNo(m)
	}
}

// Tick does what has come due.
func (n *Node) Tick(now wire.Time) {
	n.advance(now)
	for {
		t, ok := n.timers.due(now)
		if !ok {
			return
		}
		n.fire(t)
	}
}

// Deadline is when Tick is next needed; the largest Time if never.
func (n *Node) Deadline() wire.Time { return n.timers.next() }

func (n *Node) fire(t timer) {
	if n.state == Gone {
		return
	}
	switch t.what {
	case tProbe:
		n.probe()
		n.after(n.jitter(n.cfg.ProbeInterval), t)
	case tAck:
		n.ackLate(t.host, uint32(t.key))
	case tIndirect:
		n.probeFailed(t.host, uint32(t.key))
	case tMaintain:
		n.maintain()
		n.after(n.jitter(n.cfg.Maintain), t)
	case tGrave:
		n.askGraves()
		n.after(n.jitter(n.cfg.GraveInterval), t)
	case tRegion:
		n.estimateHosts()
		n.after(n.jitter(n.cfg.RegionInterval), t)
	case tClaim:
		n.claimDue()
	case tTentative:
		n.tentativeDue()
	case tPoll:
		n.pollDue()
	case tHeirs:
		n.heirsDue()
	case tRequest:
		n.retry(t.key)
	case tXfer:
		n.xferDue(t.key)
	case tJoin:
		n.joinStep()
	case tBeat:
		n.beatDue(t)
	case tStream:
		n.streamDue(t)
	case tSub:
		n.subDue(SubID(t.key))
	case tPath:
		n.pathDue(SubID(t.key))
	case tAnnounceStream:
		n.putDue(t)
	}
}

// advance moves the node's clock; it never goes back.
func (n *Node) advance(now wire.Time) {
	if now > n.now {
		n.now = now
	}
}

func (n *Node) emit(e Effect) { n.fx = append(n.fx, e) }

func (n *Node) event(kind string, p wire.Peer, detail string) {
	n.counts[kind]++
	n.emit(Event{Kind: kind, Host: p, Detail: detail})
}

func (n *Node) send(to wire.Peer, m wire.Message) {
	if to.ID == n.self.ID {
		return
	}
	n.sent[wire.KindOf(m)]++
	n.emit(Send{To: to, Msg: m})
}

func (n *Node) rand(limit int) int { return int(n.rng.Uint64() % uint64(limit)) }

// jitter is d, give or take a tenth: hosts that started together drift apart.
func (n *Node) jitter(d wire.Time) wire.Time {
	return d - d/10 + wire.Time(n.rng.Uint64()%uint64(d/5+1))
}

// records is the list of owned zones as it is sent: never changed afterwards.
func (n *Node) records() []wire.Record { return slices.Clone(n.zones) }

// ownings is the message that lists them.
func (n *Node) ownings(reply bool) *wire.Announce {
	return &wire.Announce{Records: n.records(), Reply: reply, Radix: n.region.Radix}
}

// covers says whether the id p is ours.
func (n *Node) covers(p wire.Point) bool { return n.owned(p) != nil }

func (n *Node) owned(p wire.Point) *wire.Record {
	for i := range n.zones {
		if n.zones[i].Zone.Covers(p) {
			return &n.zones[i]
		}
	}
	return nil
}

// volume is the share of all ids that we own.
func (n *Node) volume() float64 {
	return n.volumeOf(n.zones)
}

// ownZones lists the zones we own.
func (n *Node) ownZones() []wire.Zone {
	v := make([]wire.Zone, len(n.zones))
	for i := range n.zones {
		v[i] = n.zones[i].Zone
	}
	return v
}
