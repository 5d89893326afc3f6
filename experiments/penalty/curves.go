// SPDX-License-Identifier: Apache-2.0

package penalty

import (
	"fmt"
	"slices"
	"strings"

	"sandstream/internal/fail"
	"sandstream/internal/model/cube"
	"sandstream/internal/model/placement"
	"sandstream/internal/model/routing"
	"sandstream/internal/model/scenario"
)

// Routings by name; lookahead has its depth appended.
const (
	ordered   = "ordered"
	random    = "random"
	greedy    = "greedy"
	lookahead = "lookahead-"
	best      = "best path"
	multicast = "greedy vs IP multicast"
	// Greedy to one id of each host that owns several, not to the nearest.
	greedyFixed = "greedy to a fixed id"
)

// Placements of ids by name.
const (
	byChance    = "random"
	byLandmarks = "landmarks"
	byBisection = "bisection"
)

// overlaySpec is a cube with a placement of ids, and the routings tried on it.
type overlaySpec struct {
	cube     cube.Cube
	ids      string
	routings []string
}

// curve is one line of the figure.
type curve struct {
	overlay int // index of its overlaySpec
	routing string
	name    string
	paper   bool // one of the six of Figure 4
}

// plan is all that one seed computes.
type plan struct {
	overlays []overlaySpec
	curves   []curve
}

// makePlan chooses overlays and routings. which is "paper" (the six curves of
// Figure 4) or "all".
func makePlan(f scenario.Flags, which string) (*plan, error) {
	paper, err := scenario.PaperCubes(f.Hosts)
	if err != nil {
		return nil, err
	}
	cubes, err := f.Cubes(paper...)
	if err != nil {
		return nil, err
	}
	p := &plan{}
	for _, c := range cubes {
		p.add(c, byChance, true, ordered, random, greedy)
	}
	switch which {
	case "paper":
		return p, nil
	case "all":
	default:
		return nil, fail.Usagef("--curves is %q; possible are paper and all", which)
	}
	p.extend(0, multicast, lookahead+"2", lookahead+"3", best)
	p.add(cubes[0], byBisection, false, greedy, best)
	p.add(cubes[0], byLandmarks, false, greedy, best)
	if f.Radix != 0 || f.Dims != 0 {
		return p, nil
	}
	for _, rule := range []cube.Rule{cube.Strict, cube.Authors} {
		c, err := rule.Choose(f.Hosts)
		if err != nil {
			return nil, fail.Usagef("%w", err)
		}
		if p.has(c) {
			continue
		}
		p.add(c, byChance, false, ordered, greedy, greedyFixed, best)
		p.add(c, byLandmarks, false, greedy, lookahead+"2", best)
	}
	return p, nil
}

func (p *plan) has(c cube.Cube) bool {
	return slices.ContainsFunc(p.overlays, func(o overlaySpec) bool { return o.cube.K == c.K && o.cube.N == c.N })
}

func (p *plan) add(c cube.Cube, ids string, paper bool, routings ...string) {
	p.overlays = append(p.overlays, overlaySpec{cube: c, ids: ids})
	p.push(len(p.overlays)-1, paper, routings)
}

// extend adds routings to an overlay that the paper's figure has as well.
func (p *plan) extend(overlay int, routings ...string) { p.push(overlay, false, routings) }

func (p *plan) push(overlay int, paper bool, routings []string) {
	o := &p.overlays[overlay]
	o.routings = append(o.routings, routings...)
	for _, r := range routings {
		name := fmt.Sprintf("%v %s", o.cube, r)
		if o.ids != byChance {
			name = fmt.Sprintf("%v %s, ids by %s", o.cube, r, o.ids)
		}
		p.curves = append(p.curves, curve{overlay, r, name, paper})
	}
}

// bytes estimates the memory of an overlay's computation, for all hosts.
func (p *plan) bytes(hosts int) uint64 {
	most := uint64(0)
	sum := uint64(0)
	for _, o := range p.overlays {
		ids := uint64(o.cube.IDs())
		b := ids * (16 + 4 + 4) // places, owners, costs
		if slices.ContainsFunc(o.routings, func(r string) bool { return strings.HasPrefix(r, lookahead) }) {
			b += ids * 4 * uint64(o.cube.Degree())
		}
		if slices.Contains(o.routings, best) {
			b += ids * 24
		}
		most = max(most, b)
		sum += ids * 20
	}
	return sum + 2*most + uint64(hosts)*8
}

// build makes the overlay of one seed, with what placing the ids took.
func (o *overlaySpec) build(n *scenario.Network, seed uint64) (*routing.Overlay, placement.Effort, error) {
	var owner []uint32
	var effort placement.Effort
	var err error
	switch o.ids {
	case byChance:
		owner, err = placement.Random(o.cube, len(n.Nodes), seed)
	case byLandmarks:
		owner, effort, err = placement.Landmarks(o.cube, n.Hosts, seed)
	case byBisection:
		owner, effort, err = placement.Bisection(o.cube, n.Hosts, seed)
	default:
		err = fmt.Errorf("unknown placement of ids %q", o.ids)
	}
	if err != nil {
		return nil, effort, err
	}
	return &routing.Overlay{Cube: o.cube, Points: n.Oracle.Attach(owner, n.Nodes, n.LAN)}, effort, nil
}
