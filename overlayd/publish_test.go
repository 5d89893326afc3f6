// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"sandstream/overlayapi"
	"sandstream/overlayapi/overlayv1"
)

// words is what a command has printed so far.
type words struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// start runs a command in the background; end interrupts it and gives its error.
func start(t *testing.T, args ...string) (out, errs *words, end func() error) {
	t.Helper()
	ctx, interrupt := context.WithCancel(context.Background())
	out, errs = &words{}, &words{}
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errs)
	done := make(chan error, 1)
	go func() { done <- root.ExecuteContext(ctx) }()
	end = sync.OnceValue(func() error {
		interrupt()
		return <-done
	})
	t.Cleanup(func() { _ = end() })
	return out, errs, end
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func init() { lastWord = 20 * time.Second }

// An interrupted publisher says what the daemon got, as one that came to its end.
func TestPublishCountsAtInterrupt(t *testing.T) {
	dir, err := os.MkdirTemp("", "ov") // short, for the socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	token, socket := filepath.Join(dir, "token"), filepath.Join(dir, "s")
	if err := os.WriteFile(token, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, "run", "--create", "--listen", "127.0.0.1:0", "--token-file", token, "--state", filepath.Join(dir, "state"), "--socket", socket)
	until(t, "the daemon listens", func() bool { _, err := os.Stat(socket); return err == nil })

	free, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.LocalAddr().String()
	free.Close()
	out, errs, end := start(t, "publish", "cam\x1b[2J\nera", "--udp", addr, "--json", "--socket", socket)
	until(t, "the stream is announced", func() bool { return strings.Contains(out.String(), "\n") })
	conn, err := net.Dial("udp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := overlayapi.Dial(socket)
	defer c.Close()
	until(t, "packets pass the daemon", func() bool {
		_, _ = conn.Write(make([]byte, 100))
		_, _ = conn.Write(nil)
		r, err := c.Streams(t.Context(), connect.NewRequest(&overlayv1.StreamsRequest{}))
		return err == nil && len(r.Msg.Streams) == 1 && r.Msg.Streams[0].Packets > 3
	})
	if err := end(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var last struct{ Packets, Bytes uint64 }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	if len(lines) != 2 || last.Packets < 4 || last.Bytes != 100*last.Packets {
		t.Errorf("%d lines, the last of %+v:\n%s", len(lines), last, out)
	}
	for _, want := range []string{"publishing cam?[2J era as ", "end of the stream: ", "datagrams had no payload"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("%q is not in %q", want, errs)
		}
	}
}

// A subscriber says what it was too slow for: now and then, and at the end.
func TestOverrunIsSaid(t *testing.T) {
	var errs words
	s := &subscriber{cmd: newRoot()}
	s.cmd.SetErr(&errs)
	for _, n := range []uint64{0, 5, 7, 9} {
		s.overran(n)
	}
	s.overAt = time.Time{}
	s.overran(s.over)
	s.overAt = time.Time{}
	s.overran(s.over)
	if got := errs.String(); strings.Count(got, "\n") != 2 || !strings.HasPrefix(got, "5 payloads") || !strings.Contains(got, "\n9 payloads") {
		t.Errorf("%q", got)
	}
}
