// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"math/bits"
	"slices"
	"time"

	"sandstream/internal/overlay/wire"
)

// A subscriber whose contract is violated by loss, by what it measures itself, asks for
// a path that avoids the link which by the beats loses most. What others say of loss
// moves no stream, it only says where to look: the new parent sends beats, and no
// packets, until so many have arrived that its link is known to lose less than half as
// much. Then it sends packets, and only when its next beat is there the old one is left.

const (
	detourAfter = 3 * time.Second  // of violation; a second more for each host between the link and us
	detourRetry = 3 * time.Second  // after a request that brought nothing; doubled each time
	detourHold  = 10 * time.Second // after a change of path; doubled each time
	detourMost  = 80 * time.Second // of both
	detourCalm  = time.Minute      // met for so long, a contract starts anew
	detourOwn   = 75_000           // per million: less on our own link may be our own line
)

// detour is a stream's way around a lossy link.
type detour struct {
	next  wire.Peer // the new parent; zero: none
	trial linkLoss  // of its link
	ready bool      // it has been asked for packets
	by    Time      // its next beat is to be there
	at    Time      // no request before
	tries int       // in a row that changed nothing
	moved int       // changes of path in a row

	req  uint64
	link [2]wire.HostID // to be avoided: from, to
	loss uint32         // of that link, per million
}

// linkLoss tells how many of the last beats that the parent sent were lost.
type linkLoss struct {
	last  uint64 // number of the newest
	lost  uint64 // a bit for each of the last 64, the newest lowest
	count uint8  // how many of these there were
}

// took notes a beat by the number that the parent gave it.
func (l *linkLoss) took(number uint64) {
	switch {
	case l.last == 0 || number+8 < l.last:
		*l = linkLoss{last: number, count: 1} // a new parent, or one that counts anew
		return
	case number <= l.last:
		return // overtaken by another
	}
	for range min(number-l.last-1, 64) {
		l.add(1)
	}
	l.add(0)
	l.last = number
}

func (l *linkLoss) add(lost uint64) {
	l.lost = l.lost<<1 | lost
	l.count = min(l.count+1, 64)
}

// ppm is what the link loses one way; one or two lost beats are no evidence.
func (l *linkLoss) ppm() uint32 {
	n := bits.OnesCount64(l.lost)
	if n < 3 {
		return 0
	}
	return uint32(n * 1_000_000 / max(int(l.count), 32))
}

// below says whether the link is known to lose less than so many in a million: one more
// lost beat would not change that. never says that it cannot be.
func (l *linkLoss) below(ppm uint32) (yes, never bool) {
	n := uint64(bits.OnesCount64(l.lost))
	yes = (n+1)*1_000_000 <= uint64(ppm)*uint64(l.count)
	return yes, !yes && (l.count >= 64 || (n+1)*1_000_000 > uint64(ppm)*64)
}

// worstLink is the place in a path of the link that loses most, 0 if none does.
func worstLink(path []wire.Hop) int {
	worst := 0
	for i := 1; i < len(path); i++ {
		if path[i].LossPpm > path[worst].LossPpm {
			worst = i
		}
	}
	return worst
}

// avoidLoss asks for a path around the link that loses most, if that link alone loses
// more than the contract allows.
func (n *Streams) avoidLoss(u *sub, s *stream) {
	i := worstLink(s.path)
	d := &s.detour
	if s.publisher || s.broken || !d.next.ID.IsZero() || n.Now < d.at || i == 0 || s.path[i].LossPpm <= u.contract.LossPpm ||
		n.Now-u.since < detourAfter+Time(len(s.path)-1-i)*time.Second {
		return
	}
	if i == len(s.path)-1 && (s.path[i].LossPpm < detourOwn || n.badLine(s)) {
		return
	}
	m := &wire.SubReq{Stream: s.info.ID, Subscriber: n.Self, Contract: u.contract}
	to := s.path[i-1].Host
	again := d.tries%2 == 1
	switch {
	case i < len(s.path)-1:
		// Around the far end, and around those it feeds. Where others that it feeds
		// are in the way, the link between the near end and us remains.
		for _, h := range s.path[i : len(s.path)-1] {
			if len(m.Avoid) < wire.MaxAvoid {
				m.Avoid = append(m.Avoid, h.Host.ID)
			}
		}
		m.Direct = again
	case i > 1 && again:
		to, m.Direct = s.info.Publisher, true
	case i > 1: // our own link: from the host before our parent, around it
		m.Avoid = []wire.HostID{to.ID}
		to = s.path[i-2].Host
	default: // the publisher's link to us: over any other host
		m.Avoid = []wire.HostID{n.Self.ID}
	}
	for _, c := range s.children { // we feed them
		if len(m.Avoid) < wire.MaxAvoid {
			m.Avoid = append(m.Avoid, c.ID)
		}
	}
	m.Point = n.place.Near(to.ID)
	d.tries++
	d.at = n.Now + min(detourRetry<<min(d.tries-1, 8), detourMost)
	if r := n.requestPath(to, m, 1, 2*n.Cfg.RepairTimeout, ask{around: true}); r != nil {
		d.req, d.loss, d.link = r.ID, s.path[i].LossPpm, [2]wire.HostID{s.path[i-1].Host.ID, s.path[i].Host.ID}
		n.Count("detour-asked")
	}
}

// badLine says whether the other links of this host, by their last few probes, lose half
// as much as the one to its parent: then its own line does, and another path is no better.
func (n *Streams) badLine(s *stream) bool {
	const last = 4
	sent, lost := 0, 0
	for p := range n.links.All() {
		if p.ID != s.parent.ID {
			k, l := p.Lost(last)
			sent += k
			lost += l
		}
	}
	return uint64(lost)*2_000_000 >= uint64(s.path[len(s.path)-1].LossPpm)*uint64(max(sent, 16))
}

// onDetour tries a path that was asked for to avoid a link.
func (n *Streams) onDetour(s *stream, from wire.Peer, path []wire.Hop, degrade string) {
	d := &s.detour
	if s.broken || s.parent.ID == from.ID || !d.next.ID.IsZero() || degrade != "" && degrade != s.degraded || !n.around(s, path) {
		return
	}
	d.next, d.by, d.trial, d.ready = from, n.Now+n.Cfg.BeatTimeout, linkLoss{}, false
	n.links.Know(from)
	n.Send(from, &wire.Attach{Stream: s.info.ID, Degrade: degrade, Trial: true})
}

// around says whether a path to us avoids the link that it is to avoid, loses less than
// half as much, and keeps what the contracts here have.
func (n *Streams) around(s *stream, path []wire.Hop) bool {
	i := s.detour.on(s.path)
	if i == 0 || s.detour.on(path) > 0 {
		return false // or it has been left, or lost, meanwhile
	}
	// A link was picked in a bad moment: it counts as it is now.
	s.detour.loss = min(s.detour.loss, s.path[i].LossPpm)
	q, have := wire.QualityOf(path), wire.QualityOf(s.path)
	return q.LossPpm <= s.detour.loss/2 && !slices.ContainsFunc(n.subs, func(u *sub) bool {
		c := &u.contract
		return u.stream == s.info.ID && u.wants() && c.LatencyUs > 0 && have.CostUs <= c.LatencyUs && q.CostUs > c.LatencyUs
	})
}

// on is the place in a path of the link to be avoided, 0 if the path avoids it.
func (d *detour) on(path []wire.Hop) int {
	for i := 1; i < len(path); i++ {
		if path[i-1].Host.ID == d.link[0] && path[i].Host.ID == d.link[1] {
			return i
		}
	}
	return 0
}

// detourBeat takes a beat of the host that is tried as parent, and says whether it is
// the parent from now on.
func (n *Streams) detourBeat(s *stream, m *wire.Beat) bool {
	d := &s.detour
	p := n.links.Know(d.next)
	loop := slices.ContainsFunc(m.Path, func(h wire.Hop) bool { return h.Host.ID == n.Self.ID })
	path := append(slices.Clone(m.Path), wire.Hop{Host: n.Self, Quality: p.Quality()})
	if m.Leave || m.End || m.Info.ID != m.Stream || loop || !n.around(s, path) {
		n.dropDetour(s)
		return false
	}
	d.by = n.Now + n.Cfg.BeatTimeout
	if !d.ready {
		d.trial.took(m.Number)
		yes, never := d.trial.below(d.loss / 2)
		switch {
		case yes:
			d.ready = true
			n.Send(d.next, &wire.Attach{Stream: s.info.ID, Degrade: n.trialDegrade(m)})
		case never:
			n.dropDetour(s)
		}
		return false
	}
	to, trial := d.next, d.trial
	n.Event("path-detour", to, s.info.ID.String())
	d.next, d.tries = wire.Peer{}, 0
	d.at = n.Now + min(detourHold<<min(d.moved, 8), detourMost)
	d.moved++
	n.setParent(s, to, n.trialDegrade(m))
	s.link = trial
	for _, u := range n.subs {
		if u.stream == s.info.ID && u.wants() {
			u.deliveries = deliveries{}
			u.repairs++
		}
	}
	return true
}

// trialDegrade is the SPA that the sender of a beat runs for us, not one further up.
func (n *Streams) trialDegrade(m *wire.Beat) string {
	if len(m.Path) > 0 && m.Path[len(m.Path)-1].SPA == m.Degrade {
		return ""
	}
	return m.Degrade
}

// tryOn keeps the lease at a host that is tried, or gives it up if it is silent.
func (n *Streams) tryOn(s *stream, renew bool) {
	d := &s.detour
	switch {
	case d.next.ID.IsZero():
	case n.Now > d.by:
		n.dropDetour(s)
	case renew && !d.ready:
		n.Send(d.next, &wire.Attach{Stream: s.info.ID, Trial: true})
	}
}

// dropDetour lets go of a new parent that is not needed or does not answer.
func (n *Streams) dropDetour(s *stream) {
	n.Forget(s.detour.req)
	if p := s.detour.next; !p.ID.IsZero() {
		s.detour.next = wire.Peer{}
		if p.ID != s.parent.ID {
			n.Send(p, &wire.Detach{Stream: s.info.ID})
		}
	}
}
