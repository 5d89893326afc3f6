// SPDX-License-Identifier: Apache-2.0

// Package scenario builds what every overlay experiment starts from: a physical
// network with hosts on it, from a few words on the command line, refused
// before work starts when it cannot be.
package scenario

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"

	"sandstream/internal/fail"
	"sandstream/internal/model/bigmem"
	"sandstream/internal/model/cube"
	"sandstream/internal/model/oracle"
	"sandstream/internal/model/topology"
)

// Placement is how hosts sit on the graph.
type Placement string

// The two ways.
const (
	OnRouters Placement = "hosts-on-routers" // each host hangs on a random node by a link of cost 1
	AreNodes  Placement = "hosts-are-nodes"  // each host is a node (random ones if there are more nodes)
)

// Flags are the scenario's flags.
type Flags struct {
	Hosts     int
	Seed      uint64
	Seeds     int
	Radix     int
	Dims      int
	Topology  string
	Placement string
}

// FlagSet is where Add declares flags: pflag's set fits, and the standard
// library's.
type FlagSet interface {
	IntVar(p *int, name string, value int, usage string)
	Uint64Var(p *uint64, name string, value uint64, usage string)
	StringVar(p *string, name, value, usage string)
}

// Add declares the flags with the given default number of seeds.
func (f *Flags) Add(fs FlagSet, seeds int) {
	fs.IntVar(&f.Hosts, "hosts", 65536, "number of hosts")
	fs.Uint64Var(&f.Seed, "seed", 1, "first seed; the same seed gives the same bytes")
	fs.IntVar(&f.Seeds, "seeds", seeds, "number of seeds, counted up from --seed")
	fs.IntVar(&f.Radix, "radix", 0, "radix k of the cube; 0 chooses")
	fs.IntVar(&f.Dims, "dims", 0, "number of dimensions n of the cube; 0 chooses")
	fs.StringVar(&f.Topology, "topology", "", `physical network: parameters ("T=10,Nt=5,K=10,Ns=10,top=.5,transit=.6,stub=.42,ts=0,ss=0",
what is left out comes from the default) or a file in the edge-list format (see 'experiments topology')`)
	fs.StringVar(&f.Placement, "placement", string(OnRouters), "hosts-on-routers or hosts-are-nodes")
}

// Scenario is a checked request.
type Scenario struct {
	Flags
	Params topology.Params // when Graph is nil
	Graph  *topology.Graph // read from a file, else nil
	where  Placement
}

// Resolve checks the flags and reads the graph if it is a file. Its errors are
// usage errors that name the nearest possible values.
func (f Flags) Resolve() (*Scenario, error) {
	s := &Scenario{Flags: f, where: Placement(f.Placement)}
	switch {
	case f.Hosts < 2:
		return nil, fail.Usagef("--hosts is %d; the least possible is 2", f.Hosts)
	case f.Hosts > topology.MaxNodes:
		return nil, fail.Usagef("--hosts is %d; the most possible is %d", f.Hosts, topology.MaxNodes)
	case f.Seeds < 1:
		return nil, fail.Usagef("--seeds is %d; the least possible is 1", f.Seeds)
	case s.where != OnRouters && s.where != AreNodes:
		return nil, fail.Usagef("--placement is %q; possible are %s and %s", f.Placement, OnRouters, AreNodes)
	}
	def := topology.Routers5050
	if s.where == AreNodes {
		def = topology.ForHosts(f.Hosts)
	}
	nodes := 0
	switch {
	case f.Topology == "" || strings.Contains(f.Topology, "="):
		s.Params = def
		if f.Topology != "" {
			var err error
			if s.Params, err = topology.ParseParams(f.Topology, def); err != nil {
				return nil, fail.Usagef("--topology: %w", err)
			}
		}
		nodes = s.Params.Nodes()
	default:
		file, err := os.Open(f.Topology)
		if err != nil {
			return nil, fail.Usagef("--topology: %w (parameters have the form T=10,Nt=5,...)", err)
		}
		defer file.Close()
		if s.Graph, err = topology.Read(file, 0); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Topology, err)
		}
		nodes = s.Graph.Nodes()
	}
	if s.where == AreNodes && nodes < f.Hosts {
		return nil, fail.Usagef("%d hosts are more than the %d nodes of the graph; possible are --hosts %d, or --placement %s", f.Hosts, nodes, nodes, OnRouters)
	}
	return s, nil
}

// Cubes gives the cube that --radix and --dims name, or the defaults in their
// place. With one of the two the other becomes the least that holds all hosts.
func (f Flags) Cubes(defaults ...cube.Cube) ([]cube.Cube, error) {
	if f.Radix == 0 && f.Dims == 0 {
		return defaults, nil
	}
	k, n := f.Radix, f.Dims
	switch {
	case k != 0 && k < 2:
		return nil, fail.Usagef("--radix is %d; the least possible is 2", k)
	case n < 0:
		return nil, fail.Usagef("--dims is %d; the least possible is 1", n)
	case n == 0:
		n = dimsFor(k, f.Hosts)
	case k == 0:
		k = max(2, int(math.Ceil(math.Pow(float64(f.Hosts), 1/float64(n))-1e-9)))
	}
	c, err := cube.New(k, n)
	if err != nil {
		return nil, fail.Usagef("--radix %d --dims %d: %w", k, n, err)
	}
	if c.IDs() < f.Hosts {
		return nil, fail.Usagef("%d hosts are more than the %d ids of the %v; possible are --hosts %d, or --dims %d with radix %d",
			f.Hosts, c.IDs(), c, c.IDs(), dimsFor(k, f.Hosts), k)
	}
	return []cube.Cube{c}, nil
}

// dimsFor is the least n with k^n >= m.
func dimsFor(k, m int) int {
	n, ids := 1, k
	for ids < m {
		ids *= k
		n++
	}
	return n
}

// PaperCubes are the two cubes of the paper's Figure 4, grown with the number
// of hosts: 2-ary and 16-ary, as small as possible.
func PaperCubes(hosts int) ([]cube.Cube, error) {
	var list []cube.Cube
	for _, k := range []int{2, 16} {
		c, err := cube.New(k, dimsFor(k, hosts))
		if err != nil {
			return nil, fail.Usagef("%d hosts: %w", hosts, err)
		}
		list = append(list, c)
	}
	return list, nil
}

// Network is one drawn network: hosts 0..Hosts-1 on the nodes of a graph.
type Network struct {
	Graph  *topology.Graph
	Oracle *oracle.Oracle
	Nodes  []uint32 // node of each host
	LAN    uint32   // length of the link between a host and its node
	Hosts  *oracle.Points
}

// Streams of randomness below one seed; each purpose has its own.
const (
	StreamNodes = iota + 1
	StreamPublisher
	StreamGroup
	StreamConstraint
)

// Rand is the generator of a stream.
func Rand(seed, stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, 0x73696d00_00000000+stream))
}

// Build draws the network of one seed.
func (s *Scenario) Build(seed uint64) (*Network, error) {
	g := s.Graph
	if g == nil {
		var err error
		if g, err = topology.Generate(s.Params, seed); err != nil {
			return nil, fail.Errorf(fail.ErrUsage, "%w", err)
		}
	}
	o, err := oracle.New(g)
	if err != nil {
		return nil, err
	}
	n := &Network{Graph: g, Oracle: o, Nodes: bigmem.Make[uint32](s.Hosts)}
	rng := Rand(seed, StreamNodes)
	if s.where == OnRouters {
		n.LAN = 1
		for h := range n.Nodes {
			n.Nodes[h] = rng.Uint32N(uint32(g.Nodes()))
		}
	} else {
		choose(rng, n.Nodes, g.Nodes())
	}
	n.Hosts = o.Attach(nil, n.Nodes, n.LAN)
	return n, nil
}

// choose fills dst with distinct ascending numbers below n: selection
// sampling (Knuth, algorithm S); all of them when dst is that long.
func choose(rng *rand.Rand, dst []uint32, n int) {
	got := 0
	for u := 0; got < len(dst); u++ {
		if len(dst) == n || rng.IntN(n-u) < len(dst)-got {
			dst[got] = uint32(u)
			got++
		}
	}
}

// Describe names the network in words for a result's metadata.
func (s *Scenario) Describe() string {
	if s.Graph != nil {
		return fmt.Sprintf("file with %d nodes and %d edges, %s", s.Graph.Nodes(), s.Graph.Edges(), s.where)
	}
	return fmt.Sprintf("transit-stub %v (%d nodes), %s", s.Params, s.Params.Nodes(), s.where)
}
