// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"sandstream/internal/model/cube"
)

// line is a network whose hosts sit on a line.
type line []int

func (l line) Len() int { return len(l) }
func (l line) Dist(a, b uint32) uint32 {
	return uint32(max(l[a]-l[b], l[b]-l[a]))
}

func TestEveryHostOwnsAnID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(2, 5).Draw(t, "k")
		n := rapid.IntRange(1, 8).Draw(t, "n")
		for n > 1 && cube.Must(k, n).IDs() > 3000 {
			n--
		}
		c := cube.Must(k, n)
		hosts := rapid.IntRange(1, c.IDs()).Draw(t, "hosts")
		seed := rapid.Uint64().Draw(t, "seed")
		rng := rand.New(rand.NewPCG(seed, 1))
		l := make(line, hosts)
		for i := range l {
			l[i] = rng.IntN(50) // many equal places
		}
		for name, f := range map[string]func() ([]uint32, error){
			"random":    func() ([]uint32, error) { return Random(c, hosts, seed) },
			"landmarks": func() ([]uint32, error) { o, _, err := Landmarks(c, l, seed); return o, err },
			"bisection": func() ([]uint32, error) { o, _, err := Bisection(c, l, seed); return o, err },
		} {
			owner, err := f()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			owns := make([]int, hosts)
			for _, h := range owner {
				owns[h]++
			}
			if len(owner) != c.IDs() || slices.Min(owns) < 1 {
				t.Fatalf("%s: %d ids, the least a host owns is %d", name, len(owner), slices.Min(owns))
			}
			if name == "random" && slices.Max(owns)-slices.Min(owns) > 1 {
				t.Fatalf("random: hosts own %d to %d ids", slices.Min(owns), slices.Max(owns))
			}
			if again, _ := f(); !slices.Equal(owner, again) {
				t.Fatalf("%s: the same seed gave another placement", name)
			}
		}
	})
}

func TestTooManyHosts(t *testing.T) {
	c := cube.Must(2, 3)
	if _, err := Random(c, 9, 1); err == nil {
		t.Error("9 hosts on 8 ids were placed")
	}
	if _, _, err := Landmarks(c, make(line, 9), 1); err == nil {
		t.Error("9 hosts on 8 ids were placed")
	}
	if _, _, err := Bisection(c, make(line, 0), 1); err == nil {
		t.Error("no host was placed")
	}
}

// Both proximity placements must bring neighbours nearer than chance does.
func TestNeighboursAreNear(t *testing.T) {
	c := cube.Must(2, 12)
	l := make(line, c.IDs())
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range l {
		l[i] = rng.IntN(1 << 20)
	}
	links := func(owner []uint32) (sum uint64) {
		for id := range owner {
			for d := range c.N {
				sum += uint64(l.Dist(owner[id], owner[id^1<<d]))
			}
		}
		return sum
	}
	random, _ := Random(c, len(l), 1)
	marks, _, _ := Landmarks(c, l, 1)
	cuts, _, _ := Bisection(c, l, 1)
	// On a line of length 1 a random link is 1/3 long on average; cuts without
	// mirrored halves give Σ 2^-i/12 ≈ 1/6 of that.
	if r, m, b := links(random), links(marks), links(cuts); 2*m > r || 2*b > r {
		t.Errorf("links: random %d, landmarks %d, bisection %d", r, m, b)
	}
}
