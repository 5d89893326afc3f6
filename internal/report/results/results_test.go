// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func command(t *testing.T, args ...string) (cmd *cobra.Command, stdout *bytes.Buffer) {
	t.Helper()
	cmd = &cobra.Command{Use: "x"}
	AddFlags(cmd.Flags())
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	stdout = &bytes.Buffer{}
	cmd.SetOut(stdout)
	cmd.SetErr(&bytes.Buffer{})
	return cmd, stdout
}

func sample() *Table {
	t := &Table{Name: "t", Title: "A title", Columns: []string{"name", "delay (ms)", "n"}}
	t.Row("a", 1.23456789, 3)
	t.Row("b", math.NaN(), uint64(4))
	t.Row("c", nil, int64(1)<<40)
	return t
}

func TestRunNeverOverwrites(t *testing.T) {
	base := t.TempDir()
	var dirs []string
	for range 2 {
		cmd, _ := command(t, "--results", base)
		r, err := Open(cmd, Meta{Experiment: "unit", Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Table(sample()); err != nil {
			t.Fatal(err)
		}
		if err := r.Table(sample()); err == nil {
			t.Error("a second table of one name was accepted")
		}
		if err := r.Close(nil); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, r.Dir)
	}
	if dirs[0] == dirs[1] {
		t.Fatalf("both runs wrote to %s", dirs[0])
	}
	data, err := os.ReadFile(filepath.Join(dirs[0], "t.csv"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if rows[1][1] != "1.23456789" || rows[2][1] != "" || rows[3][2] != "1099511627776" {
		t.Errorf("CSV is %v", rows)
	}
}

func TestJSONToStdout(t *testing.T) {
	cmd, out := command(t, "--results", "", "--json")
	r, err := Open(cmd, Meta{Experiment: "unit"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Table(sample()); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("interrupted")
	if err := r.Close(cause); !errors.Is(err, cause) {
		t.Errorf("Close lost the cause: %v", err)
	}
	var doc struct {
		Meta   Meta
		Tables map[string]struct{ Rows []map[string]any }
	}
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if doc.Meta.Complete || doc.Meta.Error != "interrupted" || doc.Tables["t"].Rows[1]["delay (ms)"] != nil {
		t.Errorf("result is %+v", doc)
	}
}

func TestRaggedTable(t *testing.T) {
	bad := sample()
	bad.Row("short")
	if err := bad.WriteText(&bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "row 3") {
		t.Errorf("error is %v", err)
	}
}

func TestProgressPlain(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out, "seeds", 3)
	p.Add(3)
	p.Done()
	if out.Len() != 0 {
		t.Errorf("a short job said %q", &out)
	}
	p = NewProgress(&out, "seeds", 3)
	p.next = p.next.Add(-progressQuiet)
	p.Add(1)
	p.Add(1)
	p.Done()
	if got := out.String(); got != "seeds: 1 of 3\nseeds: 2 of 3\n" {
		t.Errorf("a long job said %q", got)
	}
}
