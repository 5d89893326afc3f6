// SPDX-License-Identifier: Apache-2.0

package webui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"sandstream/internal/live/webui/chrometest"
	"sandstream/overlayapi"
	"sandstream/overlayapi/overlayv1"
)

// nothing is a walk over no overlay.
func nothing(context.Context) ([]byte, error) { return nil, errors.New("no walk") }

func hostN(i int) *overlayv1.Host {
	return &overlayv1.Host{Id: fmt.Sprintf("%08x%024x", 0x9a3c51e7+uint32(i)*0x01234567, i), Addr: fmt.Sprintf("10.0.%d.%d:7000", i/16, i%16+1)}
}

// document is a snapshot of the messages that the daemon sends, as it writes them.
func document(t *testing.T, m map[string]proto.Message) []byte {
	t.Helper()
	out := map[string]json.RawMessage{}
	for name, msg := range m {
		b, err := overlayapi.MarshalJSON(msg)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = b
	}
	b, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func alone(t *testing.T) []byte {
	z := &overlayv1.Zone{Digits: "*", Counter: 1, Owner: hostN(0)}
	region := &overlayv1.Region{Digits: 1, Version: 1, Hosts: 1}
	return document(t, map[string]proto.Message{
		"status": &overlayv1.StatusResponse{
			Self: hostN(0), State: "member", Radix: 3, Region: region, Zones: []*overlayv1.Zone{z},
			Engine: &overlayv1.Engine{Name: "portable", Reason: "this kernel has no sandbox"},
		},
		"topology":  &overlayv1.TopologyResponse{Self: hostN(0), Radix: 3, Region: region, Zones: []*overlayv1.Zone{z}},
		"streams":   &overlayv1.StreamsResponse{},
		"contracts": &overlayv1.SubscriptionsResponse{},
	})
}

// busy has 12 hosts, two streams, and a contract in each state. step moves the figures.
func busy(t *testing.T, step int) []byte {
	owners := strings.Fields("000=0 001=1 002=2 01=3 02=4 10=5 110=6 111=7 112=0 12=8 200=9 201=0 202=10 21=11 22=2")
	var zones, own []*overlayv1.Zone
	for i, o := range owners {
		digits, n, _ := strings.Cut(o, "=")
		var host int
		fmt.Sscan(n, &host)
		z := &overlayv1.Zone{Digits: digits, Counter: uint64(i%4 + 1), Owner: hostN(host)}
		zones = append(zones, z)
		if host == 0 {
			own = append(own, z)
		}
	}
	var links []*overlayv1.Link
	for i := 1; i < 12; i++ {
		links = append(links, &overlayv1.Link{To: hostN(i), CostUs: uint32(i*i) * 911, LossPpm: uint32(i%3) * 4000, Suspect: i == 7})
	}
	path := func(hosts ...int) (p []*overlayv1.Hop) {
		for _, h := range hosts {
			p = append(p, &overlayv1.Hop{Host: hostN(h), CostUs: 4000})
		}
		return p
	}
	stream := func(c byte) string { return strings.Repeat(string(c), 32) }
	loss := uint32(5000)
	var subs []*overlayv1.Subscription
	for i, state := range []string{"admitted", "at risk", "violated", "refused", "interrupted", "resolving"} {
		s := &overlayv1.Subscription{
			Id: uint64(i + 1), Stream: stream('a'), Name: "camera <b>1</b>", State: state,
			Contract:    &overlayv1.Contract{LatencyUs: 80_000, MinRateBps: 2_000_000, LossPpm: &loss},
			PredictedUs: 31_000, Delivery: &overlayv1.Delivery{Packets: uint64(1000*i + step), Lost: uint64(i)},
		}
		if i < 3 {
			s.Path = path(5, 1, 0)
			s.Measured = &overlayv1.Report{Packets: 400, Lost: uint64(i), P99Us: uint32(30_000 + 24_000*i + (step*7919)%9000), RateBps: 3_950_000}
		}
		switch state {
		case "at risk":
			s.Reason, s.Degraded = "latency 76 ms of 80", "filter"
		case "violated":
			s.Reason = "latency 96 ms of 80"
		case "refused":
			s.Reason, s.Contract = "no path is below 12 ms; the shortest takes 31 ms", &overlayv1.Contract{LatencyUs: 12_000, Degrade: []string{"filter"}}
		}
		subs = append(subs, s)
	}
	region := &overlayv1.Region{Digits: 3, Version: 4, Hosts: 12}
	return document(t, map[string]proto.Message{
		"status": &overlayv1.StatusResponse{
			Self: hostN(0), State: "member", Radix: 3, Region: region, Zones: own,
			Engine: &overlayv1.Engine{Name: "portable", Reason: "this kernel has no sandbox", Running: 2, Aborted: 1, LastAbort: "budget"},
		},
		"topology": &overlayv1.TopologyResponse{Self: hostN(0), Radix: 3, Region: region, Zones: zones, Links: links},
		"streams": &overlayv1.StreamsResponse{Streams: []*overlayv1.Stream{
			{
				Id: stream('a'), Name: "camera <b>1</b>", Publisher: hostN(5), RateBps: 4_000_000, Path: path(5, 1, 0), Packets: uint64(123456 + step),
				Children: []*overlayv1.Branch{{Host: hostN(9), CostUs: 3000, Spa: "filter"}, {Host: hostN(11), CostUs: 5000}}, Subscriptions: []uint64{1, 2, 3},
			},
			{
				Id: stream('b'), Name: "sensors", Publisher: hostN(0), RateBps: 200_000, Local: true, Path: path(0),
				Pipeline: []*overlayv1.Stage{{Spa: "transform"}}, Children: []*overlayv1.Branch{{Host: hostN(4), CostUs: 700}},
			},
		}},
		"contracts": &overlayv1.SubscriptionsResponse{Subscriptions: subs},
	})
}

// crowd has 81 zones of 27 hosts.
func crowd(t *testing.T) []byte {
	var zones []*overlayv1.Zone
	var links []*overlayv1.Link
	for i := range 81 {
		digits := fmt.Sprintf("%d%d%d%d", i/27, i/9%3, i/3%3, i%3)
		zones = append(zones, &overlayv1.Zone{Digits: digits, Counter: 2, Owner: hostN(i * 7 % 27)})
	}
	for i := 1; i < 27; i++ {
		links = append(links, &overlayv1.Link{To: hostN(i), CostUs: uint32(i) * 1300, Suspect: i == 3})
	}
	region := &overlayv1.Region{Digits: 4, Version: 9, Hosts: 27}
	return document(t, map[string]proto.Message{
		"status":    &overlayv1.StatusResponse{Self: hostN(0), State: "member", Radix: 3, Region: region, Engine: &overlayv1.Engine{Name: "portable"}},
		"topology":  &overlayv1.TopologyResponse{Self: hostN(0), Radix: 3, Region: region, Zones: zones, Links: links},
		"streams":   &overlayv1.StreamsResponse{},
		"contracts": &overlayv1.SubscriptionsResponse{},
	})
}

func TestPageInChromium(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	var step atomic.Int64
	var down atomic.Bool
	serve := func(doc func() []byte) *httptest.Server {
		s := httptest.NewServer(New(func(context.Context) ([]byte, error) {
			if down.Load() {
				return nil, errors.New("down")
			}
			return doc(), nil
		}, nothing))
		t.Cleanup(s.Close)
		return s
	}
	empty := serve(func() []byte { return alone(t) })
	full := serve(func() []byte { return busy(t, int(step.Add(1))) })
	c := chrometest.Start(t, "http://127.0.0.1")
	text := func(id string) string {
		s, _ := c.Eval("document.getElementById('" + id + "').innerText").(string)
		return s
	}

	for _, scheme := range []string{"light", "dark"} {
		c.Open(empty.URL, 1280, 860, scheme)
		if got := text("contracts"); !strings.Contains(got, "No subscription on this host") {
			t.Errorf("contracts of an idle host: %q", got)
		}
		if n := c.Eval("document.querySelectorAll('#cube rect.zone').length"); n != 1.0 {
			t.Errorf("an idle host's cube has %v zones", n)
		}
		c.Shot("empty-" + scheme)

		c.Open(full.URL, 1280, 860, scheme)
		c.Wait("document.querySelectorAll('#contracts tbody tr').length === 6")
		c.Wait("document.querySelectorAll('#contracts .spark path').length >= 3") // two steps have come
		if n := c.Eval("document.querySelectorAll('#cube rect.zone').length"); n != 15.0 {
			t.Errorf("%v zones, want 15", n)
		}
		if n := c.Eval("document.querySelectorAll('#cube path.flow').length"); n != 4.0 {
			t.Errorf("%v lines of streams, want 4: one up, three branches", n)
		}
		for _, want := range []string{"admitted", "at risk", "violated", "refused", "no path is below 12 ms", "degraded by filter", "camera <b>1</b>", "≥ 2.00 Mbit/s", "30"} {
			if !strings.Contains(text("contracts"), want) {
				t.Errorf("contracts lack %q:\n%s", want, text("contracts"))
			}
		}
		if !strings.Contains(text("peers"), "suspect") || !strings.Contains(text("streams"), "publishes") {
			t.Errorf("peers or streams:\n%s\n%s", text("peers"), text("streams"))
		}
		time.Sleep(3 * time.Second) // for curves in the picture
		c.Shot("busy-" + scheme)
	}
	c.Open(serve(func() []byte { return crowd(t) }).URL, 1280, 860, "light")
	if n := c.Eval("document.querySelectorAll('#cube rect.zone').length"); n != 81.0 {
		t.Errorf("%v zones, want 81", n)
	}
	c.Shot("crowd")
	c.Open(full.URL, 390, 844, "light")
	if c.Eval("document.documentElement.scrollWidth > 390") == true {
		t.Error("on a telephone the page is wider than the screen")
	}
	c.Shot("busy-narrow")
	if p := c.Complaints(); len(p) > 0 {
		t.Errorf("the page's complaints: %v", p)
	}
	// The daemon goes: the page says so, and comes back with it.
	down.Store(true)
	full.CloseClientConnections()
	c.Wait("!document.getElementById('notice').hidden")
	c.Shot("gone")
	down.Store(false)
	c.Wait("document.getElementById('notice').hidden")
}

func TestForeignNamesAreRefused(t *testing.T) {
	s := httptest.NewServer(New(func(context.Context) ([]byte, error) { return []byte("{}"), nil }, nothing))
	defer s.Close()
	for host, want := range map[string]int{
		"evil.example": 403, "evil.example:7080": 403, "localhost": 200, "localhost:80": 200, "127.0.0.1:1": 200, "[::1]:1": 200, "10.1.2.3": 200,
	} {
		r, err := http.NewRequest("GET", s.URL+"/snapshot", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		resp, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: status %d, want %d", host, resp.StatusCode, want)
		}
	}
	resp, err := s.Client().Post(s.URL+"/snapshot", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", resp.StatusCode)
	}
}

// reader is who reads /events: what was flushed to it.
type reader struct {
	*httptest.ResponseRecorder
	got string
}

func (r *reader) Flush() { r.got = r.Body.String() }

// In virtual time: how many looks fit in is exact.
func TestEventsTellOnlyChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := func(p *Page, lasts time.Duration) string {
			ctx, cancel := context.WithTimeout(t.Context(), lasts)
			defer cancel()
			r := &reader{ResponseRecorder: httptest.NewRecorder()}
			p.ServeHTTP(r, httptest.NewRequestWithContext(ctx, "GET", "http://localhost/events", nil)) // until the time is over
			return r.got
		}
		n := 0
		counts := New(func(context.Context) ([]byte, error) {
			n++
			return fmt.Appendf(nil, `{"n":%d}`, n/3), nil
		}, nothing)
		if got, want := read(counts, 4*every+every/2), "data: {\"n\":0}\n\ndata: {\"n\":1}\n\n"; got != want || n != 5 {
			t.Errorf("got %q in %d looks, want %q in 5", got, n, want)
		}
		// Where nothing changes it shows now and again that it is there.
		still := New(func(context.Context) ([]byte, error) { return []byte("{}"), nil }, nothing)
		if got, want := read(still, 3*alive), "data: {}\n\n:\n\n:\n\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// Many readers cost no more than one, and there is an end to how many.
func TestReadersAreBounded(t *testing.T) {
	var made atomic.Int64
	s := httptest.NewServer(New(func(context.Context) ([]byte, error) {
		return fmt.Appendf(nil, `{"n":%d}`, made.Add(1)), nil
	}, nothing))
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	open := func() *http.Response {
		r, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	start := time.Now()
	for range maxReaders {
		resp := open()
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d", resp.StatusCode)
		}
	}
	resp := open()
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one too many: status %d", resp.StatusCode)
	}
	if n, most := made.Load(), int64(time.Since(start)/fresh)+1; n > most {
		t.Errorf("%d documents made for %d readers, want %d at most", n, maxReaders, most)
	}
}
