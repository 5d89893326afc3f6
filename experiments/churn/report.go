// SPDX-License-Identifier: Apache-2.0

package churn

import (
	"errors"
	"fmt"
	"time"

	"sandstream/internal/report/results"
)

// naradaDegree and naradaPeriod are Narada's: a mesh of six neighbours, each
// told of all members every 30 s (Chu, Rao, Zhang: A case for end system
// multicast, SIGMETRICS 2000).
const (
	naradaDegree = 6
	naradaPeriod = 30.0
)

func report(r *results.Run, rows []*outcome) error {
	if len(rows) == 0 {
		return nil
	}
	own := &results.Table{
		Name:  "ownership",
		Title: "Ids while hosts come and go: seconds without owner after a crash and in a hand-over, seconds with two",
		Columns: []string{
			"hosts", "joins", "leaves", "crashes", "ids left by crashes", "P50", "P99", "max", "bound", "within",
			"hand-over P50", "max", "two owners: times", "max s", "whole after s",
			"partition, two owners: times", "max s", "healed after s", "one (id, epoch) twice",
		},
	}
	msgs := &results.Table{
		Name:  "messages",
		Title: "Messages a second and host, and for each join, leave or crash; c = that number / (zones of a host x digits n)",
		Columns: []string{
			"hosts", "n", "zones", "peers", "detection, quiet", "detection, churn", "membership", "routing", "streams",
			"for a change", "c", "records/s of Narada",
		},
	}
	subs := &results.Table{
		Name:    "subscriptions",
		Title:   "Live subscribers under churn: paths that broke, seconds from noticing to a new path, and who is without stream at the end",
		Columns: []string{"hosts", "subscribers", "interruptions", "P50", "P99", "max", "without stream"},
	}
	cost := &results.Table{
		Name:    "cost",
		Title:   "The run",
		Columns: []string{"hosts", "virtual", "events"},
	}
	var bad error
	for _, o := range rows {
		m := fmt.Sprint(o.hosts)
		within := 0
		for _, g := range o.crashGaps {
			if g <= o.bound {
				within++
			}
		}
		share := "-"
		if len(o.crashGaps) > 0 {
			share = fmt.Sprintf("%.2f %%", 100*float64(within)/float64(len(o.crashGaps)))
		}
		own.Rows = append(own.Rows, []any{
			m, fmt.Sprint(o.joins), fmt.Sprint(o.leaves), fmt.Sprint(o.crashes), fmt.Sprint(len(o.crashGaps)),
			q(o.crashGaps, .5), q(o.crashGaps, .99), q(o.crashGaps, 1), fmt.Sprintf("%.2f", o.bound), share,
			q(o.handGaps, .5), q(o.handGaps, 1), fmt.Sprint(o.churnOverlaps), q(o.churnShared, 1), fmt.Sprintf("%.0f", o.whole),
			fmt.Sprint(o.overlaps), q(o.shared, 1), fmt.Sprintf("%.0f", o.heal), fmt.Sprint(len(o.duplicates)),
		})
		f := func(v float64) string { return fmt.Sprintf("%.3f", v) }
		msgs.Rows = append(msgs.Rows, []any{
			m, fmt.Sprint(o.digits), fmt.Sprintf("%.2f", o.zones), fmt.Sprintf("%.1f", o.peers),
			f(o.quiet["detection"]), f(o.busy["detection"]), f(o.busy["membership"]), f(o.busy["routing"]), f(o.busy["streams"]),
			fmt.Sprintf("%.0f", o.churnMsgs), fmt.Sprintf("%.2f", o.churnMsgs/(o.zones*float64(o.digits))),
			fmt.Sprintf("%.0f", float64(o.hosts)*naradaDegree/naradaPeriod),
		})
		subs.Rows = append(subs.Rows, []any{
			m, fmt.Sprint(o.subs), fmt.Sprint(len(o.breaks)), q(o.breaks, .5), q(o.breaks, .99), q(o.breaks, 1), fmt.Sprint(o.lost),
		})
		cost.Rows = append(cost.Rows, []any{
			m, o.virtual.Round(time.Second).String(), fmt.Sprint(o.events),
		})
		for _, p := range o.problems {
			bad = errors.Join(bad, fmt.Errorf("%d hosts, after churn: %s", o.hosts, p))
		}
		if o.lost > 0 {
			bad = errors.Join(bad, fmt.Errorf("%d hosts: %d live subscribers without their stream", o.hosts, o.lost))
		}
	}
	var err error
	for _, t := range []*results.Table{own, msgs, subs, cost} {
		err = errors.Join(err, r.Table(t))
	}
	return errors.Join(err, bad)
}
