// SPDX-License-Identifier: Apache-2.0

package nettest

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"pgregory.net/rapid"

	"sandstream/internal/live/netem"
	"sandstream/overlayapi"
	"sandstream/overlayapi/overlayv1"
	"sandstream/overlayapi/overlayv1/overlayv1connect"
)

func TestStampsAreChecked(t *testing.T) {
	b := stamp(7, 5*time.Second, 100)
	if a, err := unstamp(b, 6*time.Second); err != nil || a != (Arrival{7, 5 * time.Second, 6 * time.Second}) {
		t.Errorf("%+v, %v", a, err)
	}
	for i := stampLen; i < len(b); i++ {
		c := slices.Clone(b)
		c[i] ^= 1
		if _, err := unstamp(c, 0); err == nil {
			t.Errorf("a change of byte %d is not seen", i)
		}
	}
	if _, err := unstamp(b[:10], 0); err == nil {
		t.Error("a short payload is accepted")
	}
}

// What is done to a sequence on purpose is what Judge finds.
func TestJudgeFindsWhatWasDone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(3, 60).Draw(t, "n")
		var order []uint64
		missing, duplicates := 0, 0
		for i := range n {
			seq := uint64(i + 1)
			edge := i == 0 || i == n-1 // a loss there cannot be known
			switch rapid.IntRange(0, 9).Draw(t, "fate") {
			case 0:
				if edge {
					order = append(order, seq)
				} else {
					missing++
				}
			case 1:
				order = append(order, seq, seq)
				duplicates++
			default:
				order = append(order, seq)
			}
		}
		reordered := 0
		// Not the first: what is missing before the first to arrive cannot be known.
		if k := rapid.IntRange(min(1, len(order)-2), len(order)-2).Draw(t, "swap"); k > 0 && rapid.Bool().Draw(t, "reorder") && order[k] != order[k+1] &&
			!slices.Contains(order[:k], order[k]) && !slices.Contains(order[k+2:], order[k+1]) {
			order[k], order[k+1] = order[k+1], order[k]
			reordered = 1
		}
		var a Arrivals
		for i, seq := range order {
			at := time.Duration(i+1) * time.Second
			a.Add(stamp(seq, at-time.Millisecond, 20), at)
		}
		end := time.Duration(len(order)+3) * time.Second
		v := a.Judge(0, end)
		if v.Got != len(order) || v.Duplicates != duplicates || v.Reordered != reordered || v.Missing != missing {
			t.Fatalf("%v: %+v, want %d duplicates, %d reordered, %d missing", order, v, duplicates, reordered, missing)
		}
		if v.Gap != 3*time.Second || v.Mean != time.Millisecond || v.P99 != time.Millisecond {
			t.Fatalf("%+v", v)
		}
	})
	var none Arrivals
	if v := none.Judge(time.Second, 4*time.Second); v.Gap != 3*time.Second || v.Got != 0 || v.Missing != 0 {
		t.Errorf("nothing at all: %+v", v)
	}
}

func TestTiling(t *testing.T) {
	for _, c := range []struct {
		zones map[int][]string
		want  string // part of the error, "" for none
	}{
		{map[int][]string{3: {"*"}}, ""},
		{map[int][]string{0: {"0"}, 1: {"1", "20"}, 2: {"21", "22"}}, ""},
		{map[int][]string{0: {"0"}, 1: {"1"}, 2: {"2"}}, ""},
		{map[int][]string{0: {"0"}, 1: {"1"}}, "without owner"},
		{map[int][]string{0: {"0"}, 1: {"1"}, 2: {"2", "10"}}, "both own"},
		{map[int][]string{0: {"0"}, 1: {"1"}, 2: {"1"}}, "both own"},
		{map[int][]string{0: {"*"}, 1: nil}, "owns nothing"},
	} {
		err := Tiling(3, c.zones)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.zones, err, c.want)
		}
	}
}

func TestOwnershipFindsTwoOwners(t *testing.T) {
	status := func(self string, zones ...*overlayv1.Zone) *overlayv1.StatusResponse {
		return &overlayv1.StatusResponse{Self: &overlayv1.Host{Id: self}, Zones: zones}
	}
	zone := func(digits string, counter uint64, owner string) *overlayv1.Zone {
		return &overlayv1.Zone{Digits: digits, Counter: counter, Owner: &overlayv1.Host{Id: owner}}
	}
	o := NewOwnership()
	o.Add(0, status("a", zone("0", 1, "a"), zone("1", 1, "a")))
	o.Add(1, status("b", zone("2", 1, "b")))
	o.Add(1, status("b", zone("2", 1, "b"), zone("1", 2, "b"))) // handed over: a new epoch
	if w := o.Wrong(); w != nil {
		t.Errorf("a hand-over is taken for a fault: %v", w)
	}
	o.Add(2, status("c", zone("1", 1, "a")))
	if w := o.Wrong(); len(w) != 2 { // another's epoch, and one that host 0 has used
		t.Errorf("found %v", w)
	}
}

func TestFlowsCount(t *testing.T) {
	f := NewFlows()
	const way = 10 * time.Millisecond
	var mu sync.Mutex
	var late time.Duration // what the machine adds to those of 1300 bytes, summed
	delivered := 0
	n, err := netem.Open(netem.Options{Hosts: 2, Seed: 1, Watch: func(e netem.Event) {
		if p, err := netem.Parse(e.Data); err == nil && e.Kind == netem.Delivered && len(p.Payload) == 1300 {
			mu.Lock()
			late += e.At - e.Due
			delivered++
			mu.Unlock()
		}
		f.Watch(e)
	}})
	if err != nil {
		t.Skip(err)
	}
	defer n.Close()
	if err := n.SetLink(0, 1, netem.Link{Loss: .25, Delay: way}); err != nil {
		t.Fatal(err)
	}
	written := 0
	err = n.Do(0, func() error {
		c, err := net.Dial("udp4", n.Addr(1).String()+":9")
		if err != nil {
			return err
		}
		defer c.Close()
		for range 400 {
			for _, size := range []int{100, 1300} {
				// Nobody listens there: the answer is a refusal by ICMP.
				_, err := c.Write(make([]byte, size))
				if err != nil && !strings.Contains(err.Error(), "refused") {
					return err
				}
				if err == nil && size == 1300 {
					written++
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var c Count
	_, err = eventually(t.Context(), 30*time.Second, 10*time.Millisecond, func() error {
		c = f.Between(0, 1, func(size int) bool { return size == 1300 }, 0, time.Hour)
		if c.Sent != c.Lost+c.Delivered || c.Sent != written {
			return os.ErrDeadlineExceeded
		}
		return nil
	})
	if err != nil || c.Sent == 0 || c.LossShare() < .1 || c.LossShare() > .4 {
		t.Errorf("%+v: %v", c, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := way + late/time.Duration(max(1, delivered)); delivered != c.Delivered || (c.MeanDelay()-want).Abs() > time.Millisecond {
		t.Errorf("mean delay of %d is %v, want %v of %d", c.Delivered, c.MeanDelay(), want, delivered)
	}
	if c := f.Between(1, 0, func(int) bool { return true }, 0, time.Hour); c != (Count{}) {
		t.Errorf("from the silent host: %+v", c)
	}
}

// relay is an overlay of one host which gives what is published to the subscribers,
// after harm is done to it.
type relay struct {
	overlayv1connect.UnimplementedOverlayHandler
	harm func(n int, p *overlayv1.Payload) []*overlayv1.Payload
	mu   sync.Mutex
	subs []chan *overlayv1.Payload
}

func (r *relay) Publish(_ context.Context, s *connect.BidiStream[overlayv1.PublishRequest, overlayv1.PublishResponse]) error {
	var n int
	for {
		m, err := s.Receive()
		if err != nil {
			return s.Send(&overlayv1.PublishResponse{Packets: uint64(n)})
		}
		if m.GetAnnounce() != nil {
			if err := s.Send(&overlayv1.PublishResponse{Stream: "1"}); err != nil {
				return err
			}
		}
		for _, p := range m.GetPayloads().GetPayloads() {
			n++
			r.mu.Lock()
			for _, q := range r.harm(n, p) {
				for _, c := range r.subs {
					c <- q
				}
			}
			r.mu.Unlock()
		}
	}
}

func (r *relay) Subscribe(ctx context.Context, _ *connect.Request[overlayv1.SubscribeRequest], s *connect.ServerStream[overlayv1.SubscribeResponse]) error {
	c := make(chan *overlayv1.Payload, 1000)
	r.mu.Lock()
	r.subs = append(r.subs, c)
	r.mu.Unlock()
	if err := s.Send(&overlayv1.SubscribeResponse{Kind: &overlayv1.SubscribeResponse_Changed{Changed: &overlayv1.Subscription{State: "admitted"}}}); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case p := <-c:
			err := s.Send(&overlayv1.SubscribeResponse{Kind: &overlayv1.SubscribeResponse_Payloads{
				Payloads: &overlayv1.Payloads{Payloads: []*overlayv1.Payload{p}},
			}})
			if err != nil {
				return err
			}
		}
	}
}

func TestStampedStreamShowsHarm(t *testing.T) {
	var held *overlayv1.Payload
	r := &relay{harm: func(n int, p *overlayv1.Payload) []*overlayv1.Payload {
		switch n {
		case 10: // lost
			return nil
		case 20:
			return []*overlayv1.Payload{p, p}
		case 30:
			held = p
			return nil
		case 31:
			return []*overlayv1.Payload{p, held}
		}
		return []*overlayv1.Payload{p}
	}}
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(overlayv1connect.NewOverlayHandler(r))
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: mux, Protocols: &p}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	client := overlayapi.Dial(socket)
	defer client.Close()

	s := Stamped{Name: "x", Size: 200, Gap: time.Millisecond, Base: time.Now()}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var a Arrivals
	admitted := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Subscribe(ctx, client, &overlayv1.Contract{}, &a, func(*overlayv1.Subscription) { close(admitted) }); err != nil {
			t.Error(err)
		}
	})
	<-admitted
	publishing, stop := context.WithCancel(ctx)
	started := make(chan struct{})
	wg.Go(func() {
		n, err := s.Publish(publishing, client, started)
		if err != nil || n < 100 {
			t.Errorf("%d published: %v", n, err)
		}
	})
	if _, err := eventually(ctx, 10*time.Second, time.Millisecond, func() error {
		if a.Len() < 100 {
			return context.DeadlineExceeded
		}
		return nil
	}); err != nil {
		t.Fatalf("%d of 100 arrived", a.Len())
	}
	stop()
	time.Sleep(20 * time.Millisecond)
	cancel()
	wg.Wait()
	v := a.Judge(0, time.Since(s.Base))
	if v.Missing != 1 || v.Duplicates != 1 || v.Reordered != 1 || a.Err() != nil {
		t.Errorf("%+v, %v", v, a.Err())
	}
}

func TestVideoSurvivesCopyingAndShowsDamage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "v.ts")
	v, err := MakeVideo(t.Context(), file, 2, 1_000_000)
	if err == ErrNoFFmpeg || err != nil && strings.Contains(err.Error(), "libx264") {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(b)%188 != 0 {
		t.Fatalf("%d bytes are no transport stream", len(b))
	}
	if frames, err := Decode(t.Context(), file); err != nil || v.Same(frames) != nil {
		t.Errorf("the video itself: %v, %v", err, v.Same(frames))
	}
	cut := filepath.Join(t.TempDir(), "cut.ts")
	at := len(b) / 188 / 2 * 188
	if err := os.WriteFile(cut, slices.Concat(b[:at], b[at+7*188*4:]), 0o600); err != nil {
		t.Fatal(err)
	}
	frames, err := Decode(t.Context(), cut)
	if err == nil && v.Same(frames) == nil {
		t.Error("28 missing packets are not seen")
	}
}
