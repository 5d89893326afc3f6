// SPDX-License-Identifier: Apache-2.0

// Package jitter measures how much the forwarding delay of UDP frames varies
// while CPU-bound processes want the processor: at a fixed rate that every idle
// contender can take, and at one that none can.
//
// The delay of a frame is the time between two writes to tail registers, the
// generator's and the forwarder's, both stamped to the instruction.
package jitter

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"sandstream/lab/points"
)

const (
	// Below one frame per 128 us, the interrupt's least distance in the NIC's
	// model, every frame has its own interrupt.
	steadyRate   = 5_000
	steadyFrames = 20_000
	steadyWarm   = 400

	overload       = 800_000
	overloadFrames = 120_000
	overloadWarm   = 40_000
)

// modes are the runs of one boot, in order.
var modes = []struct {
	name, title  string
	rate         float64
	frames, warm int
}{
	{"steady", "5,000 frames per second", steadyRate, steadyFrames, steadyWarm},
	{"saturated", "800,000 frames per second", overload, overloadFrames, overloadWarm},
}

var experiment = points.Experiment[*result]{
	Name:  "jitter",
	Short: "Variation of the forwarding delay against 0 to 128 CPU-bound processes, in the lab",
	Long: `Measure the delay of every UDP frame through one e1000e port of an emulated
one-CPU machine, by each contender, while CPU-bound processes run beside it. All
times are guest virtual time: one instruction is one nanosecond.`,
	Title: "Forwarding-delay variation under background load",
	Extra: map[string]any{"rates": []int{steadyRate, overload}, "stamp_resolution_ns": 1},
	Point: point, Read: read, Show: show,
}

// Command is the subcommand.
func Command() *cobra.Command { return experiment.Command() }

// Points are the experiment's points.
func Points(f points.Flags) ([]points.Point, error) { return experiment.Points(f) }

func point(p *points.Point, f points.Flags) {
	p.Seed, p.WarmMS, p.Stamps = f.Seed*1000+500, 50, true
	p.Cost = 14 + 0.06*float64(p.Hogs)
	for _, m := range modes {
		p.Steps = append(p.Steps, "run", strconv.FormatFloat(m.rate, 'f', -1, 64), strconv.Itoa(m.frames+m.warm))
	}
}

// read decodes a boot into one result for each mode.
func read(p points.Point, o *points.Outcome, seed uint64) ([]*result, error) {
	lines, err := points.Lines[points.Line](o, "point")
	if err != nil {
		return nil, err
	}
	var list []*result
	for _, l := range lines {
		if l.Kind != "run" {
			continue
		}
		if len(list) == len(modes) {
			return nil, errors.New("labpoint printed more runs than it was asked for")
		}
		if err := l.Valid(); err != nil {
			return nil, err
		}
		stamps, err := points.Stamps(o.Files[fmt.Sprintf("stamps.%d", len(list))])
		if err != nil {
			return nil, err
		}
		if uint32(len(stamps)) != l.Count {
			return nil, fmt.Errorf("%d stamps of %d frames", len(stamps), l.Count)
		}
		m := modes[len(list)]
		list = append(list, analyse(p, m.name, l, stamps[m.warm:], seed))
	}
	if len(list) != len(modes) {
		return nil, errors.New("labpoint did not print everything")
	}
	return list, nil
}
