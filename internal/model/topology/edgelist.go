// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
)

// The edge-list format, line by line (fields separated by blanks):
//
//	# anything                     comment; empty lines are allowed too
//	@nodes 5050                    number of nodes; optional, else 1 + the largest node named
//	@domain transit 0 4            nodes 0..4 form one transit domain; optional
//	@domain stub 50 59             nodes 50..59 form one stub domain; optional
//	0 17 243                       an edge: node, node, length (1..MaxLen)
//	0 17                           the same with length 1
//
// Nodes count from 0, edges have no direction, of parallel edges the shortest
// counts. Domains are disjoint ranges in ascending order.

// Write writes g in the edge-list format.
func Write(w io.Writer, g *Graph) error {
	b := bufio.NewWriterSize(w, 1<<20)
	fmt.Fprintf(b, "@nodes %d\n", g.Nodes())
	for _, d := range g.Domains {
		fmt.Fprintf(b, "@domain %s %d %d\n", d.Kind, d.First, d.Last)
	}
	var line []byte
	for u := range uint32(g.Nodes()) {
		for _, a := range g.Row(u) {
			if a.To < u {
				continue
			}
			line = strconv.AppendUint(line[:0], uint64(u), 10)
			line = append(line, ' ')
			line = strconv.AppendUint(line, uint64(a.To), 10)
			line = append(line, ' ')
			line = strconv.AppendUint(line, uint64(a.Len), 10)
			line = append(line, '\n')
			if _, err := b.Write(line); err != nil {
				return err
			}
		}
	}
	return b.Flush()
}

// Read reads a graph in the edge-list format. It must be connected and have
// at most maxNodes nodes (0: MaxNodes). Errors name the line.
func Read(r io.Reader, maxNodes int) (*Graph, error) {
	if maxNodes <= 0 || maxNodes > MaxNodes {
		maxNodes = MaxNodes
	}
	p := parser{limit: uint64(maxNodes)}
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 1<<16), 1<<16)
	for line := 1; in.Scan(); line++ {
		if err := p.line(in.Bytes()); err != nil {
			return nil, fmt.Errorf("topology: line %d: %w", line, err)
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("topology: %w", err)
	}
	if p.nodes == 0 {
		if len(p.edges) == 0 {
			return nil, fmt.Errorf("topology: no edge and no @nodes line")
		}
		p.nodes = p.largest + 1
	}
	if p.named && p.largest >= p.nodes {
		return nil, fmt.Errorf("topology: node %d is named, but @nodes is %d", p.largest, p.nodes)
	}
	// A graph needs nodes-1 edges to be connected: look before allocating.
	if uint64(len(p.edges))+1 < p.nodes {
		return nil, fmt.Errorf("topology: %d edges cannot connect %d nodes", len(p.edges), p.nodes)
	}
	g, err := New(int(p.nodes), p.edges, p.domains)
	if err != nil {
		return nil, err
	}
	if lost, ok := g.Connected(); !ok {
		return nil, fmt.Errorf("topology: node %d cannot be reached from node 0; the graph must be connected", lost)
	}
	return g, nil
}

type parser struct {
	limit   uint64
	nodes   uint64 // of the @nodes line, 0 without
	largest uint64 // node named so far
	named   bool
	edges   []Edge
	domains []Domain
}

func (p *parser) line(b []byte) error {
	f := bytes.Fields(b)
	switch {
	case len(f) == 0 || f[0][0] == '#':
		return nil
	case f[0][0] == '@':
		return p.directive(f)
	case len(f) != 2 && len(f) != 3:
		return fmt.Errorf("%d fields; an edge has two nodes and a length", len(f))
	}
	u, err := p.node(f[0])
	if err != nil {
		return err
	}
	v, err := p.node(f[1])
	if err != nil {
		return err
	}
	length := uint64(1)
	if len(f) == 3 {
		if length, err = strconv.ParseUint(string(f[2]), 10, 32); err != nil || length < 1 || length > MaxLen {
			return fmt.Errorf("length %q; possible are whole numbers from 1 to %d", f[2], MaxLen)
		}
	}
	if u == v {
		return fmt.Errorf("a loop at node %d", u)
	}
	p.edges = append(p.edges, Edge{u, v, uint32(length)})
	return nil
}

func (p *parser) node(b []byte) (uint32, error) {
	u, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a node number", b)
	}
	if u >= p.limit {
		return 0, fmt.Errorf("node %d; at most %d nodes are possible", u, p.limit)
	}
	p.largest, p.named = max(p.largest, u), true
	return uint32(u), nil
}

func (p *parser) directive(f [][]byte) error {
	switch name := string(f[0]); {
	case name == "@nodes" && len(f) == 2:
		n, err := strconv.ParseUint(string(f[1]), 10, 64)
		if err != nil || n < 1 || n > p.limit {
			return fmt.Errorf("@nodes %q; possible are 1 to %d", f[1], p.limit)
		}
		if p.nodes != 0 {
			return fmt.Errorf("a second @nodes line")
		}
		p.nodes = n
		return nil
	case name == "@domain" && len(f) == 4:
		d := Domain{}
		switch string(f[1]) {
		case "transit":
			d.Kind = Transit
		case "stub":
			d.Kind = Stub
		default:
			return fmt.Errorf("domain kind %q; known are transit and stub", f[1])
		}
		var err error
		if d.First, err = p.node(f[2]); err != nil {
			return err
		}
		if d.Last, err = p.node(f[3]); err != nil {
			return err
		}
		if d.Last < d.First || len(p.domains) > 0 && d.First <= p.domains[len(p.domains)-1].Last {
			return fmt.Errorf("domain %d..%d; ranges ascend and do not overlap", d.First, d.Last)
		}
		p.domains = append(p.domains, d)
		return nil
	default:
		return fmt.Errorf("%q with %d fields; known are '@nodes N' and '@domain transit|stub FIRST LAST'", f[0], len(f))
	}
}
