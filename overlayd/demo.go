// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/internal/live/ownfolder"
	"sandstream/internal/live/transport"
	"sandstream/overlayapi"
	"sandstream/overlayapi/overlayv1"
)

func demoCommand() *cobra.Command {
	var dir string
	var hosts int
	var stop bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Start an overlay of several hosts on this machine",
		Long: `Start an overlay of several hosts on this machine, to try things out: daemons on
loopback ports, in the background, with their sockets, keys and logs in one
folder. It returns when all are members. 'overlayd demo --stop' ends them; the
folder stays.

  overlayd demo --dir demo
  (while date; do sleep 1; done) | overlayd publish clock --public --socket demo/1.sock &
  overlayd subscribe clock --latency 100ms --socket demo/5.sock`,
		Args: cli.NoArgs,
	}
	f := c.Flags()
	f.StringVar(&dir, "dir", filepath.Join(os.TempDir(), "overlayd-demo-"+strconv.Itoa(os.Geteuid())), "folder of the sockets, keys and logs")
	f.IntVar(&hosts, "hosts", 5, "how many")
	f.BoolVar(&stop, "stop", false, "end the hosts that were started in the folder")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if hosts < 1 || hosts > 64 {
			return fail.Usagef("--hosts %d: from 1 to 64", hosts)
		}
		abs, err := filepath.Abs(dir)
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		d := &demo{cmd: cmd, dir: abs, hosts: hosts}
		if err := overlayapi.CheckSocket(d.socket(hosts)); err != nil {
			return fail.Usagef("demo: %w (choose another folder with --dir)", err)
		}
		if !stop {
			if err := os.MkdirAll(d.dir, 0o700); err != nil {
				return fmt.Errorf("demo: %w", err)
			}
		}
		if err := ownfolder.Check(d.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fail.Errorf(fail.ErrPermission, "demo: %w (choose another with --dir)", err)
		}
		if stop {
			return d.stop()
		}
		return d.start(cmd.Context())
	}
	return c
}

type demo struct {
	cmd   *cobra.Command
	dir   string
	hosts int
}

func (d *demo) socket(i int) string { return filepath.Join(d.dir, fmt.Sprintf("%d.sock", i)) }
func (d *demo) pidFile() string     { return filepath.Join(d.dir, "pids") }

func (d *demo) start(ctx context.Context) (err error) {
	if pids, _ := d.running(); len(pids) > 0 {
		return fmt.Errorf("%d hosts of a demo run in %s already ('overlayd demo --stop --dir %s' ends them)", len(pids), d.dir, d.dir)
	}
	token := filepath.Join(d.dir, "token")
	if err := os.WriteFile(token, []byte(transport.NewToken().String()+"\n"), 0o600); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() {
		if err != nil {
			if ctx.Err() != nil {
				err = errors.New("interrupted")
			}
			err = errors.Join(err, d.stop())
		}
	}()
	pids, err := os.Create(d.pidFile())
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer pids.Close()
	var first *overlayv1.StatusResponse
	for i := 1; i <= d.hosts; i++ {
		args := []string{
			"run", "--listen", "127.0.0.1:0", "--token-file", token, "--state", filepath.Join(d.dir, strconv.Itoa(i)),
			"--socket", d.socket(i),
		}
		if i == 1 {
			args = append(args, "--create", "--web", "127.0.0.1:0", "--metrics", "127.0.0.1:0")
		} else {
			args = append(args, "--join", first.Self.Addr)
		}
		s, err := d.host(ctx, i, args, pids)
		if err != nil {
			return err
		}
		if i == 1 {
			first = s
		}
	}
	for i := 1; i <= d.hosts; i++ {
		if _, err := d.member(ctx, i); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.cmd.OutOrStdout(), "%d hosts, sockets %s to %s\n", d.hosts, d.socket(1), d.socket(d.hosts))
	fmt.Fprintf(d.cmd.OutOrStdout(), "web page http://%s\n", first.WebAddr)
	return nil
}

// host starts one daemon and waits until it answers.
func (d *demo) host(ctx context.Context, i int, args []string, pids *os.File) (*overlayv1.StatusResponse, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	log, err := os.Create(filepath.Join(d.dir, fmt.Sprintf("%d.log", i)))
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	defer log.Close()
	// The daemons outlive this command, and its terminal's interrupt.
	c := exec.Command(program, args...)
	c.Args[0] = os.Args[0]
	c.Stderr, c.SysProcAttr = log, &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("demo: start host %d: %w", i, err)
	}
	if _, err := fmt.Fprintln(pids, c.Process.Pid); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	for {
		s, err := d.status(ctx, i)
		if err == nil && s.State != "idle" {
			return s, nil
		}
		select {
		case <-ended:
			b, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("demo: host %d ended at once: %s", i, strings.TrimSpace(string(b)))
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// member waits until host i owns ids.
func (d *demo) member(ctx context.Context, i int) (*overlayv1.StatusResponse, error) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		s, err := d.status(ctx, i)
		if err == nil && s.State == "member" {
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if time.Now().After(deadline) {
			return nil, fail.Errorf(fail.ErrTimeout, "demo: host %d is %s after 30 s (its log: %s)", i, s.GetState(), filepath.Join(d.dir, fmt.Sprintf("%d.log", i)))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (d *demo) status(ctx context.Context, i int) (*overlayv1.StatusResponse, error) {
	if conn, err := net.Dial("unix", d.socket(i)); err != nil {
		return nil, err
	} else {
		conn.Close()
	}
	c := overlayapi.Dial(d.socket(i))
	defer c.Close()
	r, err := c.Status(ctx, connect.NewRequest(&overlayv1.StatusRequest{}))
	if err != nil {
		return nil, err
	}
	return r.Msg, nil
}

// running lists the demo's processes that live: those of the folder's list that
// are still this program. A number may have gone to another process since.
func (d *demo) running() ([]int, error) {
	b, err := os.ReadFile(d.pidFile())
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, s := range strings.Fields(string(b)) {
		pid, err := strconv.Atoi(s)
		if err != nil {
			return nil, fmt.Errorf("demo: %s: %q is no process", d.pidFile(), s)
		}
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.Contains(string(line), d.dir+string(os.PathSeparator)) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func (d *demo) stop() error {
	pids, err := d.running()
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("no demo was started in %s", d.dir)
	}
	if err != nil {
		return err
	}
	// All at once: none needs to hand over.
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("demo: end process %d: %w", pid, err)
		}
	}
	for i := 1; i <= 64; i++ {
		_ = os.Remove(d.socket(i))
	}
	fmt.Fprintf(d.cmd.ErrOrStderr(), "%d hosts ended\n", len(pids))
	return os.Remove(d.pidFile())
}
