// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// packets are n of an MPEG transport stream: tables and a video without any random
// access point, each tenth packet the beginning of a PES.
func packets(n int) []byte {
	var out []byte
	for i := range n {
		p := bytes.Repeat([]byte{byte(i)}, 188)
		copy(p, []byte{0x47, 0x01, 0x00, 0x10 | byte(i)&15})
		switch i % 10 {
		case 0:
			p[1], p[2] = 0x40, 0 // PAT
		case 1:
			p[1] = 0x41
			copy(p[4:], []byte{0, 0, 1, 0xe0})
		}
		out = append(out, p...)
	}
	return out
}

// What is published is what arrives, whatever it looks like.
func TestInputsArrive(t *testing.T) {
	m := newMachine(t)
	m.host("1")
	clean := packets(700)
	damaged := bytes.Clone(clean)
	damaged[300*188] = 0xb8
	var dna strings.Builder // G at 0, 188, 376, ...: lines of 61 and 66 bytes
	for range 40 {
		fmt.Fprintf(&dna, "G%s\n%s\n%s\n", strings.Repeat("A", 60), strings.Repeat("C", 60), strings.Repeat("T", 64))
	}
	for name, c := range map[string]struct {
		in   []byte
		args []string
		want []byte
		says string
	}{
		"damaged":   {damaged, nil, append(bytes.Clone(clean[:300*188]), clean[301*188:]...), "188 bytes at 1 places of the input were of no MPEG-TS packet"},
		"undamaged": {clean, nil, clean, "end of the stream"},
		"short":     {clean[:2*188], nil, clean[:2*188], "end of the stream"},
		"bases":     {[]byte(dna.String()), nil, []byte(dna.String()), "end of the stream"},
		"raw":       {damaged, []string{"--format", "raw"}, damaged, "end of the stream"},
	} {
		m.run(name, func(t *testing.T) {
			sub := m.start("1", nil, "subscribe", name, "--wait=60s")
			pub := m.start("1", bytes.NewReader(c.in), append([]string{"publish", name, "--public", "--wait-readers", "1", "--rate", "50M", "--pace"}, c.args...)...)
			if got := pub.status(); got != 0 {
				t.Errorf("publish: status %d: %s", got, pub.errs)
			}
			pub.says(c.says)
			sub.says("contract withdrawn")
			until(t, "all of it arrives", func() bool { return len(sub.out.String()) >= len(c.want) })
			if got := sub.out.String(); got != string(c.want) {
				t.Errorf("%d bytes of %d came; %s", len(got), len(c.want), sub.errs)
			}
		})
	}
	m.run("a typed line that begins with G", func(t *testing.T) {
		r, w := io.Pipe()
		defer w.Close()
		sub := m.start("1", nil, "subscribe", "typed", "--wait")
		m.start("1", r, "publish", "typed", "--public", "--wait-readers", "1")
		if _, err := io.WriteString(w, "Good morning\n"); err != nil {
			t.Fatal(err)
		}
		until(t, "the line arrives", func() bool { return sub.out.String() == "Good morning\n" })
	})
	m.run("no place to start comes", func(t *testing.T) {
		r, w := io.Pipe()
		defer w.Close()
		sub := m.start("1", nil, "subscribe", "norai", "--wait", "--start-within", "1s")
		m.start("1", r, "publish", "norai", "--public", "--wait-readers", "1")
		if _, err := w.Write(clean[:70*188]); err != nil {
			t.Fatal(err)
		}
		sub.says("waiting for a place where a decoder can start (a random access point of the video), at most 1s")
		sub.says("the stream begins where its tables are")
		until(t, "it arrives from its last tables on", func() bool { return sub.out.String() == string(clean[60*188:70*188]) })
	})
	m.run("not what it was said to be", func(t *testing.T) {
		pub := m.start("1", strings.NewReader("a text"), "publish", "text", "--format", "ts")
		if got := pub.status(); got != 1 {
			t.Errorf("status %d, want 1: %s", got, pub.errs)
		}
		pub.says("nothing of the 6 bytes of stdin was MPEG-TS")
	})
}

// A datagram comes out as it went in, whatever its size, on another host too.
func TestLongDatagrams(t *testing.T) {
	m := newMachine(t)
	m.host("1")
	m.host("2")
	out, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	free, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.LocalAddr().String()
	free.Close()
	m.start("2", nil, "subscribe", "long", "--wait", "--udp", out.LocalAddr().String())
	pub := m.start("1", nil, "publish", "long", "--public", "--udp", at)
	pub.says("publishing long")
	in, err := net.Dial("udp4", at)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	got := make([]byte, 1<<16)
	for _, size := range []int{1, 1316, 1317, 9000, 65507} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i * i >> 8)
		}
		until(t, fmt.Sprintf("%d bytes come out", size), func() bool {
			_, _ = in.Write(want) // lost until the subscriber is served
			_ = out.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			n, _, err := out.ReadFrom(got)
			return err == nil && bytes.Equal(got[:n], want)
		})
	}
}

// Multicast comes and goes through the interface that is named, and datagrams are counted
// for what they are.
func TestMulticastThroughAnInterface(t *testing.T) {
	m := newMachine(t)
	m.host("1")
	free, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in := fmt.Sprintf("239.7.7.7:%d", free.LocalAddr().(*net.UDPAddr).Port)
	free.Close()
	if free, err = net.ListenPacket("udp4", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	out := fmt.Sprintf("239.7.7.8:%d", free.LocalAddr().(*net.UDPAddr).Port)
	free.Close()

	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Skip("there is no interface lo")
	}
	group, err := net.ResolveUDPAddr("udp4", out)
	if err != nil {
		t.Fatal(err)
	}
	heard, err := net.ListenMulticastUDP("udp4", lo, group)
	if err != nil {
		t.Skipf("no multicast on lo: %v", err)
	}
	defer heard.Close()

	pub := m.start("1", nil, "publish", "cast", "--public", "--udp", in, "--udp-interface", "lo")
	pub.says("publishing cast")
	sub := m.start("1", nil, "subscribe", "cast", "--udp", out, "--udp-interface", "lo")
	sub.says("contract admitted")
	conn, err := net.Dial("udp4", in)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := sendThrough(conn.(*net.UDPConn), "lo"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	for deadline := time.Now().Add(20 * time.Second); ; {
		_, _ = conn.Write([]byte("by multicast"))
		_, _ = conn.Write(nil)
		_ = heard.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if n, err := heard.Read(buf); err == nil && string(buf[:n]) == "by multicast" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing is heard; %s; %s", pub.errs, sub.errs)
		}
	}
	if err := pub.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	pub.says("datagrams had no payload")
	if strings.Contains(pub.errs.String(), "longer than") {
		t.Errorf("an empty datagram is long: %s", pub.errs)
	}
}
