// SPDX-License-Identifier: Apache-2.0

// Package fail gives every program of the project the same exit statuses:
//
//	0 done, 1 failed, 2 usage, 3 not supported here, 4 permission, 5 timed out
//
// and of a stream that ended otherwise than by its publisher's word
//
//	6 broken off, 7 put out, 8 expired
//
// A function returns an ordinary error; one that is more than "failed" wraps
// one of the sentinels below, most easily with Errorf. The package imports
// nothing of the project and knows nothing of command lines, so that code at
// any depth can say what kind of failure it met.
package fail

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Sentinels that choose the exit status. Test with errors.Is.
var (
	ErrUsage       = errors.New("usage")
	ErrUnsupported = errors.New("not supported here")
	ErrPermission  = errors.New("permission denied")
	ErrTimeout     = errors.New("timed out")

	ErrBrokenOff = errors.New("broken off") // the publisher died, or cannot be reached
	ErrEvicted   = errors.New("put out")    // of a stream, by its publisher
	ErrExpired   = errors.New("expired")    // the right to a stream
)

// kindError has the text of its own error only, and is its kind as well.
type kindError struct {
	kind error
	err  error
}

func (e kindError) Error() string   { return e.err.Error() }
func (e kindError) Unwrap() []error { return []error{e.kind, e.err} }

// Errorf formats an error whose exit status is that of kind (one of the
// sentinels); the kind adds nothing to the text.
func Errorf(kind error, format string, args ...any) error {
	return kindError{kind, fmt.Errorf(format, args...)}
}

// Usagef is Errorf(ErrUsage, ...): what was asked for is impossible.
func Usagef(format string, args ...any) error { return Errorf(ErrUsage, format, args...) }

// Status maps an error to the exit status.
func Status(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrUsage):
		return 2
	case errors.Is(err, ErrUnsupported), errors.Is(err, errors.ErrUnsupported):
		return 3
	case errors.Is(err, ErrPermission), errors.Is(err, fs.ErrPermission):
		return 4
	case errors.Is(err, ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return 5
	case errors.Is(err, ErrBrokenOff):
		return 6
	case errors.Is(err, ErrEvicted):
		return 7
	case errors.Is(err, ErrExpired):
		return 8
	}
	return 1
}
