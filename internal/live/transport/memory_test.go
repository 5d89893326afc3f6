// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sandstream/internal/overlay/wire"
)

// A relay in a process of its own, which searches for what it must not have.

// relayEnv makes the test's program a relay instead.
const relayEnv = "SANDSTREAM_TEST_RELAY"

// relay passes testStream from the first host that it is told of, by lines "ID ADDRESS" on
// its input, to the second, and says who it is and when it is ready.
func relay() error {
	id, err := NewIdentity()
	if err != nil {
		return err
	}
	tr, err := New(Config{Identity: id, Listen: netip.MustParseAddrPort("127.0.0.1:0"), Token: testToken})
	if err != nil {
		return err
	}
	defer tr.Close()
	if err := tr.Start(&host{Transport: tr}); err != nil {
		return err
	}
	fmt.Println(tr.Self().ID.Hex(), tr.Self().Addr)
	in := bufio.NewScanner(os.Stdin)
	var legs []Leg
	for len(legs) < 2 && in.Scan() {
		p, err := parsePeer(in.Text())
		if err != nil {
			return err
		}
		legs = append(legs, Leg{Host: p})
	}
	if len(legs) < 2 {
		return errors.New("two hosts are to be named")
	}
	if err := tr.SetForward(testStream, Entry{Upstream: legs[:1], Children: legs[1:]}); err != nil {
		return err
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func parsePeer(line string) (p wire.Peer, err error) {
	id, addr, _ := strings.Cut(line, " ")
	b, err := hex.DecodeString(id)
	if err != nil || len(b) != len(p.ID) {
		return p, fmt.Errorf("no peer: %q", line)
	}
	p.ID = wire.HostID(b)
	p.Addr, err = netip.ParseAddrPort(addr)
	return p, err
}

// A relay's memory holds no plaintext: all that the process can read or write is searched
// for what a packet in it said, while the stream passes. The header, which a relay may
// know, is found, so that the search is one.
func TestRelayMemoryHoldsNoPlaintext(t *testing.T) {
	a, c := newHost(t, nil), newHost(t, nil)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), relayEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); _ = cmd.Wait() }()
	lines := bufio.NewScanner(out)
	lines.Scan()
	hub, err := parsePeer(lines.Text())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []*host{a, c} {
		if _, err := h.Connect(t.Context(), hub.Addr); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(in, h.Self().ID.Hex(), h.Self().Addr)
	}
	if lines.Scan(); lines.Text() != "ready" {
		t.Fatalf("the relay says %q", lines.Text())
	}
	forward(t, a, Entry{Children: []Leg{{Host: hub}}})
	forward(t, c, Entry{Upstream: []Leg{{Host: hub}}})
	var read collector
	defer c.AddSink(testStream, SinkConfig{Deliver: read.deliver}).Close()
	// The marker is made here, and no part of the program's text.
	marker := make([]byte, 24)
	for i := range marker {
		marker[i] = byte('a' + rand.IntN(26))
	}
	text := bytes.Repeat(marker, 40)
	for n := 0; n < 3000; n += 30 {
		ps := make([]Payload, 30)
		for i := range ps {
			ps[i].Data = text
		}
		publish(t, a, ps)
		if n == 1500 {
			mustNotHold(t, cmd.Process.Pid, marker)
		}
		time.Sleep(time.Millisecond)
	}
	eventually(t, "the stream passes the relay", func() bool { return read.len() > 1000 })
	mustNotHold(t, cmd.Process.Pid, marker)
	if !bytes.Equal(read.first(), text) {
		t.Error("something else was read")
	}
}

// mustNotHold searches a process's memory.
func mustNotHold(t *testing.T, pid int, marker []byte) {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("may not look into a child's memory: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	searched, headers := 0, 0
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || mode[0] != 'r' || strings.Contains(line, "[v") {
			continue
		}
		b := make([]byte, to-from)
		n, _ := mem.ReadAt(b, int64(from)) // what is not there cannot be read
		b = b[:n]
		searched += n
		headers += bytes.Count(b, testStream[:])
		if i := bytes.Index(b, marker[:12]); i >= 0 {
			t.Errorf("the relay holds plaintext, at %#x in %s", from+uint64(i), line)
		}
	}
	if searched < 1<<20 || headers == 0 {
		t.Errorf("%d bytes searched, %d headers of the stream in them: the search is none", searched, headers)
	}
}
