// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sandstream/uls/internal/abi"
)

// CPULimit is what upcalls, and all that is done for them, may take of each CPU.
type CPULimit struct {
	Share uint32       `json:"cpu_share"` // per cent that processes keep
	CPUs  []CPUAccount `json:"cpus"`      // those that are online
}

// CPUAccount is how the rest of a CPU is shared out. Reserved and Pool are what
// processes do not keep.
type CPUAccount struct {
	CPU          uint32 `json:"cpu"`
	Reservations uint32 `json:"reservations"` // how many are kept here
	ReservedPPM  uint32 `json:"reserved_ppm"` // parts per million of the CPU's time
	LeftPPM      uint32 `json:"left_ppm"`     // what can still be reserved
	PoolPPM      uint32 `json:"pool_ppm"`     // for everything that no reservation pays for
	TakenNS      uint64 `json:"taken_ns"`     // since the module was loaded
}

// DefaultReserveBudgetMax is the largest budget, in nanoseconds, with which an SPA
// gets a reservation without asking: a tenth of the longest period.
const DefaultReserveBudgetMax = abi.PeriodMaxNs / 10

// Limit reads the account of all CPUs.
func (c *Client) Limit() (*CPULimit, error) {
	b, err := c.ask(abi.CmdLimitGet, nil)
	if err != nil {
		return nil, wrap("read", "the limits of CPUs", err)
	}
	l := &CPULimit{CPUs: []CPUAccount{}}
	err = decode(b, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case abi.AttrLimitCPUShare:
			l.Share = ad.Uint32()
		case abi.AttrLimitCPU:
			ad.Nested(func(nad *netlink.AttributeDecoder) error {
				l.CPUs = append(l.CPUs, decodeCPUAccount(nad))
				return nil
			})
		}
	})
	if err == nil && l.Share == 0 {
		err = errShort
	}
	return l, wrap("read", "the limits of CPUs", err)
}

func decodeCPUAccount(ad *netlink.AttributeDecoder) (a CPUAccount) {
	for ad.Next() {
		switch ad.Type() {
		case abi.AttrCPUAccountCPU:
			a.CPU = ad.Uint32()
		case abi.AttrCPUAccountReservations:
			a.Reservations = ad.Uint32()
		case abi.AttrCPUAccountReservedPpm:
			a.ReservedPPM = ad.Uint32()
		case abi.AttrCPUAccountLeftPpm:
			a.LeftPPM = ad.Uint32()
		case abi.AttrCPUAccountPoolPpm:
			a.PoolPPM = ad.Uint32()
		case abi.AttrCPUAccountTakenNs:
			a.TakenNS = ad.Uint64()
		}
	}
	return a
}

// SetCPUShare changes what processes keep of each CPU, in per cent. It is ErrBusy
// if more is reserved than that would leave room for.
func (c *Client) SetCPUShare(percent int) error {
	if percent < abi.CPUShareMin || percent > abi.CPUShareMax {
		return errorf("limit", "", ErrInvalid, "a CPU share of %d %%: must be %d to %d %%", percent, abi.CPUShareMin, abi.CPUShareMax)
	}
	err := wrap("limit", fmt.Sprintf("upcalls to %d %%", 100-percent), c.change(abi.CmdLimitSet, func(ae *netlink.AttributeEncoder) {
		ae.Uint32(abi.AttrLimitCPUShare, uint32(percent))
	}))
	var e *Error
	if errors.Is(err, ErrBusy) && errors.As(err, &e) {
		e.Hint = "make reservations smaller: 'ulsctl set NAME reserve=RUNTIME/PERIOD'"
	}
	return err
}

// noRoom adds the way out to an error of a reservation that fits on no CPU.
func noRoom(err error) error {
	var e *Error
	if errors.Is(err, unix.ENOSPC) && errors.As(err, &e) {
		e.Hint = "ask for less with --reserve, or lower what processes keep: 'ulsctl limit --cpu-share'"
	}
	return err
}
