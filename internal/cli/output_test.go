// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"strings"
	"testing"
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
	Pairs(&b, [][2]string{{"address", evil}})
	if n := strings.Count(b.String(), "\n"); n != 4 {
		t.Errorf("a pair of %d lines", n-3)
	}
	if s := b.String(); strings.ContainsAny(s, "\x1b\u009b\r\t") || !strings.Contains(s, "root is here") {
		t.Errorf("%q", s)
	}
}
