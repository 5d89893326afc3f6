// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sandstream/internal/live/webui"
	"sandstream/internal/overlay"
)

// dataCounters are the counters of the data path and of what was refused, and
// what there is of peers, sessions and streams now.
func (d *Daemon) dataCounters() map[string]uint64 {
	m := map[string]uint64{
		"inbox_dropped": d.dropped.Load(), "control_malformed": d.malformed.Load(), "control_send_failed": d.sendFails.Load(),
	}
	addNumbers(m, "", d.tr.Totals())
	delete(m, "queued")
	delete(m, "session_age")
	m["handshakes"] = 0 // the transport's include those
	addNumbers(m, "", d.tr.Stats())
	return m
}

// present are those of dataCounters that are no counters: they fall, too.
var present = []string{"peers", "sessions", "streams"}

// shortID is what metrics say of a stream's id: who knows all of it can subscribe.
func shortID(id string) string { return id[:min(len(id), 8)] }

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
	d                                                  *Daemon
	up, peers, zones, cost, loss, contracts            *prometheus.Desc
	subRate, subP99, subLost, subPackets               *prometheus.Desc
	streamPackets, streamBytes, messages, events, data *prometheus.Desc
	spas, aborted, present                             *prometheus.Desc
}

func metricsHandler(d *Daemon) http.Handler {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("overlayd_"+name, help, labels, nil)
	}
	m := &metrics{
		d:             d,
		up:            desc("member", "1 if the host owns ids."),
		peers:         desc("peers", "Neighbours."),
		zones:         desc("zones", "Zones owned."),
		cost:          desc("link_cost_seconds", "Published one-way cost of the link to a neighbour.", "peer"),
		loss:          desc("link_loss_ratio", "Share of probes lost on the link to a neighbour.", "peer"),
		contracts:     desc("contracts", "Subscriptions by state.", "state"),
		subRate:       desc("subscription_rate_bits", "Bits per second delivered in the last interval.", "subscription", "stream"),
		subP99:        desc("subscription_latency_p99_seconds", "99th percentile of the latency in the last interval.", "subscription", "stream"),
		subLost:       desc("subscription_lost_total", "Packets that never came.", "subscription", "stream"),
		subPackets:    desc("subscription_packets_total", "Packets given to the application.", "subscription", "stream"),
		streamPackets: desc("stream_packets_total", "Packets of a stream that passed this host.", "stream"),
		streamBytes:   desc("stream_bytes_total", "Bytes of a stream that passed this host.", "stream"),
		messages:      desc("protocol_messages_total", "Messages of the protocol.", "direction", "kind"),
		events:        desc("protocol_events_total", "Events of the protocol.", "kind"),
		data:          desc("data_total", "Counters of the data path, see 'overlayd status --json'.", "counter"),
		present:       desc("data_now", "Of the transport: what there is now.", "what"),
		spas:          desc("spas_running", "SPA instances."),
		aborted:       desc("spas_aborted_total", "SPA instances that were taken out of service."),
	}
	r := prometheus.NewRegistry()
	r.MustRegister(m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	return webui.Direct(mux)
}

// Describe is part of prometheus.Collector: the descriptions are those of the metrics.
func (m *metrics) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.up, m.peers, m.zones, m.cost, m.loss, m.contracts, m.subRate, m.subP99, m.subLost, m.subPackets,
		m.streamPackets, m.streamBytes, m.messages, m.events, m.data, m.spas, m.aborted, m.present,
	} {
		c <- d
	}
}

// Collect is part of prometheus.Collector.
func (m *metrics) Collect(c chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	err := m.d.do(ctx, func() {
		s := m.d.node.Status(m.d.now())
		s.Subs = m.d.wholes(s.Subs)
		member := 0.0
		if s.State == overlay.Member {
			member = 1
		}
		gauge(m.up, member)
		gauge(m.peers, float64(len(s.Peers)))
		gauge(m.zones, float64(len(s.Zones)))
		for i := range s.Peers {
			p := &s.Peers[i]
			gauge(m.cost, float64(p.CostUs)/1e6, p.Peer.ID.Hex())
			gauge(m.loss, float64(p.LossPpm)/1e6, p.Peer.ID.Hex())
		}
		states := map[string]int{}
		for st := overlay.Resolving; st <= overlay.Interrupted; st++ {
			states[st.String()] = 0
		}
		for i := range s.Subs {
			u := &s.Subs[i]
			states[u.State.String()]++
			sub := m.d.subOf(u)
			id := []string{strconv.FormatUint(uint64(u.ID), 10), shortID(sub.Stream)}
			gauge(m.subRate, float64(u.Measured.RateBps), id...)
			gauge(m.subP99, float64(u.Measured.P99Us)/1e6, id...)
			count(m.subLost, sub.Delivery.Lost, id...)
			count(m.subPackets, sub.Delivery.Packets, id...)
		}
		for st, n := range states {
			gauge(m.contracts, float64(n), st)
		}
		for kind, n := range s.Sent {
			count(m.messages, n, "sent", kind)
		}
		for kind, n := range s.Recv {
			count(m.messages, n, "received", kind)
		}
		for kind, n := range s.Counts {
			count(m.events, n, kind)
		}
	})
	if err != nil {
		return // stopping: what there is is what there is
	}
	packets, bytes := map[string]uint64{}, map[string]uint64{} // by short id, which others may choose to be the same
	for _, s := range m.d.tr.Streams() {
		id := shortID(s.ID.String())
		packets[id] += s.In
		bytes[id] += s.BytesIn
	}
	for id, n := range packets {
		count(m.streamPackets, n, id)
		count(m.streamBytes, bytes[id], id)
	}
	for name, n := range m.d.dataCounters() {
		if slices.Contains(present, name) {
			gauge(m.present, float64(n), name)
		} else {
			count(m.data, n, name)
		}
	}
	gauge(m.spas, float64(m.d.spas.running.Load()))
	count(m.aborted, m.d.spas.aborted.Load())
}
