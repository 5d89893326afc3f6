// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"cmp"
	"container/heap"
	"slices"

	"sandstream/internal/model/topology"
)

// hub is one label: a hub (its rank, 0 the most important) and the distance
// to it.
type hub struct{ rank, dist uint32 }

// labels are pruned hub labels: every shortest path between two nodes passes a
// hub that both have. The labels of node u are hubs[off[u]:off[u+1]], by rank.
type labels struct {
	off  []uint64
	hubs []hub
}

func (l *labels) mean() float64 { return float64(len(l.hubs)) / float64(len(l.off)-1) }

func (l *labels) dist(a, b uint32) uint32 {
	if a == b {
		return 0
	}
	x, y := l.hubs[l.off[a]:l.off[a+1]], l.hubs[l.off[b]:l.off[b+1]]
	best, i, j := uint32(topology.Unreached), 0, 0
	for i < len(x) && j < len(y) {
		switch {
		case x[i].rank < y[j].rank:
			i++
		case x[i].rank > y[j].rank:
			j++
		default:
			best = min(best, x[i].dist+y[j].dist)
			i++
			j++
		}
	}
	return best
}

// newLabels searches from each node in order of importance; a search stops at
// nodes whose distance the labels so far already tell.
func newLabels(g *topology.Graph) *labels {
	n := g.Nodes()
	order := importance(g)
	own := make([][]hub, n)
	dist := make([]uint32, n)
	for i := range dist {
		dist[i] = topology.Unreached
	}
	toRoot := make([]uint32, n) // by rank: distance from the root to that hub
	for i := range toRoot {
		toRoot[i] = topology.Unreached
	}
	var queue labelHeap
	var touched []uint32
	for rank, root := range order {
		for _, h := range own[root] {
			toRoot[h.rank] = h.dist
		}
		queue = append(queue[:0], labelEntry{0, root})
		dist[root] = 0
		touched = append(touched[:0], root)
		for len(queue) > 0 {
			e := heap.Pop(&queue).(labelEntry)
			if e.dist != dist[e.node] || told(own[e.node], toRoot, e.dist) {
				continue
			}
			own[e.node] = append(own[e.node], hub{uint32(rank), e.dist})
			for _, a := range g.Row(e.node) {
				if t := e.dist + a.Len; t < dist[a.To] {
					if dist[a.To] == topology.Unreached {
						touched = append(touched, a.To)
					}
					dist[a.To] = t
					heap.Push(&queue, labelEntry{t, a.To})
				}
			}
		}
		for _, u := range touched {
			dist[u] = topology.Unreached
		}
		for _, h := range own[root] {
			toRoot[h.rank] = topology.Unreached
		}
	}
	l := &labels{off: make([]uint64, n+1)}
	total := 0
	for _, o := range own {
		total += len(o)
	}
	l.hubs = make([]hub, 0, total)
	for u, o := range own {
		l.hubs = append(l.hubs, o...)
		l.off[u+1] = uint64(len(l.hubs))
		own[u] = nil
	}
	return l
}

// told says whether a common hub gives a way no longer than d.
func told(hubs []hub, toRoot []uint32, d uint32) bool {
	for _, h := range hubs {
		if t := toRoot[h.rank]; t != topology.Unreached && t+h.dist <= d {
			return true
		}
	}
	return false
}

// importance orders nodes by how many shortest paths pass them, counted on the
// trees from 64 evenly spaced sources; ties by degree, then by number. A good
// order keeps labels short, any order keeps them exact.
func importance(g *topology.Graph) []uint32 {
	n := g.Nodes()
	score := make([]uint64, n)
	below := make([]uint32, n)
	byDist := make([]uint32, n)
	d := topology.NewDijkstra(g)
	samples := min(64, n)
	for s := range samples {
		dist := d.Run(uint32(s * n / samples))
		for u := range byDist {
			byDist[u], below[u] = uint32(u), 1
		}
		slices.SortFunc(byDist, func(a, b uint32) int { return cmp.Compare(dist[a], dist[b]) })
		for i := n - 1; i > 0; i-- {
			u := byDist[i]
			score[u] += uint64(below[u])
			for _, a := range g.Row(u) {
				if dist[a.To]+a.Len == dist[u] {
					below[a.To] += below[u]
					break
				}
			}
		}
	}
	order := make([]uint32, n)
	for u := range order {
		order[u] = uint32(u)
	}
	slices.SortFunc(order, func(a, b uint32) int {
		if c := cmp.Compare(score[b], score[a]); c != 0 {
			return c
		}
		if c := cmp.Compare(len(g.Row(b)), len(g.Row(a))); c != 0 {
			return c
		}
		return cmp.Compare(a, b)
	})
	return order
}

type labelEntry struct{ dist, node uint32 }

type labelHeap []labelEntry

func (h labelHeap) Len() int           { return len(h) }
func (h labelHeap) Less(i, j int) bool { return h[i].dist < h[j].dist }
func (h labelHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *labelHeap) Push(x any)        { *h = append(*h, x.(labelEntry)) }
func (h *labelHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	return e
}
