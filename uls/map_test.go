// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sandstream/internal/host/shm"
	"sandstream/internal/host/spaelf/spatest"
	"sandstream/uls/internal/abi"
)

// spaFile writes an SPA with a parameter "limit" (u64), a counter "drops", and a
// data segment of 100,000 bytes with a pointer to offset 8 of the text at 16.
func spaFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "echo.spa")
	must(t, os.WriteFile(path, spatest.File(100000), 0o600))
	return path
}

func TestMapWithoutPort(t *testing.T) {
	m, c := newFake(t)
	s, err := c.Map(MapOptions{
		File: spaFile(t), Params: map[string]string{"limit": "99"},
		Budget: 100 * time.Microsecond,
	})
	must(t, err)
	if s.Name != "echo" || s.State != StateLive || s.BudgetNS != 100000 {
		t.Errorf("%+v", s)
	}
	f := m.spas[s.ID]
	if got := binary.LittleEndian.Uint64(f.image[0x2010:]); got != fakeBase+shm.OffImage+8 {
		t.Errorf("pointer in the image is %#x, want it relocated", got)
	}
	if f.image[0x2000+99999] != 0xaa {
		t.Error("the end of the data segment did not arrive")
	}
	if got := f.control; len(got) != 1 || string(got[0]) != string(paramMessage(0, 99)) {
		t.Errorf("messages % x", got)
	}
	if want := "info get begin write write write write write write commit get "; commands(m.calls) != want {
		t.Errorf("asked %s\nwant  %s", commands(m.calls), want)
	}
}

// Wherever it fails, nothing is left.
func TestMapUndoes(t *testing.T) {
	for cmd, name := range map[uint8]string{
		abi.CmdInfo: "info", abi.CmdSpaBegin: "begin", abi.CmdSpaWrite: "write",
		abi.CmdSpaCommit: "commit",
	} {
		t.Run(name, func(t *testing.T) {
			m, c := newFake(t)
			m.fail[cmd] = extack(unix.ENOMEM, "out of slices")
			_, err := c.Map(MapOptions{File: spaFile(t), Params: map[string]string{"limit": "9"}})
			if err == nil || !strings.Contains(err.Error(), "out of slices") || !errors.Is(err, unix.ENOMEM) {
				t.Errorf("got %v", err)
			}
			if len(m.spas) != 0 {
				t.Errorf("left behind: %+v", m.spas)
			}
		})
	}
}

func TestMapRefuses(t *testing.T) {
	file := spaFile(t)
	bad := filepath.Join(t.TempDir(), "bad.spa")
	must(t, os.WriteFile(bad, []byte("#!/bin/sh\n"), 0o600))
	flow, err := ParseFlow("udp dst *:1")
	must(t, err)
	for name, c := range map[string]struct {
		o    MapOptions
		is   error
		want string
	}{
		"missing file":      {MapOptions{File: "/none.spa"}, os.ErrNotExist, "/none.spa"},
		"foreign file":      {MapOptions{File: bad}, ErrInvalid, "not an ELF file"},
		"name in use":       {MapOptions{File: file, Name: "taken"}, os.ErrExist, "ulsctl replace taken"},
		"name of aborted":   {MapOptions{File: file, Name: "dead"}, os.ErrExist, "ulsctl unmap dead"},
		"bad name":          {MapOptions{File: file, Name: "a b"}, ErrInvalid, "proper name"},
		"unknown parameter": {MapOptions{File: file, Params: map[string]string{"x": "1"}}, ErrInvalid, "it has: limit"},
		"bad value":         {MapOptions{File: file, Params: map[string]string{"limit": "-1"}}, ErrInvalid, "limit"},
		"unknown device":    {MapOptions{File: file, Device: "none0"}, os.ErrNotExist, "there are: "},
		"no zero copy":      {MapOptions{File: file, Device: "lo"}, ErrNotSupported, "ixgbe"},
		"flow, no device":   {MapOptions{File: file, Flows: []Flow{flow}}, ErrInvalid, "need a device"},
	} {
		t.Run(name, func(t *testing.T) {
			m, cl := newFake(t)
			m.next = 9
			m.spas[1] = &fakeSPA{id: 1, name: "taken", state: abi.StateLive}
			m.spas[2] = &fakeSPA{id: 2, name: "dead", state: abi.StateAborted}
			_, err := cl.Map(c.o)
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %v and %q", err, c.is, c.want)
			}
			if strings.Contains(commands(m.calls), "begin") || len(m.spas) != 2 {
				t.Errorf("it began to load: %s", commands(m.calls))
			}
		})
	}
	m, cl := newFake(t)
	m.reason = "PREEMPT_RT"
	if _, err := cl.Map(MapOptions{File: file}); !errors.Is(err, ErrNotSupported) || !strings.Contains(err.Error(), "PREEMPT_RT") {
		t.Errorf("machine that cannot: %v", err)
	}
}

func TestReplaceCarriesParams(t *testing.T) {
	m, c := newFake(t)
	m.next = 1
	m.spas[1] = &fakeSPA{
		id: 1, name: "echo", state: abi.StateLive, budget: 5000, runtime: 300000, period: 1000000,
		params: []Param{{Name: "limit", typ: shm.ParamU64, raw: 42}, {Name: "old", typ: shm.ParamBool, raw: 1}},
	}
	s, err := c.Replace("echo", ReplaceOptions{File: spaFile(t)})
	must(t, err)
	if s.ID != 2 || s.BudgetNS != 5000 || s.RuntimeNS != 0 || m.spas[1] != nil {
		t.Errorf("%+v", s)
	}
	if got := m.spas[2].control; len(got) != 1 || string(got[0]) != string(paramMessage(0, 42)) {
		t.Errorf("messages with the commit: % x, want the old value of limit", got)
	}
	m.spas[2].state = abi.StateAborted
	if _, err := c.Replace("echo", ReplaceOptions{File: spaFile(t)}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "aborted") {
		t.Errorf("replace of an aborted one: %v", err)
	}
	m.spas[2].state = abi.StateLive
	m.fail[abi.CmdSpaCommit] = extack(unix.ENOSPC, "INIT said no")
	if _, err := c.Replace("echo", ReplaceOptions{File: spaFile(t)}); err == nil || !strings.Contains(err.Error(), "INIT said no") {
		t.Errorf("failing INIT: %v", err)
	}
	if len(m.spas) != 1 || m.spas[2] == nil {
		t.Errorf("after a failed replacement there is %v, want the old one only", m.spas)
	}
}

func TestSetParam(t *testing.T) {
	m, c := newFake(t)
	m.next = 1
	m.spas[1] = &fakeSPA{id: 1, name: "echo", state: abi.StateLive, params: []Param{{Name: "a", typ: shm.ParamU64}, {Name: "b", typ: shm.ParamBool}}}
	s, err := c.SPAByName("echo")
	must(t, err)
	must(t, c.SetParam(s, "b", "on"))
	if got := m.spas[1].control; len(got) != 1 || string(got[0]) != string(paramMessage(1, 1)) {
		t.Errorf("messages % x", got)
	}
	if err := c.SetParam(s, "z", "1"); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "it has: a, b") {
		t.Errorf("unknown: %v", err)
	}
	if err := c.SetParam(s, "b", "maybe"); !errors.Is(err, ErrInvalid) {
		t.Errorf("bad value: %v", err)
	}
}
