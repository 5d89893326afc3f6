// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"sandstream/internal/live/payload"
	"sandstream/overlayapi/overlayv1"
)

// ts is a payload of seven MPEG-TS packets: tables, then video; key says whether
// an access unit that a decoder can start at begins in it.
func ts(n byte, key bool) []byte {
	packet := func(pid int, starts bool, fill ...byte) []byte {
		p := bytes.Repeat([]byte{n}, 188)
		p[0], p[1], p[2], p[3] = 0x47, byte(pid>>8), byte(pid), 0x10|n&15
		if starts {
			p[1] |= 0x40
		}
		copy(p[4:], fill)
		return p
	}
	// PAT: program 1 has its PMT in PID 0x100; PMT: H.264 in PID 0x101. CRCs are not looked at.
	pat := packet(0, true, 0, 0x00, 0xb0, 0x0d, 0, 1, 0xc1, 0, 0, 0, 1, 0xe1, 0x00, 0, 0, 0, 0)
	pmt := packet(0x100, true, 0, 0x02, 0xb0, 0x12, 0, 1, 0xc1, 0, 0, 0xe1, 0x01, 0xf0, 0x00, 0x1b, 0xe1, 0x01, 0xf0, 0x00, 0, 0, 0, 0)
	unit := packet(0x101, true, 0x07, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xe0)
	unit[3] |= 0x20 // with an adaptation field of 7 bytes
	if key {
		unit[5] = 0x40
	}
	rest := packet(0x101, false)
	if key {
		return bytes.Join([][]byte{pat, pmt, unit, rest, rest, rest, rest}, nil)
	}
	return bytes.Join([][]byte{unit, rest, rest, rest, rest, rest, rest}, nil)
}

// publishTS publishes MPEG-TS, one key frame in ten payloads, until the test ends.
func publishTS(t *testing.T, d *Daemon, a *overlayv1.Announce) {
	t.Helper()
	s := client(t, d).Publish(t.Context())
	_ = s.Send(&overlayv1.PublishRequest{Kind: &overlayv1.PublishRequest_Announce{Announce: a}})
	if _, err := s.Receive(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	quit := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			b := ts(byte(n), n%10 == 0)
			p := &overlayv1.Payloads{Payloads: []*overlayv1.Payload{{Data: b, Key: payload.RandomAccess(b)}}}
			if s.Send(&overlayv1.PublishRequest{Kind: &overlayv1.PublishRequest_Payloads{Payloads: p}}) != nil {
				return
			}
			select {
			case <-time.After(4 * time.Millisecond):
			case <-quit:
				_ = s.CloseRequest()
				_, _ = s.Receive()
				return
			}
		}
	}()
	t.Cleanup(func() { close(quit); <-done })
}

// A host that may not send as much as the stream has: who accepts the filter gets
// the key frames, nobody else is admitted; what the filter takes is not lost.
func TestDegradedByFilter(t *testing.T) {
	first := start(t, nil, func(c *Config) { c.CapacityBps = 2_000_000 })
	<-first.Joined()
	second := start(t, first, nil)
	<-second.Joined()
	publishTS(t, first, &overlayv1.Announce{Name: "video", Public: true, RateBps: 3_000_000})
	c := client(t, second)

	s, err := c.Subscribe(t.Context(), connect.NewRequest(&overlayv1.SubscribeRequest{Stream: "video", Contract: &overlayv1.Contract{LatencyUs: 1e6}}))
	if err != nil {
		t.Fatal(err)
	}
	state, reason := "", ""
	for s.Receive() {
		if m := s.Msg().GetChanged(); m != nil {
			state, reason = m.State, m.Reason
		}
	}
	s.Close()
	if state != "refused" || reason == "" {
		t.Errorf("without a filter: %s, %q", state, reason)
	}

	s, err = c.Subscribe(t.Context(), connect.NewRequest(&overlayv1.SubscribeRequest{
		Stream: "video", Contract: &overlayv1.Contract{LatencyUs: 1e6, Degrade: []string{"filter"}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for keys := 0; keys < 20 && s.Receive(); {
		for _, p := range s.Msg().GetPayloads().GetPayloads() {
			if p.Key {
				keys++
			}
			if !payload.IsTS(p.Data) {
				t.Fatalf("a payload of %d bytes is no MPEG-TS", len(p.Data))
			}
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	u := admitted(t, second)
	// On a busy machine a path may break and lose some; nothing near what the filter takes.
	if u.Degraded != "filter" || u.Delivery.Filtered < 5*u.Delivery.Packets || u.Delivery.Lost > u.Delivery.Filtered/10 {
		t.Errorf("degraded by %q, %v", u.Degraded, u.Delivery)
	}
	st, err := client(t, first).Streams(t.Context(), connect.NewRequest(&overlayv1.StreamsRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	emptied := uint64(0)
	for name, n := range st.Msg.Streams[0].Counters {
		if strings.HasSuffix(name, ".filter.emptied") {
			emptied = n
		}
	}
	if emptied == 0 {
		t.Errorf("the filter's counters: %v", st.Msg.Streams[0].Counters)
	}

	// Of ten packets one is left, and of the others their headers of 64 bytes.
	share := uint32(0)
	for range 300 {
		st, err := client(t, first).Streams(t.Context(), connect.NewRequest(&overlayv1.StreamsRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		if ss := st.Msg.Streams; len(ss) == 1 && len(ss[0].Children) == 1 && ss[0].Children[0].SharePpm > 0 {
			share = ss[0].Children[0].SharePpm
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if share < 100_000 || share > 180_000 {
		t.Errorf("the filter is taken to leave %d millionths of the stream", share)
	}
}

// What transform compresses at the publisher arrives as it was sent.
func TestTransformThere(t *testing.T) {
	ds := overlayOf(t, 2)
	publishTS(t, ds[0], &overlayv1.Announce{Name: "packed", Public: true, RateBps: 3_000_000, Pipeline: []*overlayv1.Stage{{Spa: "transform"}, {Spa: "monitor", Place: "sink"}}})
	s, err := client(t, ds[1]).Subscribe(t.Context(), connect.NewRequest(&overlayv1.SubscribeRequest{Stream: "packed"}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for got := 0; got < 200 && s.Receive(); {
		for _, p := range s.Msg().GetPayloads().GetPayloads() {
			got++
			n := p.Data[188+10] // the fill of the second packet
			if p.Key {
				n = p.Data[4*188+10]
			}
			if want := ts(n, p.Key); !bytes.Equal(p.Data, want) {
				t.Fatalf("payload %d (%d bytes) is not what was sent", n, len(p.Data))
			}
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	st, err := client(t, ds[0]).Streams(t.Context(), connect.NewRequest(&overlayv1.StreamsRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	if n := st.Msg.Streams[0].Counters; n["transform.compressed"] == 0 || n["transform.bytes_out"] > n["transform.bytes_in"]/2 {
		t.Errorf("nothing was compressed: %v", n)
	}
	st, err = client(t, ds[1]).Streams(t.Context(), connect.NewRequest(&overlayv1.StreamsRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	if n := st.Msg.Streams[0].Counters; n["transform.expanded"] == 0 || n["monitor.packets"] < 200 {
		t.Errorf("the subscriber's SPAs: %v", n)
	}
}

// A stage for anywhere that looks at content runs at a host which the publisher then gives
// the key, as a sealer; the publisher sees that it did. What that host makes of the stream
// opens at its readers.
func TestContentAnywhere(t *testing.T) {
	first := start(t, nil, func(c *Config) { c.CapacityBps = 3_500_000 }) // most of it taken: another host is to run the SPA
	<-first.Joined()
	second := start(t, first, nil)
	<-second.Joined()
	publishTS(t, first, &overlayv1.Announce{Name: "packed", Public: true, RateBps: 3_000_000, Pipeline: []*overlayv1.Stage{{Spa: "transform", Place: "anywhere"}}})
	s, err := client(t, second).Subscribe(t.Context(), connect.NewRequest(&overlayv1.SubscribeRequest{Stream: "packed"}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	compressed := func() uint64 {
		st, err := client(t, second).Streams(t.Context(), connect.NewRequest(&overlayv1.StreamsRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		return st.Msg.Streams[0].Counters["transform.compressed"]
	}
	for got := 0; (got < 200 || compressed() < 50) && s.Receive(); {
		for _, p := range s.Msg().GetPayloads().GetPayloads() {
			got++
			n := p.Data[188+10] // the fill of the second packet
			if p.Key {
				n = p.Data[4*188+10]
			}
			if !bytes.Equal(p.Data, ts(n, p.Key)) {
				t.Fatalf("payload %d (%d bytes) is not what was sent", n, len(p.Data))
			}
		}
		if got > 20_000 {
			t.Fatalf("nothing is compressed at the second host")
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	if h := holders(t, first, "packed")[second.Self().ID.Hex()]; h == nil || !h.Seals {
		t.Errorf("the publisher says of the host %v", h)
	}
}
