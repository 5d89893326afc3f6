// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"sandstream/internal/model/cube"
)

// Landmarks places hosts by a tree of landmarks. The highest digits of the id
// name a block of ids; each block has a landmark, a host in the middle of
// those it serves. A host that joins measures its distance to the landmarks
// and takes the nearest block that has room; inside, the next digits are
// chosen in the same way among the block's own landmarks, until a few hosts
// share the ids that are left.
//
// Which block has which digits is a second choice: landmarks know their
// mutual distances, and blocks are arranged on the cube so that the links
// between neighbouring blocks are short (a quadratic assignment, improved by
// annealed swaps). That map is all a joining host must be told.
func Landmarks(c cube.Cube, d Distances, seed uint64) ([]uint32, Effort, error) {
	hosts := d.Len()
	if err := check(c, hosts); err != nil {
		return nil, Effort{}, err
	}
	l := lander{c: c, d: d, rng: rand.New(rand.NewPCG(seed, 0x6c616e64)), owner: make([]uint32, c.IDs())}
	all := make([]uint32, hosts)
	for i := range all {
		all[i] = uint32(i)
	}
	l.rng.Shuffle(hosts, func(i, j int) { all[i], all[j] = all[j], all[i] })
	l.place(all, 0, c.N)
	l.effort.Measurements /= float64(hosts)
	return l.owner, l.effort, nil
}

type lander struct {
	c      cube.Cube
	d      Distances
	rng    *rand.Rand
	owner  []uint32
	effort Effort
}

// topBlocks is about how many blocks the highest level has; lower levels have
// about lowBlocks.
const (
	topBlocks = 100
	lowBlocks = 30
	// slack is how much more than its even share of hosts a block takes, if it
	// has the ids; 1/least of it is the fewest. Blocks as large as the clusters
	// that the network has serve better than equal ones.
	slack = 2.5
	least = 8
)

// place gives the ids first..first+k^digits-1 to hosts.
func (l *lander) place(hosts []uint32, first uint32, digits int) {
	want := lowBlocks
	if digits == l.c.N {
		want = topBlocks
	}
	level, blocks := 0, 1
	for level < digits && blocks*l.c.K <= want && blocks*l.c.K*2 <= len(hosts) {
		level++
		blocks *= l.c.K
	}
	ids := 1
	for range digits {
		ids *= l.c.K
	}
	if blocks == 1 {
		// Few hosts: each gets an even run of ids.
		for i := range ids {
			l.owner[first+uint32(i)] = hosts[i*len(hosts)/ids]
		}
		return
	}
	marks := l.choose(hosts, blocks)
	parts := l.assign(hosts, marks, ids/blocks)
	order := l.arrange(marks, level)
	for position, block := range order {
		l.place(parts[block], first+uint32(position*(ids/blocks)), digits-level)
	}
}

// choose finds landmarks among hosts: medoids of a sample, improved a few
// times, each cluster limited to slack times its even share.
func (l *lander) choose(hosts []uint32, blocks int) []uint32 {
	sample := hosts
	if n := 48 * blocks; len(sample) > n {
		sample = make([]uint32, n)
		for i := range sample {
			sample[i] = hosts[i*len(hosts)/n] // hosts are in random order
		}
	}
	marks := make([]uint32, blocks)
	for i, j := range l.rng.Perm(len(sample))[:blocks] {
		marks[i] = sample[j]
	}
	for round := range 8 {
		parts := l.assign(sample, marks, math.MaxInt)
		if round < 6 {
			l.reseed(parts, marks)
		}
		for b, part := range parts {
			best, bestSum := marks[b], uint64(math.MaxUint64)
			step := max(1, len(part)/24)
			for _, m := range part {
				sum := uint64(0)
				for i := 0; i < len(part); i += step {
					sum += uint64(l.d.Dist(m, part[i]))
				}
				if sum < bestSum {
					best, bestSum = m, sum
				}
			}
			marks[b] = best
		}
	}
	l.effort.Landmarks += blocks
	return marks
}

// reseed moves landmarks that serve too few hosts into the blocks that serve
// most, so that no host ends up with a large share of the ids.
func (l *lander) reseed(parts [][]uint32, marks []uint32) {
	even := 0
	for _, p := range parts {
		even += len(p)
	}
	even /= len(parts)
	for b, p := range parts {
		if 3*len(p) >= even {
			continue
		}
		largest := 0
		for i := range parts {
			if len(parts[i]) > len(parts[largest]) {
				largest = i
			}
		}
		q := parts[largest]
		if len(q) < 4 {
			return
		}
		// Half of the largest block goes to a new landmark in it.
		mid := len(q) / 2
		marks[b] = q[mid]
		parts[b], parts[largest] = append(p[:0:0], q[mid:]...), q[:mid]
	}
}

// assign gives each host, in order, to the nearest landmark whose block has
// room. A landmark is always in its own block.
func (l *lander) assign(hosts, marks []uint32, room int) [][]uint32 {
	share := int(math.Ceil(slack * float64(len(hosts)) / float64(len(marks))))
	room = min(room, share)
	parts := make([][]uint32, len(marks))
	own := make(map[uint32]bool, len(marks))
	for b, m := range marks {
		parts[b] = append(parts[b], m)
		own[m] = true
	}
	for _, h := range hosts {
		if own[h] {
			continue
		}
		best, bestDist := -1, uint32(math.MaxUint32)
		for b, m := range marks {
			if len(parts[b]) < room {
				if d := l.d.Dist(h, m); d < bestDist {
					best, bestDist = b, d
				}
			}
		}
		parts[best] = append(parts[best], h)
	}
	l.level(parts, marks, len(hosts)/(least*len(marks)))
	l.effort.Measurements += float64(len(hosts) * len(marks))
	return parts
}

// level moves the nearest hosts of blocks that have more than their share to
// blocks that have fewer than least, a part of an even share, so that no host must own many ids. The
// distances are those the hosts measured already.
func (l *lander) level(parts [][]uint32, marks []uint32, least int) {
	type candidate struct {
		host uint32
		part int
		dist uint32
	}
	var near []candidate
	for b := range parts {
		if len(parts[b]) >= least {
			continue
		}
		near = near[:0]
		for o, part := range parts {
			if len(part) <= 2*least {
				continue
			}
			for _, h := range part[1:] { // a landmark stays
				near = append(near, candidate{h, o, l.d.Dist(h, marks[b])})
			}
		}
		slices.SortFunc(near, func(x, y candidate) int {
			return cmp.Or(cmp.Compare(x.dist, y.dist), cmp.Compare(x.host, y.host))
		})
		for _, c := range near {
			if len(parts[b]) >= least {
				break
			}
			if from := parts[c.part]; len(from) > 2*least {
				i := slices.Index(from, c.host)
				parts[c.part] = slices.Delete(from, i, i+1)
				parts[b] = append(parts[b], c.host)
			}
		}
	}
}

// arrange says which block goes to each position of a k-ary level-cube.
func (l *lander) arrange(marks []uint32, level int) []int {
	n := len(marks)
	sub := cube.Must(l.c.K, level)
	dist := make([]float64, n*n)
	for i := range n {
		for j := range n {
			dist[i*n+j] = float64(l.d.Dist(marks[i], marks[j]))
		}
	}
	l.effort.MapWords += n
	around := make([][]uint32, n)
	for p := range around {
		around[p] = sub.Neighbours(uint32(p), nil)
	}
	at := l.rng.Perm(n)
	// gain is by how much swapping the blocks at positions p and q shortens
	// the links.
	gain := func(p, q int) float64 {
		a, b := at[p]*n, at[q]*n
		g := 0.0
		for _, x := range around[p] {
			if int(x) != q {
				g += dist[a+at[x]] - dist[b+at[x]]
			}
		}
		for _, x := range around[q] {
			if int(x) != p {
				g += dist[b+at[x]] - dist[a+at[x]]
			}
		}
		return g
	}
	mean := 0.0
	for _, x := range dist {
		mean += x / float64(n*n)
	}
	steps := 20 * n * n
	for s := range steps {
		p, q := l.rng.IntN(n), l.rng.IntN(n)
		if p == q {
			continue
		}
		heat := mean * 0.5 * (1 - float64(s)/float64(steps))
		if g := gain(p, q); g > 0 || heat > 0 && l.rng.Float64() < math.Exp(g/heat) {
			at[p], at[q] = at[q], at[p]
		}
	}
	return at
}
