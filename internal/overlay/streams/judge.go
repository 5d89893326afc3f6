// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"sandstream/internal/overlay/wire"
)

// Report is what the data plane measured of a subscription over the time since
// the last report. Latency counts what the packets' headers say they spent.
type Report struct {
	Packets  uint64 // delivered to the application
	Lost     uint64
	Bytes    uint64
	MeanUs   uint32
	P99Us    uint32
	RateBps  uint64
	JitterUs uint32 // of arrival against the pace at which it was sent, as at the end of that time (RFC 3550, 6.4.1)
	Duration wire.Time
}

// Join is the report of a stream whose parts come over several trees.
func (r *Report) Join(o *Report) {
	r.Packets += o.Packets
	r.Lost += o.Lost
	r.Bytes += o.Bytes
	r.RateBps += o.RateBps
	r.P99Us, r.MeanUs, r.JitterUs = max(r.P99Us, o.P99Us), max(r.MeanUs, o.MeanUs), max(r.JitterUs, o.JitterUs)
}

// evaluate compares a subscription's contract with its path and with what was
// delivered.
func (n *Streams) evaluate(u *sub, s *stream) {
	u.predicted = wire.QualityOf(s.path)
	u.from = s.info.Publisher
	switch u.state {
	case Resolving:
		if u.exchange.underWay {
			return
		}
		why := n.breach(u, s)
		switch {
		case u.met: // what is delivered is judged from now on
			u.repairs++
			u.deliveries = deliveries{}
			n.setSub(u, Admitted, "")
		case why == "":
			n.setSub(u, Admitted, "")
		case n.mayExchange(u):
			n.seekExchange(u, s)
		case u.contract.BestEffort:
			n.setSub(u, Violated, why)
		default:
			n.setSub(u, Refused, why)
		}
	case Interrupted:
		u.deliveries = deliveries{}
		n.setSub(u, Admitted, "")
	case Admitted, AtRisk, Violated:
		n.judge(u)
	case Refused, Withdrawn, BrokenOff, Evicted, Expired, Lost:
	}
}

// breach says how the predicted path falls short of the contract, "" if it does not.
func (n *Streams) breach(u *sub, s *stream) string {
	c := &u.contract
	if why := c.Breach(u.predicted); why != "" {
		return why
	}
	if s.degraded != "" && !slices.Contains(c.Degrade, s.degraded) {
		return fmt.Sprintf("the path is thinned out by %s, which the contract does not accept", s.degraded)
	}
	return n.lowRate(u, s)
}

// lowRate says how the rate that was announced falls short of the contract.
func (n *Streams) lowRate(u *sub, s *stream) string {
	c, rate := &u.contract, float64(s.info.RateBps)*n.share(s, s.degraded)
	if c.MinRateBps > 0 && s.info.RateBps > 0 && rate < float64(c.MinRateBps) {
		return fmt.Sprintf("the path brings %.0f bit/s, %d asked", rate, c.MinRateBps)
	}
	return ""
}

// Measured takes what the data plane delivered to a subscription since the last
// call.
func (n *Streams) Measured(id SubID, r Report) {
	u := n.subByID(id)
	if u == nil || !u.wants() {
		return
	}
	u.recent[u.reports%len(u.recent)] = r
	u.reports++
	if u.state != Interrupted {
		n.judge(u)
	}
}

// window is what was measured over the last reports.
func (u *sub) window() Report {
	var w Report
	var mean float64
	for i := range min(u.reports, len(u.recent)) {
		r := &u.recent[i]
		w.Packets += r.Packets
		w.Lost += r.Lost
		w.Bytes += r.Bytes
		w.Duration += r.Duration
		w.P99Us = max(w.P99Us, r.P99Us)
		w.JitterUs = max(w.JitterUs, r.JitterUs)
		mean += float64(r.MeanUs) * float64(r.Packets)
	}
	if w.Packets > 0 {
		w.MeanUs = uint32(mean / float64(w.Packets))
	}
	if w.Duration > 0 {
		w.RateBps = uint64(float64(w.Bytes) * 8 / w.Duration.Seconds())
	}
	return w
}

// judge sets the state of a contract under way.
func (n *Streams) judge(u *sub) {
	c, w := &u.contract, u.window()
	var broken, risk string
	bound := func(what string, have, want float64) {
		text := fmt.Sprintf("%s %.4g of %.4g", what, have, want)
		switch {
		case have > want:
			broken = text
		case have > 0.9*want:
			risk = text
		}
	}
	if c.LatencyUs > 0 {
		have := u.predicted.CostUs
		if w.Packets > 0 {
			have = w.P99Us
		}
		bound("latency (ms)", float64(have)/1e3, float64(c.LatencyUs)/1e3)
	}
	if c.JitterUs > 0 {
		have := u.predicted.JitterUs
		if w.Packets > 0 {
			have = w.JitterUs
		}
		bound("jitter (ms)", float64(have)/1e3, float64(c.JitterUs)/1e3)
	}
	lossy := false
	if c.LossPpm > 0 && w.Packets+w.Lost >= 100 {
		have, want := 100*float64(w.Lost)/float64(w.Packets+w.Lost), float64(c.LossPpm)/1e4
		bound("loss (%)", have, want)
		lossy = have > want
	}
	if c.MinRateBps > 0 && u.reports >= len(u.recent) && w.Duration >= time.Second {
		if have, want := float64(w.RateBps), float64(c.MinRateBps); have < want {
			broken = fmt.Sprintf("rate %.0f of %.0f bit/s", have, want)
		} else if have < 1.1*want {
			risk = fmt.Sprintf("rate %.0f of %.0f bit/s", have, want)
		}
	} else if s := n.streams[u.stream]; s != nil && c.BestEffort {
		broken = cmp.Or(n.lowRate(u, s), broken) // let in all the same: not measured yet
	}
	switch {
	case broken != "":
		if u.state == Violated {
			u.reason = broken // the figures move, the state does not
		} else {
			n.setSub(u, Violated, broken)
		}
		if s := n.streams[u.stream]; s != nil && n.Now-u.since > 3*time.Second && c.LatencyUs > 0 && u.predicted.CostUs > c.LatencyUs && n.mayExchange(u) {
			n.seekExchange(u, s)
		} else if s != nil && lossy {
			n.avoidLoss(u, s)
		}
	case risk != "":
		if u.state == AtRisk {
			u.reason = risk
		} else {
			n.setSub(u, AtRisk, risk)
		}
	default:
		n.setSub(u, Admitted, "")
		if s := n.streams[u.stream]; s != nil && n.Now-u.since > detourCalm {
			s.detour.tries, s.detour.moved = 0, 0
		}
	}
}
