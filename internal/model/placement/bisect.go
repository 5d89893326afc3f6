// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"sandstream/internal/model/cube"
)

// Bisection places hosts by recursive cuts, the simpler idea that Landmarks is
// measured against: of a set of hosts two far ones become pivots, the others
// are ordered by how much nearer they are to the first than to the second, and
// the order is cut into k equal parts, which get the next digit.
func Bisection(c cube.Cube, d Distances, seed uint64) ([]uint32, Effort, error) {
	hosts := d.Len()
	if err := check(c, hosts); err != nil {
		return nil, Effort{}, err
	}
	b := bisecter{k: c.K, d: d, rng: rand.New(rand.NewPCG(seed, 0x62697365)), owner: make([]uint32, c.IDs()), key: make([]int64, hosts)}
	all := make([]uint32, hosts)
	for i := range all {
		all[i] = uint32(i)
	}
	b.cut(all, 0, c.IDs())
	b.effort.Measurements /= float64(hosts)
	b.effort.MapWords = b.effort.Landmarks
	return b.owner, b.effort, nil
}

type bisecter struct {
	k      int
	d      Distances
	rng    *rand.Rand
	owner  []uint32
	key    []int64
	effort Effort
}

func (b *bisecter) cut(hosts []uint32, first, ids int) {
	if len(hosts) <= b.k || ids <= b.k {
		for i := range ids {
			b.owner[first+i] = hosts[i*len(hosts)/ids]
		}
		return
	}
	p := b.far(hosts, hosts[b.rng.IntN(len(hosts))])
	q := b.far(hosts, p)
	for _, h := range hosts {
		b.key[h] = int64(b.d.Dist(h, p)) - int64(b.d.Dist(h, q))
	}
	b.effort.Measurements += float64(2 * len(hosts))
	b.effort.Landmarks += 2
	slices.SortFunc(hosts, func(x, y uint32) int {
		if c := cmp.Compare(b.key[x], b.key[y]); c != 0 {
			return c
		}
		return cmp.Compare(x, y)
	})
	for i := range b.k {
		b.cut(hosts[i*len(hosts)/b.k:(i+1)*len(hosts)/b.k], first+i*(ids/b.k), ids/b.k)
	}
}

// far is the farthest from h of 64 random hosts.
func (b *bisecter) far(hosts []uint32, h uint32) uint32 {
	best, bestDist := h, uint32(0)
	for range 64 {
		if x := hosts[b.rng.IntN(len(hosts))]; b.d.Dist(h, x) >= bestDist {
			best, bestDist = x, b.d.Dist(h, x)
		}
	}
	return best
}
