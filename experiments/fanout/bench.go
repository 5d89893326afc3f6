// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"sandstream/internal/report/results"
	"sandstream/internal/report/stats"
)

// bench is one run.
type bench struct {
	run     *results.Run
	o       options
	rounds  int
	seed    uint64
	systems []string
}

// part measures one thing for all systems and prints its table.
func (b *bench) part(ctx context.Context, part string) error {
	switch part {
	case "throughput":
		return b.throughput(ctx)
	case "delay":
		return b.delay(ctx)
	case "stall":
		return b.stall(ctx)
	}
	return b.idle(ctx)
}

// interleave measures each of jobs once a round, in an order drawn anew.
func (b *bench) interleave(ctx context.Context, label string, rounds int, jobs []job) (map[job][]reading, error) {
	bar := b.run.Progress(label, rounds*len(jobs))
	defer bar.Done()
	rng := rand.New(rand.NewPCG(b.seed, uint64(len(label))))
	out := map[job][]reading{}
	for range rounds {
		for _, i := range rng.Perm(len(jobs)) {
			r, err := inChild(ctx, jobs[i].part, jobs[i].system, b.o)
			if err != nil {
				return nil, err
			}
			out[jobs[i]] = append(out[jobs[i]], r)
			bar.Add(1)
		}
	}
	return out, nil
}

type job struct{ part, system string }

func jobs(part string, systems []string) (out []job) {
	for _, s := range systems {
		out = append(out, job{part, s})
	}
	return out
}

// of picks one figure of each reading.
func of(rs []reading, f func(reading) float64) []float64 {
	xs := make([]float64, len(rs))
	for i, r := range rs {
		xs[i] = f(r)
	}
	return xs
}

func median(xs []float64) float64 { return stats.Quantile(xs, .5) }

// ratios divides round by round.
func ratios(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}

// interval is the 95 % interval of the median.
func (b *bench) interval(xs []float64) (lo, hi float64) {
	return stats.Bootstrap(xs, median, .95, 2000, b.seed)
}

func perCore(r reading) float64   { return float64(r.Delivered) / r.CPU }
func perSecond(r reading) float64 { return float64(r.Delivered) / r.Wall }
func p50(r reading) float64       { return r.P50 }
func p99(r reading) float64       { return r.P99 }
func loss(r reading) float64      { return 1e6 * float64(r.Lost) / float64(r.Lost+r.Delivered) }
func load(r reading) float64      { return r.CPU / r.Wall }

func (b *bench) throughput(ctx context.Context) error {
	got, err := b.interleave(ctx, "throughput", b.rounds, jobs("throughput", b.systems))
	if err != nil {
		return err
	}
	t := &results.Table{
		Name:    "throughput",
		Title:   fmt.Sprintf("%d-byte packets to %d subscribers through a hub, as fast as it goes (medians of %d rounds)", b.o.Payload, b.o.Fan, b.rounds),
		Columns: []string{"system", "deliveries/s per core", "deliveries/s", "cores used", "lost ppm", "times " + b.systems[0], "interval from", "to"},
	}
	first := of(got[job{"throughput", b.systems[0]}], perCore)
	for _, s := range b.systems {
		rs := got[job{"throughput", s}]
		ratio := ratios(of(rs, perCore), first)
		lo, hi := b.interval(ratio)
		t.Row(s, median(of(rs, perCore)), median(of(rs, perSecond)), median(of(rs, load)), median(of(rs, loss)), median(ratio), lo, hi)
	}
	return b.run.Table(t)
}

func (b *bench) delay(ctx context.Context) error {
	got, err := b.interleave(ctx, "delay", b.rounds, jobs("delay", b.systems))
	if err != nil {
		return err
	}
	t := &results.Table{
		Name:    "delay",
		Title:   fmt.Sprintf("Publishing to callback at %d packets a second (medians of %d rounds)", b.o.Rate, b.rounds),
		Columns: []string{"system", "P50 us", "P99 us", "cores used", "lost ppm", "P99 times " + b.systems[0], "interval from", "to"},
	}
	first := of(got[job{"delay", b.systems[0]}], p99)
	for _, s := range b.systems {
		rs := got[job{"delay", s}]
		ratio := ratios(of(rs, p99), first)
		lo, hi := b.interval(ratio)
		t.Row(s, median(of(rs, p50)), median(of(rs, p99)), median(of(rs, load)), median(of(rs, loss)), median(ratio), lo, hi)
	}
	return b.run.Table(t)
}

// stall is of the first system only, and takes three times the rounds: what is
// looked for is small.
func (b *bench) stall(ctx context.Context) error {
	rounds, s := 3*b.rounds, b.systems[0]
	got, err := b.interleave(ctx, "stall", rounds, jobs("stall", b.systems[:1]))
	if err != nil {
		return err
	}
	t := &results.Table{
		Name:    "stall",
		Title:   fmt.Sprintf("P99 of the others while one of %d subscribers stalls, at %d packets a second (medians of %d rounds)", b.o.Fan, b.o.Rate, rounds),
		Columns: []string{"system", "P99 us, none stalls", "P99 us, one stalls", "ratio", "interval from", "to"},
	}
	rs := got[job{"stall", s}]
	without, with := of(rs, p99), of(rs, func(r reading) float64 { return r.P99Stalled })
	ratio := ratios(with, without)
	lo, hi := b.interval(ratio)
	t.Row(s, median(without), median(with), median(ratio), lo, hi)
	return b.run.Table(t)
}

func (b *bench) idle(ctx context.Context) error {
	const rounds = 3
	systems := []string{"sandstream", "overlayd", "gossipsub"} // overlayd: all of the daemon, with its own choice of connections
	got, err := b.interleave(ctx, "idle", rounds, jobs("idle", systems))
	if err != nil {
		return err
	}
	t := &results.Table{
		Name:    "idle",
		Title:   fmt.Sprintf("An idle host, of %d in one process with %d connections each (medians of %d runs)", b.o.Hosts, b.o.Degree, rounds),
		Columns: []string{"system", "heap bytes", "stack bytes", "goroutines"},
	}
	for _, s := range systems {
		rs := got[job{"idle", s}]
		t.Row(s, median(of(rs, func(r reading) float64 { return r.Heap })), median(of(rs, func(r reading) float64 { return r.Stack })),
			median(of(rs, func(r reading) float64 { return r.Gor })))
	}
	return b.run.Table(t)
}
