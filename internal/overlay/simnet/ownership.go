// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"fmt"

	"sandstream/internal/overlay"
)

// Ownership watches who serves which ids, and knows at every instant of virtual
// time what no host can: all owners at once.
type Ownership struct {
	radix int
	root  *node
	hosts map[int]map[overlay.Zone]overlay.Record // live owners
	ever  map[claimKey]int                        // (zone, counter, claimant) to host

	Duplicates []string // two hosts under one (id, epoch): must stay empty
	Overlaps   uint64   // times a host began to serve ids that another served
	Crash      []Gap    // ids without owner after a crash, closed
	Handover   []Gap    // during a hand-over, closed
	open       map[overlay.Zone]openGap
	shared     map[overlay.Zone]Time // ids with two owners, since
	Shared     []Time                // how long that lasted
}

// Gap is a zone that nobody owned for a while.
type Gap struct {
	Zone overlay.Zone
	From Time
	For  Time
}

type openGap struct {
	since Time
	crash bool
}

type claimKey struct {
	zone    overlay.Zone
	counter uint64
	owner   overlay.HostID
}

// node is a node of the trie of zones: who owns exactly this zone, and how many
// owned zones lie below.
type node struct {
	child  [3]*node
	owners []int
	below  int
}

func newOwnership(radix int) *Ownership {
	return &Ownership{
		radix: radix, root: &node{}, hosts: map[int]map[overlay.Zone]overlay.Record{}, ever: map[claimKey]int{},
		open: map[overlay.Zone]openGap{}, shared: map[overlay.Zone]Time{},
	}
}

func (o *Ownership) owned(h int, r overlay.Record, now Time) {
	k := claimKey{r.Zone, r.Counter, r.Owner.ID}
	if was, ok := o.ever[k]; ok && was != h {
		o.Duplicates = append(o.Duplicates, fmt.Sprintf("zone %s epoch %d.%s: hosts %d and %d", r.Zone, r.Counter, r.Owner.ID, was, h))
	}
	o.ever[k] = h
	if o.others(r.Zone, h) {
		o.Overlaps++
		if _, ok := o.shared[r.Zone]; !ok {
			o.shared[r.Zone] = now
		}
	}
	if o.hosts[h] == nil {
		o.hosts[h] = map[overlay.Zone]overlay.Record{}
	}
	o.hosts[h][r.Zone] = r
	n := o.root
	for i := range int(r.Zone.Len) {
		n.below++
		d := r.Zone.Path.Digit(i)
		if n.child[d] == nil {
			n.child[d] = &node{}
		}
		n = n.child[d]
	}
	n.owners = append(n.owners, h)
	o.close(r.Zone, now)
}

func (o *Ownership) remove(h int, z overlay.Zone) {
	delete(o.hosts[h], z)
	n := o.root
	for i := range int(z.Len) {
		n.below--
		n = n.child[z.Path.Digit(i)]
	}
	for i, v := range n.owners {
		if v == h {
			n.owners = append(n.owners[:i], n.owners[i+1:]...)
			break
		}
	}
}

func (o *Ownership) released(h int, r overlay.Record, now Time) {
	o.remove(h, r.Zone)
	o.gap(r.Zone, now, false)
	o.settle(now)
}

func (o *Ownership) crashed(h int, now Time) {
	for _, z := range o.Zones(h) {
		o.remove(h, z)
		o.gap(z, now, true)
	}
	o.settle(now)
}

// settle closes the times of two owners that have ended.
func (o *Ownership) settle(now Time) {
	for z, t := range o.shared {
		if !o.twice(z) {
			o.Shared = append(o.Shared, now-t)
			delete(o.shared, z)
		}
	}
}

// twice says whether some id of z has two owners now.
func (o *Ownership) twice(z overlay.Zone) bool {
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
func (o *Ownership) others(z overlay.Zone, h int) bool {
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
func (o *Ownership) gap(z overlay.Zone, now Time, crash bool) {
	n := o.root
	for i := range int(z.Len) {
		if len(n.owners) > 0 {
			return
		}
		if n = n.child[z.Path.Digit(i)]; n == nil {
			o.open[z] = openGap{now, crash}
			return
		}
	}
	o.gapBelow(n, z, now, crash)
}

func (o *Ownership) gapBelow(n *node, z overlay.Zone, now Time, crash bool) {
	switch {
	case n == nil || len(n.owners) == 0 && n.below == 0:
		o.open[z] = openGap{now, crash}
	case len(n.owners) == 0:
		for v := range o.radix {
			o.gapBelow(n.child[v], z.Child(v), now, crash)
		}
	}
}

// close ends the gaps that z fills, and cuts those of which it fills a part.
func (o *Ownership) close(z overlay.Zone, now Time) {
	for g, info := range o.open {
		switch {
		case z.Contains(g):
			o.closed(g, info, now)
			delete(o.open, g)
		case g.Contains(z):
			delete(o.open, g)
			for c := g; c != z; {
				var next overlay.Zone
				for v := range o.radix {
					if k := c.Child(v); k.Contains(z) {
						next = k
					} else {
						o.open[k] = info
					}
				}
				c = next
			}
			o.closed(z, info, now)
		}
	}
}

func (o *Ownership) closed(z overlay.Zone, g openGap, now Time) {
	e := Gap{Zone: z, From: g.since, For: now - g.since}
	if g.crash {
		o.Crash = append(o.Crash, e)
	} else if e.For > 0 {
		o.Handover = append(o.Handover, e)
	}
}

// Zones lists the zones a live host owns, in order.
func (o *Ownership) Zones(h int) []overlay.Zone {
	var v []overlay.Zone
	for z := range o.hosts[h] {
		v = append(v, z)
	}
	sortZones(v)
	return v
}

// Unowned counts the gaps that are open, and gives the oldest.
func (o *Ownership) Unowned() (n int, oldest Time) {
	for _, g := range o.open {
		if n == 0 || g.since < oldest {
			oldest = g.since
		}
		n++
	}
	return n, oldest
}

// Twice counts the zones with two live owners.
func (o *Ownership) Twice() int { return len(o.shared) }

// Owner is a host that owns the id, -1 if none does.
func (o *Ownership) Owner(p overlay.Point) int {
	n := o.root
	for i := 0; n != nil; i++ {
		if len(n.owners) > 0 {
			return n.owners[0]
		}
		if i == overlay.MaxDigits {
			break
		}
		n = n.child[p.Digit(i)]
	}
	return -1
}
