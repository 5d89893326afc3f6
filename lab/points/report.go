// SPDX-License-Identifier: Apache-2.0

package points

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"math"
	"strconv"
	"strings"

	"sandstream/internal/report/plot"
	"sandstream/internal/report/results"
)

// A Report passes tables and charts on to a run and gathers them in one HTML page
// that needs no other file.
type Report struct {
	Run   *results.Run
	Title string
	body  bytes.Buffer
}

// Text adds a paragraph to the page.
func (r *Report) Text(text string) {
	fmt.Fprintf(&r.body, "<p>%s</p>\n", html.EscapeString(text))
}

// Table prints the table, writes its CSV and adds it to the page.
func (r *Report) Table(t *results.Table) error {
	if err := r.Run.Table(t); err != nil {
		return err
	}
	fmt.Fprintf(&r.body, "<h2>%s</h2>\n<table>\n<tr>", html.EscapeString(t.Title))
	for _, c := range t.Columns {
		fmt.Fprintf(&r.body, "<th>%s</th>", html.EscapeString(c))
	}
	r.body.WriteString("</tr>\n")
	for _, row := range t.Rows {
		r.body.WriteString("<tr>")
		for _, v := range row {
			text, number := cell(v)
			if number {
				fmt.Fprintf(&r.body, `<td class="n">%s</td>`, text)
			} else {
				fmt.Fprintf(&r.body, "<td>%s</td>", html.EscapeString(text))
			}
		}
		r.body.WriteString("</tr>\n")
	}
	r.body.WriteString("</table>\n")
	if t.Note != "" {
		r.Text(t.Note)
	}
	return nil
}

// Chart writes the chart as SVG and PNG and draws it on the page.
func (r *Report) Chart(c *plot.Chart) error {
	if err := r.Run.Chart(c); err != nil {
		return err
	}
	var svg bytes.Buffer
	if err := c.Write(&svg, "svg"); err != nil {
		return err
	}
	_, picture, _ := strings.Cut(svg.String(), "<svg") // without the XML declaration
	fmt.Fprintf(&r.body, "<figure><svg%s</figure>\n", picture)
	return nil
}

func cell(v any) (text string, number bool) {
	switch x := v.(type) {
	case nil:
		return "", false
	case string:
		return x, false
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return "", false
		}
		return strconv.FormatFloat(x, 'g', 5, 64), true
	default:
		return fmt.Sprint(x), true
	}
}

const style = `body{font:15px/1.45 system-ui,sans-serif;max-width:62em;margin:2em auto;padding:0 1em;color:#111;background:#fff}
table{border-collapse:collapse;margin:.5em 0}td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left}
th{background:#f2f2f2}.n{text-align:right;font-variant-numeric:tabular-nums}figure{margin:1em 0}
svg{max-width:100%;height:auto}pre{background:#f6f6f6;padding:.8em;overflow:auto;font-size:12px}h2{font-size:1.1em;margin-top:1.6em}`

// Write writes report.html; cause is why the result is not complete, or nil.
func (r *Report) Write(cause error) error {
	return r.Run.File("report.html", func(w io.Writer) error {
		meta, err := json.MarshalIndent(r.Run.Meta, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>%s</title>\n<style>%s</style>\n<h1>%s</h1>\n",
			html.EscapeString(r.Title), style, html.EscapeString(r.Title))
		if cause != nil {
			fmt.Fprintf(w, "<p><strong>Not complete:</strong> %s</p>\n", html.EscapeString(cause.Error()))
		}
		if _, err := w.Write(r.body.Bytes()); err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "<h2>How it was made</h2>\n<pre>%s</pre>\n</html>\n", html.EscapeString(string(meta)))
		return err
	})
}
