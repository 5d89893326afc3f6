// SPDX-License-Identifier: Apache-2.0

package links

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// The jitter of one way is that of round trips over the root of two, the first round
// trip left out.
func TestLinkJitter(t *testing.T) {
	var k link
	for i, rtt := range []time.Duration{300, 20, 20, 20} {
		k.measure(rtt*time.Millisecond, 15, 3)
		if k.quality.JitterUs != 0 {
			t.Errorf("after %d even round trips: %d us", i+1, k.quality.JitterUs)
		}
	}
	// Each way varies by itself, around 10 ms by a deviation of 1 ms: the delays of two
	// packets differ by 2/sqrt(pi) ms in the mean.
	r := rand.New(rand.NewPCG(1, 2))
	way := func() time.Duration { return time.Duration((10 + r.NormFloat64()) * float64(time.Millisecond)) }
	var sum float64
	const n = 4000
	for range n {
		k.measure(way()+way(), 15, 3)
		sum += float64(k.quality.JitterUs)
	}
	if got, want := sum/n, 2000/math.Sqrt(math.Pi); math.Abs(got-want) > 0.05*want {
		t.Errorf("%.0f us in the mean, want %.0f", got, want)
	}
}
