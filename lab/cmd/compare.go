// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"strings"

	"sandstream/lab/vm"
)

// difference returns nil if two runs gave the same bytes.
func difference(a, b *vm.Result) error {
	if a.Console != b.Console {
		return errors.New("the consoles differ")
	}
	if a.KernelLog != b.KernelLog {
		return fmt.Errorf("the kernel logs differ: %s", firstDifference(a.KernelLog, b.KernelLog))
	}
	for i, p := range a.Programs {
		if i >= len(b.Programs) || p.How != b.Programs[i].How || !bytes.Equal(p.Output, b.Programs[i].Output) {
			return fmt.Errorf("the output of %s differs", p.Name)
		}
	}
	if len(a.Files) != len(b.Files) {
		return fmt.Errorf("%d files against %d", len(a.Files), len(b.Files))
	}
	var names []string
	for name := range a.Files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if !bytes.Equal(a.Files[name].Data, b.Files[name].Data) {
			return fmt.Errorf("%s differs: %s", name, firstDifference(string(a.Files[name].Data), string(b.Files[name].Data)))
		}
	}
	return nil
}

// firstDifference quotes the first line in which two texts differ.
func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range x {
		if i >= len(y) {
			return fmt.Sprintf("line %d: %.80q against nothing", i+1, x[i])
		}
		if x[i] != y[i] {
			return fmt.Sprintf("line %d: %.80q against %.80q", i+1, x[i], y[i])
		}
	}
	return fmt.Sprintf("%d lines against %d", len(x), len(y))
}
