// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"strings"
	"testing"
	"time"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// What is delivered, four reports of half a second each, decides between admitted, at risk
// (within a tenth of a bound) and violated, and back.
func TestContractIsJudged(t *testing.T) {
	good := Report{Packets: 100, Bytes: 125_000, MeanUs: 20_000, P99Us: 30_000, Duration: time.Second / 2} // 2 Mbit/s
	with := func(change func(*Report)) Report {
		r := good
		change(&r)
		return r
	}
	latency := wire.Contract{LatencyUs: 50_000}
	loss := wire.Contract{LossPpm: 10_000}
	rate := wire.Contract{MinRateBps: 1_800_000}
	for _, c := range []struct {
		name     string
		contract wire.Contract
		report   Report
		want     ContractState
		reason   string
	}{
		{"no bounds", wire.Contract{}, with(func(r *Report) { r.P99Us, r.Lost = 1e9, 50 }), Admitted, ""},
		{"latency", latency, good, Admitted, ""},
		{"latency near its bound", latency, with(func(r *Report) { r.P99Us = 45_001 }), AtRisk, "latency (ms) 45 of 50"},
		{"latency at its bound", latency, with(func(r *Report) { r.P99Us = 50_000 }), AtRisk, "latency (ms) 50 of 50"},
		{"latency over its bound", latency, with(func(r *Report) { r.P99Us = 50_100 }), Violated, "latency (ms) 50.1 of 50"},
		{"loss", loss, good, Admitted, ""},
		{"loss near its bound", loss, with(func(r *Report) { r.Packets, r.Lost = 9905, 95 }), AtRisk, "loss (%) 0.95 of 1"},
		{"loss over its bound", loss, with(func(r *Report) { r.Packets, r.Lost = 98, 2 }), Violated, "loss (%) 2 of 1"},
		{"loss of too few packets to say", loss, with(func(r *Report) { r.Packets, r.Lost = 20, 2 }), Admitted, ""},
		{"rate", rate, good, Admitted, ""},
		{"rate near its bound", rate, with(func(r *Report) { r.Bytes = 115_000 }), AtRisk, "rate 1840000 of 1800000"},
		{"rate under its bound", rate, with(func(r *Report) { r.Bytes = 100_000 }), Violated, "rate 1600000 of 1800000"},
		{"the worse of two", wire.Contract{LatencyUs: 50_000, LossPpm: 10_000}, with(func(r *Report) { r.P99Us, r.Lost = 49_000, 10 }), Violated, "loss"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, _ := newStreams(turn.DefaultConfig())
			u := &sub{id: 1, contract: c.contract, state: Admitted, met: true, predicted: wire.Quality{CostUs: 20_000}}
			n.subs = append(n.subs, u)
			feed := func(r Report) {
				for range u.recent {
					n.Advance(n.Now + r.Duration)
					n.Measured(u.id, r)
				}
			}
			feed(c.report)
			if u.state != c.want || !strings.HasPrefix(u.reason, c.reason) || (c.reason == "") != (u.reason == "") {
				t.Errorf("%v %q, want %v %q", u.state, u.reason, c.want, c.reason)
			}
			feed(good)
			if u.state != Admitted || u.reason != "" {
				t.Errorf("afterwards %v %q, want admitted", u.state, u.reason)
			}
		})
	}
}

// The parts of a split stream come over several trees. Together they bring what all of them
// bring, as late as the latest of them.
func TestReportsOfPartsAreJoined(t *testing.T) {
	r := Report{Packets: 10, Lost: 1, Bytes: 1000, MeanUs: 20, P99Us: 30, RateBps: 800, Duration: time.Second}
	r.Join(&Report{Packets: 20, Lost: 2, Bytes: 3000, MeanUs: 10, P99Us: 40, RateBps: 900, Duration: time.Second})
	if want := (Report{Packets: 30, Lost: 3, Bytes: 4000, MeanUs: 20, P99Us: 40, RateBps: 1700, Duration: time.Second}); r != want {
		t.Errorf("joined: %+v, want %+v", r, want)
	}
}
