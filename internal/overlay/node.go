// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"net/netip"

	"sandstream/internal/overlay/links"
	"sandstream/internal/overlay/streams"
	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
	"sandstream/internal/overlay/zones"
)

// Node is the protocol state of one host: the machines, and the turns they share. It is
// not safe for concurrent use. The machines lie side by side, not each in memory of its
// own: a simulator goes from host to host, and waits for each line of it.
type Node struct {
	turn    turn.Turn
	links   links.Links
	zones   zones.Zones
	streams streams.Streams
}

// New makes a host that is not yet part of an overlay. All its chance comes
// from seed. cfg must pass Check.
func New(cfg Config, self wire.Peer, seed uint64) *Node {
	n := &Node{turn: *turn.New(cfg, self, seed)}
	n.links = *links.New(&n.turn)
	n.zones = *zones.New(&n.turn, &n.links)
	n.streams = *streams.New(&n.turn, &n.links, &n.zones)
	n.turn.Route, n.links.Up, n.zones.Up = n.zones.Route, &n.zones, &n.streams
	return n
}

// Self is the host itself.
func (n *Node) Self() wire.Peer { return n.turn.Self }

// State is where the host stands.
func (n *Node) State() MemberState { return n.zones.State() }

// Effects gives what is to be done since the last call, in order.
func (n *Node) Effects(yield func(Effect)) { n.turn.Effects(yield) }

// Create makes this host the first of a new overlay: it owns all ids.
func (n *Node) Create(now Time) {
	n.turn.Advance(now)
	n.zones.Create()
}

// Join enters the overlay over any of its hosts. It goes on until it succeeds;
// a Joined effect tells.
func (n *Node) Join(now Time, seeds []wire.Peer) {
	n.turn.Advance(now)
	n.zones.Join(seeds)
}

// Moved is this host being reached at another address from now on.
func (n *Node) Moved(now Time, addr netip.AddrPort) {
	n.turn.Advance(now)
	n.turn.Self.Addr = addr
	n.zones.Moved()
}

// Leave hands all ids over and ends with a Left effect.
func (n *Node) Leave(now Time) {
	n.turn.Advance(now)
	n.zones.Leave()
}

// Handle takes a message that came from an authenticated host.
func (n *Node) Handle(now Time, from wire.Peer, m wire.Message) {
	n.turn.Advance(now)
	if st := n.State(); st == Idle || st == Gone || from.ID == n.turn.Self.ID {
		return
	}
	n.turn.Received(m)
	if !n.zones.Takes(from, m) {
		return
	}
	n.links.Heard(from)
	switch wire.ClassOf(m) {
	case wire.Detection:
		n.links.Handle(from, m)
	case wire.Membership, wire.Routing:
		n.zones.Handle(from, m)
	case wire.Streams:
		n.streams.Handle(from, m)
	}
}

// Tick does what has come due.
func (n *Node) Tick(now Time) {
	n.turn.Advance(now)
	for {
		t, ok := n.turn.Due()
		if !ok {
			return
		}
		switch t.Of {
		case turn.Requests:
			n.turn.Retry(t.Key)
		case turn.Links:
			n.links.Due(t)
		case turn.Zones:
			n.zones.Due(t)
		case turn.Streams:
			n.streams.Due(t)
		}
	}
}

// Deadline is when Tick is next needed; the largest Time if never.
func (n *Node) Deadline() Time { return n.turn.Deadline() }

// Announce publishes a stream from this host. Packets flow as soon as the
// driver has them; see Forward.
func (n *Node) Announce(now Time, info wire.StreamInfo) error {
	n.turn.Advance(now)
	return n.streams.Publish(info)
}

// Withdraw ends a stream of this host.
func (n *Node) Withdraw(now Time, id wire.StreamID) error {
	n.turn.Advance(now)
	return n.streams.Withdraw(id, wire.EndWithdrawn)
}

// BreakOff ends a stream of this host whose publishing program is gone without a word.
func (n *Node) BreakOff(now Time, id wire.StreamID) error {
	n.turn.Advance(now)
	return n.streams.Withdraw(id, wire.EndBroken)
}

// List asks for a part of the directory of names: see streams.Streams.List.
func (n *Node) List(now Time, from wire.Point) (uint64, error) {
	n.turn.Advance(now)
	return n.streams.List(from)
}

// Subscribe asks for a stream by its id, or with a zero id by its public name.
// What becomes of it is told by SubChanged.
func (n *Node) Subscribe(now Time, id wire.StreamID, name string, c wire.Contract) (SubID, error) {
	return n.SubscribeAvoiding(now, id, name, c, nil)
}

// SubscribeAvoiding is Subscribe for a part of a stream whose other parts come
// over the hosts avoid, at most 8: the first path it gets leads over none of them.
func (n *Node) SubscribeAvoiding(now Time, id wire.StreamID, name string, c wire.Contract, avoid []wire.HostID) (SubID, error) {
	n.turn.Advance(now)
	return n.streams.Subscribe(id, name, c, avoid)
}

// Unsubscribe ends a subscription.
func (n *Node) Unsubscribe(now Time, id SubID) error {
	n.turn.Advance(now)
	return n.streams.Unsubscribe(id)
}

// Measured takes what the data plane delivered to a subscription since the last
// call.
func (n *Node) Measured(now Time, id SubID, r Report) {
	n.turn.Advance(now)
	n.streams.Measured(id, r)
}

// Thinned takes what a degrading SPA made of a stream's bytes on the way to one child
// since the last call. A call without bytes changes nothing.
func (n *Node) Thinned(now Time, id wire.StreamID, spa string, in, out uint64) {
	n.turn.Advance(now)
	n.streams.Thinned(id, spa, in, out)
}

// Residence takes the time that packets of a stream spend in this host, in microseconds.
func (n *Node) Residence(now Time, id wire.StreamID, us uint32) {
	n.turn.Advance(now)
	n.streams.Residence(id, us)
}

// AskKey asks the publisher of a stream that comes here for its key: KeyGranted is the
// answer, under the number.
func (n *Node) AskKey(now Time, id wire.StreamID, blob []byte) (number uint64, err error) {
	n.turn.Advance(now)
	return n.streams.AskKey(id, blob)
}

// GrantKey answers a KeyAsked.
func (n *Node) GrantKey(now Time, id wire.StreamID, number uint64, blob []byte) {
	n.turn.Advance(now)
	n.streams.GrantKey(id, number, blob)
}

// SetEpochs says of which epochs the key of a local stream is.
func (n *Node) SetEpochs(now Time, id wire.StreamID, e wire.Epochs) {
	n.turn.Advance(now)
	n.streams.SetEpochs(id, e)
}

// KeyRefused says that a stream's publisher gives this host no key.
func (n *Node) KeyRefused(now Time, id wire.StreamID, why string) {
	n.turn.Advance(now)
	n.streams.KeyRefused(id, why)
}

// PutOut says that a stream's publisher has put this host out of it.
func (n *Node) PutOut(now Time, id wire.StreamID) {
	n.turn.Advance(now)
	n.streams.PutOut(id)
}

// Dump describes the inner state, for the report of a failing test.
func (n *Node) Dump() string { return n.zones.Dump() }
