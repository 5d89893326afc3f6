// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"fmt"
	"strings"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// Dump describes the inner state, for the report of a failing test.
func (n *Zones) Dump() string {
	var b strings.Builder
	list := func(what string, rs []wire.Record) {
		fmt.Fprintf(&b, " %s:", what)
		for i := range rs {
			fmt.Fprintf(&b, " %s/%d.%s", rs[i].Zone, rs[i].Counter, rs[i].Owner.ID)
		}
	}
	fmt.Fprintf(&b, "%s %s", n.Self.ID, n.state)
	list("own", n.own)
	list("table", n.table)
	var gs []wire.Record
	for i := range n.dead.graves {
		gs = append(gs, n.dead.graves[i].Record)
	}
	list("graves", gs)
	fmt.Fprintf(&b, " join: %+v pending:", n.join)
	n.Pending(func(r *turn.Request) bool {
		fmt.Fprintf(&b, " %T to %s", r.Msg, r.To)
		return true
	})
	if n.moves.giving != nil {
		fmt.Fprintf(&b, " giving: %+v", *n.moves.giving)
	}
	for _, x := range n.moves.taking {
		fmt.Fprintf(&b, " taking: %+v", *x)
	}
	var rivals []wire.HostID
	for _, r := range n.doubts.rivals {
		rivals = append(rivals, r.ID)
	}
	fmt.Fprintf(&b, " rivals: %v claims: %v disputes: %v tentative: %d gaps: %v counts: %v", rivals, n.dead.claims, n.doubts.disputes,
		len(n.doubts.tentative), n.gaps.dirty, n.Counts())
	return b.String()
}
