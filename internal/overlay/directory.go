// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"sandstream/internal/overlay/wire"
)

// stored is a directory entry of an id we own: soft state, renewed by the
// publisher.
type stored struct {
	wire.StreamInfo
	until wire.Time
}

const (
	putInterval = 5 * time.Second
	putLife     = 20 * time.Second
	maxPerPoint = 8
	maxInfos    = 16 // of a message: with the largest entries 16 KB
)

// pointOfStream is the id whose owner keeps a stream's directory entry.
func (n *Node) pointOfStream(id wire.StreamID) wire.Point { return n.hashPoint('i', id[:]) }

func (n *Node) pointOfName(name string) wire.Point { return n.hashPoint('n', []byte(name)) }

// pointsOf are the ids that an entry is kept under.
func (n *Node) pointsOf(i *wire.StreamInfo) []wire.Point {
	points := []wire.Point{n.pointOfStream(i.ID)}
	if i.Public && i.Name != "" {
		points = append(points, n.pointOfName(i.Name))
	}
	return points
}

func (n *Node) hashPoint(tag byte, b []byte) wire.Point {
	h := fnv.New64a()
	h.Write([]byte{tag})
	h.Write(b)
	x := h.Sum64()
	// FNV mixes its low bits well and its high bits badly; ids use the high ones.
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	return wire.PointOf(x, n.cfg.Radix)
}

// keep stores a directory entry under the ids of ours that it belongs to, and
// says whether there was room. A publisher finds room in place of his oldest
// entry, if it was he who sent us the new one; what others sent could be
// anybody's word.
func (n *Node) keep(i *wire.StreamInfo, from wire.HostID) (room bool) {
	if i.Check() != nil {
		return true
	}
	room = true
	for _, p := range n.pointsOf(i) {
		if !n.covers(p) {
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
			if e.ID != i.ID || e.Publisher != i.Publisher || i.Version > e.Version+maxLeap {
				continue
			}
			found = true
			if i.Version >= e.Version {
				*e = stored{*i, n.now + putLife}
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
		if len(list) >= maxPerPoint || len(n.store) >= MaxStreams {
			room = false
			continue
		}
		n.store[p] = append(list, stored{*i, n.now + putLife}) // in order of arrival
	}
	return room
}

// unkeep forgets a publisher's entry of a stream.
func (n *Node) unkeep(p wire.Point, id wire.StreamID, publisher wire.HostID) {
	list := slices.DeleteFunc(n.store[p], func(e stored) bool { return e.ID == id && e.Publisher.ID == publisher })
	if len(list) > 0 {
		n.store[p] = list
	} else {
		delete(n.store, p)
	}
}

func (n *Node) storedAt(p wire.Point) []wire.StreamInfo {
	var v []wire.StreamInfo
	for _, e := range n.store[p] {
		if e.until > n.now {
			v = append(v, e.StreamInfo)
		}
	}
	return v
}

// storedIn lists the entries of zones, at most maxInfos: what does not fit is renewed by
// the publishers.
func (n *Node) storedIn(zones []wire.Zone) []wire.StreamInfo {
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

func (n *Node) keepAll(infos []wire.StreamInfo) {
	for i := range infos {
		n.keep(&infos[i], wire.HostID{})
	}
}

func (n *Node) expireStore() {
	for p, list := range n.store {
		keep := list[:0]
		for _, e := range list {
			if e.until > n.now {
				keep = append(keep, e)
			}
		}
		if len(keep) == 0 || !n.covers(p) {
			delete(n.store, p)
		} else {
			n.store[p] = keep
		}
	}
}

// Announce publishes a stream from this host. Packets flow as soon as the
// driver has them; see Forward.
func (n *Node) Announce(now wire.Time, info wire.StreamInfo) error {
	n.advance(now)
	if err := info.Check(); err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	if n.state != Member {
		return fmt.Errorf("announce %s: this host is %s, not a member of the overlay", info.ID, n.state)
	}
	if s := n.streams[info.ID]; s != nil && !s.publisher {
		return fmt.Errorf("announce %s: another host publishes this stream", info.ID)
	} else if s != nil {
		return fmt.Errorf("announce %s: already published here", info.ID)
	}
	if len(n.streams) >= n.cfg.MaxForwarded {
		return fmt.Errorf("announce %s: %d streams pass this host, and no more may", info.ID, len(n.streams))
	}
	info.Publisher = n.self
	info.Version = uint64(now) + 1
	s := n.addStream(info)
	s.publisher = true
	s.path = []wire.Hop{{Host: n.self}}
	n.place(s) // the first packet passes the pipeline as the last does
	n.put(s)
	n.after(n.jitter(putInterval), timer{what: tAnnounceStream, host: wire.HostID(info.ID), key: s.gen})
	n.after(n.cfg.BeatInterval, timer{what: tBeat, host: wire.HostID(info.ID), key: s.gen})
	n.forward(s)
	return nil
}

// put stores the directory entry at its owners.
func (n *Node) put(s *stream) {
	s.info.Version++
	info := s.info
	for _, p := range n.pointsOf(&info) {
		m := &wire.Lookup{Kind: wire.Put, Target: p, Origin: n.self, Info: &info}
		n.request(&request{what: reqPut, msg: m, tries: 4, wait: 2 * n.cfg.RetryInterval})
	}
}

// unput takes the directory entry away, so that nobody looks for a stream that
// has ended. Its keepers take our word for it, nobody else's: they are looked up,
// and told by us.
func (n *Node) unput(s *stream) {
	for id, r := range n.pending {
		if l, ok := r.msg.(*wire.Lookup); ok && l.Kind == wire.Put && l.Info.ID == s.info.ID {
			delete(n.pending, id)
		}
	}
	for _, p := range n.pointsOf(&s.info) {
		m := &wire.Lookup{Kind: wire.Find, Target: p, Origin: n.self}
		n.request(&request{what: reqHome, msg: m, tries: 3, wait: 2 * n.cfg.RetryInterval, strm: s.info.ID})
	}
}

// dropAt has a host forget our entry of a stream.
func (n *Node) dropAt(keeper wire.Peer, p wire.Point, id wire.StreamID) {
	if keeper.ID == n.self.ID {
		n.unkeep(p, id, n.self.ID)
		return
	}
	m := &wire.Lookup{Kind: wire.Drop, Target: p, Origin: n.self, Info: &wire.StreamInfo{ID: id}}
	n.request(&request{what: reqPut, to: keeper, msg: m, tries: 3, wait: 2 * n.cfg.RetryInterval})
}

func (n *Node) putDue(t timer) {
	if s := n.streams[wire.StreamID(t.host)]; s != nil && s.publisher && s.gen == t.key {
		n.put(s)
		n.after(n.jitter(putInterval), t)
	}
}

// Withdraw ends a stream of this host.
func (n *Node) Withdraw(now wire.Time, id wire.StreamID) error {
	n.advance(now)
	s := n.streams[id]
	if s == nil || !s.publisher {
		return fmt.Errorf("withdraw %s: not published here", id)
	}
	n.unput(s)
	n.endStream(s, "the publisher has withdrawn the stream")
	return nil
}
