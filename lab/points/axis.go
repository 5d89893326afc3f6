// SPDX-License-Identifier: Apache-2.0

package points

import (
	"slices"
	"strconv"

	"sandstream/internal/report/plot"
)

// LevelAxis is an axis of background processes with the given levels at equal
// distances: 0 has a place, which a logarithmic axis does not give it.
func LevelAxis(levels []int) plot.Axis {
	a := plot.Axis{Label: "CPU-bound background processes", Min: -0.3, Max: float64(len(levels)) - 0.7}
	for i, n := range levels {
		a.Ticks = append(a.Ticks, plot.Tick{Value: float64(i), Label: strconv.Itoa(n)})
	}
	return a
}

// LevelPlace is where a level stands on that axis.
func LevelPlace(levels []int, n int) float64 { return float64(slices.Index(levels, n)) }
