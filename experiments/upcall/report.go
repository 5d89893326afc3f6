// SPDX-License-Identifier: Apache-2.0

package upcall

import (
	"math"

	"sandstream/internal/report/plot"
	"sandstream/internal/report/results"
	"sandstream/lab/points"
)

// instructions of an operation in an exact boot; NaN if it was not measured.
func (c costs) instructions(mitigations bool, op string) float64 {
	v := c[setting{true, mitigations}][op]
	if len(v) == 0 {
		return math.NaN()
	}
	return v[0].instructions
}

func show(report *points.Report, c costs, rounds int) error {
	report.Text("Instructions come from machines whose clock counts them (" + points.Clock + "); they repeat exactly. Wall times were taken under software emulation.")
	exact := &results.Table{
		Name: "upcall", Title: "Instructions of one operation (median of 2,000)",
		Columns: []string{"operation", "mitigations off", "against getppid()", "mitigations on", "against getppid()"},
		Note: "A crossing is the slope over services called within one upcall: out of the sandbox and in again. The second line has everything that one upcall\n" +
			"does; the third, their difference, is what is saved, neutralised and restored once, however many frames the upcall handles.",
	}
	for _, op := range operations {
		off, on := c.instructions(false, op.name), c.instructions(true, op.name)
		exact.Row(op.name, off, off/c.instructions(false, "getppid()"), on, on/c.instructions(true, "getppid()"))
	}
	if err := report.Table(exact); err != nil {
		return err
	}
	if rounds > 0 {
		wall := &results.Table{
			Name: "upcall-wall", Title: "Wall time of one operation in ns, under software emulation",
			Columns: []string{"operation", "off: median", "lowest", "highest", "on: median", "lowest", "highest"},
			Note:    "Every load of CR3 flushes the emulator's software TLB: for an upcall these figures are an upper bound, not a headline. Median and range over boots.",
		}
		for _, op := range operations {
			a, al, ah := c.wall(false, op.name)
			b, bl, bh := c.wall(true, op.name)
			wall.Row(op.name, a, al, ah, b, bl, bh)
		}
		if err := report.Table(wall); err != nil {
			return err
		}
	}
	if err := report.Chart(chart(c)); err != nil {
		return err
	}
	return report.Table(points.Claims("claims", "What the upcall must show", "met", "not met", []points.Claim{
		{
			Text: "one crossing in and out against getppid(), mitigations off", Bar: "≤ 1.10",
			Value: c.instructions(false, crossing) / c.instructions(false, "getppid()"), Met: points.AtMost(1.10),
		},
	}))
}

func chart(c costs) *plot.Chart {
	short := map[string]string{
		crossing: "crossing", upcall: "upcall", neutralising: "state", each: "1 of 64", "getppid()": "getppid", "getpid()": "getpid",
		"signal to oneself": "signal self", "signal to another process and back": "signal other", "pipe ping-pong with another process": "pipe",
	}
	p := &plot.Chart{
		Name: "upcall", Title: "Instructions of one operation", Bars: []string{"mitigations off", "mitigations on"}, Legend: plot.TopLeft,
		Y: plot.Axis{Label: "instructions, in thousands"},
	}
	for _, op := range operations {
		off, on := c.instructions(false, op.name), c.instructions(true, op.name)
		if math.IsNaN(off) || math.IsNaN(on) {
			continue
		}
		p.Groups = append(p.Groups, plot.Group{Name: short[op.name], Values: []float64{off / 1000, on / 1000}})
	}
	// The bars of the outer groups reach beyond their places.
	p.X = plot.Axis{Min: -0.6, Max: float64(len(p.Groups)) - 0.4}
	return p
}
