// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"math/rand/v2"
	"slices"
)

// Node is the protocol state of one host. It is not safe for concurrent use.
type Node struct {
	cfg  Config
	self Peer
	rng  rand.PCG
	now  Time

	state   MemberState
	seeds   []Peer
	region  Region
	zones   []Record // owned, none overlapping
	digest  uint64   // of zones
	table   []Record // owned by others: the zones next to ours
	dirty   bool     // the table may have gaps
	touched bool     // heirsDue is set
	peers   map[HostID]*peer
	ring    []HostID // order of probing
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
	verified []Record // owners looked up for an exchange
	join     joinState
	known    []Peer // hosts met, for the day when all neighbours are gone
	knownAt  Time   // when one of them was last asked
	gapReq   int    // lookups for gaps in flight
	gaps     map[Zone]int
	legacy   []legacy
	refused  map[HostID]bool // who did not take our zones, while leaving: true if it leaves as well
	leftAt   Time            // when we began to leave
	aloneAt  Time            // since when all neighbours do; 0 if one stays

	estimate regionState
	store    map[Point][]stored // directory entries of our ids
	streams  map[StreamID]*stream
	subs     []*sub
	subSeq   uint64

	timers timers
	fx     []Effect
	sent   [kEnd]uint64
	recv   [kEnd]uint64
	counts map[string]uint64
}

// New makes a host that is not yet part of an overlay. All its chance comes
// from seed. cfg must pass Check.
func New(cfg Config, self Peer, seed uint64) *Node {
	n := &Node{
		cfg: cfg, self: self, peers: map[HostID]*peer{}, pending: map[uint64]*request{},
		in: map[uint64]*xfer{}, counts: map[string]uint64{},
	}
	n.region.Radix = uint8(cfg.Radix)
	n.rng.Seed(seed, 0x5a9d57a3a3)
	// Request numbers of a host that starts anew must not meet its old ones.
	n.reqs = n.rng.Uint64() >> 16 << 8
	return n
}

// Self is the host itself.
func (n *Node) Self() Peer { return n.self }

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
func (n *Node) Create(now Time) {
	n.advance(now)
	if n.state != Idle {
		return
	}
	n.region = Region{N: n.regionFor(1), Version: 1, Hosts: 1, Radix: n.region.Radix}
	n.start()
	n.gain(Record{Zone: Zone{}, Counter: 1, Owner: n.self})
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
func (n *Node) Handle(now Time, from Peer, m Message) {
	n.advance(now)
	if n.state == Idle || n.state == Gone || from.ID == n.self.ID {
		return
	}
	n.recv[m.kind()]++
	n.introduced = 0
	if k, says := radixOf(m); says && k != n.region.Radix {
		n.otherRadix(from, m)
		return
	}
	if p := n.peers[from.ID]; p != nil {
		p.heard = now
		p.Addr = from.Addr
	}
	switch m := m.(type) {
	case *Ping:
		n.onPing(from, m)
	case *Ack:
		n.onAck(from, m)
	case *PingReq:
		n.onPingReq(from, m)
	case *PingRes:
		n.onPingRes(from, m)
	case *Pull:
		n.send(from, n.ownings(false))
	case *Announce:
		n.onAnnounce(from, m)
	case *Moved:
		n.onMoved(from, m)
	case *Query:
		n.onQuery(from, m)
	case *Dead:
		n.onDead(from, m)
	case *Heirloom:
		n.onHeirloom(from, m)
	case *Lookup:
		n.onLookup(from, m)
	case *Found:
		n.onFound(from, m)
	case *JoinAsk:
		n.onJoinAsk(from, m)
	case *JoinNo:
		n.onJoinNo(from, m)
	case *Offer:
		n.onOffer(from, m)
	case *Accept:
		n.onAccept(from, m)
	case *Commit:
		n.onCommit(from, m)
	case *Done:
		n.onDone(from, m)
	case *Cancel:
		n.onCancel(from, m)
	case *SubReq:
		n.onSubReq(from, m)
	case *Graft:
		n.onGraft(from, m)
	case *Attach:
		n.onAttach(from, m)
	case *Detach:
		n.onDetach(from, m)
	case *NoStream:
		n.onNoStream(from, m)
	case *Beat:
		n.onBeat(from, m)
	case *Refuse:
		n.onRefuse(from, m)
	case *SwapFind:
		n.onSwapFind(from, m)
	case *SwapNo:
		n.onSwapNo(m)
	}
}

// Tick does what has come due.
func (n *Node) Tick(now Time) {
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
func (n *Node) Deadline() Time { return n.timers.next() }

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
func (n *Node) advance(now Time) {
	if now > n.now {
		n.now = now
	}
}

func (n *Node) emit(e Effect) { n.fx = append(n.fx, e) }

func (n *Node) event(kind string, p Peer, detail string) {
	n.counts[kind]++
	n.emit(Event{Kind: kind, Host: p, Detail: detail})
}

func (n *Node) send(to Peer, m Message) {
	if to.ID == n.self.ID {
		return
	}
	n.sent[m.kind()]++
	n.emit(Send{To: to, Msg: m})
}

func (n *Node) rand(limit int) int { return int(n.rng.Uint64() % uint64(limit)) }

// jitter is d, give or take a tenth: hosts that started together drift apart.
func (n *Node) jitter(d Time) Time {
	return d - d/10 + Time(n.rng.Uint64()%uint64(d/5+1))
}

// records is the list of owned zones as it is sent: never changed afterwards.
func (n *Node) records() []Record { return slices.Clone(n.zones) }

// ownings is the message that lists them.
func (n *Node) ownings(reply bool) *Announce {
	return &Announce{Records: n.records(), Reply: reply, Radix: n.region.Radix}
}

// covers says whether the id p is ours.
func (n *Node) covers(p Point) bool { return n.owned(p) != nil }

func (n *Node) owned(p Point) *Record {
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
func (n *Node) ownZones() []Zone {
	v := make([]Zone, len(n.zones))
	for i := range n.zones {
		v[i] = n.zones[i].Zone
	}
	return v
}
