// SPDX-License-Identifier: Apache-2.0

package links

import (
	"math"
	"math/bits"
	"slices"
	"time"

	"sandstream/internal/overlay/wire"
)

// link is what probes tell of the link to a host. Round trips are smoothed as in RFC
// 6298.
type link struct {
	srtt, rttvar Time
	outcomes     uint64 // of the last probes, a bit each, the newest lowest: see outcome
	probes       uint8  // how many of these there were
	samples      uint32
	last         [5]Time      // the last round trips
	quality      wire.Quality // published: follows half their median with hysteresis
	jitter       Time         // mean difference between round trips that follow one another
	over         int8         // samples in a row that disagree with the published cost
}

// Quality is what the link does to packets, as it is published.
func (p *Peer) Quality() wire.Quality { return p.link.quality }

// Measured says whether any round trip was taken.
func (p *Peer) Measured() bool { return p.link.samples > 0 }

// Settled says whether enough round trips were taken for a median.
func (p *Peer) Settled() bool { return p.link.samples >= uint32(len(p.link.last)) }

// RTT is the smoothed round trip and its mean deviation.
func (p *Peer) RTT() (srtt, deviation Time) { return p.link.srtt, p.link.rttvar }

// Lost counts the last probes, at most so many, and those of them that were lost.
func (p *Peer) Lost(last int) (sent, lost int) {
	sent = min(int(p.link.probes), last)
	return sent, bits.OnesCount64(p.link.outcomes & (1<<sent - 1))
}

// Weight is what a link costs for routing: its latency, raised by what it
// loses, since a lost packet costs at least one more crossing.
func (p *Peer) Weight() uint64 {
	q := &p.link.quality
	return uint64(q.CostUs) * 1_000_000 / uint64(1_000_000-min(q.LossPpm, 900_000))
}

// measure takes a round trip. The published cost changes only after samples
// that agree on a change, so that routes do not flap.
func (k *link) measure(rtt Time, percent, samples int) {
	if k.samples == 0 || k.samples == 1 && rtt < k.srtt {
		// The first round trip may hold the handshake of the session: a shorter second
		// one counts alone.
		k.srtt, k.rttvar = rtt, rtt/2
	} else {
		d := k.srtt - rtt
		k.rttvar += (max(d, -d) - k.rttvar) / 4
		k.srtt += (rtt - k.srtt) / 8
	}
	k.vary(rtt)
	k.last[int(k.samples)%len(k.last)] = rtt
	k.samples++
	k.outcome(0)
	us := uint32(min(k.typical()/2/time.Microsecond, 1<<31))
	diff := int64(us) - int64(k.quality.CostUs)
	if max(diff, -diff)*100 > int64(k.quality.CostUs)*int64(percent) {
		k.over++
	} else {
		k.over = 0
	}
	// The first few are published as they come: what the cost was before is a guess.
	if k.samples <= 2*uint32(len(k.last)) || int(k.over) >= samples {
		k.quality.CostUs, k.over = max(us, 1), 0
	}
}

// vary takes a round trip into the link's jitter. It is J of RFC 3550, 6.4.1, for round
// trips and with the gain of a smoothed one: they are few. The variations of both ways
// add up as squares do, so that one way has the jitter of both over the root of two. The
// first round trip does not count: it may hold the handshake of the session.
func (k *link) vary(rtt Time) {
	if k.samples < 2 {
		return
	}
	d := rtt - k.last[int(k.samples-1)%len(k.last)]
	d = max(d, -d)
	if k.samples == 2 {
		k.jitter = d
	} else {
		k.jitter += (d - k.jitter) / 8
	}
	k.quality.JitterUs = uint32(min(float64(k.jitter/time.Microsecond)/math.Sqrt2, 1<<31))
}

// typical is the lower median of the last round trips: a host that was busy for a
// moment, or a full queue, moves a mean for many probes, and a median not at all.
func (k *link) typical() Time {
	v := k.last
	w := v[:min(int(k.samples), len(v))]
	slices.Sort(w)
	return w[(len(w)-1)/2]
}

// outcome notes a probe: 1 is lost, 0 is answered. A probe crosses the link twice, so
// one way loses half of what is lost. One lost probe of all is no evidence: a host may
// have been busy.
func (k *link) outcome(lost uint64) {
	k.outcomes = k.outcomes<<1 | lost
	k.probes = min(k.probes+1, 64)
	n := bits.OnesCount64(k.outcomes & (1<<k.probes - 1))
	ppm := 0
	if n > 1 {
		ppm = n * 1_000_000 / 2 / max(int(k.probes), 32)
	}
	if d := ppm - int(k.quality.LossPpm); max(d, -d) > 10_000 || ppm == 0 {
		k.quality.LossPpm = uint32(ppm)
	}
}

// onlyLate takes the last lost probe back: its answer came after all.
func (k *link) onlyLate() { k.outcomes, k.probes = k.outcomes>>1, k.probes-1 }
