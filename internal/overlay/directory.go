// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"
)

// stored is a directory entry of an id we own: soft state, renewed by the
// publisher.
type stored struct {
	StreamInfo
	until Time
}

const (
	putInterval = 5 * time.Second
	putLife     = 20 * time.Second
	maxPerPoint = 8
	maxInfos    = 16 // of a message: with the largest entries 16 KB
)

// pointOfStream is the id whose owner keeps a stream's directory entry.
func (n *Node) pointOfStream(id StreamID) Point { return n.hashPoint('i', id[:]) }

func (n *Node) pointOfName(name string) Point { return n.hashPoint('n', []byte(name)) }

func (n *Node) hashPoint(tag byte, b []byte) Point {
	h := fnv.New64a()
	h.Write([]byte{tag})
	h.Write(b)
	x := h.Sum64()
	// FNV mixes its low bits well and its high bits badly; ids use the high ones.
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	return PointOf(x, n.cfg.Radix)
}

// keep stores a directory entry, if there is room, under the ids of ours that
// it belongs to.
func (n *Node) keep(i *StreamInfo) {
	if i.check() != nil {
		return
	}
	points := []Point{n.pointOfStream(i.ID)}
	if i.Public && i.Name != "" {
		points = append(points, n.pointOfName(i.Name))
	}
	for _, p := range points {
		if !n.covers(p) {
			continue
		}
		if n.store == nil {
			n.store = map[Point][]stored{}
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
		if !found && len(list) < maxPerPoint && len(n.store) < MaxStreams {
			n.store[p] = append(list, stored{*i, n.now + putLife})
		}
	}
}

func (n *Node) storedAt(p Point) []StreamInfo {
	var v []StreamInfo
	for _, e := range n.store[p] {
		if e.until > n.now {
			v = append(v, e.StreamInfo)
		}
	}
	return v
}

// storedIn lists the entries of zones, at most maxInfos: what does not fit is renewed by
// the publishers.
func (n *Node) storedIn(zones []Zone) []StreamInfo {
	var v []StreamInfo
	for _, p := range slices.Sorted(maps.Keys(n.store)) {
		if slices.ContainsFunc(zones, func(z Zone) bool { return z.Covers(p) }) {
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

func (n *Node) keepAll(infos []StreamInfo) {
	for i := range infos {
		n.keep(&infos[i])
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
func (n *Node) Announce(now Time, info StreamInfo) error {
	n.advance(now)
	if err := info.check(); err != nil {
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
	s.path = []Hop{{Host: n.self}}
	n.place(s) // the first packet passes the pipeline as the last does
	n.put(s)
	n.after(n.jitter(putInterval), timer{what: tAnnounceStream, host: HostID(info.ID), key: s.gen})
	n.after(n.cfg.BeatInterval, timer{what: tBeat, host: HostID(info.ID), key: s.gen})
	n.forward(s)
	return nil
}

// put stores the directory entry at its owners.
func (n *Node) put(s *stream) {
	s.info.Version++
	info := s.info
	points := []Point{n.pointOfStream(info.ID)}
	if info.Public && info.Name != "" {
		points = append(points, n.pointOfName(info.Name))
	}
	for _, p := range points {
		m := &Lookup{Kind: Put, Target: p, Origin: n.self, Info: &info}
		n.request(&request{what: reqPut, msg: m, tries: 4, wait: 2 * n.cfg.RetryInterval})
	}
}

func (n *Node) putDue(t timer) {
	if s := n.streams[StreamID(t.host)]; s != nil && s.publisher && s.gen == t.key {
		n.put(s)
		n.after(n.jitter(putInterval), t)
	}
}

// Withdraw ends a stream of this host.
func (n *Node) Withdraw(now Time, id StreamID) error {
	n.advance(now)
	s := n.streams[id]
	if s == nil || !s.publisher {
		return fmt.Errorf("withdraw %s: not published here", id)
	}
	n.endStream(s, "the publisher has withdrawn the stream")
	return nil
}
