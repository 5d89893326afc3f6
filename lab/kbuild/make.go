// SPDX-License-Identifier: Apache-2.0

package kbuild

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// make runs make in tree. With p, every compiled object advances it. On failure
// the error carries the last lines of output, where the compiler's words are.
func (b *Builder) make(ctx context.Context, p *progress, tree string, args ...string) error {
	return b.makeTo(ctx, &tailWriter{progress: p}, tree, args...)
}

func (b *Builder) makeTo(ctx context.Context, tail *tailWriter, tree string, args ...string) error {
	jobs := b.Jobs
	if jobs <= 0 {
		jobs = runtime.NumCPU()
	}
	args = append([]string{"-C", tree, fmt.Sprintf("-j%d", jobs), "--no-print-directory"}, args...)
	cmd := exec.Command("make", args...)
	// MAKEFLAGS of an outer make would carry its job server and its -n.
	cmd.Env = append(withoutEnv(os.Environ(), "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"), fixedWords...)
	cmd.Env = append(cmd.Env, "LC_ALL=C")
	cmd.Stdout, cmd.Stderr = tail, tail
	if err := runGroup(ctx, cmd); err != nil {
		if ctx.Err() != nil || killed(cmd) != nil {
			return errors.Join(ctx.Err(), killed(cmd))
		}
		return fmt.Errorf("make %s: %w\n%s", strings.Join(args, " "), err, tail.String())
	}
	return nil
}

// runGroup runs cmd in a process group of its own and ends the whole group when
// ctx does: make's children must not survive it.
func runGroup(ctx context.Context, cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // make removes half-made targets
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	})
	defer stop()
	defer close(ended)
	return cmd.Wait()
}

// buildingName is in an object directory while make runs there. Make removes
// half-made files when it is asked to end; when it was killed, or the machine
// lost power, this file is left and repair does that.
const buildingName = ".sandstream-building"

var errKilled = errors.New("make was killed")

func killed(cmd *exec.Cmd) error {
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() && ws.Signal() == syscall.SIGKILL {
		return errKilled
	}
	return nil
}

// repair removes everything that was compiled since a make that did not end by
// itself began: one of these files may be half written and would pass for new.
func repair(objects string) error {
	mark := filepath.Join(objects, buildingName)
	began, err := os.Stat(mark)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = filepath.WalkDir(objects, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || path == mark {
			return err
		}
		info, err := d.Info()
		if err != nil || info.ModTime().Before(began.ModTime()) {
			return err
		}
		switch base := filepath.Base(path); {
		case filepath.Ext(base) == ".o", filepath.Ext(base) == ".a", filepath.Ext(base) == ".ko",
			strings.HasPrefix(base, "vmlinux"), base == "bzImage":
			return os.Remove(path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return os.Remove(mark)
}

func withoutEnv(env []string, names ...string) []string {
	var kept []string
next:
	for _, e := range env {
		for _, n := range names {
			if strings.HasPrefix(e, n+"=") {
				continue next
			}
		}
		kept = append(kept, e)
	}
	return kept
}
