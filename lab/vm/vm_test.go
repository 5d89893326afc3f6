// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func frame(kind byte, payload string) []byte {
	head := append([]byte{kind}, binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))...)
	return append(head, payload...)
}

func frames(parts ...string) []byte {
	var data []byte
	for i := 0; i < len(parts); i += 2 {
		data = append(data, frame(parts[i][0], parts[i+1])...)
	}
	return data
}

func TestReport(t *testing.T) {
	data := frames("L", "hello\n", "B", "one", "O", "a", "O", "b", "E", "exit 0", "B", "two", "E", "signal 11",
		"P", "640 /results/x", "D", "12", "D", "3", "C", "", "V", "ok")
	r, err := parseReport(data)
	if err != nil {
		t.Fatal(err)
	}
	want := []ProgramResult{{"one", "exit 0", []byte("ab")}, {"two", "signal 11", nil}}
	if !reflect.DeepEqual(r.programs, want) || r.verdict != "ok" || r.remarks[0] != "hello" {
		t.Errorf("got %+v", r)
	}
	if f := r.files["/results/x"]; string(f.Data) != "123" || f.Mode != 0o640 {
		t.Errorf("got file %+v", f)
	}
	if !r.programs[0].OK() || r.programs[1].OK() || r.programs[1].Status() != -1 {
		t.Error("the ends are misread")
	}
}

// A guest that dies in the middle must never look as if it had reported.
func TestTornReportHasNoVerdict(t *testing.T) {
	data := frames("B", "one", "O", "output", "E", "exit 0", "V", "ok")
	for n := range data {
		r, err := parseReport(data[:n])
		if err != nil || r.verdict != "" {
			t.Errorf("%d of %d bytes: verdict %q, %v", n, len(data), r.verdict, err)
		}
	}
}

func TestSenselessReportIsRefused(t *testing.T) {
	for _, bad := range [][]byte{
		frames("O", "output of no program"), frames("E", "exit 0"), frames("D", "data of no file"), frames("C", ""),
		frames("B", "x", "E", "exit 0", "E", "exit 0"), frames("P", "nonsense"), frames("P", "9 /x"),
		frames("V", ""), frames("V", "ok", "B", "late"), frames("Z", ""),
	} {
		if _, err := parseReport(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzReport(f *testing.F) {
	f.Add(frames("B", "one", "O", "a", "E", "exit 0", "P", "644 /x", "D", "1", "C", "", "V", "ok"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, _ := parseReport(data)
		if r == nil {
			t.Fatal("no report")
		}
		// A verdict needs its frame, whole.
		if r.verdict != "" && !bytes.Contains(data, frame('V', r.verdict)) {
			t.Fatalf("verdict %q out of nothing", r.verdict)
		}
	})
}

func TestSplats(t *testing.T) {
	for line, bad := range map[string]bool{
		"BUG: KASAN: slab-use-after-free in foo+0x1/0x2":          true,
		"BUG: sleeping function called from invalid context":      true,
		"WARNING: CPU: 0 PID: 1 at net/core/dev.c:1 foo+0x1/0x2":  true,
		"WARNING: possible circular locking dependency detected":  true,
		"rcu: INFO: rcu_sched detected stalls on CPUs/tasks:":     true,
		"INFO: task kworker/0:1:12 blocked for more than 120 s":   true,
		"Oops: general protection fault, probably for non-canon":  true,
		"Kernel panic - not syncing: Attempted to kill init!":     true,
		"watchdog: BUG: soft lockup - CPU#0 stuck for 22s!":       true,
		"DMA-API: e1000e 0000:00:10.0: device driver frees DMA":   true,
		"kmemleak: 3 new suspected memory leaks (see /sys/...)":   true,
		"traps: spa[12] general protection fault ip:1 sp:2":       false,
		"x[3]: segfault at fffffe8000000000 ip 1 sp 2 error 5":    false,
		"DMA-API: preallocated 65536 debug entries":               false,
		"DMA-API: debugging enabled by kernel config":             false,
		"Spectre V2 : Mitigation: Retpolines":                     false,
		"RAS: Correctable Errors collector initialized.":          false,
		"kmemleak: Kernel memory leak detector initialized":       false,
		"Lock dependency validator: Copyright (c) 2006 Red Hat":   false,
		"e1000e 0000:00:10.0 eth0: NIC Link is Up 1000 Mbps Full": false,
	} {
		if got := len(Splats("[    1.0] " + line + "\r\n")); (got == 1) != bad {
			t.Errorf("%q: %d splats, fault %v", line, got, bad)
		}
	}
	if s := Splats("WARNING: a\nWARNING: b\n", regexp.MustCompile("a$")); len(s) != 1 || s[0] != "WARNING: b" {
		t.Errorf("allowed lines: got %q", s)
	}
}

// The cpio tool itself must agree about names, content and links.
func TestImageIsReadByCpio(t *testing.T) {
	if _, err := exec.LookPath("cpio"); err != nil {
		t.Skip("cpio is not installed: run 'make deps'")
	}
	im := &Image{}
	im.Add("/a/b/file", 0o755, []byte("content"))
	im.AddLink("/a/link", "b/file")
	im.AddDir("/empty")
	var first, second bytes.Buffer
	if _, err := im.WriteTo(&first); err != nil {
		t.Fatal(err)
	}
	copied := im.Clone()
	copied.Add("/more", 0o644, nil)
	if _, err := im.WriteTo(&second); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same image gave different bytes, or a clone changed it")
	}
	if !im.Has("/a/b/file") || !im.Has("a") || im.Has("/more") || !copied.Has("/more") {
		t.Error("Has is wrong")
	}
	dir := t.TempDir()
	cmd := exec.Command("cpio", "-idm", "--quiet")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(first.Bytes())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cpio: %v\n%s", err, out)
	}
	out, err := exec.Command("sh", "-c", "cd "+dir+" && find . | sort && cat a/link && stat -c %a a/b/file").Output()
	if want := ".\n./a\n./a/b\n./a/b/file\n./a/link\n./empty\ncontent755\n"; err != nil || string(out) != want {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestMachineArguments(t *testing.T) {
	m := Machine{
		Kernel: "bz", CPUs: 2, Exact: true, Append: []string{"quiet"},
		NICs: []NIC{{Hub: 1, Pcap: "a,b.pcap"}, {Net: "user,restrict=on", Model: "virtio-net-pci", Props: []string{"mq=on"}}},
	}
	args, err := m.args(channels{console: "con", report: "rep", initrd: "ird"})
	if err != nil {
		t.Fatal(err)
	}
	line := Quote(args)
	for _, want := range []string{
		"-smp 2 ", "-icount shift=0,sleep=off", "-accel tcg,thread=single", "mitigations=off", "quiet",
		"hubport,id=net0,hubid=1", "e1000e,netdev=net0,mac=52:54:00:00:00:01,addr=0x10", "file=a,,b.pcap",
		"user,id=net1,restrict=on", "virtio-net-pci,netdev=net1,mac=52:54:00:00:00:02,addr=0x11,mq=on",
	} {
		if !strings.Contains(line, want) {
			t.Errorf("no %q in %s", want, line)
		}
	}
	for _, bad := range []Machine{{NICs: []NIC{{}}}, {Shift: 3}} {
		if _, err := bad.args(channels{}); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

func TestQuote(t *testing.T) {
	words := []string{"a", "", "b c", "it's", "$x", "~", "a,b=c"}
	out, err := exec.Command("sh", "-c", "printf '%s\\n' "+Quote(words)).Output()
	if err != nil || string(out) != strings.Join(words, "\n")+"\n" {
		t.Errorf("the shell read %q, %v", out, err)
	}
}

func TestJobRefusesSeparators(t *testing.T) {
	j := &Job{}
	j.Run(Program{Name: "x", Argv: []string{"a\tb"}})
	if _, err := j.bytes(); err == nil {
		t.Error("a tab in an argument was accepted")
	}
}

// What stops QEMU itself from starting is told in QEMU's words.
func TestQEMUSpeaksForItself(t *testing.T) {
	if _, err := exec.LookPath(qemuBinary); err != nil {
		t.Skip("QEMU is not installed: run 'make deps'")
	}
	im := &Image{}
	im.Add("/init", 0o755, nil)
	absent := filepath.Join(t.TempDir(), "absent")
	r, err := Run(context.Background(), Config{Image: im, Job: &Job{}, Machine: Machine{Kernel: absent}})
	if err == nil || errors.Is(err, ErrNoVerdict) || !strings.Contains(err.Error(), absent) {
		t.Errorf("got %v", err)
	}
	if r == nil || !strings.Contains(r.Command, absent) {
		t.Error("the command line is not told")
	}
}

func TestRunNeedsAnInit(t *testing.T) {
	if _, err := Run(context.Background(), Config{Image: &Image{}, Job: &Job{}}); err == nil {
		t.Error("an image without /init was accepted")
	}
}
