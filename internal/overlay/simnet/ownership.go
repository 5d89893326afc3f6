// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"fmt"

	"sandstream/internal/overlay/wire"
)

// Ownership watches who serves which ids, and knows at every instant of virtual
// time what no host can: all owners at once.
type Ownership struct {
	radix int
	root  *node
	hosts map[int]map[wire.Zone]wire.Record // live owners
	ever  map[claimKey]int                  // (zone, counter, claimant) to host

	Duplicates []string // two hosts under one (id, epoch): must stay empty
	Overlaps   uint64   // times a host began to serve ids that another served
	Crash      []Gap    // ids without owner after a crash, closed
	Handover   []Gap    // during a hand-over, closed
	Shared     []Time   // how long ids had two owners
	open       int      // gaps
	shared     int      // zones with two owners
}

// Gap is a zone that nobody owned for a while.
type Gap struct {
	Zone wire.Zone
	From Time
	For  Time
}

type openGap struct {
	since Time
	crash bool
}

type claimKey struct {
	zone    wire.Zone
	counter uint64
	owner   wire.HostID
}

// node is a node of the trie of zones: who owns exactly this zone, since when
// nobody does, since when two do; and how many of each lie below. All look-ups go
// along one path and into what is below it, so that a partition of 65,536 hosts
// costs no more for each change than a crash.
type node struct {
	child  [3]*node
	owners []int
	gap    *openGap
	twice  *Time

	below, gaps, pairs int // owned zones, gaps, zones owned twice, below this node
}

func newOwnership(radix int) *Ownership {
	return &Ownership{
		radix: radix, root: &node{}, hosts: map[int]map[wire.Zone]wire.Record{}, ever: map[claimKey]int{},
	}
}

func (o *Ownership) owned(h int, r wire.Record, now Time) {
	k := claimKey{r.Zone, r.Counter, r.Owner.ID}
	if was, ok := o.ever[k]; ok && was != h {
		o.Duplicates = append(o.Duplicates, fmt.Sprintf("zone %s epoch %d.%s: hosts %d and %d", r.Zone, r.Counter, r.Owner.ID, was, h))
	}
	o.ever[k] = h
	if o.others(r.Zone, h) {
		o.Overlaps++
		o.mark(r.Zone, func(n *node) (was bool) {
			was = n.twice != nil
			if !was {
				n.twice = &now
				o.shared++
			}
			return was
		}, func(n *node) { n.pairs++ })
	}
	if o.hosts[h] == nil {
		o.hosts[h] = map[wire.Zone]wire.Record{}
	}
	o.hosts[h][r.Zone] = r
	o.mark(r.Zone, func(n *node) bool { n.owners = append(n.owners, h); return false }, func(n *node) { n.below++ })
	o.close(r.Zone, now)
}

// mark makes the node of a zone, hands it to f, and unless f says that nothing
// changed counts at all nodes above it.
func (o *Ownership) mark(z wire.Zone, f func(*node) (same bool), count func(*node)) {
	n := o.root
	path := make([]*node, 0, z.Len)
	for i := range int(z.Len) {
		path = append(path, n)
		d := z.Path.Digit(i)
		if n.child[d] == nil {
			n.child[d] = &node{}
		}
		n = n.child[d]
	}
	if !f(n) {
		for _, p := range path {
			count(p)
		}
	}
}

func (o *Ownership) remove(h int, z wire.Zone) {
	delete(o.hosts[h], z)
	o.mark(z, func(n *node) bool {
		for i, v := range n.owners {
			if v == h {
				n.owners = append(n.owners[:i], n.owners[i+1:]...)
				return false
			}
		}
		return true
	}, func(n *node) { n.below-- })
}

func (o *Ownership) released(h int, r wire.Record, now Time) {
	o.remove(h, r.Zone)
	o.gap(r.Zone, now, false)
	o.settle(r.Zone, now)
}

func (o *Ownership) crashed(h int, now Time) {
	for _, z := range o.Zones(h) {
		o.remove(h, z)
		o.gap(z, now, true)
		o.settle(z, now)
	}
}

// settle closes the times of two owners that the release of z has ended.
func (o *Ownership) settle(z wire.Zone, now Time) {
	if o.shared == 0 {
		return
	}
	var ended []wire.Zone
	o.around(z, func(n *node) int { return n.pairs }, func(n *node, at wire.Zone) {
		if n.twice != nil && !o.twice(at) {
			ended = append(ended, at)
		}
	})
	for _, e := range ended {
		o.mark(e, func(n *node) bool {
			o.Shared = append(o.Shared, now-*n.twice)
			n.twice = nil
			o.shared--
			return false
		}, func(n *node) { n.pairs-- })
	}
}

// around visits the nodes above, at and below a zone; below only where there is
// something to find.
func (o *Ownership) around(z wire.Zone, below func(*node) int, visit func(*node, wire.Zone)) {
	n, at := o.root, wire.Zone{}
	for at.Len < z.Len {
		visit(n, at)
		d := z.Path.Digit(int(at.Len))
		if n = n.child[d]; n == nil {
			return
		}
		at = at.Child(d)
	}
	o.under(n, at, below, visit)
}

func (o *Ownership) under(n *node, at wire.Zone, below func(*node) int, visit func(*node, wire.Zone)) {
	visit(n, at)
	if below(n) == 0 {
		return
	}
	for v := range o.radix {
		if c := n.child[v]; c != nil {
			o.under(c, at.Child(v), below, visit)
		}
	}
}

// twice says whether some id of z has two owners now.
func (o *Ownership) twice(z wire.Zone) bool {
	n, above := o.root, 0
	for i := range int(z.Len) {
		above += len(n.owners)
		if n = n.child[z.Path.Digit(i)]; n == nil {
			return above > 1
		}
	}
	return n.depth(above) > 1
}

func (n *node) depth(above int) int {
	above += len(n.owners)
	most := above
	if n.below > 0 {
		for _, c := range n.child {
			if c != nil {
				most = max(most, c.depth(above))
			}
		}
	}
	return most
}

// others says whether a host but h owns an id of z.
func (o *Ownership) others(z wire.Zone, h int) bool {
	n := o.root
	for i := range int(z.Len) {
		if n.other(h) {
			return true
		}
		if n = n.child[z.Path.Digit(i)]; n == nil {
			return false
		}
	}
	return n.any(h)
}

func (n *node) other(h int) bool {
	for _, v := range n.owners {
		if v != h {
			return true
		}
	}
	return false
}

func (n *node) any(h int) bool {
	if n.other(h) {
		return true
	}
	if n.below > 0 {
		for _, c := range n.child {
			if c != nil && c.any(h) {
				return true
			}
		}
	}
	return false
}

// gap notes the ids of z that nobody owns any more.
func (o *Ownership) gap(z wire.Zone, now Time, crash bool) {
	n := o.root
	for i := range int(z.Len) {
		if len(n.owners) > 0 {
			return
		}
		if n = n.child[z.Path.Digit(i)]; n == nil {
			break
		}
	}
	o.gapBelow(n, z, openGap{now, crash})
}

func (o *Ownership) gapBelow(n *node, z wire.Zone, g openGap) {
	switch {
	case n == nil || len(n.owners) == 0 && n.below == 0:
		o.addGap(z, g)
	case len(n.owners) == 0:
		for v := range o.radix {
			o.gapBelow(n.child[v], z.Child(v), g)
		}
	}
}

func (o *Ownership) addGap(z wire.Zone, g openGap) {
	o.mark(z, func(n *node) (was bool) {
		was = n.gap != nil
		if !was {
			n.gap = &g
			o.open++
		}
		return was
	}, func(n *node) { n.gaps++ })
}

func (o *Ownership) takeGap(z wire.Zone) (g openGap) {
	o.mark(z, func(n *node) bool {
		g, n.gap = *n.gap, nil
		o.open--
		return false
	}, func(n *node) { n.gaps-- })
	return g
}

// close ends the gaps that z fills, and cuts those of which it fills a part.
func (o *Ownership) close(z wire.Zone, now Time) {
	if o.open == 0 {
		return
	}
	var found []wire.Zone
	o.around(z, func(n *node) int { return n.gaps }, func(n *node, at wire.Zone) {
		if n.gap != nil {
			found = append(found, at)
		}
	})
	for _, g := range found {
		info := o.takeGap(g)
		if z.Contains(g) {
			o.closed(g, info, now)
			continue
		}
		for c := g; c != z; {
			var next wire.Zone
			for v := range o.radix {
				if k := c.Child(v); k.Contains(z) {
					next = k
				} else {
					o.addGap(k, info)
				}
			}
			c = next
		}
		o.closed(z, info, now)
	}
}

func (o *Ownership) closed(z wire.Zone, g openGap, now Time) {
	e := Gap{Zone: z, From: g.since, For: now - g.since}
	if g.crash {
		o.Crash = append(o.Crash, e)
	} else if e.For > 0 {
		o.Handover = append(o.Handover, e)
	}
}

// Zones lists the zones a live host owns, in order.
func (o *Ownership) Zones(h int) []wire.Zone {
	var v []wire.Zone
	for z := range o.hosts[h] {
		v = append(v, z)
	}
	sortZones(v)
	return v
}

// Unowned counts the gaps that are open, and gives the oldest.
func (o *Ownership) Unowned() (n int, oldest Time) {
	if o.open == 0 {
		return 0, 0
	}
	oldest = never
	o.under(o.root, wire.Zone{}, func(n *node) int { return n.gaps }, func(n *node, _ wire.Zone) {
		if n.gap != nil {
			oldest = min(oldest, n.gap.since)
		}
	})
	return o.open, oldest
}

// Twice counts the zones with two live owners.
func (o *Ownership) Twice() int { return o.shared }

// Owner is a host that owns the id, -1 if none does.
func (o *Ownership) Owner(p wire.Point) int {
	n := o.root
	for i := 0; n != nil; i++ {
		if len(n.owners) > 0 {
			return n.owners[0]
		}
		if i == wire.MaxDigits {
			break
		}
		n = n.child[p.Digit(i)]
	}
	return -1
}
