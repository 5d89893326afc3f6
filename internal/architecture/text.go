// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// width is that of the text picture in columns.
const width = 98

// printText prints the packages from top to bottom, each with what it imports.
func printText(w io.Writer, g Graph) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "Who imports whom. Arrows go down only: a package imports others of its own box that are listed\nbelow it, and packages of the boxes below. Packages of %s/internal are written without it.\n\n", module)
	for f, floor := range floors {
		if f > 0 {
			fmt.Fprintf(b, "%*s\n%*s\n", width/2, "│", width/2, "▼")
		}
		for r := range floor.Rooms {
			printRoom(b, g, place{f, r})
		}
	}
	return b.Flush()
}

func printRoom(w io.Writer, g Graph, at place) {
	room := at.room()
	title := fmt.Sprintf("┌─ %s: %s ", room.Name, room.Says)
	tail := ""
	if users := usersOf(g, at); room.Quiet && len(users) > 0 {
		tail = " ◀ " + names(users)
	} else if uses := roomsUsedBy(g, at); len(uses) > 0 {
		tail = " ▶ " + names(uses)
	}
	line := max(1, width-utf8.RuneCountInString(title)-utf8.RuneCountInString(tail))
	if utf8.RuneCountInString(title)+utf8.RuneCountInString(tail)+1 > width { // too long for one line
		fmt.Fprintf(w, "%s%s\n", title, strings.Repeat("─", max(1, width-utf8.RuneCountInString(title))))
		printWrapped(w, "│ ", strings.TrimSpace(tail))
	} else {
		fmt.Fprintf(w, "%s%s%s\n", title, strings.Repeat("─", line), tail)
	}
	list := packagesOf(g, at)
	depth := depths(g, room, list)
	slices.SortStableFunc(list, func(a, b string) int { return cmp.Compare(depth[b], depth[a]) })
	column := 0
	for _, p := range list {
		column = max(column, len(short(p)))
	}
	for _, p := range list {
		var uses []string
		own := at
		others := func(use string) int {
			if to, ok := placeOf(use); ok && to == own {
				return 0
			}
			return 1
		}
		uses = g.Uses(p)
		slices.SortStableFunc(uses, func(a, b string) int { return others(a) - others(b) })
		if len(uses) == 0 {
			fmt.Fprintf(w, "│ %s\n", short(p))
			continue
		}
		for n, u := range uses {
			uses[n] = short(u)
		}
		printWrapped(w, fmt.Sprintf("│ %-*s → ", column, short(p)), strings.Join(uses, " "))
	}
	fmt.Fprintf(w, "└%s\n", strings.Repeat("─", width-1))
}

// printWrapped prints words behind head; further lines keep its width and bar.
func printWrapped(w io.Writer, head, words string) {
	line := head
	rest := "│" + strings.Repeat(" ", utf8.RuneCountInString(head)-1)
	for word := range strings.FieldsSeq(words) {
		if utf8.RuneCountInString(line)+utf8.RuneCountInString(word) > width {
			fmt.Fprintln(w, strings.TrimRight(line, " "))
			line = rest
		}
		line += word + " "
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}

func names(list []place) string {
	words := make([]string, len(list))
	for n, at := range list {
		words[n] = strings.ReplaceAll(short(at.room().Name), " ", "\u00a0")
	}
	return strings.Join(words, "  ")
}
