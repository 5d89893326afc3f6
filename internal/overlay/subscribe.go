// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// sub is a subscription of the local user.
type sub struct {
	id       SubID
	stream   StreamID
	name     string
	byName   bool // the stream is looked for by its name
	contract Contract
	state    ContractState
	reason   string

	predictedUs, predictedPpm uint32
	recent                    [4]Report // the last two seconds, as they are reported
	reports                   int
	req                       uint64
	tries                     int
	swaps, repairs            int
	since                     Time // of the state
	swapping                  bool
	// met says that it was admitted once: it is then sought again for as long as it
	// takes, and not refused for what a crash or a partition makes of the paths.
	met bool

	avoid []HostID // that the first path is to stay clear of
	asked uint64   // MinRateBps of the whole stream, if this is a part, see Part
}

// wants says whether packets are to be delivered.
func (u *sub) wants() bool {
	switch u.state {
	case Admitted, AtRisk, Violated, Interrupted:
		return true
	case Resolving, Refused, Withdrawn:
	}
	return false
}

const (
	subTries  = 6
	lostTries = 600 // of one that was admitted once, a second apart
	lostRetry = time.Second
)

// again asks once more later, if there are tries left.
func (n *Node) again(u *sub, wait Time) bool {
	switch {
	case u.met && u.tries < lostTries:
		n.after(lostRetry, timer{what: tSub, key: uint64(u.id)})
	case !u.met && u.tries < subTries:
		n.after(wait, timer{what: tSub, key: uint64(u.id)})
	default:
		return false
	}
	return true
}

// Subscribe asks for a stream by its id, or with a zero id by its public name.
// What becomes of it is told by SubChanged.
func (n *Node) Subscribe(now Time, id StreamID, name string, c Contract) (SubID, error) {
	return n.subscribe(now, id, name, c, nil)
}

func (n *Node) subscribe(now Time, id StreamID, name string, c Contract, avoid []HostID) (SubID, error) {
	n.advance(now)
	if err := c.Check(); err != nil {
		return 0, fmt.Errorf("subscribe: %w", err)
	}
	switch {
	case id == StreamID{} && name == "":
		return 0, errors.New("subscribe: neither a stream id nor a name given")
	case len(name) > MaxName:
		return 0, fmt.Errorf("subscribe: a name has at most %d bytes", MaxName)
	case n.state != Member && n.state != Joining:
		return 0, fmt.Errorf("subscribe: this host is %s, not a member of the overlay", n.state)
	case len(n.subs) >= n.cfg.MaxSubs:
		return 0, fmt.Errorf("subscribe: this host has %d subscriptions, and no more may be", len(n.subs))
	}
	n.subSeq++
	u := &sub{id: SubID(n.subSeq), stream: id, name: name, byName: id == StreamID{}, contract: c, since: now, avoid: slices.Clone(avoid)}
	n.subs = append(n.subs, u)
	n.resolve(u)
	return u.id, nil
}

// Unsubscribe ends a subscription.
func (n *Node) Unsubscribe(now Time, id SubID) error {
	n.advance(now)
	i := slices.IndexFunc(n.subs, func(u *sub) bool { return u.id == id })
	if i < 0 {
		return fmt.Errorf("unsubscribe: no subscription %d", id)
	}
	u := n.subs[i]
	n.subs = slices.Delete(n.subs, i, i+1)
	n.emit(SubChanged{Sub: n.subStatus(u), Ended: true})
	n.released(u.stream)
	return nil
}

// released follows the end of a local interest in a stream.
func (n *Node) released(id StreamID) {
	s := n.streams[id]
	switch {
	case s == nil:
	case s.publisher || len(s.children) > 0 || len(n.locals(s)) > 0:
		n.forward(s)
	default:
		n.drop(s)
	}
}

func (n *Node) subByID(id SubID) *sub {
	for _, u := range n.subs {
		if u.id == id {
			return u
		}
	}
	return nil
}

// setSub changes a subscription's state and tells.
func (n *Node) setSub(u *sub, st ContractState, reason string) {
	if u.state == st && u.reason == reason {
		return
	}
	wanted := u.wants()
	if u.state != st {
		u.since = n.now
	}
	u.state, u.reason = st, reason
	if st == Admitted {
		u.met, u.tries = true, 0
	}
	n.emit(SubChanged{Sub: n.subStatus(u)})
	if wanted != u.wants() {
		if s := n.streams[u.stream]; s != nil {
			if u.wants() {
				n.forward(s)
			} else {
				n.released(u.stream)
			}
		}
	}
}

// resolve reads the directory, then asks for a path.
func (n *Node) resolve(u *sub) {
	u.tries++
	if s := n.streams[u.stream]; s != nil && !s.broken && len(s.path) > 0 {
		u.scale(&s.info)
		n.evaluate(u, s)
		if u.state != Resolving || u.swapping {
			return
		}
	}
	p := n.pointOfStream(u.stream)
	if u.byName {
		p = n.pointOfName(u.name)
	}
	m := &Lookup{Kind: Get, Target: p, Origin: n.self}
	r := &request{what: reqGet, msg: m, tries: 3, wait: 2 * n.cfg.RetryInterval, sub: u.id}
	if n.request(r) {
		u.req = r.id
	} else {
		n.after(n.cfg.RetryInterval, timer{what: tSub, key: uint64(u.id)})
	}
}

func (n *Node) getFailed(r *request) { n.getAnswer(r, nil, "the directory does not answer") }

func (n *Node) getFound(r *request, f *Found) { n.getAnswer(r, f.Infos, "") }

func (n *Node) getAnswer(r *request, infos []StreamInfo, why string) {
	u := n.subByID(r.sub)
	if u == nil || u.state != Resolving {
		return
	}
	// Entries are not signed: of several, each is tried in turn.
	infos = slices.DeleteFunc(slices.Clone(infos), func(i StreamInfo) bool {
		if u.byName {
			return !i.Public || i.Name != u.name
		}
		return i.ID != u.stream
	})
	if len(infos) == 0 {
		if n.again(u, 2*n.cfg.RetryInterval) {
			return
		}
		if why == "" {
			why = "no host publishes this stream"
		}
		n.setSub(u, Refused, why)
		return
	}
	info := infos[(u.tries-1)%len(infos)]
	u.stream = info.ID
	u.scale(&info)
	if c := u.contract; info.RateBps > 0 && c.MinRateBps > info.RateBps {
		if u.tries < len(infos) {
			n.after(n.cfg.RetryInterval, timer{what: tSub, key: uint64(u.id)})
			return
		}
		n.setSub(u, Refused, fmt.Sprintf("the publisher sends %d bit/s, %d asked", info.RateBps, c.MinRateBps))
		return
	}
	if s := n.streams[u.stream]; s != nil && !s.broken && len(s.path) > 0 {
		n.evaluate(u, s)
		if u.state != Resolving || u.swapping {
			return
		}
	}
	n.askPath(u, info.Publisher, u.avoid)
}

// askPath asks a host of the tree for a path to us.
func (n *Node) askPath(u *sub, to Peer, exclude []HostID) {
	m := &SubReq{Stream: u.stream, Subscriber: n.self, Point: n.ownPoint(to.ID), Contract: u.contract, Exclude: exclude}
	r := &request{what: reqSub, to: to, msg: m, tries: 3, wait: 2 * n.cfg.RepairTimeout, strm: u.stream, sub: u.id}
	if n.request(r) {
		u.req = r.id
	} else {
		n.after(n.cfg.RetryInterval, timer{what: tSub, key: uint64(u.id)})
	}
}

// subReqFailed follows a SubReq that came to nothing.
func (n *Node) subReqFailed(r *request) {
	if u := n.subByID(r.sub); u != nil && u.state == Resolving {
		if !n.again(u, n.cfg.RetryInterval) {
			n.setSub(u, Refused, "the publisher finds no path")
		}
		return
	}
	if s := n.streams[r.strm]; s != nil && s.broken {
		if len(s.avoid) < maxAvoid && r.to.ID != s.info.Publisher.ID {
			s.avoid = append(s.avoid, r.to.ID)
		}
		n.repair(s)
	}
}

// subsStuck looks whether anything is under way for those who wait.
func (n *Node) subsStuck() {
	for _, u := range slices.Clone(n.subs) {
		if u.state != Resolving || n.now-u.since < 8*n.cfg.RepairTimeout {
			continue
		}
		swap := false
		for _, r := range n.pending {
			swap = swap || r.what == reqSwap && r.strm == u.stream
		}
		switch {
		case u.swapping && !swap && n.out == nil && len(n.in) == 0:
			n.swapFailed(u.stream, "it came to nothing")
		case !u.swapping && n.pending[u.req] == nil:
			n.resolve(u)
		}
	}
}

func (n *Node) subDue(id SubID) {
	if u := n.subByID(id); u != nil && u.state == Resolving && n.pending[u.req] == nil {
		n.resolve(u)
	}
}

// onSubReq starts a path from this host of the tree.
func (n *Node) onSubReq(from Peer, m *SubReq) {
	if m.Subscriber.ID != from.ID {
		n.counts["sub-for-another"]++
		return
	}
	s := n.streams[m.Stream]
	if s == nil || s.broken || len(s.path) == 0 || s.onPath(from.ID) {
		n.send(from, &NoStream{Stream: m.Stream, Req: m.Req})
		return
	}
	req := *m
	req.Subscriber = from
	n.graftOn(s, &req, 0, n.budget(s, &req))
}

// graftOn sends a graft one hop on.
func (n *Node) graftOn(s *stream, m *SubReq, hops uint8, budgetUs uint32) {
	refuse := func(why string) { n.send(m.Subscriber, &Refuse{Req: m.Req, Stream: m.Stream, Reason: why}) }
	if len(s.path) >= MaxPath || hops >= MaxPath {
		refuse(fmt.Sprintf("the path has %d hops and no end", len(s.path)))
		return
	}
	next := m.Subscriber
	if !m.Direct && !n.covers(m.Point) {
		p, detour := n.nextHop(m.Point, func(h HostID) bool {
			return slices.Contains(m.Exclude, h) || s.onPath(h)
		})
		switch {
		case p != nil && !detour:
			next = p.Peer
		default:
			// No greedy way: the link between any two hosts is always there.
			n.counts["graft-direct"]++
		}
		next = n.cutShort(m, next, budgetUs)
	}
	degrade, why := n.admit(s, next, &m.Contract)
	if why != "" {
		refuse(why)
		return
	}
	g := &Graft{SubReq: *m, Info: s.info, Path: s.path, BudgetUs: noBudget, Degrade: degrade, Hops: hops + 1, LinkUs: n.costTo(next.ID)}
	if p := n.peers[next.ID]; p != nil {
		g.LinkPpm, g.Measured = p.lossPpm, p.samples > 0
	}
	if budgetUs != noBudget {
		g.BudgetUs = budgetUs - min(budgetUs, g.LinkUs)
	}
	n.send(next, g)
}

// cutShort takes the direct link to the subscriber where the hop that greedy
// routing picks would use up what is left of the latency asked for, and the
// direct link, if we know it, would not.
func (n *Node) cutShort(m *SubReq, next Peer, budgetUs uint32) Peer {
	direct := n.peers[m.Subscriber.ID]
	if budgetUs == noBudget || direct == nil || direct.samples == 0 {
		return next
	}
	if n.costTo(next.ID) >= budgetUs && direct.costUs <= budgetUs {
		n.counts["graft-cut-short"]++
		return direct.Peer
	}
	return next
}

// budget is what a path to us leaves of the latency that a contract asks for.
func (n *Node) budget(s *stream, m *SubReq) uint32 {
	if m.Contract.LatencyUs == 0 {
		return noBudget
	}
	us, _ := predict(s.path)
	return m.Contract.LatencyUs - min(m.Contract.LatencyUs, us)
}

// admit says whether this host can send the stream to next, and with which
// degrading SPA; else why not.
func (n *Node) admit(s *stream, next Peer, c *Contract) (spa, why string) {
	fits := func(spa string) bool {
		if spa != "" && float64(s.info.RateBps)*n.share(spa) < float64(c.MinRateBps) {
			return false
		}
		extra := float64(s.info.RateBps) * n.share(spa)
		for _, ch := range s.children {
			if ch.ID == next.ID {
				extra -= float64(s.info.RateBps) * n.share(ch.spa)
			}
		}
		return n.cfg.CapacityBps == 0 || extra <= 0 || n.load()+extra <= float64(n.cfg.CapacityBps)
	}
	if s.degraded != "" && !c.BestEffort && !slices.Contains(c.Degrade, s.degraded) {
		return "", fmt.Sprintf("the path is thinned out by %s above %s, which the contract does not accept", s.degraded, n.self.ID)
	}
	if s.degraded != "" || fits("") {
		return "", ""
	}
	for _, spa := range c.Degrade {
		if fits(spa) {
			return spa, ""
		}
	}
	free := max(0, float64(n.cfg.CapacityBps)-n.load())
	return "", fmt.Sprintf("host %s has %.0f bit/s of its uplink left, the stream needs %d", n.self.ID, free, s.info.RateBps)
}

// predict adds up a path: latency in microseconds and loss per million.
func predict(path []Hop) (us, ppm uint32) {
	keep := 1.0
	var sum uint64
	for _, h := range path {
		sum += uint64(h.CostUs) + uint64(h.StayUs)
		keep *= 1 - float64(min(h.LossPpm, 1_000_000))/1e6
	}
	return uint32(min(sum, noBudget-1)), uint32((1 - keep) * 1e6)
}

// onGraft joins a path that comes by, and sends it on.
func (n *Node) onGraft(from Peer, m *Graft) {
	s := n.streams[m.Stream]
	bad := len(m.Path) == 0 || len(m.Path) >= MaxPath || m.Path[len(m.Path)-1].Host.ID != from.ID || m.Info.ID != m.Stream ||
		slices.ContainsFunc(m.Path, func(h Hop) bool { return h.Host.ID == n.self.ID })
	if bad || s != nil && s.publisher || n.state != Member {
		n.counts["graft-dropped"]++
		return
	}
	if m.Subscriber.ID == n.self.ID && !n.askedFor(&m.SubReq) {
		n.counts["graft-unasked"]++
		return
	}
	p := n.peer(from)
	hop := Hop{Host: n.self, CostUs: p.costUs, LossPpm: p.lossPpm, SPA: m.Degrade}
	if p.samples == 0 && m.Measured {
		hop.CostUs, hop.LossPpm = m.LinkUs, m.LinkPpm
	}
	path := append(slices.Clone(m.Path), hop)
	if s == nil {
		if len(n.streams) >= n.cfg.MaxForwarded {
			n.send(m.Subscriber, &Refuse{Req: m.Req, Stream: m.Stream, Reason: fmt.Sprintf("host %s carries %d streams, and no more may be", n.self.ID, len(n.streams))})
			return
		}
		s = n.addStream(m.Info)
	}
	cost, _ := predict(path)
	have, _ := predict(s.path)
	switch {
	case s.parent.ID == from.ID && !s.broken && s.degraded == m.Degrade:
		s.path = path
	case s.parent.ID.IsZero() || s.broken || s.parent.ID == from.ID,
		// One parent only. A clearly better path wins if we asked for it: what
		// others say of costs moves no stream of ours.
		m.Subscriber.ID == n.self.ID && n.pending[m.Req] != nil && uint64(cost)*10 < uint64(have)*9,
		s.degraded != "" && m.Degrade == "":
		repaired := s.broken
		s.path = path
		n.setParent(s, from, m.Degrade)
		n.forward(s)
		if repaired {
			for _, u := range n.subs {
				if u.stream == m.Stream && u.state == Interrupted {
					u.repairs++
				}
			}
		}
	}
	if m.Subscriber.ID != n.self.ID {
		req := m.SubReq
		left := m.BudgetUs
		if s.parent.ID != from.ID {
			left = n.budget(s, &req) // the stream comes here another way
		}
		n.graftOn(s, &req, m.Hops, left)
		return
	}
	n.answered(m.Req, reqSub)
	n.pathKnown(s, true)
}

// askedFor says whether a path that ends here is one we asked for, be it late.
func (n *Node) askedFor(m *SubReq) bool {
	if r := n.pending[m.Req]; r != nil {
		return r.what == reqSub && r.strm == m.Stream
	}
	if s := n.streams[m.Stream]; s != nil && s.req == m.Req && m.Req != 0 {
		return true
	}
	return slices.ContainsFunc(n.subs, func(u *sub) bool { return u.req == m.Req && u.stream == m.Stream && m.Req != 0 })
}

func (n *Node) onRefuse(_ Peer, m *Refuse) {
	r := n.answered(m.Req, reqSub)
	if r == nil {
		return
	}
	if u := n.subByID(r.sub); u != nil && u.state == Resolving && !u.met {
		n.setSub(u, Refused, m.Reason)
		return
	}
	n.subReqFailed(r)
}

// pathKnown follows a path: a new one that we asked for, or one confirmed by a
// beat. Who still waits for an answer is not judged by the path there was.
func (n *Node) pathKnown(s *stream, asked bool) {
	for _, u := range slices.Clone(n.subs) {
		if u.stream == s.info.ID && (asked || u.state != Resolving) {
			n.evaluate(u, s)
		}
	}
}

// evaluate compares a subscription's contract with its path and with what was
// delivered.
func (n *Node) evaluate(u *sub, s *stream) {
	u.predictedUs, u.predictedPpm = predict(s.path)
	switch u.state {
	case Resolving:
		if u.swapping {
			return
		}
		why := n.breach(u, s)
		switch {
		case u.met: // what is delivered is judged from now on
			u.repairs++
			u.recent, u.reports = [4]Report{}, 0
			n.setSub(u, Admitted, "")
		case why == "":
			n.setSub(u, Admitted, "")
		case n.mayStartSwap(u):
			n.startSwap(u, s)
		case u.contract.BestEffort:
			n.setSub(u, Violated, why)
		default:
			n.setSub(u, Refused, why)
		}
	case Interrupted:
		u.recent, u.reports = [4]Report{}, 0
		n.setSub(u, Admitted, "")
	case Admitted, AtRisk, Violated:
		n.judge(u)
	case Refused, Withdrawn:
	}
}

// breach says how the predicted path falls short of the contract, "" if it does not.
func (n *Node) breach(u *sub, s *stream) string {
	c := &u.contract
	if c.LatencyUs > 0 && u.predictedUs > c.LatencyUs {
		return fmt.Sprintf("the path takes %.1f ms, %.1f asked", float64(u.predictedUs)/1e3, float64(c.LatencyUs)/1e3)
	}
	if c.LossPpm > 0 && u.predictedPpm > c.LossPpm {
		return fmt.Sprintf("the path loses %.2f %%, %.2f asked", float64(u.predictedPpm)/1e4, float64(c.LossPpm)/1e4)
	}
	if s.degraded != "" && !slices.Contains(c.Degrade, s.degraded) {
		return fmt.Sprintf("the path is thinned out by %s, which the contract does not accept", s.degraded)
	}
	rate := float64(s.info.RateBps) * n.share(s.degraded)
	if c.MinRateBps > 0 && s.info.RateBps > 0 && rate < float64(c.MinRateBps) {
		return fmt.Sprintf("the path brings %.0f bit/s, %d asked", rate, c.MinRateBps)
	}
	return ""
}

// Measured takes what the data plane delivered to a subscription since the last
// call.
func (n *Node) Measured(now Time, id SubID, r Report) {
	n.advance(now)
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
func (n *Node) judge(u *sub) {
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
		have := u.predictedUs
		if w.Packets > 0 {
			have = w.P99Us
		}
		bound("latency (ms)", float64(have)/1e3, float64(c.LatencyUs)/1e3)
	}
	if c.LossPpm > 0 && w.Packets+w.Lost >= 100 {
		bound("loss (%)", 100*float64(w.Lost)/float64(w.Packets+w.Lost), float64(c.LossPpm)/1e4)
	}
	if c.MinRateBps > 0 && u.reports >= len(u.recent) && w.Duration >= time.Second {
		if have, want := float64(w.RateBps), float64(c.MinRateBps); have < want {
			broken = fmt.Sprintf("rate %.0f of %.0f bit/s", have, want)
		} else if have < 1.1*want {
			risk = fmt.Sprintf("rate %.0f of %.0f bit/s", have, want)
		}
	}
	switch {
	case broken != "":
		if u.state == Violated {
			u.reason = broken // the figures move, the state does not
		} else {
			n.setSub(u, Violated, broken)
		}
		if s := n.streams[u.stream]; s != nil && n.now-u.since > 3*time.Second && c.LatencyUs > 0 && u.predictedUs > c.LatencyUs && n.mayStartSwap(u) {
			n.startSwap(u, s)
		}
	case risk != "":
		if u.state == AtRisk {
			u.reason = risk
		} else {
			n.setSub(u, AtRisk, risk)
		}
	default:
		n.setSub(u, Admitted, "")
	}
}
