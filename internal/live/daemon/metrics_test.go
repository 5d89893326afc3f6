// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"sandstream/overlayapi/overlayv1"
)

// scrape gets the metrics of a daemon under the name host.
func scrape(t *testing.T, d *Daemon, host string) (int, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+d.control.MetricsAddr()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Host = host
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// The id of a stream is what lets in: neither a page of another site nor who reads
// the metrics gets it.
func TestMetricsKeepIDs(t *testing.T) {
	first := start(t, nil, func(c *Config) { c.Metrics = "127.0.0.1:0" })
	<-first.Joined()
	second := start(t, first, nil)
	<-second.Joined()
	defer http.DefaultClient.CloseIdleConnections()
	src := publishNumbers(t, first, &overlayv1.Announce{Name: "private"})
	defer src.stop()
	if code, body := scrape(t, first, "rebound.example:9100"); code != http.StatusForbidden || strings.Contains(body, "overlayd_") {
		t.Errorf("a name of another site: %d", code)
	}
	code, body := scrape(t, first, "127.0.0.1:9100")
	if id := src.id; code != http.StatusOK || strings.Contains(body, id) || !strings.Contains(body, fmt.Sprintf("stream_packets_total{stream=%q}", id[:8])) {
		t.Errorf("%d: the stream %s in\n%s", code, id, body)
	}
	if strings.Contains(body, `overlayd_data_total{counter="sessions"}`) || !strings.Contains(body, `overlayd_data_now{what="sessions"} `) {
		t.Error("a gauge is called a counter")
	}
	s, err := client(t, first).Status(t.Context(), connect.NewRequest(&overlayv1.StatusRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	if n, want := s.Msg.Data["handshakes"], first.tr.Stats().Handshakes; n < 1 || n > want {
		t.Errorf("%d handshakes of %d", n, want)
	}
}
