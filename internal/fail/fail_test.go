// SPDX-License-Identifier: Apache-2.0

package fail

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{Usagef("k is %d", 1), 2},
		{fmt.Errorf("run: %w", Errorf(ErrUnsupported, "no kernel")), 3},
		{fmt.Errorf("open: %w", fs.ErrPermission), 4},
		{context.DeadlineExceeded, 5},
		{Errorf(ErrBrokenOff, "lost"), 6},
		{Errorf(ErrEvicted, "put out"), 7},
		{Errorf(ErrExpired, "over"), 8},
		{context.Canceled, 1},
	} {
		if got := Status(c.err); got != c.want {
			t.Errorf("Status(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}

func TestErrorfKeepsCause(t *testing.T) {
	err := Errorf(ErrTimeout, "read: %w", fs.ErrNotExist)
	if !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, ErrTimeout) {
		t.Fatalf("%v lost its cause or its kind", err)
	}
	if err.Error() != "read: file does not exist" {
		t.Fatalf("text is %q", err)
	}
}
