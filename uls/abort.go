// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sandstream/uls/internal/abi"
)

// Abort says why the kernel took an SPA out of service.
type Abort struct {
	Cause     string    `json:"cause"`  // fault, budget, service, self, device, init
	Vector    uint32    `json:"vector"` // x86 vector; 256 and above: a kind of system call
	ErrorCode Hex       `json:"error_code"`
	Address   Hex       `json:"address"` // of a page fault; number of a refused service; code of an abort by itself
	IP        Hex       `json:"ip"`
	SP        Hex       `json:"sp"`
	Reason    string    `json:"reason"` // of the upcall: init, rx, tick, control, fini, nop
	CPU       uint32    `json:"cpu"`
	Time      time.Time `json:"time,omitzero"`
	Text      string    `json:"text"` // all of it for people

	base uint64
}

func decodeAbort(ad *netlink.AttributeDecoder, clock bootClock) *Abort {
	a := &Abort{}
	var cause abi.Cause
	for ad.Next() {
		switch ad.Type() {
		case abi.AttrAbortCause:
			cause = abi.Cause(ad.Uint32())
		case abi.AttrAbortVector:
			a.Vector = ad.Uint32()
		case abi.AttrAbortErrorCode:
			a.ErrorCode = Hex(ad.Uint64())
		case abi.AttrAbortAddress:
			a.Address = Hex(ad.Uint64())
		case abi.AttrAbortIP:
			a.IP = Hex(ad.Uint64())
		case abi.AttrAbortSp:
			a.SP = Hex(ad.Uint64())
		case abi.AttrAbortReason:
			a.Reason = abi.Reason(ad.Uint32()).String()
		case abi.AttrAbortCPU:
			a.CPU = ad.Uint32()
		case abi.AttrAbortTime:
			a.Time = clock.time(ad.Uint64())
		}
	}
	a.Cause = cause.String()
	a.Text = a.describe(cause)
	return a
}

func (a *Abort) describe(cause abi.Cause) string {
	where := fmt.Sprintf("at %v in upcall %s on CPU %d", a.IP, a.Reason, a.CPU)
	switch cause {
	case abi.CauseFault:
		return a.fault() + " " + where
	case abi.CauseBudget:
		return "ran past its budget " + where
	case abi.CauseService:
		return fmt.Sprintf("made system call %d (%s), which an SPA must not, %s", uint64(a.Address), callKind(a.Vector), where)
	case abi.CauseSelf:
		return fmt.Sprintf("gave itself up with code %v %s", a.Address, where)
	case abi.CauseDevice:
		return "its device went away"
	case abi.CauseInit:
		return fmt.Sprintf("its INIT failed: %v", unix.Errno(a.ErrorCode))
	}
	return "unknown cause " + where
}

// vectors are the names of the x86 exceptions an SPA can raise.
var vectors = map[uint32]string{
	0: "division by zero", 1: "debug trap", 3: "breakpoint", 4: "overflow", 5: "bound range exceeded",
	6: "invalid instruction", 7: "use of the FPU, SSE or AVX without declaring it", 10: "invalid TSS",
	11: "segment not present", 12: "stack-segment fault", 13: "general protection fault", 14: "page fault",
	16: "x87 error", 17: "misaligned access", 19: "SIMD error", 21: "control protection fault",
}

func (a *Abort) fault() string {
	name, ok := vectors[a.Vector]
	switch {
	case !ok:
		return fmt.Sprintf("exception %d (error code %v)", a.Vector, a.ErrorCode)
	case a.Vector == 14:
		return fmt.Sprintf("page fault %s %v", access(uint64(a.ErrorCode)), a.Address)
	case a.ErrorCode != 0:
		return fmt.Sprintf("%s (error code %v)", name, a.ErrorCode)
	}
	return name
}

// access reads the error code of a page fault.
func access(code uint64) string {
	switch {
	case code&(1<<4) != 0:
		return "executing"
	case code&(1<<1) != 0:
		return "writing"
	}
	return "reading"
}

func callKind(vector uint32) string {
	switch vector {
	case abi.ExitSysenter:
		return "sysenter"
	case abi.ExitSyscall32:
		return "32-bit syscall"
	case 0x80:
		return "int 0x80"
	}
	return "syscall"
}
