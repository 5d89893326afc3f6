// SPDX-License-Identifier: Apache-2.0

package nettest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sandstream/internal/live/netem"
	"sandstream/overlayapi"
)

// controlPort is where each daemon listens.
const controlPort = 7000

// Cluster is some overlayd on an emulated network. Only what it has started is ever
// killed.
type Cluster struct {
	Net   *netem.Net
	Hosts []*Host
	bin   string // overlayd
	dir   string
	token string // file of the join token

	mu      sync.Mutex
	started []*process
}

// Host is one daemon.
type Host struct {
	Index  int
	Socket string
	Log    string // file
	Client *overlayapi.Client
	daemon *process
}

// process is a program the cluster has started. done is closed when it has ended.
type process struct {
	*exec.Cmd
	done chan struct{}
	err  error // valid when done is closed
}

// running says whether p has not ended.
func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// wait waits for the end of p, which is killed when ctx ends.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		_ = p.Process.Kill()
		<-p.done
		return fmt.Errorf("%s: killed: %w", filepath.Base(p.Args[3]), ctx.Err())
	}
}

// NewCluster prepares a daemon on each host of net; dir is for sockets, logs and state.
func NewCluster(net *netem.Net, bin, dir string) (*Cluster, error) {
	c := &Cluster{Net: net, bin: bin, dir: dir, token: filepath.Join(dir, "token")}
	if err := os.WriteFile(c.token, []byte(hex.EncodeToString([]byte(rand.Text()))+"\n"), 0o600); err != nil {
		return nil, err
	}
	for i := range net.Hosts() {
		base := filepath.Join(dir, "h"+strconv.Itoa(i))
		socket := base + ".sock"
		c.Hosts = append(c.Hosts, &Host{Index: i, Socket: socket, Log: base + ".log", Client: overlayapi.Dial(socket)})
	}
	return c, nil
}

// start starts a program on host i: a name of PATH, or "" for overlayd.
func (c *Cluster) start(i int, stdin io.Reader, stdout, stderr io.Writer, name string, args ...string) (*process, error) {
	if name == "" {
		name = c.bin
	}
	p := &process{Cmd: c.Net.Command(i, name, args...), done: make(chan struct{})}
	p.Stdin, p.Stdout, p.Stderr = stdin, stdout, stderr
	if err := p.Start(); err != nil {
		return nil, fmt.Errorf("%s on host %d: %w", filepath.Base(name), i, err)
	}
	if name == c.bin {
		hurry(p.Process.Pid)
	}
	go func() {
		p.err = p.Wait()
		close(p.done)
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.started = append(c.started, p)
	return p, nil
}

// StartDaemon starts the daemon of host i, which joins through the hosts given, or
// creates the overlay if there are none.
func (c *Cluster) StartDaemon(i int, through ...int) error { return c.startDaemon(i, nil, through...) }

// startDaemon is StartDaemon with more flags of 'overlayd run'.
func (c *Cluster) startDaemon(i int, flags []string, through ...int) error {
	h := c.Hosts[i]
	log, err := os.OpenFile(h.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	at := func(j int) string { return c.Net.Addr(j).String() + ":" + strconv.Itoa(controlPort) }
	args := []string{
		"run", "--listen", at(i), "--token-file", c.token, "--socket", h.Socket,
		"--state", filepath.Join(c.dir, "h"+strconv.Itoa(i)+".state"),
	}
	args = append(args, flags...)
	for _, j := range through {
		args = append(args, "--join", at(j))
	}
	if len(through) == 0 {
		args = append(args, "--create")
	}
	h.daemon, err = c.start(i, nil, log, log, "", args...)
	return err
}

// CLI starts a command of overlayd that talks to the daemon of host i, on that host.
func (c *Cluster) CLI(i int, stdin io.Reader, stdout, stderr io.Writer, args ...string) (*process, error) {
	return c.start(i, stdin, stdout, stderr, "", append(args, "--socket", c.Hosts[i].Socket)...)
}

// Kill kills the daemon of host i with SIGKILL.
func (c *Cluster) Kill(i int) error { return c.Hosts[i].daemon.Process.Kill() }

// Clients are those of hosts whose daemons run.
func (c *Cluster) Clients() map[int]*overlayapi.Client {
	m := map[int]*overlayapi.Client{}
	for _, h := range c.Hosts {
		if h.daemon != nil && h.daemon.running() {
			m[h.Index] = h.Client
		}
	}
	return m
}

// Dead names a daemon that has ended without being told to, nil if there is none.
func (c *Cluster) Dead(killed map[int]bool) error {
	for _, h := range c.Hosts {
		if h.daemon != nil && !killed[h.Index] && !h.daemon.running() {
			return fmt.Errorf("the daemon of host %d ended: %v; its last words:\n%s", h.Index, h.daemon.err, tail(h.Log, 2000))
		}
	}
	return nil
}

// Close kills what the cluster has started and still runs.
func (c *Cluster) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, p := range c.started {
		if p.running() {
			if err := p.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				errs = append(errs, err)
			}
		}
		select {
		case <-p.done:
		case <-time.After(10 * time.Second):
			errs = append(errs, fmt.Errorf("process %d does not end", p.Process.Pid))
		}
	}
	for _, h := range c.Hosts {
		h.Client.Close()
	}
	return errors.Join(errs...)
}

// hurry puts a process before all ordinary ones, where that is permitted: what is
// measured is to be the overlay, not who else uses the machine. All daemons together
// need a third of one CPU.
func hurry(pid int) {
	tasks, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		return // it has ended
	}
	for _, t := range tasks {
		if tid, err := strconv.Atoi(t.Name()); err == nil {
			_ = unix.SchedSetAttr(tid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}, 0)
		}
	}
}

// tail is the end of a file, at most n bytes.
func tail(file string, n int) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-n):])
}

// eventually asks until the answer is nil or the time is over, and gives the time it
// took and the last answer.
func eventually(ctx context.Context, within, every time.Duration, ask func() error) (time.Duration, error) {
	start := time.Now()
	for {
		err := ask()
		took := time.Since(start)
		if err == nil || ctx.Err() != nil || took > within {
			return took, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(every):
		}
	}
}
