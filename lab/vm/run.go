// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// A Config is one run.
type Config struct {
	Machine Machine
	Image   *Image // with PID 1 at /init; the job is added to a copy
	Job     *Job
	Time    time.Duration    // limit in host time; ten minutes if zero
	Dir     string           // folder for console.log, report.bin and command.sh; temporary if empty
	Log     io.Writer        // where the kernel's console is copied as it comes; may be nil
	Allowed []*regexp.Regexp // console lines that look like a fault and are part of the test
}

// A Result is what a run left. It is returned, as far as it goes, with an error too.
type Result struct {
	Command   string          // QEMU's command line, to repeat the run by hand
	Programs  []ProgramResult // in the order of the job
	Files     map[string]File // collected files by guest path
	Remarks   []string        // init's own
	Console   string          // kernel console: warnings and worse
	KernelLog string          // the whole kernel log, if the guest lived to send it
	Elapsed   time.Duration   // host time
}

// Program returns the result of the program of that name.
func (r *Result) Program(name string) (ProgramResult, bool) {
	for _, p := range r.Programs {
		if p.Name == name {
			return p, true
		}
	}
	return ProgramResult{}, false
}

// Errors a run can end with; use errors.Is.
var (
	ErrTimeout   = errors.New("the guest did not finish in time")
	ErrNoVerdict = errors.New("the guest ended without a verdict (panic, early power-off or a dead init)")
	ErrGuest     = errors.New("the guest's init failed")
	ErrSplat     = errors.New("the kernel complained")
)

// Run boots the machine and waits for its end. A nil error means: the guest gave
// a good verdict and its kernel complained of nothing. How the programs ended is
// for the caller to judge. When ctx ends, QEMU is killed.
func Run(ctx context.Context, c Config) (*Result, error) {
	dir, cleanup, err := runDir(c.Dir)
	if err != nil {
		return nil, err
	}
	defer cleanup()
	ch := channels{
		console: filepath.Join(dir, "console.log"),
		report:  filepath.Join(dir, "report.bin"),
		initrd:  filepath.Join(dir, "initrd"),
	}
	args, err := prepare(c, ch)
	if err != nil {
		return nil, err
	}
	if c.Dir != "" {
		// The initrd is tens of megabytes: enough that the command can name it
		// while it runs.
		defer os.Remove(ch.initrd)
		text := "#!/bin/sh\nexec " + Quote(args) + "\n"
		if err := os.WriteFile(filepath.Join(dir, "command.sh"), []byte(text), 0o755); err != nil {
			return nil, err
		}
	}
	limit := c.Time
	if limit <= 0 {
		limit = 10 * time.Minute
	}
	timed, cancel := context.WithTimeoutCause(ctx, limit, ErrTimeout)
	defer cancel()

	result := &Result{Command: Quote(args)}
	start := time.Now()
	var stderr bytes.Buffer
	stopTail := tail(ch.console, c.Log)
	runErr := runQEMU(timed, args, nil, nil, &stderr)
	stopTail()
	result.Elapsed = time.Since(start)
	verdict, err := result.read(ch)
	if err != nil {
		return result, err
	}
	return result, result.judge(ctx, timed, runErr, verdict, stderr.String(), c.Allowed, limit)
}

// judge turns what was seen into an error, the gravest first.
func (r *Result) judge(ctx, timed context.Context, runErr error, verdict, stderr string, allowed []*regexp.Regexp, limit time.Duration) error {
	splats := Splats(r.Console+"\n"+r.KernelLog, allowed...)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case len(splats) > 0:
		return fmt.Errorf("%w: %s", ErrSplat, strings.TrimSpace(splats[0]))
	case timed.Err() != nil:
		return fmt.Errorf("%w (%s)%s", ErrTimeout, limit, lastLines(r.Console))
	case runErr != nil:
		return fmt.Errorf("%w: %s", runErr, strings.TrimSpace(stderr))
	case verdict == "":
		return fmt.Errorf("%w%s", ErrNoVerdict, lastLines(r.Console))
	case verdict != "ok":
		return fmt.Errorf("%w: %s", ErrGuest, strings.TrimPrefix(verdict, "failed: "))
	}
	return nil
}

func lastLines(console string) string {
	lines := strings.Split(strings.TrimSpace(console), "\n")
	lines = lines[max(0, len(lines)-5):]
	if text := strings.TrimSpace(strings.Join(lines, "\n")); text != "" {
		return "; the console's last words:\n" + text
	}
	return "; the console is empty"
}

// read fills the result from the two channels and returns the guest's verdict.
func (r *Result) read(ch channels) (string, error) {
	console, err := os.ReadFile(ch.console)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	r.Console = strings.ReplaceAll(string(console), "\r\n", "\n")
	data, err := os.ReadFile(ch.report)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	rep, err := parseReport(data)
	r.Programs, r.Files, r.Remarks = rep.programs, rep.files, rep.remarks
	if log, ok := r.Files["/kernel.log"]; ok {
		r.KernelLog = string(log.Data)
		delete(r.Files, "/kernel.log")
	}
	return rep.verdict, err
}

// Shell boots the machine with its console on this terminal and returns when the
// guest has powered off. Ctrl-A X leaves at once.
func Shell(ctx context.Context, c Config) error {
	dir, cleanup, err := runDir("")
	if err != nil {
		return err
	}
	defer cleanup()
	args, err := prepare(c, channels{initrd: filepath.Join(dir, "initrd")})
	if err != nil {
		return err
	}
	return runQEMU(ctx, args, os.Stdin, os.Stdout, os.Stderr)
}

// runDir returns the folder of a run and what to do with it afterwards.
func runDir(dir string) (string, func(), error) {
	if dir != "" {
		return dir, func() {}, os.MkdirAll(dir, 0o755)
	}
	dir, err := os.MkdirTemp("", "sandstream-vm-")
	return dir, func() { os.RemoveAll(dir) }, err
}

// prepare writes the initrd and returns QEMU's command line.
func prepare(c Config, ch channels) ([]string, error) {
	job, err := c.Job.bytes()
	if err != nil {
		return nil, err
	}
	image := c.Image.Clone()
	if !image.Has("/init") {
		return nil, errors.New("the image has no /init")
	}
	image.Add("/etc/job", 0o644, job)
	image.AddDir("/dev")
	// The kernel gives PID 1 its console through this node, before devtmpfs.
	image.AddChar("/dev/console", 0o600, 5, 1)
	f, err := os.Create(ch.initrd)
	if err != nil {
		return nil, err
	}
	if _, err := image.WriteTo(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("write %s: %w", ch.initrd, err)
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	return c.Machine.args(ch)
}

// runQEMU runs QEMU to its end; when ctx ends it is killed, and so it is when this
// process dies. An interactive QEMU (in != nil) stays in the terminal's process
// group and sees its own signals.
func runQEMU(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, errs
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: in == nil}
	done := make(chan error, 1)
	go func() {
		// The death signal belongs to the thread that started the child: keep it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Run()
		if errors.Is(err, exec.ErrNotFound) {
			err = fmt.Errorf("%w: run 'make deps'", err)
		}
		done <- err
	}()
	return <-done
}

// tail copies what is appended to the file at path to w until the returned
// function is called.
func tail(path string, w io.Writer) func() {
	if w == nil {
		return func() {}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		var offset int64
		for last := false; ; {
			if f, err := os.Open(path); err == nil {
				if _, err := f.Seek(offset, io.SeekStart); err == nil {
					n, _ := io.Copy(w, f)
					offset += n
				}
				f.Close()
			}
			if last {
				return
			}
			select {
			case <-stop:
				last = true
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	return func() { close(stop); <-stopped }
}
