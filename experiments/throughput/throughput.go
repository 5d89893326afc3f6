// SPDX-License-Identifier: Apache-2.0

// Package throughput is the paper's Figure 9 in the lab: how many UDP frames a
// host forwards while more and more CPU-bound processes want its processor.
//
// One boot measures one contender at one level of background. It offers 800,000
// frames per second, which no contender can take, for the saturated rate; then a
// ladder of rates; and between its rungs the highest rate without loss and the
// highest with at most 0.5 % loss.
package throughput

import (
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"sandstream/lab/points"
)

const (
	overload = 800_000 // frames per second
	warmMS   = 50
)

var experiment = points.Experiment[*result]{
	Name:  "throughput",
	Short: "Figure 9: UDP forwarding against 0 to 128 CPU-bound processes, in the lab",
	Long: `Forward UDP frames through one e1000e port of an emulated one-CPU machine, by
each contender, while CPU-bound processes run beside it. All rates are per second
of guest virtual time: one instruction is one nanosecond.`,
	Title: "Throughput under background load",
	Extra: map[string]any{"offered_when_saturated": overload},
	Point: point, Read: read, Show: show,
}

// Command is the subcommand.
func Command() *cobra.Command { return experiment.Command() }

// Points are the experiment's points.
func Points(f points.Flags) ([]points.Point, error) { return experiment.Points(f) }

func point(p *points.Point, f points.Flags) {
	// A rung must outlast the buffers (a socket holds some 1,300 frames), and
	// every process must have had its turn.
	rung := 200 + 2*p.Hogs
	p.Seed, p.WarmMS = f.Seed*1000, warmMS
	p.Steps = []string{
		"run", strconv.Itoa(overload), strconv.Itoa(overload * (200 + warmMS) / 1000),
		"search", strconv.Itoa(rung),
	}
	p.Cost = 22 + 0.2*float64(p.Hogs)
}

// result is what one boot measured.
type result struct {
	point       points.Point
	saturated   points.Line
	rungs       []points.Line // by rising rate
	lossFree    float64       // frames per second
	halfPercent float64
	boot        *points.Outcome
}

// peak is the rung or the saturated run that forwarded most.
func (r *result) peak() points.Line {
	best := r.saturated
	for _, l := range r.rungs {
		if l.Forwarded() > best.Forwarded() {
			best = l
		}
	}
	return best
}

// read decodes a boot.
func read(p points.Point, o *points.Outcome, _ uint64) ([]*result, error) {
	lines, err := points.Lines[points.Line](o, "point")
	if err != nil {
		return nil, err
	}
	r := &result{point: p, boot: o}
	searched, ran := false, false
	for _, l := range lines {
		switch l.Kind {
		case "search":
			r.lossFree, r.halfPercent, searched = l.LossFree, l.HalfPercent, true
			continue
		case "run":
			r.saturated, ran = l, true
		case "step":
			r.rungs = append(r.rungs, l)
		default:
			continue
		}
		if err := l.Valid(); err != nil {
			return nil, err
		}
	}
	if !ran || !searched {
		return nil, errors.New("labpoint did not print everything")
	}
	return []*result{r}, nil
}
