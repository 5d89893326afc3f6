// SPDX-License-Identifier: Apache-2.0

package penalty

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"sandstream/internal/model/bigmem"
	"sandstream/internal/model/placement"
	"sandstream/internal/model/routing"
	"sandstream/internal/model/scenario"
	"sandstream/internal/model/topology"
	"sandstream/internal/report/results"
	"sandstream/internal/report/stats"
)

// The penalty histogram: 1..1024 in steps of 0.27 %.
const (
	octaves   = 10
	perOctave = 256
)

// outcome is one curve of one seed.
type outcome struct {
	penalty  *stats.LogHist
	latency  float64 // mean over subscribers
	unicast  float64 // mean over subscribers
	tree     float64 // cost of the distribution tree over that of IP multicast, 0 if routes form no tree
	effort   placement.Effort
	mostIDs  float64 // owned by one host
	rpDetour float64 // only for multicast: mean latency by the shared tree over unicast
}

// gathered holds what is finished; curves and seeds finish in any order, and
// are reported in theirs.
type gathered struct {
	mu   sync.Mutex
	done [][]*outcome // by curve, by seed
	err  error
}

// run computes all curves for all seeds until ctx ends. What is finished is in
// the result, whatever the error.
func run(ctx context.Context, sc *scenario.Scenario, p *plan, bar *results.Progress) (*gathered, error) {
	g := &gathered{done: make([][]*outcome, len(p.curves))}
	for i := range g.done {
		g.done[i] = make([]*outcome, sc.Seeds)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := min(runtime.GOMAXPROCS(0), sc.Seeds)
	if sc.Hosts > 1<<20 {
		workers = 1 // one network in memory
	}
	var wg sync.WaitGroup
	seeds := make(chan int)
	finished := make(chan struct{})
	for range workers {
		wg.Go(func() {
			for i := range seeds {
				if err := g.seed(ctx, sc, p, i, bar); err != nil {
					g.fail(err)
					cancel()
				}
			}
		})
	}
	go func() {
		defer close(finished)
	feed:
		for i := range sc.Seeds {
			select {
			case seeds <- i:
			case <-ctx.Done():
				break feed
			}
		}
		close(seeds)
		wg.Wait()
	}()
	// Do not wait for a curve under way once asked to stop: it would be thrown
	// away, and at millions of hosts it takes long.
	select {
	case <-finished:
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	snapshot := &gathered{done: make([][]*outcome, len(g.done)), err: g.err}
	for i := range g.done {
		snapshot.done[i] = append([]*outcome(nil), g.done[i]...)
	}
	if g.err != nil {
		return snapshot, g.err
	}
	if err := ctx.Err(); err != nil {
		return snapshot, errors.New("interrupted: only what was finished is reported")
	}
	return snapshot, nil
}

func (g *gathered) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
}

// seed computes all curves of one seed; the curves of an overlay run in
// parallel when there are processors to spare.
func (g *gathered) seed(ctx context.Context, sc *scenario.Scenario, p *plan, i int, bar *results.Progress) error {
	seed := sc.Seed + uint64(i)
	n, err := sc.Build(seed)
	if err != nil {
		return err
	}
	publisher := uint32(scenario.Rand(seed, scenario.StreamPublisher).IntN(sc.Hosts))
	ip := newIPMulticast(n, publisher)
	if sc.Graph == nil {
		n.Graph = nil // the oracle has what is needed: let the graph go
	}
	threads := 1
	if sc.Seeds < runtime.GOMAXPROCS(0) || sc.Hosts > 1<<20 {
		threads = runtime.GOMAXPROCS(0)
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, threads)
	for at := range p.overlays {
		o := &p.overlays[at]
		lay := sync.OnceValue(func() built { return o.prepare(n, seed, publisher) })
		for c := range p.curves {
			if p.curves[c].overlay != at {
				continue
			}
			wg.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				if ctx.Err() != nil {
					return
				}
				b := lay()
				if b.err != nil {
					g.fail(b.err)
					return
				}
				out, err := b.measure(p.curves[c].routing, seed, n, ip)
				if err != nil {
					g.fail(err)
					return
				}
				g.mu.Lock()
				g.done[c][i] = out
				g.mu.Unlock()
				bar.Add(1)
			})
		}
	}
	wg.Wait()
	return nil
}

// built is an overlay with its publisher and subscribers.
type built struct {
	overlay *routing.Overlay
	effort  placement.Effort
	links   *routing.Links
	mostIDs int
	source  uint32
	targets []uint32 // one id of each host
	err     error
}

// prepare builds the overlay of one seed and all that its routings share.
func (o *overlaySpec) prepare(n *scenario.Network, seed uint64, publisher uint32) (b built) {
	if b.overlay, b.effort, b.err = o.build(n, seed); b.err != nil {
		return b
	}
	b.source, b.targets = endpoints(b.overlay, publisher, len(n.Nodes))
	owns := make([]uint32, len(n.Nodes))
	for id := range uint32(o.cube.IDs()) {
		h := b.overlay.Points.Host(id)
		owns[h]++
		b.mostIDs = max(b.mostIDs, int(owns[h]))
	}
	for _, r := range o.routings {
		if strings.HasPrefix(r, lookahead) {
			b.links = routing.NewLinks(b.overlay)
			break
		}
	}
	return b
}

// endpoints finds the publisher's id (the least it owns) and the id at which
// each host is reached.
func endpoints(o *routing.Overlay, publisher uint32, hosts int) (source uint32, targets []uint32) {
	for o.Points.Host(source) != publisher {
		source++
	}
	return source, o.Targets(source, hosts)
}

func (b *built) measure(name string, seed uint64, n *scenario.Network, ip *ipMulticast) (*outcome, error) {
	o := b.overlay
	cost := bigmem.Make[uint32](o.Cube.IDs())
	tree := uint64(0)
	switch {
	case name == ordered:
		tree = o.Ordered(b.source, cost)
	case name == random:
		o.Random(b.source, seed, cost)
	case name == greedy, name == multicast, name == greedyFixed:
		tree = o.Greedy(b.source, cost)
	case name == best:
		tree = o.Best(b.source, cost)
	case strings.HasPrefix(name, lookahead):
		depth, err := strconv.Atoi(strings.TrimPrefix(name, lookahead))
		if err != nil {
			return nil, fmt.Errorf("lookahead %q: %w", name, err)
		}
		if err := o.Lookahead(b.source, depth, b.links, cost); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("unknown routing %q", name)
	}
	out := &outcome{penalty: stats.NewLogHist(octaves, perOctave), effort: b.effort, mostIDs: float64(b.mostIDs)}
	var sum, unicastSum, rpSum float64
	publisher := o.Points.Host(b.source)
	targets := b.targets
	if name == greedyFixed {
		targets = o.FixedTargets(len(targets))
	}
	for _, id := range targets {
		h := o.Points.Host(id)
		if h == publisher {
			continue
		}
		unicast := float64(o.Points.Dist(b.source, id))
		reference := unicast
		if name == multicast {
			reference = ip.shared(n, publisher, h)
			rpSum += reference
		}
		sum += float64(cost[id])
		unicastSum += unicast
		// Two hosts on one node without a LAN cannot be; but a file may
		// put hosts where nothing separates them.
		if reference > 0 {
			out.penalty.Add(float64(cost[id]) / reference)
		}
	}
	subscribers := float64(len(b.targets) - 1)
	out.latency, out.unicast = sum/subscribers, unicastSum/subscribers
	out.rpDetour = rpSum / unicastSum
	if tree > 0 {
		out.tree = float64(tree) / float64(ip.tree)
	}
	return out, nil
}

// ipMulticast is what the network itself could do. A source tree (SSM)
// delivers along unicast paths, so its delay is the unicast delay; a shared
// tree (PIM-SM before the switch to a source tree) goes by way of a rendezvous
// point. tree is the cost of the source tree: the sum of the lengths of all
// edges on shortest paths from the publisher to the hosts.
type ipMulticast struct {
	tree uint64
	rp   uint32 // rendezvous point: a node
}

// newIPMulticast chooses as rendezvous point the node with the smallest mean
// distance to 64 random hosts, of 64 random nodes: a well-placed one.
func newIPMulticast(n *scenario.Network, publisher uint32) *ipMulticast {
	ip := &ipMulticast{tree: sourceTree(n, publisher)}
	rng := scenario.Rand(uint64(publisher), scenario.StreamGroup)
	least := ^uint64(0)
	var sample [64]uint32
	for i := range sample {
		sample[i] = n.Nodes[rng.IntN(len(n.Nodes))]
	}
	for range 64 {
		node, sum := rng.Uint32N(uint32(n.Oracle.Nodes())), uint64(0)
		for _, s := range sample {
			sum += uint64(n.Oracle.Dist(node, s))
		}
		if sum < least {
			least, ip.rp = sum, node
		}
	}
	return ip
}

// shared is the delay from host a to host b by way of the rendezvous point.
func (ip *ipMulticast) shared(n *scenario.Network, a, b uint32) float64 {
	return float64(n.Oracle.Dist(n.Nodes[a], ip.rp) + n.Oracle.Dist(ip.rp, n.Nodes[b]) + 2*n.LAN)
}

// sourceTree walks from every host's node towards the publisher along the
// shortest path tree and sums each edge once.
func sourceTree(n *scenario.Network, publisher uint32) uint64 {
	g := n.Graph
	root := n.Nodes[publisher]
	dist := topology.NewDijkstra(g).Run(root)
	used := make([]bool, g.Nodes())
	used[root] = true
	total := uint64(0)
	for _, u := range n.Nodes {
		total += uint64(n.LAN) // the host's own link
		for !used[u] {
			used[u] = true
			for _, a := range g.Row(u) {
				if dist[a.To]+a.Len == dist[u] {
					total += uint64(a.Len)
					u = a.To
					break
				}
			}
		}
	}
	return total
}
