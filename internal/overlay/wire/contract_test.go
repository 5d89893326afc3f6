// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Latency adds up, of links and of the hosts between; loss does not: what one link has
// lost the next cannot lose again.
func TestQualityOfPath(t *testing.T) {
	hop := func(us, ppm, stay uint32) Hop {
		return Hop{Quality: Quality{CostUs: us, LossPpm: ppm}, StayUs: stay}
	}
	vary := func(us uint32) Hop { return Hop{Quality: Quality{JitterUs: us}} }
	for _, c := range []struct {
		name string
		path []Hop
		want Quality
	}{
		{"nothing", nil, Quality{}},
		{"publisher alone", []Hop{hop(0, 0, 0)}, Quality{}},
		{"links and hosts", []Hop{hop(0, 0, 100), hop(5000, 0, 200), hop(7000, 0, 0)}, Quality{CostUs: 12_300}},
		{"two links that lose a half", []Hop{hop(0, 0, 0), hop(1, 500_000, 0), hop(1, 500_000, 0)}, Quality{CostUs: 2, LossPpm: 750_000}},
		{"more than all", []Hop{hop(0, 0, 0), hop(1, math.MaxUint32, 0)}, Quality{CostUs: 1, LossPpm: 1_000_000}},
		{"links that vary by themselves", []Hop{hop(0, 0, 0), vary(3000), vary(4000)}, Quality{JitterUs: 5000}},
		{"more than can be said of jitter", []Hop{vary(math.MaxUint32), vary(math.MaxUint32)}, Quality{JitterUs: NoBudget - 1}},
		{"longer than can be said", []Hop{hop(math.MaxUint32, 0, 0), hop(math.MaxUint32, 0, 0)}, Quality{CostUs: NoBudget - 1}},
	} {
		if got := QualityOf(c.path); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// Of two paths the worse is as bad as each of them in every respect, and no worse than one.
func TestWorstOfTwoPaths(t *testing.T) {
	a, b := Quality{CostUs: 5, LossPpm: 60, JitterUs: 7}, Quality{CostUs: 6, LossPpm: 50, JitterUs: 9}
	if got := a.Worst(b); got != (Quality{CostUs: 6, LossPpm: 60, JitterUs: 9}) || got != b.Worst(a) || a.Worst(a) != a {
		t.Errorf("the worse of %+v and %+v is %+v", a, b, got)
	}
}

func TestBreach(t *testing.T) {
	for _, c := range []struct {
		contract Contract
		path     Quality
		want     string
	}{
		{Contract{}, Quality{math.MaxUint32, 1_000_000, math.MaxUint32}, ""},
		{Contract{LatencyUs: 50_000}, Quality{CostUs: 50_000}, ""},
		{Contract{LatencyUs: 50_000}, Quality{CostUs: 50_100}, "the path takes 50.1 ms, 50 asked"},
		{Contract{LossPpm: 10_000}, Quality{LossPpm: 10_000}, ""},
		{Contract{LossPpm: 10_000}, Quality{LossPpm: 20_000}, "the path loses 2.00 %, 1.00 asked"},
		{Contract{JitterUs: 5000}, Quality{JitterUs: 5000}, ""},
		{Contract{JitterUs: 5000}, Quality{JitterUs: 5100}, "the path varies by 5.1 ms, 5 asked"},
		{Contract{LatencyUs: 1, LossPpm: 1, JitterUs: 1}, Quality{2, 2, 2}, "the path takes"},
	} {
		if got := c.contract.Breach(c.path); !strings.HasPrefix(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("%+v over %+v: %q, want %q", c.contract, c.path, got, c.want)
		}
	}
}

// The parts of a stream share it out: together they carry all of it.
func TestSharesOfParts(t *testing.T) {
	if (&StreamInfo{ID: StreamID{1}}).Share() != 1 {
		t.Error("a stream that is not split carries less than all of it")
	}
	if (&StreamInfo{ID: StreamID{9}, Parts: []Part{{StreamID{1}, 1}, {StreamID{2}, 3}}}).Share() != 1 {
		t.Error("a stream that is none of its parts carries less than all of it")
	}
	rapid.Check(t, func(t *rapid.T) {
		var parts []Part
		for i := range rapid.IntRange(2, MaxParts).Draw(t, "parts") {
			parts = append(parts, Part{StreamID{byte(i + 1)}, rapid.Uint16Range(1, math.MaxUint16).Draw(t, "weight")})
		}
		sum := 0.
		for _, p := range parts {
			sum += (&StreamInfo{ID: p.ID, Parts: parts}).Share()
		}
		if math.Abs(sum-1) > 1e-9 {
			t.Fatalf("the parts carry %g of the stream", sum)
		}
	})
}

// Jitter is not told to those who have not asked, and the path itself stays as it is.
func TestWithoutJitter(t *testing.T) {
	path := []Hop{{StayUs: 4}, {Quality: Quality{CostUs: 5, LossPpm: 6, JitterUs: 7}, SPA: "filter"}}
	told := WithoutJitter(path)
	if told[1].JitterUs != 0 || told[1].CostUs != 5 || told[1].SPA != "filter" || told[0].StayUs != 4 || path[1].JitterUs != 7 {
		t.Errorf("%+v is told as %+v", path, told)
	}
	var plain, asked Graft
	asked.Contract.JitterUs = 9
	plain.Carry(path, Quality{JitterUs: 3}, true)
	asked.Carry(path, Quality{JitterUs: 3}, true)
	if plain.LinkJitterUs != 0 || plain.Path[1].JitterUs != 0 {
		t.Errorf("a graft of a contract without a bound on jitter says %+v", plain)
	}
	if asked.Link().JitterUs != 3 || asked.Path[1].JitterUs != 7 {
		t.Errorf("a graft of a contract with a bound on jitter says %+v", asked)
	}
}
