// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	"sandstream/internal/fail"
	"sandstream/internal/live/delivery"
	"sandstream/internal/live/transport"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
	"sandstream/overlayapi"
	"sandstream/overlayapi/overlayv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeHost is a daemon that a test makes up.
type fakeHost struct {
	status   overlay.Status
	traffic  []transport.StreamStats
	sessions []transport.PeerStats
	counters Counters
	engine   delivery.Engine
	problems []string
	err      error // of all that can fail
	asked    int   // steps through the directory
}

func (h *fakeHost) Inspect(_ context.Context, f func(*overlay.Status, *delivery.Streams)) error {
	if h.err != nil {
		return h.err
	}
	s := h.status
	f(&s, delivery.New(delivery.Config{Log: slog.New(slog.DiscardHandler)}))
	return nil
}
func (h *fakeHost) Member(context.Context) error { return h.err }
func (h *fakeHost) Leave(context.Context) error  { return h.err }
func (h *fakeHost) Plan(wire.StreamInfo, []uint32) (*delivery.Publication, error) {
	return nil, h.err
}

func (h *fakeHost) Subscribe(context.Context, string, wire.Contract) (*delivery.Reader, error) {
	return nil, h.err
}

func (h *fakeHost) List(_ context.Context, from wire.Point) (overlay.Listed, error) {
	h.asked++
	l := overlay.Listed{Next: from + 1}
	switch {
	case h.err != nil:
		return l, h.err
	case from%3 == 0:
		l.Infos = []wire.StreamInfo{{ID: wire.StreamID{byte(from)}, Name: fmt.Sprint("s", from), Public: true}}
	case from == 200:
		l.Next = 0
	case from == 191:
		l.Err, l.Next = "silence", 0
	}
	return l, nil
}
func (h *fakeHost) Engine() delivery.Engine          { return h.engine }
func (h *fakeHost) Problems() []string               { return h.problems }
func (h *fakeHost) Streams() []transport.StreamStats { return h.traffic }
func (h *fakeHost) Sessions() []transport.PeerStats  { return h.sessions }
func (h *fakeHost) Counters() Counters               { return h.counters }

// serve starts a server for a host.
func serve(t *testing.T, h Host) (*Server, *overlayapi.Client) {
	t.Helper()
	s, err := Open(Config{
		Socket: filepath.Join(t.TempDir(), "s"), Metrics: "127.0.0.1:0", Web: "127.0.0.1:0", Version: "test", DataAddr: "192.0.2.1:4455",
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(h)
	c := overlayapi.Dial(s.cfg.Socket)
	t.Cleanup(func() {
		c.Close()
		http.DefaultClient.CloseIdleConnections()
		s.Close()
	})
	return s, c
}

func get(t *testing.T, url string) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, r.Status, err)
	}
	return string(b)
}

// What the daemon's errors are to the API's clients.
func TestCodes(t *testing.T) {
	h := &fakeHost{}
	_, c := serve(t, h)
	for _, x := range []struct {
		err  error
		want connect.Code
	}{
		{delivery.ErrStopping, connect.CodeUnavailable},
		{fail.Usagef("no such SPA"), connect.CodeInvalidArgument},
		{errors.New("not a member"), connect.CodeFailedPrecondition},
		{context.DeadlineExceeded, connect.CodeDeadlineExceeded},
	} {
		h.err = x.err
		_, err := c.Leave(t.Context(), connect.NewRequest(&overlayv1.LeaveRequest{}))
		if connect.CodeOf(err) != x.want || !strings.Contains(err.Error(), x.err.Error()) {
			t.Errorf("leave: %v, want %v", err, x.want)
		}
		if _, err := c.Status(t.Context(), connect.NewRequest(&overlayv1.StatusRequest{})); connect.CodeOf(err) != x.want {
			t.Errorf("status: %v, want %v", err, x.want)
		}
		s, err := c.Subscribe(t.Context(), connect.NewRequest(&overlayv1.SubscribeRequest{Stream: "x"}))
		if err != nil {
			t.Fatal(err)
		}
		if s.Receive() || connect.CodeOf(s.Err()) != x.want {
			t.Errorf("subscribe: %v, want %v", s.Err(), x.want)
		}
		s.Close()
	}
}

// Status, page and metrics say what the host says.
func TestStatusOfAHost(t *testing.T) {
	self := wire.Peer{ID: wire.HostID{1}}
	first, second := wire.StreamID{0xaa, 1, 2, 3, 4}, wire.StreamID{0xaa, 1, 2, 3, 5} // the same in short
	h := &fakeHost{
		status: overlay.Status{
			Self: self, State: overlay.Member, Radix: 3, Sent: map[string]uint64{"ping": 7},
			Streams: []overlay.StreamStatus{
				{Info: wire.StreamInfo{ID: first, Name: "film"}}, {Info: wire.StreamInfo{ID: second, Name: "film"}}, {Info: wire.StreamInfo{ID: wire.StreamID{0xbb}, Name: "\xff\n"}},
			},
			Subs: []overlay.SubStatus{{ID: 4, Stream: first, Name: "film", State: overlay.AtRisk, Measured: overlay.Report{RateBps: 1000, P99Us: 2_000_000}}},
		},
		traffic:  []transport.StreamStats{{ID: first, In: 2, BytesIn: 20}, {ID: second, In: 3, BytesIn: 30}},
		counters: Counters{InboxDropped: 5, Stats: transport.Stats{Handshakes: 6, Peers: 2}, Totals: transport.PeerStats{SessionAge: time.Hour}},
		engine:   delivery.Engine{Name: "portable", Why: "a test", Running: 8, Aborted: 9},
	}
	s, c := serve(t, h)
	r, err := c.Status(t.Context(), connect.NewRequest(&overlayv1.StatusRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	m := r.Msg
	if m.Self.Id != self.ID.Hex() || m.State != "member" || m.Subscriptions != 1 || m.Engine.Reason != "a test" || m.Engine.Running != 8 ||
		m.Version != "test" || m.DataAddr != "192.0.2.1:4455" || m.MetricsAddr != s.MetricsAddr() || m.WebAddr != s.WebAddr() {
		t.Errorf("%v", m)
	}
	if d := m.Data; d["inbox_dropped"] != 5 || d["handshakes"] != 6 || d["peers"] != 2 {
		t.Errorf("counters %v", d)
	}
	if _, ok := m.Data["session_age"]; ok {
		t.Error("the age of sessions is counted")
	}

	body := get(t, "http://"+s.MetricsAddr()+"/metrics")
	for _, want := range []string{
		"overlayd_member 1", `overlayd_contracts{state="at risk"} 1`, `overlayd_contracts{state="admitted"} 0`,
		`overlayd_subscription_latency_p99_seconds{name="film",stream="aa010203",subscription="4"} 2`,
		`overlayd_subscription_overrun_total{name="film",stream="aa010203",subscription="4"} 0`, `overlayd_contracts{state="lost"} 0`,
		`overlayd_stream_info{name="film",stream="aa010203"} 1`, `overlayd_stream_info{name="?\n",stream="bb000000"} 1`,
		`overlayd_stream_packets_total{stream="aa010203"} 5`, `overlayd_stream_bytes_total{stream="aa010203"} 50`,
		`overlayd_protocol_messages_total{direction="sent",kind="ping"} 7`, `overlayd_data_now{what="peers"} 2`,
		`overlayd_data_total{counter="handshakes"} 6`, "overlayd_spas_running 8", "overlayd_spas_aborted_total 9",
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("the metrics lack %q", want)
		}
	}
	if strings.Contains(body, first.String()) {
		t.Error("the metrics tell all of a stream's id")
	}
	if body := get(t, "http://"+s.WebAddr()+"/overlay"); !strings.Contains(body, `"name":"s189"`) || !strings.Contains(body, `"incomplete":"silence"`) {
		t.Errorf("overlay: %s", body)
	}
	if body := get(t, "http://"+s.WebAddr()+"/snapshot"); !strings.Contains(body, `"status":{"self"`) || !strings.Contains(body, `"state":"at risk"`) {
		t.Errorf("snapshot: %s", body)
	}
}

// Who watches hears what comes after the headers, in order, and nobody waits for him.
func TestWatch(t *testing.T) {
	s, c := serve(t, &fakeHost{})
	w, err := c.Watch(t.Context(), connect.NewRequest(&overlayv1.WatchRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if !w.Receive() || w.Msg().Kind != "watching" {
		t.Fatalf("%v, %v", w.Msg(), w.Err())
	}
	s.Event(overlay.Event{Kind: "peer-dead", Host: wire.Peer{ID: wire.HostID{1}}, Detail: "silent"})
	s.Changed(&delivery.Change{SubStatus: overlay.SubStatus{ID: 3, State: overlay.Refused}, Delivered: delivery.Counts{Packets: 4}})
	s.Event(overlay.Left{})
	var got []*overlayv1.WatchResponse
	for len(got) < 3 && w.Receive() {
		got = append(got, w.Msg())
	}
	if len(got) != 3 || got[0].Kind != "peer-dead" || got[0].Detail != "silent" || got[1].Kind != "subscription" ||
		got[1].Subscription.State != "refused" || got[1].Subscription.Delivery.Packets != 4 || got[1].Subscription.Stream != "" || got[2].Kind != "left" {
		t.Errorf("%v, %v", got, w.Err())
	}
	for range 100_000 {
		s.Event(overlay.Joined{})
	}
}

// A server that stops ends its calls, and nothing of it runs any more.
func TestCloseEndsCalls(t *testing.T) {
	s, err := Open(Config{Socket: filepath.Join(t.TempDir(), "s"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(&fakeHost{})
	c := overlayapi.Dial(s.cfg.Socket)
	defer c.Close()
	w, err := c.Watch(t.Context(), connect.NewRequest(&overlayv1.WatchRequest{}))
	if err != nil || !w.Receive() {
		t.Fatal(err)
	}
	defer w.Close()
	s.Close()
	for w.Receive() {
	}
	if s.MetricsAddr() != "" || s.WebAddr() != "" {
		t.Error("serves what nobody asked for")
	}
}
