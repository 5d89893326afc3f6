// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
)

// What other hosts say neither moves the cursor nor makes a line of its own.
func TestOthersWordsArePlain(t *testing.T) {
	const evil = "fe80::1%\x1b[2J\u009b1m\xff\r\nroot\tis here"
	var b bytes.Buffer
	if err := Table(&b, []string{"HOST", "ADDRESS"}, [][]string{{"1", evil}, {evil, "2"}}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\n"); n != 3 {
		t.Errorf("%d lines of a header and two rows:\n%q", n, b.String())
	}
	if err := Pairs(&b, [][2]string{{"address", evil}}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\n"); n != 4 {
		t.Errorf("a pair of %d lines", n-3)
	}
	if s := b.String(); strings.ContainsAny(s, "\x1b\u009b\r\t") || !strings.Contains(s, "root is here") {
		t.Errorf("%q", s)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// Output that did not get out is a failure.
func TestFullDisk(t *testing.T) {
	if err := Table(full{}, []string{"A"}, [][]string{{"1"}}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a table: %v", err)
	}
	if err := Pairs(full{}, [][2]string{{"a", "1"}}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("pairs: %v", err)
	}
	for _, args := range [][]string{nil, {"--help"}} {
		root := &cobra.Command{Use: "r", Run: func(c *cobra.Command, _ []string) { fmt.Fprintln(c.OutOrStdout(), "x") }}
		root.SetOut(full{})
		root.SetErr(io.Discard)
		root.SetArgs(args)
		if err := Execute(t.Context(), root); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%v: %v", args, err)
		}
	}
}
