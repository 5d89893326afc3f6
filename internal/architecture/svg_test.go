// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCommittedPicture(t *testing.T) {
	root := filepath.Join("..", "..")
	g, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := drawPackages(&want, g); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, picturePath))
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not what the imports give: run 'make architecture', look at it, and commit it (%v)", picturePath, err)
	}
}

func TestTextFitsATerminal(t *testing.T) {
	g, err := load(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := printText(&out, g); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, p := range g.Paths() {
		if p != hidden && !strings.Contains(out.String(), "│ "+short(p)) {
			t.Errorf("%s is not in the text", p)
		}
	}
}

// Boxes do not overlap, and no arrow crosses one: checked on a made-up graph
// with long arrows, and many of them.
func TestLayout(t *testing.T) {
	for _, rows := range [][]int{{1, 1, 1, 1, 1}, {3, 2, 3, 4}, {1, 5, 2, 1, 3}} {
		l := &layout{gap: 20, lane: 10, rowGap: 50}
		for r, n := range rows {
			var row []int
			for k := range n {
				row = append(row, len(l.boxes))
				l.boxes = append(l.boxes, box{w: 40 + 30*float64((r+2*k)%4), h: 20 + 20*float64(k%3)})
			}
			l.rows = append(l.rows, row)
		}
		for a := range l.boxes {
			for b := range l.boxes {
				if rowOf(l, a) < rowOf(l, b) && (a+b)%3 != 0 {
					l.arrows = append(l.arrows, arrow{from: a, to: b})
				}
			}
		}
		l.place()
		t.Run(fmt.Sprint(rows), func(t *testing.T) { overlaps(t, l) })
	}
}

func rowOf(l *layout, b int) int {
	for r, row := range l.rows {
		for _, x := range row {
			if x == b {
				return r
			}
		}
	}
	return -1
}

func overlaps(t *testing.T, l *layout) {
	t.Helper()
	for a, x := range l.boxes {
		if x.x < 0 || x.x+x.w > l.width+0.01 || x.y < 0 || x.y+x.h > l.height+0.01 {
			t.Errorf("box %d is outside the picture: %+v", a, x)
		}
		for b, y := range l.boxes[:a] {
			if x.x < y.x+y.w && y.x < x.x+x.w && x.y < y.y+y.h && y.y < x.y+x.h {
				t.Errorf("boxes %d and %d overlap", a, b)
			}
		}
	}
	taken := map[string]int{}
	for n, a := range l.arrows {
		for k, via := range a.via {
			row := l.boxes[a.from].row + 1 + k
			for _, b := range l.rows[row] {
				if x := l.boxes[b]; via > x.x-1 && via < x.x+x.w+1 {
					t.Errorf("arrow %d crosses box %d", n, b)
				}
			}
			if via < 0 || via > l.width {
				t.Errorf("arrow %d is outside the picture", n)
			}
			at := fmt.Sprintf("%d %.1f", row, via)
			if m, ok := taken[at]; ok {
				t.Errorf("arrows %d and %d share a lane in row %d", m, n, row)
			}
			taken[at] = n
		}
		if f := l.boxes[a.from]; a.x1 <= f.x || a.x1 >= f.x+f.w {
			t.Errorf("arrow %d does not leave its box", n)
		}
	}
}
