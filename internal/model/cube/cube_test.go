// SPDX-License-Identifier: Apache-2.0

package cube

import (
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func drawCube(t *rapid.T, most int) Cube {
	k := rapid.IntRange(2, 9).Draw(t, "k")
	n := rapid.IntRange(1, 8).Draw(t, "n")
	for n > 1 && pow64(k, n) > uint64(most) {
		n--
	}
	return Must(k, n)
}

// A(k,n) is the mean over all ordered pairs, self included, exactly; W the
// largest distance.
func TestMeanHopsAndDiameter(t *testing.T) {
	for k := 2; k <= 11; k++ {
		for n := 1; pow64(k, n) <= 1400; n++ {
			c := Must(k, n)
			sum, largest := int64(0), 0
			for a := range uint32(c.IDs()) {
				for b := range uint32(c.IDs()) {
					d := c.Distance(a, b)
					sum += int64(d)
					largest = max(largest, d)
				}
			}
			pairs := int64(c.IDs()) * int64(c.IDs())
			if mean := big.NewRat(sum, pairs); mean.Cmp(c.MeanHops()) != 0 {
				t.Errorf("%v: mean %v, A is %v", c, mean, c.MeanHops())
			}
			if largest != c.Diameter() {
				t.Errorf("%v: the farthest ids are %d apart, W is %d", c, largest, c.Diameter())
			}
		}
	}
}

// Distance equals breadth-first search over Neighbours.
func TestDistanceIsHops(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCube(t, 2000)
		source := uint32(rapid.IntRange(0, c.IDs()-1).Draw(t, "source"))
		dist := map[uint32]int{source: 0}
		for queue := []uint32{source}; len(queue) > 0; queue = queue[1:] {
			around := c.Neighbours(queue[0], nil)
			if len(around) != c.Degree() {
				t.Fatalf("%d neighbours, degree %d", len(around), c.Degree())
			}
			for _, x := range around {
				if _, ok := dist[x]; !ok {
					dist[x] = dist[queue[0]] + 1
					queue = append(queue, x)
				}
			}
		}
		if len(dist) != c.IDs() {
			t.Fatalf("%d of %d ids reached", len(dist), c.IDs())
		}
		for id, d := range dist {
			if c.Distance(source, id) != d {
				t.Fatalf("distance %d-%d is %d, in hops %d", source, id, c.Distance(source, id), d)
			}
		}
	})
}

func TestStepUndoesItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCube(t, 1<<20)
		id := uint32(rapid.IntRange(0, c.IDs()-1).Draw(t, "id"))
		d := rapid.IntRange(0, c.N-1).Draw(t, "d")
		up := c.Step(id, d, true)
		if c.Step(up, d, false) != id {
			t.Fatalf("up and down from %d ends at %d", id, c.Step(up, d, false))
		}
		if want := (c.Digit(id, d) + 1) % c.K; c.Digit(up, d) != want || int(up) >= c.IDs() {
			t.Fatalf("digit %d of %d is %d, want %d", d, up, c.Digit(up, d), want)
		}
	})
}

// FarthestRoutes against counting: routes of one direction in each dimension.
func TestFarthestRoutes(t *testing.T) {
	for _, c := range []Cube{Must(2, 3), Must(3, 4), Must(4, 2), Must(5, 3), Must(6, 2)} {
		var count func(left []int) int64
		count = func(left []int) int64 {
			ways, done := int64(0), true
			for d := range left {
				if left[d] > 0 {
					done = false
					left[d]--
					ways += count(left)
					left[d]++
				}
			}
			if done {
				return 1
			}
			return ways
		}
		left := slices.Repeat([]int{c.K / 2}, c.N)
		if want := count(left); c.FarthestRoutes().Int64() != want {
			t.Errorf("%v: %v routes, counted %d", c, c.FarthestRoutes(), want)
		}
	}
}

func TestImpossible(t *testing.T) {
	for _, c := range []struct {
		k, n int
		says string
	}{
		{1, 4, "the least is 2"},
		{-3, 4, "the least is 2"},
		{2, 0, "the least is 1"},
		{2, 32, "at most n = 31 with k = 2"},
		{16, 9, "at most n = 7 with k = 16, or k = 10 with n = 9"},
		{1 << 33, 1, "k is at most 2147483648"},
	} {
		_, err := New(c.k, c.n)
		if !errors.Is(err, ErrImpossible) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%d-ary %d-cube: %v, want %q", c.k, c.n, err, c.says)
		}
	}
	// What an error proposes is possible.
	for _, kn := range [][2]int{{2, 31}, {16, 7}, {10, 9}, {MaxIDs, 1}} {
		if _, err := New(kn[0], kn[1]); err != nil {
			t.Error(err)
		}
	}
}

// The M values the authors' slides show, in order.
var publishedM = []int{2, 4, 9, 27, 32, 81, 243, 729, 2187, 6561, 19683, 59049, 177147, 531441, 1594323, 4782969}

func TestPublishedSequence(t *testing.T) {
	list, err := Authors.Regions(1, 524288)
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, r := range list {
		got = append(got, r.Cube.IDs())
	}
	if !slices.Equal(got, publishedM) {
		t.Errorf("M is %v, published %v", got, publishedM)
	}
	for _, c := range []struct{ from, to, k, n int }{
		{5, 8, 3, 2}, {9, 16, 3, 3}, {17, 32, 2, 5}, {33, 64, 3, 4}, {129, 512, 3, 6}, {8193, 16384, 3, 10}, {32769, 131072, 3, 12},
	} {
		i := slices.IndexFunc(list, func(r Region) bool { return r.First == c.from })
		if i < 0 || list[i].Last != c.to || list[i].Cube.K != c.k || list[i].Cube.N != c.n {
			t.Errorf("no region %d-%d with (%d,%d)", c.from, c.to, c.k, c.n)
		}
	}
}

// Regions found by bisection are those of asking for every count.
func TestRegionsAreComplete(t *testing.T) {
	const most = 3000
	for _, rule := range []Rule{Authors, Strict} {
		list, err := rule.Regions(1, most)
		if err != nil {
			t.Fatal(err)
		}
		next := 1
		for _, r := range list {
			if r.First != next {
				t.Fatalf("%v: a region begins at %d, want %d", rule, r.First, next)
			}
			for m := r.First; m <= r.Last; m++ {
				if c, err := rule.Choose(m); err != nil || c.K != r.Cube.K || c.N != r.Cube.N {
					t.Fatalf("%v: %d hosts: %v (%v), but the region says %v", rule, m, c, err, r.Cube)
				}
			}
			next = r.Last + 1
		}
		if next != most+1 {
			t.Fatalf("%v: regions end at %d", rule, next-1)
		}
	}
}

// Both rules against brute force over all cubes that could matter.
func TestRulesByBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.IntRange(1, 20000).Draw(t, "m")
		hyper := 1
		for 1<<hyper < m {
			hyper++
		}
		bound := meanHops(2, hyper)
		var largest uint64
		var least *big.Rat
		for k := 2; k <= 64; k++ {
			for n := 1; n <= 20; n++ {
				a, ids := meanHops(k, n), pow64(k, n)
				if ids < uint64(m) {
					continue
				}
				if least == nil || a.Cmp(least) < 0 {
					least = a
				}
				if a.Cmp(bound) <= 0 {
					largest = max(largest, ids)
				}
			}
		}
		c, err := Authors.Choose(m)
		if err != nil || uint64(c.IDs()) != largest || c.MeanHops().Cmp(bound) > 0 {
			t.Fatalf("authors: %v (%v), but %d ids are possible", c, err, largest)
		}
		c, err = Strict.Choose(m)
		if err != nil || c.MeanHops().Cmp(least) != 0 || c.IDs() < m {
			t.Fatalf("strict: %v (%v) with A = %v, but %v is possible", c, err, c.MeanHops(), least)
		}
	})
}

func TestChooseLimits(t *testing.T) {
	for _, m := range []int{0, -1, MaxIDs + 1} {
		for _, rule := range []Rule{Authors, Strict} {
			if c, err := rule.Choose(m); !errors.Is(err, ErrImpossible) {
				t.Errorf("%v: %d hosts gave %v, %v", rule, m, c, err)
			}
		}
	}
}
