// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"sandstream/internal/live/delivery"
	"sandstream/internal/live/transport"
	"sandstream/overlayapi/overlayv1"
)

// Hosts that a CA signed are one overlay without any secret; another is refused.
func TestCA(t *testing.T) {
	caDir := t.TempDir()
	ca, err := transport.LoadOrCreateCA(caDir)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(c *Config) {
		c.Token, c.CAFile = "", filepath.Join(caDir, transport.CACertFile)
		if _, err := transport.LoadOrCreateIdentity(c.StateDir); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(c.StateDir, transport.CertFile)
		request, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := ca.Sign(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, cert, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first := start(t, nil, signed)
	second := start(t, first, signed)
	select {
	case <-second.Joined():
	case <-time.After(20 * time.Second):
		t.Fatal("a signed host did not join")
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = Run(ctx, Config{
		Join: []string{first.Self().Addr.String()}, Listen: "127.0.0.1:0", StateDir: dir, Socket: filepath.Join(dir, "s"),
		CAFile: first.cfg.CAFile,
	})
	if !errors.Is(err, transport.ErrCA) {
		t.Errorf("an unsigned host: %v", err)
	}
	// So it does where there is nobody yet to refuse it.
	_, err = New(ctx, Config{Create: true, Listen: "127.0.0.1:0", StateDir: dir, Socket: filepath.Join(dir, "s"), CAFile: first.cfg.CAFile})
	if want := filepath.Join(dir, transport.CertFile); !errors.Is(err, transport.ErrCA) || !strings.Contains(err.Error(), "overlayd sign CA-FOLDER "+want) {
		t.Errorf("an unsigned first host: %v", err)
	}
}

// A subscriber who does not read loses packets of his own; the one beside him
// gets all, and the daemon's memory for him is bounded.
func TestStalledSubscriber(t *testing.T) {
	d := start(t, nil, nil)
	<-d.Joined()
	s := client(t, d).Publish(t.Context())
	a := &overlayv1.Announce{Name: "flood", Public: true, RateBps: 100e6}
	if err := s.Send(&overlayv1.PublishRequest{Kind: &overlayv1.PublishRequest_Announce{Announce: a}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Receive(); err != nil {
		t.Fatal(err)
	}
	good := readNumbers(t, d, &overlayv1.SubscribeRequest{Stream: "flood"})
	stalled, err := client(t, d).Subscribe(t.Context(), connect.NewRequest(&overlayv1.SubscribeRequest{Stream: "flood"}))
	if err != nil {
		t.Fatal(err)
	}
	defer stalled.Close()
	table := func() []*overlayv1.Subscription {
		r, err := client(t, d).Subscriptions(t.Context(), connect.NewRequest(&overlayv1.SubscriptionsRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		return r.Msg.Subscriptions
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if u := table(); len(u) == 2 && u[0].State == "admitted" && u[1].State == "admitted" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not admitted: %v", table())
		}
	}
	const batch, batches = 20, 1500 // 39 MB
	n := uint64(0)
	for range batches {
		p := &overlayv1.Payloads{}
		for range batch {
			n++
			b := bytes.Repeat([]byte{1}, 1316)
			binary.BigEndian.PutUint64(b, n)
			p.Payloads = append(p.Payloads, &overlayv1.Payload{Data: b})
		}
		if err := s.Send(&overlayv1.PublishRequest{Kind: &overlayv1.PublishRequest_Payloads{Payloads: p}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Millisecond)
		// Not further ahead than the queue of who reads is long, however slow the machine.
		good.wait(t, "its reader", time.Minute, func() bool { return n-good.last < delivery.SinkQueue/4 })
	}
	good.wait(t, "the last payload", 20*time.Second, func() bool { return good.last == n })
	if good.gaps > 0 || len(good.wrong) > 0 {
		t.Errorf("beside a stalled subscriber %d payloads of %d are missing; %v", good.gaps, n, good.wrong)
	}
	over := uint64(0)
	for _, u := range table() {
		over += u.Delivery.Overrun
		t.Logf("subscription %d: %v", u.Id, u.Delivery)
	}
	if over == 0 {
		t.Error("who does not read loses nothing: where is it kept?")
	}
	// He hears of it while the stream goes on, and of all of it at the end.
	told := uint64(0)
	for told == 0 && stalled.Receive() {
		told = stalled.Msg().GetChanged().GetDelivery().GetOverrun()
	}
	if told == 0 {
		t.Errorf("who did not read is not told: %v", stalled.Err())
	}
	_ = s.CloseRequest()
	if _, err := s.Receive(); err != nil {
		t.Error(err)
	}
	state := ""
	for stalled.Receive() {
		if c := stalled.Msg().GetChanged(); c != nil {
			told, state = c.Delivery.Overrun, c.State
		}
	}
	if state != "withdrawn" || told < over {
		t.Errorf("at the end: %s, and %d payloads were not read in time, want %d", state, told, over)
	}
}

// What a publisher is told at the end is what he gave, whoever ended the stream.
func TestCountsOfWithdrawn(t *testing.T) {
	d := start(t, nil, nil)
	<-d.Joined()
	s := client(t, d).Publish(t.Context())
	send := func(m *overlayv1.PublishRequest) {
		if err := s.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	send(&overlayv1.PublishRequest{Kind: &overlayv1.PublishRequest_Announce{Announce: &overlayv1.Announce{Name: "x", Public: true}}})
	if _, err := s.Receive(); err != nil {
		t.Fatal(err)
	}
	r := readNumbers(t, d, &overlayv1.SubscribeRequest{Stream: "x"})
	r.wait(t, "admission", 20*time.Second, func() bool { return len(r.states) > 0 && r.states[len(r.states)-1] == "admitted" })
	p := &overlayv1.Payloads{Payloads: []*overlayv1.Payload{{Data: []byte("12345678")}, {Data: []byte("123456789")}}}
	send(&overlayv1.PublishRequest{Kind: &overlayv1.PublishRequest_Payloads{Payloads: p}})
	r.wait(t, "the payloads", 20*time.Second, func() bool { return r.count == 2 })
	if _, err := client(t, d).Withdraw(t.Context(), connect.NewRequest(&overlayv1.WithdrawRequest{Stream: "x"})); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Receive(); err != nil || !m.Withdrawn || m.Packets != 2 || m.Bytes != 17 {
		t.Errorf("%v, %v", m, err)
	}
	_ = s.CloseRequest()
}

// A service manager is told how the host does, and SIGTERM hands the ids over.
func TestNotify(t *testing.T) {
	first := start(t, nil, nil)
	<-first.Joined()
	dir := t.TempDir()
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "n"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", filepath.Join(dir, "n"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Config{
			Join: []string{first.Self().Addr.String()}, Listen: "127.0.0.1:0", StateDir: dir, Socket: filepath.Join(dir, "s"), Token: testToken,
		})
	}()
	for _, want := range []string{"READY=1\nSTATUS=looking for the overlay", "STATUS=member of the overlay", "STOPPING=1\nSTATUS=handing ids over"} {
		_ = manager.SetReadDeadline(time.Now().Add(20 * time.Second))
		var b [256]byte
		n, err := manager.Read(b[:])
		if err != nil || string(b[:n]) != want {
			t.Fatalf("%q, %v; want %q", b[:n], err, want)
		}
		if strings.HasPrefix(want, "STATUS=member") {
			cancel() // what main does at SIGTERM
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	s, err := client(t, first).Status(t.Context(), connect.NewRequest(&overlayv1.StatusRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	if s.Msg.Events["peer-dead"] != 0 || s.Msg.Received["commit"] == 0 {
		t.Errorf("the ids were not handed over: events %v, received %v", s.Msg.Events, s.Msg.Received)
	}
}
