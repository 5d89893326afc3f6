// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"fmt"
	"html"
	"io"
	"math"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// picturePath is where the picture is committed.
const picturePath = "docs/pictures/packages.svg"

// Sizes of the picture. A character of the monospaced font is 0.602 em wide.
const (
	chipFont  = 13.
	chipChar  = chipFont * 0.602
	chipH     = 24.
	titleFont = 15.
	titleChar = titleFont * 0.602
	saysFont  = 12.
	saysChar  = saysFont * 0.53
	roomPad   = 14.
	headerH   = 50.
	pageLeft  = 104.
	pageTop   = 92.
	pageEdge  = 26.
)

// A chip is one package in a room.
type chip struct {
	pkg, label string
	w          float64
}

// furnished is a room with its chips placed.
type furnished struct {
	room   *Room
	at     place
	chips  []chip
	inner  *layout // of the chips that import each other
	placed []int   // chip of each box of inner
	loners [][]int // rows of chips that do not
	users  string  // of a quiet room
	w, h   float64
}

// drawPackages draws the packages in their rooms.
func drawPackages(w io.Writer, g Graph) error {
	outer := &layout{gap: 34, lane: 13, rowGap: 70}
	var rooms []furnished
	index := map[place]int{}
	for f := range floors {
		var row []int
		for r := range floors[f].Rooms {
			at := place{f, r}
			if len(packagesOf(g, at)) == 0 {
				continue
			}
			room := furnish(g, at)
			index[at] = len(rooms)
			row = append(row, len(rooms))
			rooms = append(rooms, room)
			outer.boxes = append(outer.boxes, box{w: room.w, h: room.h})
		}
		outer.rows = append(outer.rows, row)
	}
	for n, room := range rooms {
		for _, to := range roomsUsedBy(g, room.at) {
			if !to.room().Quiet {
				outer.arrows = append(outer.arrows, arrow{from: n, to: index[to], colour: room.room.Colour})
			}
		}
	}
	outer.place()

	var b bytes.Buffer
	width, height := pageLeft+outer.width+pageEdge, pageTop+outer.height+pageEdge
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8"?>
<!-- SPDX-License-Identifier: Apache-2.0 -->
<!-- Drawn by go run ./internal/architecture svg (make architecture). Do not edit. -->
<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img">
<title>Packages of Sandstream and who imports whom</title>
<style>
text { font-family: "DejaVu Sans", Verdana, sans-serif; fill: #222; }
.mono { font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.says { font-size: %.0fpx; fill: #5a5a5a; }
.floor { font-size: 12px; fill: #777; letter-spacing: 0.04em; }
.chip { font-size: %.0fpx; }
.title { font-size: %.0fpx; font-weight: bold; }
</style>
<rect width="100%%" height="100%%" fill="#ffffff"/>
<text x="%.0f" y="36" style="font-size: 21px; font-weight: bold">Who imports whom</text>
<text x="%.0f" y="58" class="says">Arrows go down only. An arrow between two rooms: some package of the upper imports one of the lower. Small arrows: imports inside a room.</text>
`, width, height, width, height, saysFont, chipFont, titleFont, pageEdge, pageEdge)

	for f := range outer.rows {
		top, bottom := outer.rowBand(f)
		fmt.Fprintf(&b, `<rect x="0" y="%.1f" width="%.0f" height="%.1f" fill="#f6f5f1"/>`+"\n", pageTop+top-12, width, bottom-top+24)
		for n, word := range strings.Fields(floors[f].Name) {
			fmt.Fprintf(&b, `<text x="%.0f" y="%.1f" class="floor">%s</text>`+"\n", 16., pageTop+top+20+16*float64(n), html.EscapeString(word))
		}
	}
	fmt.Fprintf(&b, `<g transform="translate(%.0f %.0f)">`+"\n", pageLeft, pageTop)
	for _, a := range outer.arrows {
		drawArrow(&b, outer, a, 1.7, 9)
	}
	for n, room := range rooms {
		drawRoom(&b, room, outer.boxes[n])
	}
	b.WriteString("</g>\n</svg>\n")
	_, err := w.Write(b.Bytes())
	return err
}

func drawArrow(b *bytes.Buffer, l *layout, a arrow, stroke, head float64) {
	d, x, y := l.path(a, head)
	fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="%.1f"/>`, d, a.colour, stroke)
	fmt.Fprintf(b, `<path d="M%.1f %.1f l%.1f %.1f h%.1f z" fill="%s"/>`+"\n", x, y, -head/2, -head, head, a.colour)
}

func drawRoom(b *bytes.Buffer, f furnished, at box) {
	fmt.Fprintf(b, `<g transform="translate(%.1f %.1f)">`+"\n", at.x, at.y)
	fmt.Fprintf(b, `<rect width="%.1f" height="%.1f" rx="9" fill="#ffffff" stroke="%s" stroke-width="1.6"/>`+"\n", at.w, at.h, f.room.Colour)
	fmt.Fprintf(b, `<text x="%.0f" y="24" class="mono title" style="fill: %s">%s</text>`+"\n", roomPad, f.room.Colour, html.EscapeString(f.room.Name))
	fmt.Fprintf(b, `<text x="%.0f" y="41" class="says">%s</text>`+"\n", roomPad, html.EscapeString(f.room.Says))
	y := headerH
	if f.users != "" {
		fmt.Fprintf(b, `<text x="%.0f" y="%.0f" class="says">%s</text>`+"\n", roomPad, y+8, html.EscapeString(f.users))
		b.WriteString("</g>\n")
		return
	}
	if f.inner != nil {
		x := (at.w - f.inner.width) / 2
		fmt.Fprintf(b, `<g transform="translate(%.1f %.1f)">`+"\n", x, y)
		for _, a := range f.inner.arrows {
			drawArrow(b, f.inner, a, 1.1, 6)
		}
		for n, bx := range f.inner.boxes {
			drawChip(b, f.chips[f.placed[n]].label, bx.x, bx.y, bx.w, f.room.Colour)
		}
		b.WriteString("</g>\n")
		y += f.inner.height + 12
	}
	for _, row := range f.loners {
		x := (at.w - f.rowWidth(row)) / 2
		for _, c := range row {
			drawChip(b, f.chips[c].label, x, y, f.chips[c].w, f.room.Colour)
			x += f.chips[c].w + 8
		}
		y += chipH + 8
	}
	b.WriteString("</g>\n")
}

func drawChip(b *bytes.Buffer, label string, x, y, w float64, colour string) {
	fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.0f" rx="5" fill="%s" fill-opacity="0.10" stroke="%s" stroke-opacity="0.45"/>`, x, y, w, chipH, colour, colour)
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" class="mono chip" text-anchor="middle">%s</text>`+"\n", x+w/2, y+16.5, html.EscapeString(label))
}

// furnish places the packages of a room.
func furnish(g Graph, at place) furnished {
	f := furnished{room: at.room(), at: at}
	if f.room.Quiet {
		var users []string
		for _, u := range usersOf(g, at) {
			users = append(users, short(u.room().Name))
		}
		f.users = "used by " + strings.Join(users, ", ")
	} else {
		f.chip(g)
		f.arrange(g)
	}
	f.w = max(f.w, titleChar*float64(utf8.RuneCountInString(f.room.Name)), saysChar*float64(utf8.RuneCountInString(f.room.Says)), saysChar*float64(len(f.users))) + 2*roomPad
	f.h = headerH + 18
	if f.inner != nil {
		f.h += f.inner.height
	}
	if n := float64(len(f.loners)); n > 0 {
		f.h += n * (chipH + 8)
		if f.inner == nil {
			f.h -= 8
		} else {
			f.h += 4
		}
	}
	return f
}

// chip lists the room's packages. A command that imports nearly all of its
// room is not drawn: the room is it.
func (f *furnished) chip(g Graph) {
	list := packagesOf(g, f.at)
	for _, p := range list {
		inside := 0
		for _, use := range g.Uses(p) {
			if slices.Contains(list, use) {
				inside++
			}
		}
		if g[p].Main && inside > 5 {
			continue
		}
		label := short(p)
		if root := path.Dir(f.room.Packages[0]); strings.HasSuffix(f.room.Packages[0], "/...") && strings.HasPrefix(p, root+"/") && p != root {
			label = strings.TrimPrefix(p, root+"/")
		} else {
			label = path.Base(label)
		}
		f.chips = append(f.chips, chip{p, label, chipChar*float64(len(label)) + 16})
	}
}

// arrange puts packages that import each other in rows, top to bottom, and the
// others below them.
func (f *furnished) arrange(g Graph) {
	var list []string
	for _, c := range f.chips {
		list = append(list, c.pkg)
	}
	linked := map[string]bool{}
	for _, p := range list {
		for _, use := range g.Uses(p) {
			if slices.Contains(list, use) {
				linked[p], linked[use] = true, true
			}
		}
	}
	var alone []int
	index := map[string]int{}
	l := &layout{gap: 16, lane: 9, rowGap: 26}
	for n, c := range f.chips {
		if !linked[c.pkg] {
			alone = append(alone, n)
			continue
		}
		index[c.pkg] = len(l.boxes)
		f.placed = append(f.placed, n)
		l.boxes = append(l.boxes, box{w: c.w, h: chipH})
	}
	if len(l.boxes) > 0 {
		f.inner = l
		depth := depths(g, f.room, list)
		top := 0
		for _, c := range f.placed {
			top = max(top, depth[f.chips[c].pkg])
		}
		l.rows = make([][]int, top+1)
		for n, c := range f.placed {
			r := top - depth[f.chips[c].pkg]
			l.rows[r] = append(l.rows[r], n)
		}
		for n, c := range f.placed {
			for _, use := range g.Uses(f.chips[c].pkg) {
				if to, ok := index[use]; ok {
					l.arrows = append(l.arrows, arrow{from: n, to: to, colour: f.room.Colour})
				}
			}
		}
		l.sortRows()
		l.place()
		f.w = l.width
	}
	f.loners = f.wrapChips(alone, max(f.w, 250))
	for _, row := range f.loners {
		f.w = max(f.w, f.rowWidth(row))
	}
}

// rowWidth is the width of a row of chips beside each other.
func (f *furnished) rowWidth(row []int) float64 {
	w := -8.
	for _, c := range row {
		w += f.chips[c].w + 8
	}
	return w
}

// wrapChips breaks chips into rows of about the given width.
func (f *furnished) wrapChips(list []int, width float64) (rows [][]int) {
	x := math.Inf(1)
	for _, c := range list {
		if x+f.chips[c].w > width {
			rows, x = append(rows, nil), 0
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], c)
		x += f.chips[c].w + 8
	}
	return rows
}

// sortRows orders the boxes of each row by where their arrows lead, to have
// few crossings.
func (l *layout) sortRows() {
	at := make([]float64, len(l.boxes))
	for _, row := range l.rows {
		for n, b := range row {
			at[b] = (float64(n) + 0.5) / float64(len(row))
		}
	}
	mean := func(b int) float64 {
		sum, n := 0., 0.
		for _, a := range l.arrows {
			if a.from == b {
				sum, n = sum+at[a.to], n+1
			}
			if a.to == b {
				sum, n = sum+at[a.from], n+1
			}
		}
		return sum / n
	}
	for range 4 {
		for _, row := range l.rows {
			means := map[int]float64{}
			for _, b := range row {
				means[b] = mean(b)
			}
			slices.SortStableFunc(row, func(a, b int) int { return cmp.Compare(means[a], means[b]) })
			for n, b := range row {
				at[b] = (float64(n) + 0.5) / float64(len(row))
			}
		}
	}
}
