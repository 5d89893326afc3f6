// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sandstream/internal/overlay/wire"
)

// Status is a snapshot for the user. It shares nothing with the node.
func (n *Node) Status(now wire.Time) Status {
	n.advance(now)
	st := Status{
		Self: n.self, State: n.state, Radix: n.cfg.Radix, Region: n.region, Zones: slices.Clone(n.zones),
		Sent: map[string]uint64{}, Recv: map[string]uint64{}, Counts: maps.Clone(n.counts),
	}
	for k := range wire.NumKinds {
		if n.sent[k] > 0 {
			st.Sent[wire.Kind(k).String()] = n.sent[k]
		}
		if n.recv[k] > 0 {
			st.Recv[wire.Kind(k).String()] = n.recv[k]
		}
	}
	for _, id := range sortedHosts(n.peers) {
		p := n.peers[id]
		ps := PeerStatus{
			Peer: p.Peer, CostUs: p.costUs, RTTUs: uint32(p.srtt / time.Microsecond), VarUs: uint32(p.rttvar / time.Microsecond),
			LossPpm: p.lossPpm, LastHeard: now - p.heard, Suspect: p.probing && now-p.pingAt > n.cfg.AckTimeout,
		}
		for i := range n.table {
			if n.table[i].Owner.ID == id {
				ps.Zones = append(ps.Zones, n.table[i])
			}
		}
		st.Peers = append(st.Peers, ps)
	}
	for _, s := range n.sortedStreams() {
		ss := StreamStatus{Info: s.info, Publisher: s.publisher, Path: slices.Clone(s.path), Local: n.locals(s)}
		for _, c := range s.children {
			if !c.trial {
				ss.Children = append(ss.Children, Child{Host: c.Peer, OutUs: n.costTo(c.ID), SPA: c.spa, SharePpm: s.sharePpm(c.spa)})
			}
		}
		st.Streams = append(st.Streams, ss)
	}
	for _, u := range n.subs {
		st.Subs = append(st.Subs, n.subStatus(u))
	}
	return st
}

func (n *Node) subStatus(u *sub) SubStatus {
	st := SubStatus{
		ID: u.id, Stream: u.stream, Name: u.name, Contract: u.contract, State: u.state, Reason: u.reason,
		PredictedUs: u.predictedUs, PredictedPpm: u.predictedPpm, Measured: u.window(), Swaps: u.swaps, Repairs: u.repairs,
	}
	if s := n.streams[u.stream]; s != nil {
		st.Path, st.Degraded = slices.Clone(s.path), s.degraded
		if st.Name == "" {
			st.Name = s.info.Name
		}
	}
	return st
}

func sortedHosts[V any](m map[wire.HostID]V) []wire.HostID {
	return slices.SortedFunc(maps.Keys(m), func(a, b wire.HostID) int {
		if a.Less(b) {
			return -1
		}
		return 1
	})
}

// sortedStreams lists the streams in an order that does not depend on chance:
// the same inputs must give the same outputs.
func (n *Node) sortedStreams() []*stream {
	ids := slices.SortedFunc(maps.Keys(n.streams), func(a, b wire.StreamID) int { return slices.Compare(a[:], b[:]) })
	v := make([]*stream, len(ids))
	for i, id := range ids {
		v[i] = n.streams[id]
	}
	return v
}

// Dump describes the inner state, for the report of a failing test.
func (n *Node) Dump() string {
	var b strings.Builder
	list := func(what string, rs []wire.Record) {
		fmt.Fprintf(&b, " %s:", what)
		for i := range rs {
			fmt.Fprintf(&b, " %s/%d.%s", rs[i].Zone, rs[i].Counter, rs[i].Owner.ID)
		}
	}
	fmt.Fprintf(&b, "%s %s", n.self.ID, n.state)
	list("own", n.zones)
	list("table", n.table)
	var gs []wire.Record
	for i := range n.graves {
		gs = append(gs, n.graves[i].Record)
	}
	list("graves", gs)
	fmt.Fprintf(&b, " join: %+v seeds: %v known: %v pending:", n.join, n.seeds, n.known)
	for _, r := range n.pending {
		fmt.Fprintf(&b, " %d to %s", r.what, r.to)
	}
	if n.out != nil {
		fmt.Fprintf(&b, " out: %+v", *n.out)
	}
	for _, x := range n.in {
		fmt.Fprintf(&b, " in: %+v", *x)
	}
	var rivals []wire.HostID
	for _, r := range n.rivals {
		rivals = append(rivals, r.ID)
	}
	fmt.Fprintf(&b, " rivals: %v claims: %v disputes: %v tentative: %d dirty: %v counts: %v", rivals, n.claims, n.disputes, len(n.tentative), n.dirty, n.counts)
	return b.String()
}
