// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"fmt"

	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// Problems lists what is wrong with an overlay that has had time to settle:
// ids with no owner or two, and neighbours that a host does not know.
func (w *Net) Problems() []string {
	var bad []string
	add := func(format string, a ...any) {
		if len(bad) < 20 {
			bad = append(bad, fmt.Sprintf(format, a...))
		}
	}
	if n, old := w.Own.Unowned(); n > 0 {
		add("%d zones without owner, the oldest since %v, now %v: %v", n, old, w.now, w.Own.openZones())
	}
	if n := w.Own.Twice(); n > 0 {
		add("%d zones with two owners", n)
	}
	for _, d := range w.Own.Duplicates {
		add("one epoch, two owners: %s", d)
	}
	for _, h := range w.hosts {
		if !h.Up || h.Node.State() != overlay.Member {
			continue
		}
		st := h.Node.Status(w.now)
		known := map[wire.Zone]wire.HostID{}
		for _, p := range st.Peers {
			for _, r := range p.Zones {
				known[r.Zone] = r.Owner.ID
			}
		}
		// Every zone next to ours must be known with its owner, and nothing else.
		for z, id := range known {
			o := w.HostByID(id)
			if _, ok := w.Own.hosts[o.Index][z]; !ok || !o.Up {
				add("host %d takes host %d for the owner of %s, which it is not", h.Index, o.Index, z)
			}
		}
		for _, r := range st.Zones {
			for d := range int(r.Zone.Len) {
				for v := range w.cfg.Overlay.Radix {
					if v == r.Zone.Path.Digit(d) {
						continue
					}
					w.Own.each(wire.Zone{Path: r.Zone.Path.With(d, v), Len: r.Zone.Len}, func(z wire.Zone, o int) {
						if o != h.Index && known[z] != w.hosts[o].Peer.ID {
							add("host %d, zone %s: does not know host %d, owner of %s", h.Index, r.Zone, o, z)
						}
					})
				}
			}
		}
	}
	return bad
}

// HostByID finds a host by its name.
func (w *Net) HostByID(id wire.HostID) *Host {
	if w.byID == nil {
		w.byID = map[wire.HostID]*Host{}
	}
	if h := w.byID[id]; h != nil {
		return h
	}
	for _, h := range w.hosts {
		w.byID[h.Peer.ID] = h
	}
	return w.byID[id]
}

// each visits the owned zones that overlap z.
func (o *Ownership) each(z wire.Zone, f func(wire.Zone, int)) {
	n, at := o.root, wire.Zone{}
	for {
		for _, h := range n.owners {
			f(at, h)
		}
		if at.Len == z.Len {
			break
		}
		d := z.Path.Digit(int(at.Len))
		if n = n.child[d]; n == nil {
			return
		}
		at = at.Child(d)
	}
	o.eachBelow(n, at, f)
}

func (o *Ownership) eachBelow(n *node, at wire.Zone, f func(wire.Zone, int)) {
	if n.below == 0 {
		return
	}
	for v := range o.radix {
		if c := n.child[v]; c != nil {
			for _, h := range c.owners {
				f(at.Child(v), h)
			}
			o.eachBelow(c, at.Child(v), f)
		}
	}
}

func (o *Ownership) openZones() []wire.Zone {
	var v []wire.Zone
	o.under(o.root, wire.Zone{}, func(n *node) int { return n.gaps }, func(n *node, at wire.Zone) {
		if n.gap != nil {
			v = append(v, at)
		}
	})
	return v[:min(len(v), 8)]
}
