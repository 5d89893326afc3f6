// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sandstream/internal/live/delivery"
	"sandstream/internal/live/webui"
	"sandstream/internal/overlay"
	"sandstream/internal/overlay/wire"
)

// byName are the counters of the data path and of what was refused, and what there
// is of peers, sessions and streams now.
func (c *Counters) byName() map[string]uint64 {
	m := map[string]uint64{
		"inbox_dropped": c.InboxDropped, "control_malformed": c.Malformed, "control_send_failed": c.SendFailed,
	}
	addNumbers(m, "", c.Totals)
	delete(m, "queued")
	delete(m, "session_age")
	delete(m, "size")
	m["handshakes"] = 0 // the transport's include those
	addNumbers(m, "", c.Stats)
	return m
}

// present are those of Counters.byName that are no counters: they fall, too.
var present = []string{"peers", "sessions", "streams"}

// shortID is what metrics say of a stream's id: who knows all of it can subscribe.
func shortID(id string) string { return id[:min(len(id), 8)] }

// nameOf is a stream's name as a label can hold it: it may be somebody else's.
func nameOf(s string) string { return strings.ToValidUTF8(s, "?") }

// addNumbers adds the whole numbers of a struct with JSON names to m.
func addNumbers(m map[string]uint64, prefix string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		return // plain numbers: it does not fail
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(b, &fields) != nil {
		return
	}
	for k, raw := range fields {
		var n uint64
		if json.Unmarshal(raw, &n) == nil {
			m[prefix+k] += n
		}
	}
}

// metrics is a Prometheus collector: it asks the host when it is scraped.
type metrics struct {
	host      Host
	protocol  protocolMetrics
	contracts contractMetrics
	data      dataMetrics
}

func metricsHandler(h Host) http.Handler {
	m := &metrics{host: h, protocol: newProtocolMetrics(), contracts: newContractMetrics(), data: newDataMetrics()}
	r := prometheus.NewRegistry()
	r.MustRegister(m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	return webui.Direct(mux)
}

// Describe is part of prometheus.Collector: the descriptions are those of the metrics.
func (m *metrics) Describe(c chan<- *prometheus.Desc) {
	for _, ds := range [][]*prometheus.Desc{m.protocol.all(), m.contracts.all(), m.data.all()} {
		for _, d := range ds {
			c <- d
		}
	}
}

// Collect is part of prometheus.Collector.
func (m *metrics) Collect(c chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	out := output{c}
	err := m.host.Inspect(ctx, func(s *overlay.Status, d *delivery.Streams) {
		m.protocol.collect(out, s)
		m.contracts.collect(out, s.Subs, d)
	})
	if err != nil {
		return // stopping: what there is is what there is
	}
	m.data.collect(out, m.host)
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("overlayd_"+name, help, labels, nil)
}

// output is where metrics go.
type output struct{ c chan<- prometheus.Metric }

func (o output) gauge(d *prometheus.Desc, v float64, labels ...string) {
	o.c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (o output) count(d *prometheus.Desc, v uint64, labels ...string) {
	o.c <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

// protocolMetrics are of the host's place in the overlay.
type protocolMetrics struct {
	up, peers, zones, cost, loss, messages, events, streams *prometheus.Desc
}

func newProtocolMetrics() protocolMetrics {
	return protocolMetrics{
		up:       desc("member", "1 if the host owns ids."),
		peers:    desc("peers", "Neighbours."),
		zones:    desc("zones", "Zones owned."),
		cost:     desc("link_cost_seconds", "Published one-way cost of the link to a neighbour.", "peer"),
		loss:     desc("link_loss_ratio", "Share of probes lost on the link to a neighbour.", "peer"),
		messages: desc("protocol_messages_total", "Messages of the protocol.", "direction", "kind"),
		streams:  desc("stream_info", "1 for each stream that passes this host: its name.", "stream", "name"),
		events:   desc("protocol_events_total", "Events of the protocol.", "kind"),
	}
}

func (m *protocolMetrics) all() []*prometheus.Desc {
	return []*prometheus.Desc{m.up, m.peers, m.zones, m.cost, m.loss, m.messages, m.events, m.streams}
}

func (m *protocolMetrics) collect(o output, s *overlay.Status) {
	member := 0.0
	if s.State == overlay.Member {
		member = 1
	}
	o.gauge(m.up, member)
	o.gauge(m.peers, float64(len(s.Peers)))
	o.gauge(m.zones, float64(len(s.Zones)))
	for i := range s.Peers {
		p := &s.Peers[i]
		o.gauge(m.cost, float64(p.CostUs)/1e6, p.Peer.ID.Hex())
		o.gauge(m.loss, float64(p.LossPpm)/1e6, p.Peer.ID.Hex())
	}
	named := map[[2]string]bool{} // a short id may be two streams'
	for i := range s.Streams {
		k := [2]string{shortID(s.Streams[i].Info.ID.String()), nameOf(s.Streams[i].Info.Name)}
		if !named[k] {
			named[k] = true
			o.gauge(m.streams, 1, k[0], k[1])
		}
	}
	for kind, n := range s.Sent {
		o.count(m.messages, n, "sent", kind)
	}
	for kind, n := range s.Recv {
		o.count(m.messages, n, "received", kind)
	}
	for kind, n := range s.Counts {
		o.count(m.events, n, kind)
	}
}

// contractMetrics are of local subscriptions.
type contractMetrics struct {
	states, rate, p99, lost, overrun, packets *prometheus.Desc
}

func newContractMetrics() contractMetrics {
	return contractMetrics{
		states:  desc("contracts", "Subscriptions by state.", "state"),
		rate:    desc("subscription_rate_bits", "Bits per second delivered in the last interval.", "subscription", "stream", "name"),
		p99:     desc("subscription_latency_p99_seconds", "99th percentile of the latency in the last interval.", "subscription", "stream", "name"),
		lost:    desc("subscription_lost_total", "Packets that never came.", "subscription", "stream", "name"),
		overrun: desc("subscription_overrun_total", "Packets that came, and that the application did not read in time.", "subscription", "stream", "name"),
		packets: desc("subscription_packets_total", "Packets given to the application.", "subscription", "stream", "name"),
	}
}

func (m *contractMetrics) all() []*prometheus.Desc {
	return []*prometheus.Desc{m.states, m.rate, m.p99, m.lost, m.overrun, m.packets}
}

func (m *contractMetrics) collect(o output, subs []overlay.SubStatus, d *delivery.Streams) {
	states := map[string]int{}
	for st := overlay.Resolving; st <= overlay.Lost; st++ {
		states[st.String()] = 0
	}
	for i := range subs {
		u := &subs[i]
		states[u.State.String()]++
		n := d.Delivered(u.ID)
		stream := ""
		if u.Stream != (wire.StreamID{}) {
			stream = shortID(u.Stream.String())
		}
		id := []string{strconv.FormatUint(uint64(u.ID), 10), stream, nameOf(u.Name)}
		o.gauge(m.rate, float64(u.Measured.RateBps), id...)
		o.gauge(m.p99, float64(u.Measured.P99Us)/1e6, id...)
		o.count(m.lost, n.Lost, id...)
		o.count(m.overrun, n.Overrun, id...)
		o.count(m.packets, n.Packets, id...)
	}
	for st, n := range states {
		o.gauge(m.states, float64(n), st)
	}
}

// dataMetrics are of the data path: streams, the transport's counters and SPAs.
type dataMetrics struct {
	packets, bytes, counters, present, size, spas, aborted *prometheus.Desc
}

func newDataMetrics() dataMetrics {
	return dataMetrics{
		packets:  desc("stream_packets_total", "Packets of a stream that passed this host.", "stream"),
		bytes:    desc("stream_bytes_total", "Bytes of a stream that passed this host.", "stream"),
		counters: desc("data_total", "Counters of the data path, see 'overlayd status --json'.", "counter"),
		present:  desc("data_now", "Of the transport: what there is now.", "what"),
		size:     desc("link_bytes", "Longest UDP payload that is proven to pass to a peer.", "peer"),
		spas:     desc("spas_running", "SPA instances."),
		aborted:  desc("spas_aborted_total", "SPA instances that were taken out of service."),
	}
}

func (m *dataMetrics) all() []*prometheus.Desc {
	return []*prometheus.Desc{m.packets, m.bytes, m.counters, m.present, m.size, m.spas, m.aborted}
}

func (m *dataMetrics) collect(o output, h Host) {
	packets, bytes := map[string]uint64{}, map[string]uint64{} // by short id, which others may choose to be the same
	for _, s := range h.Streams() {
		id := shortID(s.ID.String())
		packets[id] += s.In
		bytes[id] += s.BytesIn
	}
	for id, n := range packets {
		o.count(m.packets, n, id)
		o.count(m.bytes, bytes[id], id)
	}
	c := h.Counters()
	for name, n := range c.byName() {
		if slices.Contains(present, name) {
			o.gauge(m.present, float64(n), name)
		} else {
			o.count(m.counters, n, name)
		}
	}
	for _, s := range h.Sessions() {
		if s.Up {
			o.gauge(m.size, float64(s.Size), s.Peer.ID.Hex())
		}
	}
	e := h.Engine()
	o.gauge(m.spas, float64(e.Running))
	o.count(m.aborted, e.Aborted)
}
