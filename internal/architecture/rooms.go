// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
)

// Room is a group of packages in the picture.
type Room struct {
	Name     string
	Says     string   // what it is, in a few words
	Packages []string // patterns
	Colour   string   // of its name and of the arrows that leave it
	Quiet    bool     // no arrows are drawn to it: too many use it
	Order    []string // packages from top to bottom, where imports alone do not say it
}

// Floor is a row of rooms; arrows go from a floor to lower ones only.
type Floor struct {
	Name  string
	Rooms []Room
}

// floors are where each package of the repository belongs.
var floors = []Floor{
	{"programs", []Room{
		{Name: "overlayd", Says: "the overlay's daemon and tool", Packages: []string{"./overlayd/..."}, Colour: "#7a3b8f"},
		{Name: "experiments", Says: "the paper's figures, and ours", Packages: []string{"./experiments/..."}, Colour: "#9a5b13"},
		{Name: "ctl", Says: "ulsctl, the module's tool", Packages: []string{"./ctl"}, Colour: "#2f6f4f"},
	}},
	{"what runs", []Room{
		{Name: "internal/live", Says: "runs the core for real", Packages: []string{"./internal/live/..."}, Colour: "#1f5fa8"},
		{Name: "lab", Says: "kernels, machines, guests", Packages: []string{"./lab/..."}, Colour: "#8a4b2a"},
	}},
	{"core and doors", []Room{
		{Name: "overlayapi", Says: "the daemon's API", Packages: []string{"./overlayapi/..."}, Colour: "#5b4fa3"},
		{Name: "internal/overlay", Says: "the protocol, pure", Packages: []string{"./internal/overlay/..."}, Colour: "#b03a3a", Order: layers},
		{Name: "uls", Says: "the module's netlink family", Packages: []string{"./uls/..."}, Colour: "#2b7a78"},
	}},
	{"foundations", []Room{
		{Name: "live: leaves", Says: "import nothing of the project", Packages: leaves, Colour: "#1f5fa8"},
		{Name: "internal/model", Says: "the paper's network, computed", Packages: []string{"./internal/model/..."}, Colour: "#6b6b1d"},
		{Name: "internal/report", Says: "results, plots, statistics", Packages: []string{"./internal/report/..."}, Colour: "#7a5c2e"},
		{Name: "internal/host", Says: "Go side of the sandbox", Packages: []string{"./internal/host/..."}, Colour: "#3f6212"},
	}},
	{"for all", []Room{
		{Name: "internal/cli", Says: "command lines; for commands only", Packages: []string{"./internal/cli"}, Colour: "#555555", Quiet: true},
		{Name: "internal/fail", Says: "errors that carry an exit status; for every package", Packages: []string{"./internal/fail"}, Colour: "#555555", Quiet: true},
	}},
}

// leaves are packages of internal/live on which others than live stand too.
var leaves = []string{
	"./internal/live/footprint",
	"./internal/live/frame",
	"./internal/live/ownfolder",
	"./internal/live/payload",
}

// hidden is this command itself.
const hidden = "./internal/architecture"

// place is where a package is in floors.
type place struct{ floor, index int }

// placeOf finds the room with the most particular pattern for a package.
func placeOf(pkg string) (best place, found bool) {
	length := -1
	for f := range floors {
		for r := range floors[f].Rooms {
			for _, p := range floors[f].Rooms[r].Packages {
				if match(p, pkg) && len(strings.TrimSuffix(p, "/...")) > length {
					best, found, length = place{f, r}, true, len(strings.TrimSuffix(p, "/..."))
				}
			}
		}
	}
	return best, found
}

func (p place) room() *Room { return &floors[p.floor].Rooms[p.index] }

// checkRooms says which packages have no room, which rooms are empty, and
// which imports go up in the picture.
func checkRooms(g Graph) (wrong []string) {
	lived := map[place]bool{}
	for _, p := range g.Paths() {
		if p == hidden {
			continue
		}
		from, ok := placeOf(p)
		if !ok {
			wrong = append(wrong, fmt.Sprintf("%s has no place: say in internal/architecture/rooms.go where it belongs", p))
			continue
		}
		lived[from] = true
		for _, use := range g.Uses(p) {
			if to, ok := placeOf(use); ok && to != from && to.floor <= from.floor && !(to.room().Quiet && to.floor == from.floor) {
				wrong = append(wrong, fmt.Sprintf(
					"%s imports %s, which is not below it: %s is on the floor %q, %s on %q.\n  Arrows go down only, so that there is an order to read and to build in. Move the code, or the room in internal/architecture/rooms.go",
					p, use, from.room().Name, floors[from.floor].Name, to.room().Name, floors[to.floor].Name))
			}
		}
	}
	for f := range floors {
		for r := range floors[f].Rooms {
			if at := (place{f, r}); !lived[at] {
				wrong = append(wrong, fmt.Sprintf("the room %s is empty: take it out of internal/architecture/rooms.go, or make its packages", at.room().Name))
			}
		}
	}
	return wrong
}

// packagesOf are the packages of a room, in order.
func packagesOf(g Graph, at place) (list []string) {
	for _, p := range g.Paths() {
		if got, ok := placeOf(p); ok && got == at && p != hidden {
			list = append(list, p)
		}
	}
	return list
}

// roomsUsedBy are the rooms that packages of a room import, from top to bottom.
func roomsUsedBy(g Graph, at place) (list []place) {
	for _, p := range packagesOf(g, at) {
		for _, use := range g.Uses(p) {
			if to, ok := placeOf(use); ok && to != at && !slices.Contains(list, to) {
				list = append(list, to)
			}
		}
	}
	slices.SortFunc(list, func(a, b place) int { return 100*(a.floor-b.floor) + a.index - b.index })
	return list
}

// usersOf are the rooms whose packages import one of a room.
func usersOf(g Graph, at place) (list []place) {
	for f := range floors {
		for r := range floors[f].Rooms {
			if from := (place{f, r}); slices.Contains(roomsUsedBy(g, from), at) {
				list = append(list, from)
			}
		}
	}
	return list
}

// depths is how far each of a room's packages stands above the lowest: the
// length of the longest way down inside the room, or as the room's order says.
func depths(g Graph, room *Room, list []string) map[string]int {
	depth := map[string]int{}
	for _, p := range slices.Backward(room.Order) {
		if slices.Contains(list, p) {
			depth[p] = len(depth)
		}
	}
	var of func(p string) int
	of = func(p string) int {
		if d, ok := depth[p]; ok {
			return d
		}
		d := len(room.Order) // above those whose order is given
		for _, use := range g.Uses(p) {
			if slices.Contains(list, use) {
				d = max(d, of(use)+1)
			}
		}
		depth[p] = d
		return d
	}
	for _, p := range list {
		of(p)
	}
	return depth
}

// short leaves out what all readers know.
func short(pkg string) string {
	return strings.TrimPrefix(strings.TrimPrefix(pkg, "./"), "internal/")
}
