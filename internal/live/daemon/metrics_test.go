// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sandstream/overlayapi/overlayv1"
)

func scrape(d *Daemon, host string) (int, string) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "http://"+host+"/metrics", nil)
	metricsHandler(d).ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// The id of a stream is what lets in: neither a page of another site nor who reads
// the metrics gets it.
func TestMetricsKeepIDs(t *testing.T) {
	ds := overlayOf(t, 2)
	p, err := ds[0].publish(t.Context(), &overlayv1.Announce{Name: "private"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.withdraw()
	if code, body := scrape(ds[0], "rebound.example:9100"); code != http.StatusForbidden || strings.Contains(body, "overlayd_") {
		t.Errorf("a name of another site: %d", code)
	}
	code, body := scrape(ds[0], "127.0.0.1:9100")
	if id := p.id.String(); code != http.StatusOK || strings.Contains(body, id) || !strings.Contains(body, fmt.Sprintf("stream_packets_total{stream=%q}", id[:8])) {
		t.Errorf("%d: the stream %s in\n%s", code, id, body)
	}
	if strings.Contains(body, `overlayd_data_total{counter="sessions"}`) || !strings.Contains(body, `overlayd_data_now{what="sessions"} `) {
		t.Error("a gauge is called a counter")
	}
	if n, want := ds[0].dataCounters()["handshakes"], ds[0].tr.Stats().Handshakes; n < 1 || n > want {
		t.Errorf("%d handshakes of %d", n, want)
	}
}
