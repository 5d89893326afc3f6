// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"sandstream/overlayapi/overlayv1"
)

// The id of a stream is what lets in: neither a page of another site nor who reads
// the metrics gets it.
func TestMetricsKeepIDs(t *testing.T) {
	first := start(t, nil, func(c *Config) { c.Metrics = "127.0.0.1:0" })
	<-first.Joined()
	second := start(t, first, nil)
	<-second.Joined()
	defer http.DefaultClient.CloseIdleConnections()
	page := "http://" + first.control.MetricsAddr() + "/metrics"
	src := publishNumbers(t, first, &overlayv1.Announce{Name: "private"})
	defer src.stop()
	if code, body := get(t, page, "rebound.example:9100"); code != http.StatusForbidden || strings.Contains(body, "overlayd_") {
		t.Errorf("a name of another site: %d", code)
	}
	code, body := get(t, page, "127.0.0.1:9100")
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
