// SPDX-License-Identifier: Apache-2.0

package results

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/tw"
)

// Table is one table of a result. Cells are string, bool, int, int64, uint64
// or float64; nil is an empty cell. A NaN or an infinite float is an empty
// cell as well (null in JSON), for "does not apply".
type Table struct {
	Name    string   // file name without extension, and key in result.json
	Title   string   // one line above the table
	Note    string   // lines below it; may be empty
	Columns []string // header, with the unit in it where there is one: "mean (ms)"
	Rows    [][]any  // each as long as Columns
}

// Row appends a row.
func (t *Table) Row(cells ...any) { t.Rows = append(t.Rows, cells) }

func (t *Table) check() error {
	for i, r := range t.Rows {
		if len(r) != len(t.Columns) {
			return fmt.Errorf("table %s: row %d has %d cells, the header %d", t.Name, i, len(r), len(t.Columns))
		}
	}
	return nil
}

// WriteText renders the table for people: floats with four significant
// digits, numbers to the right.
func (t *Table) WriteText(w io.Writer) error {
	if err := t.check(); err != nil {
		return err
	}
	if t.Title != "" {
		fmt.Fprintf(w, "\n%s\n", t.Title)
	}
	align := make([]tw.Align, len(t.Columns))
	for c := range align {
		align[c] = tw.AlignLeft
		for _, r := range t.Rows {
			if r[c] == nil {
				continue
			}
			if _, text := r[c].(string); !text {
				align[c] = tw.AlignRight
			}
			break
		}
	}
	tab := tablewriter.NewTable(w,
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithHeaderAlignment(tw.AlignLeft),
		tablewriter.WithAlignment(align),
		tablewriter.WithRendition(tw.Rendition{Symbols: tw.NewSymbols(tw.StyleASCII)}),
	)
	tab.Header(t.Columns)
	for _, r := range t.Rows {
		cells := make([]string, len(r))
		for c, v := range r {
			cells[c] = human(v)
		}
		if err := tab.Append(cells); err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	if err := tab.Render(); err != nil {
		return fmt.Errorf("table %s: %w", t.Name, err)
	}
	if t.Note != "" {
		fmt.Fprintln(w, t.Note)
	}
	return nil
}

// WriteCSV writes header and rows at full precision (RFC 4180, "\n" line ends).
func (t *Table) WriteCSV(w io.Writer) error {
	if err := t.check(); err != nil {
		return err
	}
	c := csv.NewWriter(w)
	if err := c.Write(t.Columns); err != nil {
		return err
	}
	rec := make([]string, len(t.Columns))
	for _, r := range t.Rows {
		for i, v := range r {
			rec[i] = exact(v)
		}
		if err := c.Write(rec); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// human shortens a cell for the terminal.
func human(v any) string {
	x, ok := v.(float64)
	if !ok {
		return exact(v)
	}
	switch a := math.Abs(x); {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return ""
	case x == math.Trunc(x) && a < 1e9:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case a >= 1000:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case a >= 100:
		return strconv.FormatFloat(x, 'f', 1, 64)
	case a >= 10:
		return strconv.FormatFloat(x, 'f', 2, 64)
	case a >= 0.1:
		return strconv.FormatFloat(x, 'f', 3, 64)
	default:
		return strconv.FormatFloat(x, 'g', 3, 64)
	}
}

// exact writes a cell so that reading it back gives the same value.
func exact(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		return x
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return ""
		}
		return strconv.FormatFloat(x, 'g', -1, 64)
	default:
		return fmt.Sprint(x)
	}
}

// object is a row as JSON: column name to value.
func (t *Table) object(row []any) map[string]any {
	o := make(map[string]any, len(row))
	for i, v := range row {
		if x, ok := v.(float64); ok && (math.IsNaN(x) || math.IsInf(x, 0)) {
			v = nil
		}
		o[t.Columns[i]] = v
	}
	return o
}
