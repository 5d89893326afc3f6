// SPDX-License-Identifier: Apache-2.0

package netem

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPlanKeepsOrderRateAndBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Link{
			Delay:  time.Duration(rapid.Int64Range(0, 1e8).Draw(t, "delay")),
			Jitter: time.Duration(rapid.Int64Range(0, 1e8).Draw(t, "jitter")),
			Loss:   rapid.SampledFrom([]float64{0, .3}).Draw(t, "loss"),
			Rate:   rapid.SampledFrom([]float64{0, 1e6}).Draw(t, "rate"),
			Queue:  time.Duration(rapid.Int64Range(0, 5e7).Draw(t, "queue")),
		}
		p := pair{Link: l, rng: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))}
		queue := l.Queue
		if queue == 0 {
			queue = DefaultQueue
		}
		var now, last int64
		var sent float64 // bits that left
		for range 100 {
			now += rapid.Int64Range(0, 2e7).Draw(t, "gap")
			due, copies, full := p.plan(now, 1000)
			if full && l.Rate == 0 {
				t.Fatal("a queue without a rate is full")
			}
			if !full && l.Rate > 0 {
				sent += 8000
				// All of it left by p.free, at the rate: never faster.
				if float64(p.free)/1e9*l.Rate < sent-1e-3*sent {
					t.Fatalf("%.0f bits left by %d ns", sent, p.free)
				}
			}
			if copies == 0 {
				continue
			}
			earliest := now + max(0, int64(l.Delay)-int64(l.Jitter))
			latest := now + int64(l.Delay+l.Jitter)
			if l.Rate > 0 {
				latest += int64(queue) + 8e6
			}
			if due < earliest || due > max(latest, last) || due < last {
				t.Fatalf("sent %d, due %d, last %d, bounds %d..%d", now, due, last, earliest, latest)
			}
			last = due
		}
	})
}

// The fate of the n-th packet does not depend on what was set before.
func TestFateIsOfTheSeed(t *testing.T) {
	fates := func(first Link) (lost []bool) {
		p := pair{Link: first, rng: rand.New(rand.NewPCG(1, 2))}
		for i := range 1000 {
			if i == 100 {
				p.Link = Link{Loss: .2, Jitter: time.Millisecond}
			}
			_, copies, _ := p.plan(int64(i)*1e9, 100)
			lost = append(lost, copies == 0)
		}
		return lost[100:]
	}
	a, b := fates(Link{Loss: 1}), fates(Link{Rate: 1e3, Duplicate: .5})
	n := 0
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("packet %d: %v and %v", i, a[i], b[i])
		}
		if a[i] {
			n++
		}
	}
	if n < 120 || n > 240 { // 180 ± 12
		t.Errorf("%d of 900 lost at 20 %%", n)
	}
}

func TestLinkCheck(t *testing.T) {
	nan := 0.0
	nan /= nan
	for _, l := range []Link{{Delay: -1}, {Jitter: -1}, {Queue: -1}, {Loss: -.1}, {Loss: 1.1}, {Loss: nan}, {Duplicate: 2}, {Rate: -1}, {Rate: nan}} {
		if l.check() == nil {
			t.Errorf("%+v is accepted", l)
		}
	}
	if err := (Link{Delay: 1, Jitter: 1, Loss: 1, Rate: 1}).check(); err != nil {
		t.Error(err)
	}
}
