// SPDX-License-Identifier: Apache-2.0

package nettest

import (
	"fmt"
	"io"
	"sync"

	"github.com/olekukonko/tablewriter"
)

// Figures are what a run has measured, in the order in which it did.
type Figures struct {
	mu   sync.Mutex
	rows [][]string
	bad  int
}

// Add notes a figure; bound says what it must be, "" if it is only to be known.
func (f *Figures) Add(what, value, bound string, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	verdict := "ok"
	switch {
	case !ok:
		verdict = "FAILED"
		f.bad++
	case bound == "":
		verdict = ""
	}
	f.rows = append(f.rows, []string{what, value, bound, verdict})
}

// Render writes the table.
func (f *Figures) Render(w io.Writer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := tablewriter.NewTable(w)
	t.Header("what", "measured", "must be", "")
	if err := t.Bulk(f.rows); err != nil {
		return fmt.Errorf("table of figures: %w", err)
	}
	return t.Render()
}
