// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// stored is a directory entry of an id we own: soft state, renewed by the
// publisher.
type stored struct {
	wire.StreamInfo
	until Time
}

const (
	putInterval = 5 * time.Second
	putLife     = 20 * time.Second
	maxPerPoint = 8
	// Versions count renewals: one that is so far ahead would use them up.
	maxVersionLeap = 1 << 20
	maxEntries     = 4096 // ids of this host under which there are entries
	maxInfos       = 16   // of a message: with the largest entries 16 KB
)

// pointsOf are the ids that an entry is kept under.
func (n *Streams) pointsOf(i *wire.StreamInfo) []wire.Point {
	points := []wire.Point{wire.PointOfStream(i.ID, n.Cfg.Radix)}
	if i.Public && i.Name != "" {
		points = append(points, wire.PointOfName(i.Name, n.Cfg.Radix))
	}
	return points
}

// keep stores a directory entry under the ids of ours that it belongs to, and
// says whether there was room. A publisher finds room in place of his oldest
// entry, if it was he who sent us the new one; what others sent could be
// anybody's word.
func (n *Streams) keep(i *wire.StreamInfo, from wire.HostID) (room bool) {
	if i.Check() != nil {
		return true
	}
	room = true
	for _, p := range n.pointsOf(i) {
		if !n.place.Covers(p) {
			continue
		}
		if n.store == nil {
			n.store = map[wire.Point][]stored{}
		}
		list := n.store[p]
		found := false
		for j := range list {
			e := &list[j]
			// Who says to be the publisher is not proven: what differs is kept beside.
			if e.ID != i.ID || e.Publisher != i.Publisher || i.Version > e.Version+maxVersionLeap {
				continue
			}
			found = true
			if i.Version >= e.Version {
				*e = stored{*i, n.Now + putLife}
			}
		}
		if found {
			continue
		}
		if len(list) >= maxPerPoint && i.Publisher.ID == from {
			if j := slices.IndexFunc(list, func(e stored) bool { return e.Publisher.ID == from }); j >= 0 {
				list = slices.Delete(list, j, j+1)
				n.store[p] = list
			}
		}
		if len(list) >= maxPerPoint || len(n.store) >= maxEntries {
			room = false
			continue
		}
		n.store[p] = append(list, stored{*i, n.Now + putLife}) // in order of arrival
	}
	return room
}

// unkeep forgets a publisher's entry of a stream.
func (n *Streams) unkeep(p wire.Point, id wire.StreamID, publisher wire.HostID) {
	list := slices.DeleteFunc(n.store[p], func(e stored) bool { return e.ID == id && e.Publisher.ID == publisher })
	if len(list) > 0 {
		n.store[p] = list
	} else {
		delete(n.store, p)
	}
}

func (n *Streams) storedAt(p wire.Point) []wire.StreamInfo {
	var v []wire.StreamInfo
	for _, e := range n.store[p] {
		if e.until > n.Now {
			v = append(v, e.StreamInfo)
		}
	}
	return v
}

// Of implements zones.Above: the entries of zones, at most maxInfos: what does not fit is renewed by
// the publishers.
func (n *Streams) Of(zones []wire.Zone) []wire.StreamInfo {
	var v []wire.StreamInfo
	for _, p := range slices.Sorted(maps.Keys(n.store)) {
		if slices.ContainsFunc(zones, func(z wire.Zone) bool { return z.Covers(p) }) {
			for _, e := range n.store[p] {
				v = append(v, e.StreamInfo)
			}
		}
		if len(v) >= maxInfos {
			return v[:maxInfos]
		}
	}
	return v
}

// Keep implements zones.Above.
func (n *Streams) Keep(infos []wire.StreamInfo) {
	for i := range infos {
		n.keep(&infos[i], wire.HostID{})
	}
}

// Answer implements zones.Above.
func (n *Streams) Answer(from wire.HostID, m *wire.Lookup, f *wire.Found) {
	switch {
	case m.Kind == wire.Get:
		f.Infos = n.storedAt(m.Target)
	case m.Kind == wire.List:
		f.Infos, f.Next = n.namesFrom(m.Target, f.Record.Zone)
	case m.Info == nil:
	case m.Kind == wire.Put:
		f.Full = !n.keep(m.Info, from)
	case m.Kind == wire.Drop:
		n.unkeep(m.Target, m.Info.ID, from)
	}
}

func (n *Streams) expireStore() {
	for p, list := range n.store {
		keep := list[:0]
		for _, e := range list {
			if e.until > n.Now {
				keep = append(keep, e)
			}
		}
		if len(keep) == 0 || !n.place.Covers(p) {
			delete(n.store, p)
		} else {
			n.store[p] = keep
		}
	}
}

// Publish announces a stream from this host. Packets flow as soon as the
// driver has them; see Forward.
func (n *Streams) Publish(info wire.StreamInfo) error {
	if err := info.Check(); err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	if !n.member() {
		return fmt.Errorf("announce %s: this host is %s, not a member of the overlay", info.ID, n.place.State())
	}
	if s := n.streams[info.ID]; s != nil && !s.publisher {
		return fmt.Errorf("announce %s: another host publishes this stream", info.ID)
	} else if s != nil {
		return fmt.Errorf("announce %s: already published here", info.ID)
	}
	if len(n.streams) >= n.Cfg.MaxForwarded {
		return fmt.Errorf("announce %s: %d streams pass this host, and no more may", info.ID, len(n.streams))
	}
	info.Publisher = n.Self
	info.Version = uint64(n.Now) + 1
	s := n.addStream(info)
	s.publisher = true
	s.path = []wire.Hop{{Host: n.Self}}
	n.placeStages(s) // the first packet passes the pipeline as the last does
	n.put(s)
	n.After(n.Jitter(putInterval), turn.Timer{Of: turn.Streams, What: timerPut, Host: wire.HostID(info.ID), Key: s.gen})
	n.After(n.Cfg.BeatInterval, turn.Timer{Of: turn.Streams, What: timerBeat, Host: wire.HostID(info.ID), Key: s.gen})
	n.forward(s)
	return nil
}

// put stores the directory entry at its owners.
func (n *Streams) put(s *stream) {
	s.info.Version++
	info := s.info
	for _, p := range n.pointsOf(&info) {
		m := &wire.Lookup{Kind: wire.Put, Target: p, Origin: n.Self, Info: &info}
		n.Ask(&turn.Request{Msg: m, Tries: 4, Wait: 2 * n.Cfg.RetryInterval, Then: func(from wire.Peer, a wire.Message) {
			if a.(*wire.Found).Full {
				// It does not know that it is we who ask: see keep.
				again := *m
				n.Ask(&turn.Request{To: from, Msg: &again, Tries: 2, Wait: 2 * n.Cfg.RetryInterval})
			}
		}})
	}
}

// unput takes the directory entry away, so that nobody looks for a stream that
// has ended. Its keepers take our word for it, nobody else's: they are looked up,
// and told by us.
func (n *Streams) unput(s *stream) {
	n.Pending(func(r *turn.Request) bool {
		if l, ok := r.Msg.(*wire.Lookup); ok && l.Kind == wire.Put && l.Info.ID == s.info.ID {
			n.Forget(r.ID)
		}
		return true
	})
	for _, p := range n.pointsOf(&s.info) {
		m := &wire.Lookup{Kind: wire.Find, Target: p, Origin: n.Self}
		id := s.info.ID
		n.Ask(&turn.Request{Msg: m, Tries: 3, Wait: 2 * n.Cfg.RetryInterval, Then: func(from wire.Peer, _ wire.Message) { n.dropAt(from, p, id) }})
	}
}

// dropAt has a host forget our entry of a stream.
func (n *Streams) dropAt(keeper wire.Peer, p wire.Point, id wire.StreamID) {
	if keeper.ID == n.Self.ID {
		n.unkeep(p, id, n.Self.ID)
		return
	}
	m := &wire.Lookup{Kind: wire.Drop, Target: p, Origin: n.Self, Info: &wire.StreamInfo{ID: id}}
	n.Ask(&turn.Request{To: keeper, Msg: m, Tries: 3, Wait: 2 * n.Cfg.RetryInterval})
}

func (n *Streams) putDue(t turn.Timer) {
	if s := n.streams[wire.StreamID(t.Host)]; s != nil && s.publisher && s.gen == t.Key {
		n.put(s)
		n.After(n.Jitter(putInterval), t)
	}
}

// Withdraw ends a stream of this host, and says how it ended.
func (n *Streams) Withdraw(id wire.StreamID, why wire.EndReason) error {
	s := n.streams[id]
	if s == nil || !s.publisher {
		return fmt.Errorf("withdraw %s: not published here", id)
	}
	n.unput(s)
	n.remember(id, why)
	n.endStream(s, why)
	return nil
}
