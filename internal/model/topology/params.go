// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Params are the parameters of the transit-stub model. Counts of nodes and
// stubs are means; their sums are exact.
type Params struct {
	T, Nt int // transit domains, nodes in each
	K, Ns int // stub domains at each transit node, nodes in each
	// Probabilities of an edge between two transit domains, two nodes of a
	// transit domain, two nodes of a stub.
	PTop, PTransit, PStub float64
	// Extra edges: from a random stub node to a random transit node, and
	// between random nodes of two different stubs.
	ExtraTS, ExtraSS int
}

// Routers5050 is the graph of 5,050 routers that hosts hang on by default. The
// edge probability between transit domains is less than in Published: each
// domain has 3 neighbours of 9. docs/overlay-simulation.md shows what depends
// on it.
var Routers5050 = Params{T: 10, Nt: 5, K: 10, Ns: 10, PTop: .33, PTransit: .6, PStub: .42}

// Published is the specification whose statistics are published (see
// docs/overlay-simulation.md).
var Published = Params{T: 10, Nt: 10, K: 9, Ns: 11, PTop: .5, PTransit: .6, PStub: .42}

// Nodes is the exact number of nodes; it saturates at MaxInt.
func (p Params) Nodes() int {
	n := float64(p.T) * float64(p.Nt) * (1 + float64(p.K)*float64(p.Ns))
	if n > 1<<60 {
		return math.MaxInt
	}
	return p.T * p.Nt * (1 + p.K*p.Ns)
}

// Check says what is impossible about p, nil if nothing is.
func (p Params) Check() error {
	for _, c := range []struct {
		name   string
		v, min int
	}{{"T", p.T, 1}, {"Nt", p.Nt, 1}, {"K", p.K, 0}, {"Ns", p.Ns, 1}, {"ts", p.ExtraTS, 0}, {"ss", p.ExtraSS, 0}} {
		if c.v < c.min {
			return fmt.Errorf("topology: %s is %d; the least possible is %d", c.name, c.v, c.min)
		}
	}
	for _, c := range []struct {
		name string
		v    float64
		n    int
	}{{"top", p.PTop, p.T}, {"transit", p.PTransit, p.Nt}, {"stub", p.PStub, p.Ns}} {
		if !(c.v >= 0 && c.v <= 1) {
			return fmt.Errorf("topology: the edge probability %s is %g; possible are 0 to 1", c.name, c.v)
		}
		if c.n > 1 && c.v == 0 {
			return fmt.Errorf("topology: %d nodes with the edge probability %s = 0 are never connected; about %.2g is enough", c.n, c.name, math.Min(1, math.Log(float64(c.n)+1)/float64(c.n)))
		}
	}
	if n := p.Nodes(); n > MaxNodes {
		return fmt.Errorf("topology: T·Nt·(1+K·Ns) is more than %d nodes", MaxNodes)
	}
	if p.K == 0 && p.ExtraTS+p.ExtraSS > 0 {
		return fmt.Errorf("topology: extra edges begin at stubs, but K is 0")
	}
	return nil
}

// String is the form that ParseParams reads.
func (p Params) String() string {
	return fmt.Sprintf("T=%d,Nt=%d,K=%d,Ns=%d,top=%g,transit=%g,stub=%g,ts=%d,ss=%d",
		p.T, p.Nt, p.K, p.Ns, p.PTop, p.PTransit, p.PStub, p.ExtraTS, p.ExtraSS)
}

// ParseParams reads "T=10,Nt=5,K=10,Ns=10,top=.5,transit=.6,stub=.42,ts=0,ss=0".
// What is left out comes from def.
func ParseParams(s string, def Params) (Params, error) {
	p := def
	ints := map[string]*int{"T": &p.T, "Nt": &p.Nt, "K": &p.K, "Ns": &p.Ns, "ts": &p.ExtraTS, "ss": &p.ExtraSS}
	floats := map[string]*float64{"top": &p.PTop, "transit": &p.PTransit, "stub": &p.PStub}
	for field := range strings.SplitSeq(s, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		var err error
		if v := ints[key]; v != nil {
			*v, err = strconv.Atoi(value)
		} else if v := floats[key]; v != nil {
			*v, err = strconv.ParseFloat(value, 64)
		} else {
			return p, fmt.Errorf("topology: unknown parameter %q; known are T Nt K Ns top transit stub ts ss", key)
		}
		if err != nil {
			return p, fmt.Errorf("topology: %s=%q is not a number", key, value)
		}
	}
	return p, p.Check()
}

// ForHosts chooses parameters for a graph whose every node is a host: about
// √hosts/4 transit nodes, at most 256, in as many domains as there are nodes in
// each, stubs of 11 or 13 nodes, and as few nodes beyond hosts as these allow
// (none when hosts is 2^16 or 2^20).
func ForHosts(hosts int) Params {
	p := Params{PTop: .5, PTransit: .6, PStub: .42}
	p.T = min(16, max(1, int(math.Round(math.Pow(float64(hosts), .25)/2))))
	p.Nt = p.T
	best := math.MaxInt
	for _, ns := range []int{11, 13} {
		perTransit := (hosts + p.T*p.Nt - 1) / (p.T * p.Nt)
		q := p
		q.K, q.Ns = max(0, (perTransit-1+ns-1)/ns), ns
		if n := q.Nodes(); n >= hosts && n < best {
			best, p.K, p.Ns = n, q.K, q.Ns
		}
	}
	return p
}
