// SPDX-License-Identifier: Apache-2.0

package points

import (
	"math"

	"sandstream/internal/report/results"
)

// A Claim is a statement that figures decide. Value is NaN when the figures for
// it are not there.
type Claim struct {
	Text  string
	Bar   string // "≥ 0.98"
	Value float64
	Met   func(value float64) bool
}

// AtLeast and AtMost are the usual bars.
func AtLeast(bar float64) func(float64) bool { return func(v float64) bool { return v >= bar } }

// AtMost is met by values up to the bar.
func AtMost(bar float64) func(float64) bool { return func(v float64) bool { return v <= bar } }

// Claims makes a table of verdicts: good, bad or "not measured".
func Claims(name, title, good, bad string, claims []Claim) *results.Table {
	t := &results.Table{Name: name, Title: title, Columns: []string{"statement", "bar", "measured", "verdict"}}
	for _, c := range claims {
		verdict := bad
		switch {
		case math.IsNaN(c.Value):
			verdict = "not measured"
		case c.Met(c.Value):
			verdict = good
		}
		t.Row(c.Text, c.Bar, c.Value, verdict)
	}
	return t
}
