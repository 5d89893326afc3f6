// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
	"sandstream/internal/overlay/zones"
)

// sub is a subscription of the local user.
type sub struct {
	id       SubID
	stream   wire.StreamID
	name     string
	byName   bool // the stream is looked for by its name
	contract wire.Contract
	asked    uint64 // MinRateBps of the whole stream, if this is a part, see wire.Part

	state  ContractState
	reason string
	since  Time // of the state
	// met says that it was served once: it is then not refused for what a crash or a
	// partition makes of the paths.
	met bool

	search
	predicted wire.Quality // of the path
	deliveries
	exchange exchange
	repairs  int // times the path was made anew
}

// search is a subscription looking for its stream and for a path.
type search struct {
	req   uint64
	found bool      // the directory had an entry: the stream exists
	lost  bool      // it was served, and no host knows a path any more
	none  Time      // since when the directory says that there is none; 0 if it does not
	next  Time      // of a waiting one: when it is looked for again
	from  wire.Peer // the publisher, once a path from it was known

	entries []wire.StreamInfo // of the directory, still to be tried
	low     string            // one of them was of too low a rate, and
	hope    bool              // one may have a path another time

	avoid []wire.HostID // that the first path is to stay clear of
}

// deliveries is what the data plane reports.
type deliveries struct {
	recent  [4]Report // the last two seconds, as they are reported
	reports int
}

// scale asks of a part no more than its share of the rate.
func (u *sub) scale(i *wire.StreamInfo) {
	if len(i.Parts) == 0 && u.asked == 0 {
		return
	}
	if u.asked == 0 {
		u.asked = u.contract.MinRateBps
	}
	u.contract.MinRateBps = uint64(float64(u.asked) * i.Share())
}

// wants says whether packets are to be delivered.
func (u *sub) wants() bool {
	switch u.state {
	case Admitted, AtRisk, Violated, Interrupted:
		return true
	case Resolving, Refused, Withdrawn, BrokenOff, Evicted, Expired, Lost:
	}
	return false
}

const (
	// The longest a subscription waits for its next try.
	maxRetry = 15 * time.Second
	// A stream is taken not to exist if the directory says so for so long. When an
	// entry's owner has just changed it may say so of a stream that does exist, until
	// the publisher renews the entry.
	noneTime = 2*putInterval + time.Second
	calmTime = 30 * time.Second
)

// wait tries again later, and says why. A subscription is the user's wish: nothing but
// his word, the publisher's, or a contract that no path can meet ends it. An eighth of
// the time that it waits already: it comes back soon after a short break, and a stream
// that is gone for good costs little.
func (n *Streams) wait(u *sub, why string) {
	u.req = 0
	d := n.Jitter(min(max((n.Now-u.since)/8, 2*n.Cfg.RetryInterval), maxRetry))
	u.next = n.Now + d
	n.After(d, turn.Timer{Of: turn.Streams, What: timerSub, Key: uint64(u.id)})
	n.setSub(u, Resolving, "waiting: "+why)
}

// soon tries again as soon as there may be room for a request.
func (n *Streams) soon(u *sub) {
	u.next = n.Now + n.Cfg.RetryInterval
	n.After(n.Cfg.RetryInterval, turn.Timer{Of: turn.Streams, What: timerSub, Key: uint64(u.id)})
}

// Subscribe asks for a stream by its id, or with a zero id by its public name. What
// becomes of it is told by SubChanged. The first path leads over none of the hosts
// avoid, at most wire.MaxAvoid: over these come the other parts of a split stream.
func (n *Streams) Subscribe(id wire.StreamID, name string, c wire.Contract, avoid []wire.HostID) (SubID, error) {
	if len(avoid) > wire.MaxAvoid {
		return 0, fmt.Errorf("subscribe: hosts to avoid: %d, at most %d", len(avoid), wire.MaxAvoid)
	}
	if err := c.Check(); err != nil {
		return 0, fmt.Errorf("subscribe: %w", err)
	}
	switch {
	case id == wire.StreamID{} && name == "":
		return 0, errors.New("subscribe: neither a stream id nor a name given")
	case len(name) > wire.MaxName:
		return 0, fmt.Errorf("subscribe: a name has at most %d bytes", wire.MaxName)
	case !n.member() && n.place.State() != zones.Joining:
		return 0, fmt.Errorf("subscribe: this host is %s, not a member of the overlay", n.place.State())
	case len(n.subs) >= n.Cfg.MaxSubs:
		return 0, fmt.Errorf("subscribe: this host has %d subscriptions, and no more may be", len(n.subs))
	}
	n.subSeq++
	u := &sub{id: SubID(n.subSeq), stream: id, name: name, byName: id == wire.StreamID{}, contract: c, since: n.Now, search: search{avoid: slices.Clone(avoid)}}
	n.subs = append(n.subs, u)
	n.resolve(u)
	return u.id, nil
}

// Unsubscribe ends a subscription.
func (n *Streams) Unsubscribe(id SubID) error {
	i := slices.IndexFunc(n.subs, func(u *sub) bool { return u.id == id })
	if i < 0 {
		return fmt.Errorf("unsubscribe: no subscription %d", id)
	}
	u := n.subs[i]
	n.subs = slices.Delete(n.subs, i, i+1)
	n.Emit(SubChanged{Sub: n.subStatus(u), Ended: true})
	n.released(u.stream)
	return nil
}

// released follows the end of a local interest in a stream.
func (n *Streams) released(id wire.StreamID) {
	s := n.streams[id]
	switch {
	case s == nil:
	case s.publisher || len(s.children) > 0 || len(n.locals(s)) > 0:
		n.forward(s)
	default:
		n.drop(s)
	}
}

func (n *Streams) subByID(id SubID) *sub {
	for _, u := range n.subs {
		if u.id == id {
			return u
		}
	}
	return nil
}

// setSub changes a subscription's state and tells.
func (n *Streams) setSub(u *sub, st ContractState, reason string) {
	if u.state == st && u.reason == reason {
		return
	}
	wanted := u.wants()
	if u.state != st {
		u.since = n.Now
	}
	u.state, u.reason = st, reason
	if u.wants() && st != Interrupted {
		u.met, u.lost, u.none, u.entries = true, false, 0, nil
	}
	n.Emit(SubChanged{Sub: n.subStatus(u)})
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
func (n *Streams) resolve(u *sub) {
	if n.joinTree(u) {
		return
	}
	p := wire.PointOfStream(u.stream, n.Cfg.Radix)
	if u.byName && !u.met {
		p = wire.PointOfName(u.name, n.Cfg.Radix)
	}
	m := &wire.Lookup{Kind: wire.Get, Target: p, Origin: n.Self}
	r := &turn.Request{To: n.place.Somebody(), Msg: m, Tries: 3, Wait: 2 * n.Cfg.RetryInterval, Yields: true}
	id := u.id
	r.Then = func(_ wire.Peer, m wire.Message) { n.entriesFound(id, m.(*wire.Found).Infos, "") }
	r.Failed = func() { n.entriesFound(id, nil, "the directory does not answer") }
	if n.Ask(r) {
		u.req = r.ID
	} else {
		n.soon(u)
	}
}

// joinTree settles a subscription by the path that the stream already has to us, and
// says whether it could. Where that is not good enough for a new contract, a path is
// asked for first.
func (n *Streams) joinTree(u *sub) bool {
	s := n.streams[u.stream]
	if s == nil || s.broken || len(s.path) == 0 {
		return false
	}
	u.scale(&s.info)
	u.predicted = wire.QualityOf(s.path)
	if !u.met && !s.publisher && !u.exchange.underWay && n.breach(u, s) != "" {
		return false
	}
	n.evaluate(u, s)
	return u.state != Resolving || u.exchange.underWay
}

// entriesFound follows a look into the directory; why says what went wrong, if anything
// did.
func (n *Streams) entriesFound(id SubID, infos []wire.StreamInfo, why string) {
	u := n.subByID(id)
	if u == nil || u.state != Resolving {
		return
	}
	// Entries are not signed: of several, each is tried in turn.
	infos = slices.DeleteFunc(slices.Clone(infos), func(i wire.StreamInfo) bool {
		if u.byName && !u.met {
			return !i.Public || i.Name != u.name
		}
		return i.ID != u.stream
	})
	if len(infos) == 0 {
		n.notFound(u, why)
		return
	}
	u.found, u.none = true, 0
	u.entries, u.low, u.hope = inTurn(infos), "", false
	n.nextEntry(u, "")
}

// inTurn orders entries as they are tried; they come in order of arrival. Of a
// publisher's the newest is first: what it left behind when it ended without a
// word is older. Of the publishers the oldest is first, and each has one try
// before any has two: who puts entries of his own beside another's, however many
// and how often, does not come before it, and delays it by a try.
func inTurn(infos []wire.StreamInfo) []wire.StreamInfo {
	var pubs []wire.HostID
	of := map[wire.HostID][]wire.StreamInfo{}
	for _, i := range infos {
		p := i.Publisher.ID
		if !slices.Contains(pubs, p) {
			pubs = append(pubs, p)
		}
		of[p] = append(of[p], i)
	}
	v := make([]wire.StreamInfo, 0, len(infos))
	for back := 1; len(v) < len(infos); back++ {
		for _, p := range pubs {
			if l := of[p]; back <= len(l) {
				v = append(v, l[len(l)-back])
			}
		}
	}
	return v
}

// nextEntry tries the next entry of the directory; why says what became of the
// one before.
func (n *Streams) nextEntry(u *sub, why string) {
	for len(u.entries) > 0 {
		info := u.entries[0]
		u.entries = u.entries[1:]
		u.stream = info.ID
		u.scale(&info)
		if c := &u.contract; !u.met && !c.BestEffort && info.RateBps > 0 && c.MinRateBps > info.RateBps {
			u.low = fmt.Sprintf("the publisher sends %d bit/s, %d asked", info.RateBps, c.MinRateBps)
			continue
		}
		if !n.joinTree(u) {
			n.askPath(u, info.Publisher, u.avoid)
		}
		return
	}
	if u.low != "" && !u.hope {
		n.setSub(u, Refused, u.low)
		return
	}
	n.wait(u, cmp.Or(why, "the publisher finds no path"))
}

// noSuchStream is why an entry was of no use.
const noSuchStream = "the publisher has no such stream"

// NoPublisher is why a stream is refused that does not exist.
const NoPublisher = "no host publishes this stream"

// notFound follows a look into the directory that brought nothing; why is "" if the
// owner answered that it has no entry.
func (n *Streams) notFound(u *sub, why string) {
	u.entries, u.low = nil, ""
	switch {
	case !u.from.ID.IsZero():
		// The directory is soft state, and may have lost the entry; the publisher knows.
		n.askPath(u, u.from, nil)
		return
	case why != "" || u.found:
		u.none = 0
	case u.none == 0 || !n.place.Calm(calmTime):
		u.none = n.Now
	case n.Now-u.none >= noneTime:
		n.setSub(u, Refused, NoPublisher)
		return
	}
	if why == "" {
		why = "stream not found"
	}
	n.wait(u, why)
}

// subsStuck looks whether anything is under way for those who wait.
func (n *Streams) subsStuck() {
	for _, u := range slices.Clone(n.subs) {
		if u.state != Resolving || n.Now-u.since < 8*n.Cfg.RepairTimeout {
			continue
		}
		switch {
		case u.exchange.underWay && !n.MayExchange(u.stream) && !n.place.Moving():
			n.NotExchanged(u.stream, "it came to nothing")
		case !u.exchange.underWay:
			n.subDue(u.id)
		}
	}
}

func (n *Streams) subDue(id SubID) {
	if u := n.subByID(id); u != nil && u.state == Resolving && n.Request(u.req) == nil && n.Now >= u.next {
		n.resolve(u)
	}
}
