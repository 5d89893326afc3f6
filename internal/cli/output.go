// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
	"github.com/spf13/cobra"
)

// JSONFlag adds --json to a command that reads.
func JSONFlag(c *cobra.Command) *bool {
	return c.Flags().Bool("json", false, "print JSON")
}

// JSON prints v, indented.
func JSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// Table prints rows in columns, without lines: easy on eyes and on cut and awk.
// Cells are of one line, and plain. The renderer does not tell of failing writes.
func Table(w io.Writer, header []string, rows [][]string) error {
	none := tw.Border{Left: tw.Off, Right: tw.Off, Top: tw.Off, Bottom: tw.Off}
	var b bytes.Buffer
	t := tablewriter.NewTable(&b,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders: none,
			Settings: tw.Settings{
				Separators: tw.Separators{BetweenColumns: tw.Off, BetweenRows: tw.Off, ShowHeader: tw.Off, ShowFooter: tw.Off},
				Lines:      tw.Lines{ShowTop: tw.Off, ShowBottom: tw.Off, ShowHeaderLine: tw.Off, ShowFooterLine: tw.Off},
			},
		})),
		tablewriter.WithHeaderAlignment(tw.AlignLeft),
		tablewriter.WithRowAlignment(tw.AlignLeft),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithPadding(tw.Padding{Left: "", Right: "  ", Overwrite: true}),
		tablewriter.WithTrimSpace(tw.Off),
	)
	t.Header(header)
	clean := make([][]string, len(rows))
	for i, r := range rows {
		for _, s := range r {
			clean[i] = append(clean[i], Line(s))
		}
	}
	if err := t.Bulk(clean); err != nil {
		return err
	}
	if err := t.Render(); err != nil {
		return err
	}
	_, err := b.WriteTo(w)
	return err
}

// Pairs prints "name  value" lines, aligned. Values are of one line, and plain.
func Pairs(w io.Writer, rows [][2]string) error {
	width := 0
	for _, r := range rows {
		width = max(width, len(r[0]))
	}
	for _, r := range rows {
		if _, err := fmt.Fprintf(w, "%-*s  %s\n", width, r[0], Line(r[1])); err != nil {
			return err
		}
	}
	return nil
}

// Or returns s, or a dash if it is empty: columns stay columns.
func Or(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Yes says yes or no.
func Yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// Line is s in one line and without what could move a terminal's cursor, so that
// nobody's words make a row of their own.
func Line(s string) string {
	return strings.NewReplacer("\n", " ", "\t", " ").Replace(Plain(s))
}

// Plain replaces what could move a terminal's cursor: who wrote the text is not
// trusted with the screen of the one who reads it.
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || (r >= 0x20 && r != 0x7f && (r < 0x80 || r > 0x9f)) {
			return r
		}
		return '?'
	}, s)
}
