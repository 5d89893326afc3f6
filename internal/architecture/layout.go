// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// A layout places boxes in rows and leads arrows from row to lower row. An
// arrow that passes a row goes through a gap between two boxes there, or beside
// the row, on a lane of its own; so it never crosses a box.
type layout struct {
	boxes  []box
	rows   [][]int // indices of boxes, left to right
	arrows []arrow

	gap    float64 // between two boxes of a row
	lane   float64 // between two arrows in a gap
	rowGap float64 // between two rows

	width, height float64 // after place
}

type box struct {
	w, h float64
	x, y float64 // after place: of the upper left corner
	row  int
}

type arrow struct {
	from, to int // boxes
	colour   string
	via      []float64 // after place: x in each row between
	gaps     []int     // the gap in each row between: n is left of box n of that row
	x1, x2   float64   // where it leaves and arrives
}

// place computes all positions.
func (l *layout) place() {
	for r, row := range l.rows {
		for _, b := range row {
			l.boxes[b].row = r
		}
	}
	l.rowsDown()
	l.across() // without lanes, for a first idea
	for range 3 {
		l.chooseGaps()
		l.across()
	}
	l.lanes()
	l.ports()
}

// rowsDown gives each row its height and place.
func (l *layout) rowsDown() {
	y := 0.
	for r, row := range l.rows {
		h := 0.
		for _, b := range row {
			h = max(h, l.boxes[b].h)
		}
		for _, b := range row {
			l.boxes[b].y = y + (h-l.boxes[b].h)/2
		}
		y += h
		if r < len(l.rows)-1 {
			y += l.rowGap
		}
	}
	l.height = y
}

// across gives each box its place in its row: gaps are as wide as their lanes
// need, rows are centred.
func (l *layout) across() {
	nl, nr := sideLanes(l.passes())
	inner := 0.
	widths := make([]float64, len(l.rows))
	for r, row := range l.rows {
		for n, b := range row {
			if n > 0 {
				widths[r] += l.gapWidth(r, n)
			}
			widths[r] += l.boxes[b].w
		}
		inner = max(inner, widths[r])
	}
	left, right := l.sideWidth(nl), l.sideWidth(nr)
	l.width = left + inner + right
	for r, row := range l.rows {
		x, extra := left+(inner-widths[r])/2, 0.
		if len(row) > 1 { // a short row spreads a little
			extra = min((inner-widths[r])/float64(len(row)+1), l.gap)
			x -= extra * float64(len(row)-1) / 2
		}
		for n, b := range row {
			if n > 0 {
				x += l.gapWidth(r, n) + extra
			}
			l.boxes[b].x = x
			x += l.boxes[b].w
		}
	}
}

func (l *layout) gapWidth(row, gap int) float64 {
	return l.gap + l.lane*float64(len(l.inGap(row, gap)))
}

func (l *layout) sideWidth(lanes int) float64 {
	if lanes == 0 {
		return 0
	}
	return l.gap/2 + l.lane*float64(lanes)
}

// inGap are the arrows that pass a row in one of its gaps.
func (l *layout) inGap(row, gap int) (list []int) {
	for n, a := range l.arrows {
		if k := row - l.boxes[a.from].row - 1; k >= 0 && k < len(a.gaps) && a.gaps[k] == gap {
			list = append(list, n)
		}
	}
	return list
}

// chooseGaps leads each long arrow through the gaps nearest to its straight
// line.
func (l *layout) chooseGaps() {
	onLeft := 0
	for n := range l.arrows {
		a := &l.arrows[n]
		from, to := l.boxes[a.from], l.boxes[a.to]
		a.gaps = a.gaps[:0]
		for r := from.row + 1; r < to.row; r++ {
			t := float64(r-from.row) / float64(to.row-from.row)
			want := (from.x+from.w/2)*(1-t) + (to.x+to.w/2)*t
			best, far := 0, math.Inf(1)
			for gap := 0; gap <= len(l.rows[r]); gap++ {
				d := math.Abs(l.gapMiddle(r, gap) - want)
				if math.Abs(d-far) < 1 && gap == len(l.rows[r]) && onLeft > 0 { // equally far: the sides take turns
					best = gap
				} else if d < far-1e-6 {
					best, far = gap, d
				}
			}
			a.gaps = append(a.gaps, best)
		}
		// All the way on one side, if on a side at all in rows of one box.
		if len(a.gaps) > 0 && a.gaps[0] == 0 {
			onLeft++
		} else if len(a.gaps) > 0 {
			onLeft--
		}
	}
}

func (l *layout) gapMiddle(row, gap int) float64 {
	boxes := l.rows[row]
	switch gap {
	case 0:
		return l.boxes[boxes[0]].x - l.gap
	case len(boxes):
		b := l.boxes[boxes[len(boxes)-1]]
		return b.x + b.w + l.gap
	}
	a, b := l.boxes[boxes[gap-1]], l.boxes[boxes[gap]]
	return (a.x + a.w + b.x) / 2
}

// A pass is the rows in which an arrow goes beside all boxes.
type pass struct {
	arrow       int
	right       bool
	first, last int // rows
	lane        int // 0 is next to the boxes
}

// passes are all of them with their lanes: short ones come first, so that long
// ones go around them.
func (l *layout) passes() (list []pass) {
	for n, a := range l.arrows {
		for k, gap := range a.gaps {
			row := l.boxes[a.from].row + 1 + k
			right := gap == len(l.rows[row])
			if gap != 0 && !right {
				continue
			}
			if at := len(list) - 1; at >= 0 && list[at].arrow == n && list[at].right == right && list[at].last == row-1 {
				list[at].last = row
			} else {
				list = append(list, pass{arrow: n, right: right, first: row, last: row})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b pass) int { return cmp.Compare(a.last-a.first, b.last-b.first) })
	for n := range list {
		p := &list[n]
		for slices.ContainsFunc(list[:n], func(q pass) bool {
			return q.right == p.right && q.lane == p.lane && q.first <= p.last && p.first <= q.last
		}) {
			p.lane++
		}
	}
	return list
}

// sideLanes counts the lanes on the left and on the right.
func sideLanes(passes []pass) (left, right int) {
	for _, p := range passes {
		if p.right {
			right = max(right, p.lane+1)
		} else {
			left = max(left, p.lane+1)
		}
	}
	return left, right
}

// lanes gives each long arrow its x in the rows it passes.
func (l *layout) lanes() {
	passes := l.passes()
	nl, nr := sideLanes(passes)
	left, right := l.sideWidth(nl), l.width-l.sideWidth(nr)
	for n := range l.arrows {
		l.arrows[n].via = make([]float64, len(l.arrows[n].gaps))
	}
	for _, p := range passes {
		a := &l.arrows[p.arrow]
		x := left - l.gap/2 - l.lane*float64(p.lane)
		if p.right {
			x = right + l.gap/2 + l.lane*float64(p.lane)
		}
		for r := p.first; r <= p.last; r++ {
			a.via[r-l.boxes[a.from].row-1] = x
		}
	}
	for r, row := range l.rows {
		for gap := 1; gap < len(row); gap++ {
			list := l.inGap(r, gap)
			slices.SortStableFunc(list, func(a, b int) int { return cmp.Compare(l.slope(a), l.slope(b)) })
			for k, n := range list {
				a := &l.arrows[n]
				a.via[r-l.boxes[a.from].row-1] = l.gapMiddle(r, gap) + l.lane*(float64(k)-float64(len(list)-1)/2)
			}
		}
	}
}

// slope orders arrows in a gap: those that come from and go to the left first.
func (l *layout) slope(n int) float64 {
	a, b := l.boxes[l.arrows[n].from], l.boxes[l.arrows[n].to]
	return a.x + a.w/2 + b.x + b.w/2
}

// ports spreads the ends of arrows along the boxes, in the order in which they
// come and go.
func (l *layout) ports() {
	for b := range l.boxes {
		var out, in []int
		for n, a := range l.arrows {
			if a.from == b {
				out = append(out, n)
			}
			if a.to == b {
				in = append(in, n)
			}
		}
		next := func(n int) float64 { // where it goes next
			a := l.arrows[n]
			if len(a.via) > 0 {
				return a.via[0]
			}
			return l.boxes[a.to].x + l.boxes[a.to].w/2
		}
		last := func(n int) float64 {
			a := l.arrows[n]
			if len(a.via) > 0 {
				return a.via[len(a.via)-1]
			}
			return l.boxes[a.from].x + l.boxes[a.from].w/2
		}
		slices.SortStableFunc(out, func(x, y int) int { return cmp.Compare(next(x), next(y)) })
		slices.SortStableFunc(in, func(x, y int) int { return cmp.Compare(last(x), last(y)) })
		for k, n := range out {
			l.arrows[n].x1 = l.port(b, k, len(out))
		}
		for k, n := range in {
			l.arrows[n].x2 = l.port(b, k, len(in))
		}
	}
}

func (l *layout) port(b, k, n int) float64 {
	step := min(l.boxes[b].w/float64(n+1), 4*l.lane)
	return l.boxes[b].x + l.boxes[b].w/2 + step*(float64(k)-float64(n-1)/2)
}

// rowTop and rowBottom bound the band that a row takes.
func (l *layout) rowBand(r int) (top, bottom float64) {
	top = math.Inf(1)
	for _, b := range l.rows[r] {
		top, bottom = min(top, l.boxes[b].y), max(bottom, l.boxes[b].y+l.boxes[b].h)
	}
	return top, bottom
}

// path is an arrow's line in SVG, without its head, and the point of the head.
func (l *layout) path(a arrow, head float64) (d string, x, y float64) {
	var s strings.Builder
	from, to := l.boxes[a.from], l.boxes[a.to]
	x, y = a.x1, from.y+from.h
	fmt.Fprintf(&s, "M%.1f %.1f", x, y)
	line := func(y2 float64) {
		if y2 > y+0.05 {
			fmt.Fprintf(&s, " V%.1f", y2)
		}
		y = max(y, y2)
	}
	curve := func(x2, y2 float64) {
		fmt.Fprintf(&s, " C%.1f %.1f %.1f %.1f %.1f %.1f", x, (y+y2)/2, x2, (y+y2)/2, x2, y2)
		x, y = x2, y2
	}
	_, bottom := l.rowBand(from.row)
	line(bottom)
	for n, via := range a.via {
		top, bottom := l.rowBand(from.row + 1 + n)
		curve(via, top)
		line(bottom)
	}
	top, _ := l.rowBand(to.row)
	curve(a.x2, min(top, to.y-head))
	line(to.y - head)
	return s.String(), a.x2, to.y
}
