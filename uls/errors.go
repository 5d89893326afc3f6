// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Sentinels; those of package os (ErrPermission, ErrNotExist, ErrExist) are used
// where they fit.
var (
	// ErrNotSupported: this kernel, machine or device cannot do it. It is
	// errors.ErrUnsupported.
	ErrNotSupported = errors.ErrUnsupported
	// ErrBusy: what is wanted is in use.
	ErrBusy = errors.New("in use")
	// ErrInvalid: a value is out of range or does not fit the SPA.
	ErrInvalid = errors.New("invalid")
)

// Error is what an operation of this package failed with.
type Error struct {
	Op     string // what was tried: "map", "unmap", "set", ...
	Object string // on what: an SPA, a device, a file; may be empty
	Text   string // why, in words for people; the kernel's own if it gave some
	Hint   string // the way out, may be empty
	Err    error  // the cause, for errors.Is
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Object != "" {
		b.WriteString(" " + e.Object)
	}
	b.WriteString(": ")
	switch {
	case e.Text != "":
		b.WriteString(e.Text)
	case e.Err != nil:
		b.WriteString(e.Err.Error())
	}
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// Unwrap makes errors.Is see the cause, and ErrBusy and ErrInvalid in the
// kernel's error numbers for them.
func (e *Error) Unwrap() []error {
	out := []error{e.Err}
	switch {
	case errors.Is(e.Err, unix.EBUSY):
		out = append(out, ErrBusy)
	case errors.Is(e.Err, unix.EINVAL), errors.Is(e.Err, unix.ERANGE):
		out = append(out, ErrInvalid)
	}
	return out
}

const capabilityHint = "CAP_NET_ADMIN is needed: run it as root"

// wrap gives an error of the netlink connection an operation and an object; the
// kernel's extended acknowledgement becomes the text.
func wrap(op, object string, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Op: op, Object: object, Err: err}
	var n *netlink.OpError
	for cause := err; errors.As(cause, &n); cause = n.Err {
		e.Err, e.Text = n.Err, n.Err.Error()
		if n.Message != "" {
			e.Text = n.Message
			break
		}
	}
	if errors.Is(err, os.ErrPermission) {
		e.Hint = capabilityHint
	}
	return e
}

func errorf(op, object string, cause error, format string, args ...any) *Error {
	return &Error{Op: op, Object: object, Text: fmt.Sprintf(format, args...), Err: cause}
}

func (e *Error) hint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}
