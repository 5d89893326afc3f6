// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"context"
	"embed"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
	"gonum.org/v1/gonum/graph/path"
	"gonum.org/v1/gonum/graph/simple"

	"sandstream/internal/model/topology"
	"sandstream/internal/report/results"
	"sandstream/internal/report/stats"
)

//go:embed peers
var peers embed.FS

// contender computes shortest paths from source: CPU nanoseconds and the sum
// of all distances.
type contender struct {
	name string
	run  func(source uint32) (ns int64, sum uint64, err error)
	took []float64 // ms
}

// sssp times all contenders on one graph in interleaved rounds.
func sssp(ctx context.Context, r *results.Run, seed uint64, rounds int) error {
	p := topology.ForHosts(1 << 16)
	g, err := topology.Generate(p, seed)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "edges")
	if err := writePlain(file, g); err != nil {
		return err
	}
	list := []*contender{ours(g)}
	for _, name := range []string{"boost", "igraph"} {
		c, stop, err := peer(ctx, dir, file, name)
		if err != nil {
			return err
		}
		defer stop()
		list = append(list, c)
	}
	list = append(list, gonumPeer(g))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	rng := rand.New(rand.NewPCG(seed, 0x62656e63))
	bar := r.Progress("bench: sssp rounds", rounds)
	defer bar.Done()
	for range rounds {
		source := rng.Uint32N(uint32(g.Nodes()))
		want := uint64(0)
		for i, c := range list {
			ns, sum, err := c.run(source)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if i == 0 {
				want = sum
			}
			if sum != want {
				return fmt.Errorf("%w: source %d, %s sums to %d, %s to %d", errDisagree, source, list[0].name, want, c.name, sum)
			}
			c.took = append(c.took, ms(ns))
		}
		if ctx.Err() != nil {
			break
		}
		bar.Add(1)
	}
	t := &results.Table{
		Name:    "sssp",
		Title:   fmt.Sprintf("Single-source shortest paths: %d nodes, %d edges (%v), %d interleaved rounds", g.Nodes(), g.Edges(), p, len(list[0].took)),
		Note:    "CPU time of the computing thread; ratio: median over our median (above 1: we are faster)",
		Columns: []string{"contender", "median (ms)", "least (ms)", "largest (ms)", "ratio"},
	}
	base := stats.Quantile(list[0].took, .5)
	for _, c := range list {
		s := stats.Summarize(c.took)
		t.Row(c.name, s.Median, s.Min, s.Max, s.Median/base)
	}
	return r.Table(t)
}

func threadCPU() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic("no thread clock: " + err.Error()) // Linux has it since 2.6
	}
	return t.Nano()
}

func ours(g *topology.Graph) *contender {
	d := topology.NewDijkstra(g)
	return &contender{name: "sandstream", run: func(source uint32) (int64, uint64, error) {
		start := threadCPU()
		dist := d.Run(source)
		took := threadCPU() - start
		sum := uint64(0)
		for _, x := range dist {
			sum += uint64(x)
		}
		return took, sum, nil
	}}
}

func gonumPeer(g *topology.Graph) *contender {
	w := simple.NewWeightedUndirectedGraph(0, 0)
	for u := range uint32(g.Nodes()) {
		for _, a := range g.Row(u) {
			if a.To > u {
				w.SetWeightedEdge(w.NewWeightedEdge(simple.Node(u), simple.Node(a.To), float64(a.Len)))
			}
		}
	}
	return &contender{name: "gonum", run: func(source uint32) (int64, uint64, error) {
		start := threadCPU()
		tree := path.DijkstraFrom(simple.Node(source), w)
		took := threadCPU() - start
		sum := uint64(0)
		for u := range g.Nodes() {
			sum += uint64(tree.WeightTo(int64(u)))
		}
		return took, sum, nil
	}}
}

// peer compiles peers/name.cpp and starts it on the graph.
func peer(ctx context.Context, dir, file, name string) (*contender, func(), error) {
	source, err := peers.ReadFile("peers/" + name + ".cpp")
	if err != nil {
		return nil, nil, err
	}
	src, bin := filepath.Join(dir, name+".cpp"), filepath.Join(dir, name)
	if err := os.WriteFile(src, source, 0o666); err != nil {
		return nil, nil, err
	}
	args := []string{"-O3", "-march=native", "-o", bin, src}
	if name == "igraph" {
		args = append(args, "-I/usr/include/igraph", "-ligraph")
	}
	if out, err := exec.CommandContext(ctx, "g++", args...).CombinedOutput(); err != nil {
		return nil, nil, missing("compiling "+name, fmt.Errorf("%w\n%s", err, out))
	}
	cmd := exec.CommandContext(ctx, bin, file)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop := func() {
		in.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait() // its answers were checked one by one
	}
	answers := bufio.NewReader(out)
	return &contender{name: name, run: func(source uint32) (ns int64, sum uint64, err error) {
		if _, err := fmt.Fprintln(in, source); err != nil {
			return 0, 0, err
		}
		_, err = fmt.Fscan(answers, &ns, &sum)
		return ns, sum, err
	}}, stop, nil
}

// writePlain writes the number of nodes, then the edges.
func writePlain(name string, g *topology.Graph) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, g.Nodes())
	for u := range uint32(g.Nodes()) {
		for _, a := range g.Row(u) {
			if a.To > u {
				fmt.Fprintln(w, u, a.To, a.Len)
			}
		}
	}
	return w.Flush()
}
