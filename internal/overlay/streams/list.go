// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"fmt"
	"maps"
	"slices"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// Listed answers List: a part of the overlay's directory of names.
type Listed struct {
	List  uint64      // what List gave
	Zone  wire.Record // that was asked, and who answered for it
	Infos []wire.StreamInfo
	Next  wire.Point // where it goes on; 0: that was the last
	Err   string     // "" if it was answered
}

// Effect marks Listed as an effect.
func (Listed) Effect() {}

// List asks for the public streams whose names are kept from an id on in one zone: the
// entries are spread over all hosts, and a walk over all zones, from id 0 on, lists them.
// The answer is the effect Listed of the number given. It costs a look-up.
func (n *Streams) List(from wire.Point) (uint64, error) {
	if !n.member() {
		return 0, fmt.Errorf("list: this host is %s, not a member of the overlay", n.place.State())
	}
	m := &wire.Lookup{Kind: wire.List, Target: from, Origin: n.Self}
	r := &turn.Request{Msg: m, Tries: 4, Wait: 2 * n.Cfg.RetryInterval, Yields: true}
	no := n.Serial()
	r.Then = func(host wire.Peer, a wire.Message) {
		f := a.(*wire.Found)
		infos := slices.DeleteFunc(slices.Clone(f.Infos), func(i wire.StreamInfo) bool { return !i.Public || i.Name == "" })
		l := Listed{List: no, Zone: f.Record, Infos: infos, Next: f.Next}
		if f.Next != 0 && f.Next <= from { // a walk that goes back has no end
			l.Next, l.Err = 0, fmt.Sprintf("host %s answers out of order", host.ID)
		}
		n.Emit(l)
	}
	r.Failed = func() {
		n.Emit(Listed{List: no, Err: "a host that keeps a part of the directory does not answer, or is too old to"})
	}
	if !n.Ask(r) {
		return 0, fmt.Errorf("list: too many requests are under way: try again")
	}
	return no, nil
}

// namesFrom lists the entries that are kept by name under the ids from on of a zone of
// ours, at most about maxInfos, and says where to go on.
func (n *Streams) namesFrom(from wire.Point, z wire.Zone) (v []wire.StreamInfo, next wire.Point) {
	for _, p := range slices.Sorted(maps.Keys(n.store)) {
		if p < from || !z.Covers(p) {
			continue
		}
		var here []wire.StreamInfo
		for _, i := range n.storedAt(p) {
			if i.Public && i.Name != "" && wire.PointOfName(i.Name, n.Cfg.Radix) == p {
				here = append(here, i)
			}
		}
		if len(v)+len(here) > maxInfos {
			return v, p
		}
		v = append(v, here...)
	}
	return v, z.After(n.Cfg.Radix)
}
