// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"slices"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// moves are the hand-overs under way, and what is left of earlier ones.
type moves struct {
	giving   *move            // one at a time
	taking   map[uint64]*move // by the giver's number
	done     []doneMove
	verified []wire.Record // owners looked up for an exchange
}

const maxDone = 32

// move is a hand-over under way. Its number is the giver's.
type move struct {
	id      uint64
	peer    wire.Peer
	give    []wire.Record // as they will be
	back    []wire.Record // a swap's other half, as they will be
	table   []wire.Record // neighbours of what the taker gets
	backTab []wire.Record

	infos, backInfos []wire.StreamInfo // directory entries of give and of back

	swap    bool
	stream  wire.StreamID
	phase   phase
	msg     wire.Message // sent again until answered
	started Time
	wait    Time
	near    []wire.Record // our neighbours before the commit of an exchange, to be told
}

type phase uint8

const (
	offered   phase = iota // giver: we own; taker may accept
	committed              // giver: we do not own; taker will
	accepted               // taker: waits for the commit
)

// doneMove is a hand-over that was taken: the giver may not know yet.
type doneMove struct {
	giver wire.HostID
	id    uint64
	at    Time
}

func (x *move) covers(z wire.Zone) bool {
	return slices.ContainsFunc(x.give, func(r wire.Record) bool { return r.Zone.Overlaps(z) })
}

// moveDue sends again what was not answered, and ends what took too long.
func (n *Zones) moveDue(id uint64) {
	if id == 0 {
		n.leaveStep()
		return
	}
	if x := n.moves.taking[id]; x != nil {
		// Never committed: without a commit we own nothing.
		if n.Now-x.started >= n.Cfg.HandoverTimeout {
			delete(n.moves.taking, id)
			if n.state == Joining {
				n.joinLater(n.Cfg.RetryInterval)
			}
		}
		return
	}
	x := n.moves.giving
	if x == nil || x.id != id {
		return
	}
	if n.Now-x.started >= n.Cfg.HandoverTimeout {
		if x.phase == offered {
			n.cancelGiving("no answer")
		} else {
			n.takeBack("no answer")
		}
		return
	}
	n.Send(x.peer, x.msg)
	x.wait *= 2
	n.After(x.wait, turn.Timer{Of: turn.Zones, What: timerMove, Key: id})
}

// movePeerDied ends hand-overs with a host that died.
func (n *Zones) movePeerDied(h wire.HostID) {
	for id, x := range n.moves.taking {
		if x.peer.ID == h {
			delete(n.moves.taking, id)
			if n.state == Joining {
				n.joinLater(n.Cfg.RetryInterval)
			}
		}
	}
	if x := n.moves.giving; x != nil && x.peer.ID == h {
		if x.phase == offered {
			n.endGiving(false, "the other host died")
		} else {
			n.takeBack("the other host died")
		}
	}
}

func (n *Zones) expireDone() {
	n.moves.done = slices.DeleteFunc(n.moves.done, func(d doneMove) bool { return n.Now-d.at > 8*n.Cfg.HandoverTimeout })
}
