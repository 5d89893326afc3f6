// SPDX-License-Identifier: Apache-2.0

// Package churn runs the overlay's protocol code on up to 65,536 simulated hosts
// and more while hosts join, leave and crash, messages are lost, and the network
// falls apart and heals.
package churn

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/internal/model/scenario"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/simnet"
	"sandstream/internal/report/results"
	"sandstream/internal/report/stats"
)

// params is one run.
type params struct {
	scenario *scenario.Scenario
	overlay  overlay.Config
	delay    time.Duration
	loss     float64
	rate     float64 // of hosts a minute
	crash    float64
	duration time.Duration
	settle   time.Duration
	cut      time.Duration
	streams  int
	group    int

	breaks []simnet.Time
}

// wholeWithin is how long after churn something may still be wrong: a host probes one
// neighbour a second, so that the last wrong entry of a table is found after two rounds.
const wholeWithin = 2 * time.Minute

// Command is 'experiments churn'.
func Command() *cobra.Command {
	var f scenario.Flags
	var p params
	var sizes string
	cmd := &cobra.Command{
		Use:   "churn",
		Short: "The live protocol in simulation: joins, leaves, crashes, loss, partitions",
		Long: `Grows overlays of --sizes hosts on a transit-stub network over the protocol's own
joins, makes --streams streams with --group subscribers each, and then replaces
--rate of the hosts a minute for --duration: a new one joins for each one that
leaves or, with the probability --crash, stops without a word. Messages are lost
with the probability --loss. At the end the network is cut in two halves for
--cut, and healed.

It is the code that overlayd runs, in virtual time. A watcher that sees all hosts
checks what no host can: that no two hosts own one id under one epoch (the
command fails if ever they do), how long ids are without owner or have two, that
every live subscriber still has its stream, and what it costs in messages.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := parseSizes(sizes)
			if err != nil {
				return err
			}
			switch {
			case p.rate < 0 || p.rate > 1:
				return fail.Usagef("--rate is %g; it is a share of the hosts a minute, 0 to 1", p.rate)
			case p.crash < 0 || p.crash > 1:
				return fail.Usagef("--crash is %g; it is a probability, 0 to 1", p.crash)
			case p.loss < 0 || p.loss > 0.5:
				return fail.Usagef("--loss is %g; possible are 0 to 0.5", p.loss)
			case p.duration < time.Second || p.cut < 0:
				return fail.Usagef("--duration is %v and --cut %v; at least 1s and 0", p.duration, p.cut)
			case p.streams < 0 || p.group < 1 || p.streams >= list[0]/2:
				return fail.Usagef("--streams is %d and --group %d; streams are fewer than half of the hosts", p.streams, p.group)
			case f.Seeds != 1:
				return fail.Usagef("--seeds is %d; churn makes one run: give another --seed for another", f.Seeds)
			}
			r, err := results.Open(cmd, results.Meta{
				Experiment: "churn", Seed: f.Seed, Runs: 1, Clock: "simulated: virtual time",
				Extra: map[string]any{
					"sizes": sizes, "rate_per_minute": p.rate, "crash_share": p.crash, "loss": p.loss,
					"duration": p.duration.String(), "partition": p.cut.String(), "streams": p.streams, "group": p.group,
					"mean_delay": p.delay.String(),
				},
			})
			if err != nil {
				return err
			}
			var rows []*outcome
			var failed error
			for _, m := range list {
				g := f
				g.Hosts = m
				run := p
				if run.scenario, failed = g.Resolve(); failed != nil {
					break
				}
				if failed = run.scenario.CheckMemory(run.scenario.NetworkBytes() + uint64(m)*bytesPerHost); failed != nil {
					break
				}
				run.overlay = overlay.DefaultConfig()
				run.overlay.ProbeInterval = time.Second
				run.overlay.BeatInterval, run.overlay.BeatTimeout = 500*time.Millisecond, 1750*time.Millisecond
				o, err := run.run(cmd, r, f.Seed)
				if o != nil {
					rows = append(rows, o)
				}
				if err != nil {
					failed = fmt.Errorf("%d hosts: %w", m, err)
					break
				}
				runtime.GC()
			}
			return r.Close(errors.Join(report(r, rows), failed))
		},
	}
	f.Add(cmd.Flags(), 1)
	cmd.Flags().Lookup("hosts").Hidden = true
	cmd.Flags().StringVar(&sizes, "sizes", "1000,10000,65536", "numbers of hosts, one run each")
	cmd.Flags().Float64Var(&p.rate, "rate", 0.01, "share of the hosts replaced in a minute")
	cmd.Flags().Float64Var(&p.crash, "crash", 0.5, "probability that a host stops without a word")
	cmd.Flags().Float64Var(&p.loss, "loss", 0.001, "probability that a message is lost")
	cmd.Flags().DurationVar(&p.delay, "delay", 40*time.Millisecond, "mean one-way delay between hosts")
	cmd.Flags().DurationVar(&p.duration, "duration", 3*time.Minute, "of churn, virtual")
	cmd.Flags().DurationVar(&p.cut, "cut", 20*time.Second, "of the partition, virtual; 0: none")
	cmd.Flags().IntVar(&p.streams, "streams", 20, "streams")
	cmd.Flags().IntVar(&p.group, "group", 50, "subscribers of each stream")
	p.settle = 30 * time.Second
	return cmd
}

// wards is how many hosts have named one their heir, on average: two heirs each.
const wards = 2

// bytesPerHost is what a simulated host takes at most, measured with room.
const bytesPerHost = 32 << 10

func parseSizes(s string) ([]int, error) {
	var v []int
	for f := range strings.SplitSeq(s, ",") {
		m, err := strconv.Atoi(strings.TrimSpace(f))
		if err != nil || m < 8 || m > 1<<22 {
			return nil, fail.Usagef("--sizes holds %q; numbers of hosts are 8 to %d", f, 1<<22)
		}
		v = append(v, m)
	}
	slices.Sort(v)
	return v, nil
}

// outcome is the row of one size.
type outcome struct {
	p       *params
	hosts   int
	digits  uint8
	zones   float64 // owned by a host
	peers   float64 // known to a host
	virtual simnet.Time
	events  uint64
	memory  uint64

	quiet, busy     map[string]float64 // messages a second and host, by class
	churnMsgs       float64            // membership and routing messages for each join, leave or crash, above the quiet rate
	joins           int
	leaves, crashes int

	crashGaps, handGaps []float64 // seconds
	bound               float64
	// Ids with two owners, under churn and then in the partition: how often, and for how
	// many seconds.
	churnOverlaps, overlaps uint64
	churnShared, shared     []float64
	whole                   float64  // seconds after churn until nothing was wrong any more
	duplicates              []string // two owners of one (id, epoch)

	subs, lost int
	breaks     []float64
	problems   []string
	heal       float64 // seconds; NaN if there was no partition
}

// run is one size: grow, stand still, churn, settle, fall apart, heal.
func (p *params) run(cmd *cobra.Command, r *results.Run, seed uint64) (*outcome, error) {
	start := time.Now()
	m := p.scenario.Hosts
	bar := r.Progress(fmt.Sprintf("churn: %d hosts join", m), m)
	e, err := newWorld(cmd.Context(), p, seed, bar.Add)
	bar.Done()
	if err != nil {
		return nil, err
	}
	o := &outcome{p: p, hosts: m, heal: math.NaN()}
	if err := e.subscribeAll(); err != nil {
		return nil, err
	}
	// Standing still, to tell what churn adds.
	const still = 30 * time.Second
	before := e.count()
	e.w.RunFor(still)
	o.quiet = perHost(before, e.count(), still, m)
	o.measureState(e)

	e.w.Own.Crash, e.w.Own.Handover = nil, nil
	before = e.count()
	bar = r.Progress(fmt.Sprintf("churn: %d hosts, seconds of churn", m), int(p.duration/time.Second))
	err = e.churn(cmd.Context(), bar.Add)
	bar.Done()
	if err != nil {
		return nil, err
	}
	o.busy = perHost(before, e.count(), p.duration, m)
	end := e.w.Now()
	if e.w.Until(wholeWithin, 5*time.Second, func() bool { return len(e.w.Problems()) == 0 }) {
		o.whole = (e.w.Now() - end).Seconds()
	} else {
		o.whole, o.problems = math.Inf(1), e.w.Problems()
	}
	e.w.RunFor(max(0, p.settle-(e.w.Now()-end)))
	o.joins, o.leaves, o.crashes = e.joins, e.leaves, e.crashes
	extra := 0.0
	for _, class := range []string{"membership", "routing"} {
		extra += o.busy[class] - o.quiet[class]
	}
	if n := e.joins + e.leaves + e.crashes; n > 0 {
		o.churnMsgs = extra * float64(m) * p.duration.Seconds() / float64(n)
	}
	for _, g := range e.w.Own.Crash {
		o.crashGaps = append(o.crashGaps, g.For.Seconds())
	}
	for _, g := range e.w.Own.Handover {
		o.handGaps = append(o.handGaps, g.For.Seconds())
	}
	o.settleSubs(e)
	o.churnShared, o.churnOverlaps = seconds(e.w.Own.Shared), e.w.Own.Overlaps

	if p.cut > 0 {
		for i, h := range e.w.Hosts() {
			h.Group = i % 2
		}
		e.w.RunFor(p.cut)
		for _, h := range e.w.Hosts() {
			h.Group = 0
		}
		healed := e.w.Now()
		if e.w.Until(2*time.Minute, time.Second, func() bool { n, _ := e.w.Own.Unowned(); return n == 0 && e.w.Own.Twice() == 0 }) {
			o.heal = (e.w.Now() - healed).Seconds()
		} else {
			o.heal = math.Inf(1)
		}
	}
	o.shared = seconds(e.w.Own.Shared[len(o.churnShared):])
	o.overlaps, o.duplicates = e.w.Own.Overlaps-o.churnOverlaps, e.w.Own.Duplicates
	o.virtual, o.events = e.w.Now(), e.w.Events
	// Not in the tables: the same seed gives the same bytes there.
	fmt.Fprintf(cmd.ErrOrStderr(), "churn: %d hosts took %.1f KB each and %v\n", m, float64(o.memory)/1024/float64(m), time.Since(start).Round(time.Second))
	if len(o.duplicates) > 0 {
		return o, fmt.Errorf("two owners of one (id, epoch): %s", o.duplicates[0])
	}
	return o, nil
}

func seconds(ts []simnet.Time) []float64 {
	v := make([]float64, len(ts))
	for i, t := range ts {
		v[i] = t.Seconds()
	}
	return v
}

func (e *world) count() map[string]uint64 {
	c := map[string]uint64{}
	for k, v := range e.w.Messages {
		c[k] = v
	}
	return c
}

func perHost(a, b map[string]uint64, d time.Duration, hosts int) map[string]float64 {
	v := map[string]float64{}
	for k := range b {
		v[k] = float64(b[k]-a[k]) / d.Seconds() / float64(hosts)
	}
	return v
}

// measureState looks at what hosts hold.
func (o *outcome) measureState(e *world) {
	var ms runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&ms)
	o.memory = ms.HeapAlloc
	for _, h := range e.live {
		st := h.Node.Status(e.w.Now())
		o.zones += float64(len(st.Zones))
		o.peers += float64(len(st.Peers))
		o.digits = max(o.digits, st.Region.N)
	}
	o.zones /= float64(len(e.live))
	o.peers /= float64(len(e.live))
	o.bound = (e.overlay.TakeoverBound(wards) + 2*e.delay).Seconds()
}

// settleSubs counts the live subscribers without their stream: by what they
// think, and by sending a packet down each tree.
func (o *outcome) settleSubs(e *world) {
	for _, s := range e.subs {
		if s.gone {
			continue
		}
		o.subs++
		if !served(s.state) {
			o.lost++
		}
	}
	for _, b := range e.breaks {
		o.breaks = append(o.breaks, b.Seconds())
	}
}

func q(v []float64, p float64) string {
	if len(v) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", stats.Quantile(v, p))
}
