// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/genetlink/genltest"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sandstream/internal/host/shm"
	"sandstream/uls/internal/abi"
)

func TestNewWithoutModule(t *testing.T) {
	_, err := newClient(genltest.Dial(func(genetlink.Message, netlink.Message) ([]genetlink.Message, error) {
		return nil, genltest.Error(int(unix.ENOENT))
	}))
	if !errors.Is(err, ErrNotSupported) {
		t.Fatalf("got %v, want ErrNotSupported", err)
	}
	if s := err.Error(); !strings.Contains(s, "(") || strings.Contains(s, "netlink") {
		t.Errorf("%q does not say in plain words what to do", s)
	}
	m := &fakeModule{t: t, family: 3}
	if _, err := newClient(m.dial(99)); !errors.Is(err, ErrNotSupported) || !strings.Contains(err.Error(), "version 99") {
		t.Errorf("foreign version: %v", err)
	}
}

func TestInfo(t *testing.T) {
	m, c := newFake(t)
	i, err := c.Info()
	must(t, err)
	if !i.Supported || i.ABI != 1 || i.Slices != 512 || i.Release != "1.0" || i.Usable() != nil {
		t.Errorf("%+v, usable: %v", i, i.Usable())
	}
	if i.Memory != (Memory{Pages: 1 << 40, Allocations: 23, Sockets: 2}) {
		t.Errorf("memory: %+v", i.Memory)
	}
	m.reason = "5-level paging: boot with no5lvl"
	i, err = c.Info()
	must(t, err)
	if err := i.Usable(); !errors.Is(err, ErrNotSupported) || !strings.Contains(err.Error(), m.reason) {
		t.Errorf("usable: %v", err)
	}
	i.Supported, i.ABI = true, 2
	if err := i.Usable(); !errors.Is(err, ErrNotSupported) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("other ABI: %v", err)
	}
}

// The kernel's words are the error's, and its number is what errors.Is sees.
func TestKernelErrors(t *testing.T) {
	for _, c := range []struct {
		errno unix.Errno
		is    error
		hint  string
	}{
		{unix.EPERM, os.ErrPermission, "CAP_NET_ADMIN"},
		{unix.EBUSY, ErrBusy, ""},
		{unix.ENOENT, os.ErrNotExist, ""},
		{unix.EEXIST, os.ErrExist, ""},
		{unix.EINVAL, ErrInvalid, ""},
		{unix.EOPNOTSUPP, ErrNotSupported, ""},
	} {
		m, cl := newFake(t)
		m.spas[1] = &fakeSPA{id: 1, name: "echo", state: abi.StateLive}
		m.fail[abi.CmdSpaDel] = extack(c.errno, "words of the kernel")
		err := cl.Unmap("echo")
		if !errors.Is(err, c.is) {
			t.Errorf("%v: errors.Is(%v) is false", c.errno, c.is)
		}
		if s := err.Error(); !strings.HasPrefix(s, "unmap echo: words of the kernel") || !strings.Contains(s, c.hint) {
			t.Errorf("%v: %q", c.errno, s)
		}
		m.fail[abi.CmdSpaDel] = genltest.Error(int(c.errno))
		if err := cl.Unmap("echo"); !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.errno.Error()) {
			t.Errorf("%v without words: %v", c.errno, err)
		}
	}
}

func TestSPAs(t *testing.T) {
	m, c := newFake(t)
	spas, err := c.SPAs()
	must(t, err)
	if spas == nil || len(spas) != 0 {
		t.Errorf("no SPA: %v, want an empty list", spas)
	}
	m.next = 5
	m.spas[5] = &fakeSPA{
		id: 5, name: "forward", state: abi.StateAborted, ifindex: 1 << 30, queue: 2, budget: 1000,
		abort: m.attrs(func(ae *netlink.AttributeEncoder) {
			ae.Uint32(abi.AttrAbortCause, uint32(abi.CauseFault))
			ae.Uint32(abi.AttrAbortVector, 14)
			ae.Uint64(abi.AttrAbortErrorCode, 6)
			ae.Uint64(abi.AttrAbortAddress, 0xfffffe8000001000)
			ae.Uint64(abi.AttrAbortIP, fakeBase+0x100010)
			ae.Uint32(abi.AttrAbortReason, uint32(abi.UpRx))
			ae.Uint32(abi.AttrAbortCPU, 1)
		}),
	}
	spas, err = c.SPAs()
	must(t, err)
	s := spas[0]
	if s.ID != 5 || s.State != StateAborted || s.Base != fakeBase || !s.Serial || s.FPU || s.Queue != 2 || s.Device != "" {
		t.Errorf("%+v", s)
	}
	if len(s.Segments) != 1 || s.Segments[0].Prot != "r-x" {
		t.Errorf("segments %+v", s.Segments)
	}
	want := "page fault writing 0xfffffe8000001000 at 0xfffffe81c0100010 in upcall rx on CPU 1"
	if s.Abort == nil || s.Abort.Cause != "fault" || s.Abort.Text != want {
		t.Errorf("abort %+v, want %q", s.Abort, want)
	}
	b, err := json.Marshal(s)
	must(t, err)
	for _, part := range []string{`"base":"0xfffffe81c0000000"`, `"state":"aborted"`, `"cause":"fault"`, `"params":[]`} {
		if !strings.Contains(string(b), part) {
			t.Errorf("JSON %s lacks %s", b, part)
		}
	}
	if _, err := c.SPAByName("none"); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "none") {
		t.Errorf("unknown name: %v", err)
	}
}

func TestAbortTexts(t *testing.T) {
	for _, c := range []struct {
		a     Abort
		cause abi.Cause
		want  string
	}{
		{Abort{Vector: 14, ErrorCode: 4, Address: 16}, abi.CauseFault, "page fault reading 0x10"},
		{Abort{Vector: 14, ErrorCode: 0x15}, abi.CauseFault, "page fault executing"},
		{Abort{Vector: 6}, abi.CauseFault, "invalid instruction"},
		{Abort{Vector: 7}, abi.CauseFault, "without declaring it"},
		{Abort{Vector: 13, ErrorCode: 0x402}, abi.CauseFault, "general protection fault (error code 0x402)"},
		{Abort{Vector: 99}, abi.CauseFault, "exception 99"},
		{Abort{}, abi.CauseBudget, "past its budget"},
		{Abort{Vector: abi.ExitSyscall, Address: 110}, abi.CauseService, "system call 110 (syscall)"},
		{Abort{Vector: 0x80, Address: 20}, abi.CauseService, "system call 20 (int 0x80)"},
		{Abort{Vector: abi.ExitSysenter}, abi.CauseService, "sysenter"},
		{Abort{Address: 0x1000}, abi.CauseSelf, "code 0x1000"},
		{Abort{}, abi.CauseDevice, "device went away"},
		{Abort{ErrorCode: 28}, abi.CauseInit, "no space left"},
	} {
		if got := c.a.describe(c.cause); !strings.Contains(got, c.want) {
			t.Errorf("%v: %q does not say %q", c.cause, got, c.want)
		}
	}
}

func u64array(v ...uint64) (b []byte) {
	for _, x := range v {
		b = binary.NativeEndian.AppendUint64(b, x)
	}
	return b
}

func TestStats(t *testing.T) {
	m := &fakeModule{t: t}
	b := m.attrs(func(ae *netlink.AttributeEncoder) {
		ae.Uint32(abi.AttrStatsID, 5)
		ae.Bytes(abi.AttrStatsUpcalls, u64array(1, 20, 3))
		ae.Bytes(abi.AttrStatsContexts, u64array(10, 5, 0, 9))
		ae.Bytes(abi.AttrStatsHistogram, u64array(0, 0, 7, 0, 2))
		ae.Bytes(abi.AttrStatsDeferred, u64array(1, 2, 3))
		ae.Uint32(abi.AttrStatsLastCS, 0x33)
		ae.Bytes(abi.AttrStatsCounters, u64array(100, 200, 0, 4))
	})
	s, err := decodeStats(b, []string{"rx_frames", "drops"})
	must(t, err)
	if s.Upcalls["rx"] != 20 || s.Upcalled() != 24 || s.Contexts["idle"] != 9 || s.LastCS != 0x33 || s.Deferred != (Deferred{1, 2, 3}) {
		t.Errorf("%+v", s)
	}
	want := []Bucket{{4, 8, 7}, {8, 16, 0}, {16, 0, 2}}
	if len(s.Histogram) != 3 || s.Histogram[0] != want[0] || s.Histogram[1] != want[1] || s.Histogram[2] != want[2] {
		t.Errorf("histogram %v, want %v", s.Histogram, want)
	}
	if len(s.Counters) != 3 || s.Counters[1] != (Counter{"drops", 200}) || s.Counters[2] != (Counter{"counter3", 4}) {
		t.Errorf("counters %v", s.Counters)
	}
	if _, err := decodeStats(nil, nil); err == nil {
		t.Error("an empty reply is accepted")
	}
}

func TestEvents(t *testing.T) {
	m, c := newFake(t)
	e := &Events{c: c, family: m.family}
	s := &fakeSPA{id: 5, name: "echo", state: abi.StateLive}
	m.multi = []genetlink.Message{
		{Header: genetlink.Header{Command: abi.CmdSpaMappedNtf}, Data: s.encode(t)},
		{Header: genetlink.Header{Command: 250}, Data: s.encode(t)},
		{Header: genetlink.Header{Command: abi.CmdSpaAbortedNtf}, Data: s.encode(t)},
	}
	for _, want := range []EventKind{EventMapped, EventAborted} {
		ev, err := e.Next(context.Background())
		must(t, err)
		if ev.Kind != want || ev.SPA.Name != "echo" {
			t.Errorf("event %v of %v, want %v", ev.Kind, ev.SPA.Name, want)
		}
	}
	if _, err := e.Next(context.Background()); !errors.Is(err, ErrLost) {
		t.Errorf("overrun: %v, want ErrLost", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := e.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v, want Canceled", err)
	}
}

func TestParseReserve(t *testing.T) {
	r, err := ParseReserve("300us/1ms")
	if err != nil || r != (Reserve{300 * time.Microsecond, time.Millisecond}) || r.String() != "300µs/1ms" {
		t.Errorf("%v %v", r, err)
	}
	if r, err := ParseReserve("none"); err != nil || r != (Reserve{}) || r.String() != "none" {
		t.Errorf("none: %v %v", r, err)
	}
	for _, bad := range []string{"", "300us", "300us/", "/1ms", "2ms/1ms", "0s/1ms", "-1us/1ms", "1/2", "a/b", "1us/1ms/2"} {
		if _, err := ParseReserve(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", bad, err)
		}
	}
}

func TestParams(t *testing.T) {
	for _, c := range []struct {
		typ        uint32
		text, back string
		want       uint64
	}{
		{shm.ParamU64, "18446744073709551615", "18446744073709551615", 1<<64 - 1},
		{shm.ParamU64, "0x10", "16", 16},
		{shm.ParamBool, "on", "on", 1},
		{shm.ParamBool, "False", "off", 0},
		{shm.ParamIPv4, "10.0.1.2", "10.0.1.2", 0x0201000a},
		{shm.ParamMAC, "52:54:00:12:34:56", "52:54:00:12:34:56", 0x563412005452},
	} {
		v, err := parseParam(c.typ, c.text)
		if err != nil || v != c.want {
			t.Errorf("%q: %#x %v, want %#x", c.text, v, err, c.want)
		}
		if back := formatParam(c.typ, v); back != c.back {
			t.Errorf("%q came back as %q", c.text, back)
		}
	}
	for typ, texts := range map[uint32][]string{
		shm.ParamU64: {"-1", "", "18446744073709551616", "1.5", "x"}, shm.ParamBool: {"2", "", "maybe"},
		shm.ParamIPv4: {"10.0.0", "::1", "10.0.0.256"}, shm.ParamMAC: {"52:54", "00:00:00:00:00:00:00:01"}, 9: {"1"},
	} {
		for _, text := range texts {
			if _, err := parseParam(typ, text); err == nil {
				t.Errorf("type %d: %q is accepted", typ, text)
			}
		}
	}
}
