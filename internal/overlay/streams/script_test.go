// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"sandstream/internal/overlay/links"
	"sandstream/internal/overlay/script"
	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
	"sandstream/internal/overlay/zones"
)

// TestScripts plays what testdata says. Beside the commands that all scripts know:
//
//	capacity BITS                    what the host may send, per second
//	config FIELDS                    other limits and times
//	place WORD...                    how the cube looks from here; see standIn.set
//	publish FIELDS | withdraw $STREAM
//	subscribe $STREAM|NAME FIELDS    FIELDS are the contract's, and avoid:[HOST...]
//	list ID | names-from ID ZONE     a part of the directory, as it is asked for and answered
//	unsubscribe N | leave | died HOST | maintain
//	measured N FIELDS                a Report of subscription N
//	delivers N FIELDS                one each half second from now on; without FIELDS no more
//	beats HOST [lose:N] FIELDS       HOST sends this beat five times a second from now on,
//	                                 numbered, every Nth lost; without FIELDS no more
//	directory FIELDS|empty|silent
//	                                 what o finds from now on for each lookup of an entry
//	thinned $STREAM SPA IN OUT [N]   N reports, each of so many bytes
//	residence $STREAM US
//	lookup HOST $STREAM|NAME FIELDS  HOST's lookup for an id of ours, and what it finds
//	of ZONE... | keep FIELDS         entries for a new owner of zones; from a former one
//	exchanged HOST $STREAM | not-exchanged $STREAM WHY | may-exchange $STREAM
//	probes-lost HOST N               so many probes of a host are lost, though it lives
//	know HOST...                     links to these are measured
//	uses                             hosts that streams need
//	count WHAT                       how often it happened
//	show                             what passes this host, and subscriptions
//
// The cube is a stand-in whose answers the script gives.
func TestScripts(t *testing.T) {
	script.Play(t, "testdata", func() *script.Machine {
		n, place := newStreams(turn.DefaultConfig())
		m := &script.Machine{Turn: n.Turn}
		others := &others{m: m, n: n, beats: map[wire.HostID]*beats{}, delivers: map[SubID]Report{}}
		m.Handle = func(from wire.Peer, msg wire.Message) {
			n.links.Heard(from)
			if f, ok := msg.(*wire.Found); ok { // of class routing: the machine below hands it over
				if r := turn.Answered[*wire.Lookup](n.Turn, f.Req); r != nil && r.Then != nil {
					r.Then(from, msg)
				}
				return
			}
			n.Handle(from, msg)
		}
		m.Due = func(t turn.Timer) {
			switch t.Of {
			case turn.Requests:
				n.Retry(t.Key)
			case turn.Links:
				n.links.Due(t)
			case turn.Streams:
				n.Due(t)
			case turn.Zones: // of the script
				others.due(t)
			}
		}
		m.Ack = func(to wire.Peer, p *wire.Ping) {
			n.links.Heard(to)
			n.links.Handle(to, &wire.Ack{Seq: p.Seq})
		}
		m.Print = printEffect
		m.Command = func(d *datadriven.TestData) (string, bool) { return command(m, n, place, others, d) }
		// Lookups leave for wherever the cube leads them.
		n.Route = func(l *wire.Lookup) {
			n.Emit(routed(m.Format(l)))
			others.asked(l)
		}
		return m
	})
}

// newStreams is a machine on a stand-in for the cube.
func newStreams(cfg turn.Config) (*Streams, *standIn) {
	t := turn.New(cfg, script.Host(script.Self), 1)
	l := links.New(t)
	place := &standIn{t: t, links: l, state: zones.Member, calm: true}
	l.Up = place
	n := New(t, l, place)
	place.died = n.Died
	return n, place
}

type routed string

func (routed) Effect() {}

func printEffect(e turn.Effect) string {
	switch e := e.(type) {
	case Forward:
		if e.Entry == nil {
			return "forward " + script.StreamName(e.Stream) + " no more"
		}
		return "forward " + script.StreamName(e.Stream) + entryText(e.Entry)
	case SubChanged:
		s := subText(&e.Sub)
		if e.Ended {
			s += " (ended)"
		}
		return s
	case Listed:
		var names []string
		for _, i := range e.Infos {
			names = append(names, i.Name)
		}
		return fmt.Sprintf("listed %d: %v, goes on at %s%s", e.List, names, script.Point(e.Next), strings.TrimSuffix(": "+e.Err, ": "))
	case routed:
		return "routed: " + string(e)
	}
	return fmt.Sprint(e)
}

func entryText(e *ForwardEntry) string {
	var b strings.Builder
	if e.Publisher {
		b.WriteString(" from here")
	} else {
		fmt.Fprintf(&b, " from %s", script.Name(e.Upstream.ID))
	}
	for _, s := range e.Ingress {
		fmt.Fprintf(&b, " through %s", s.SPA)
	}
	for i := range e.Children {
		b.WriteString(" to " + childText(&e.Children[i]))
	}
	if len(e.Local) > 0 {
		fmt.Fprintf(&b, " and here %v", e.Local)
	}
	return b.String()
}

func childText(c *Child) string {
	if c.SPA == "" {
		return script.Name(c.Host.ID)
	}
	return script.Name(c.Host.ID) + " thinned by " + c.SPA
}

func subText(u *SubStatus) string {
	s := fmt.Sprintf("subscription %d to %s: %s", u.ID, script.StreamName(u.Stream), u.State)
	if u.Reason != "" {
		s += ": " + u.Reason
	}
	if u.Degraded != "" {
		s += ", thinned by " + u.Degraded
	}
	return s
}

func command(m *script.Machine, n *Streams, place *standIn, others *others, d *datadriven.TestData) (string, bool) {
	words := script.Words(d)
	var err error
	num := func(i int) uint64 {
		v, e := strconv.ParseUint(strings.ReplaceAll(words[i], "_", ""), 10, 64)
		must(e)
		return v
	}
	rest := func(i int) string { return strings.Join(words[i:], " ") }
	switch d.Cmd {
	case "capacity":
		n.Cfg.CapacityBps = num(0)
	case "config":
		must(m.Set(&n.Cfg, rest(0)))
	case "place":
		must(place.set(words))
	case "know":
		for _, w := range words {
			n.links.Know(script.Host(w))
		}
	case "publish":
		var info wire.StreamInfo
		must(m.Set(&info, rest(0)))
		err = n.Publish(info)
	case "withdraw":
		err = n.Withdraw(script.Stream(words[0]), wire.EndWithdrawn)
	case "break-off":
		err = n.Withdraw(script.Stream(words[0]), wire.EndBroken)
	case "subscribe":
		var c struct {
			wire.Contract
			Avoid []wire.HostID
		}
		must(m.Set(&c, rest(1)))
		if strings.HasPrefix(words[0], "$") {
			_, err = n.Subscribe(script.Stream(words[0]), "", c.Contract, c.Avoid)
		} else {
			_, err = n.Subscribe(wire.StreamID{}, strings.Trim(words[0], `"`), c.Contract, c.Avoid)
		}
	case "list":
		z, e := script.Zone(words[0])
		must(e)
		var no uint64
		if no, err = n.List(z.Path); err == nil {
			n.Emit(routed(fmt.Sprintf("list %d from %s", no, script.Point(z.Path))))
		}
	case "names-from":
		from, e := script.Zone(words[0])
		must(e)
		z, e := script.Zone(words[1])
		must(e)
		infos, next := n.namesFrom(from.Path, z)
		return m.Format(&wire.Found{Infos: infos, Next: next}) + "\n", true
	case "unsubscribe":
		err = n.Unsubscribe(SubID(num(0)))
	case "leave":
		n.Leave()
	case "died":
		n.links.Die(n.links.Get(script.Host(words[0]).ID))
	case "maintain":
		n.Maintain()
	case "measured":
		var r Report
		must(m.Set(&r, rest(1)))
		n.Measured(SubID(num(0)), r)
	case "delivers":
		others.deliver(SubID(num(0)), rest(1))
	case "directory":
		others.directory = nil
		if words[0] != "silent" {
			others.directory = &wire.Found{}
			must(m.Set(others.directory, strings.TrimPrefix(rest(0), "empty")))
		}
	case "beats":
		others.beat(script.Host(words[0]), words[1:])
	case "thinned":
		times := uint64(1)
		if len(words) > 4 {
			times = num(4)
		}
		for range times {
			n.Thinned(script.Stream(words[0]), words[1], num(2), num(3))
		}
	case "residence":
		n.Residence(script.Stream(words[0]), uint32(num(1)))
	case "lookup":
		msg, e := m.Parse("lookup " + rest(2))
		must(e)
		l, f := msg.(*wire.Lookup), &wire.Found{}
		if l.Target = wire.PointOfName(words[1], n.Cfg.Radix); strings.HasPrefix(words[1], "$") {
			l.Target = wire.PointOfStream(script.Stream(words[1]), n.Cfg.Radix)
		}
		n.Answer(script.Host(words[0]).ID, l, f)
		return m.Format(f) + "\n", true
	case "of":
		var zs []wire.Zone
		for _, w := range words {
			z, e := script.Zone(w)
			must(e)
			zs = append(zs, z)
		}
		return m.Format(&wire.Offer{Infos: n.Of(zs)}) + "\n", true
	case "keep":
		var info wire.StreamInfo
		must(m.Set(&info, rest(0)))
		n.Keep([]wire.StreamInfo{info})
	case "may-exchange":
		return fmt.Sprintln(n.MayExchange(script.Stream(words[0]))), true
	case "probes-lost":
		h := script.Host(words[0])
		for range num(1) {
			n.links.Ping(n.links.Get(h.ID))
			n.Advance(n.Now + time.Millisecond)
			n.links.Heard(h)
			for end := n.Now + n.Cfg.AckTimeout; n.Deadline() <= end; {
				n.Advance(n.Deadline())
				if t, ok := n.Turn.Due(); ok {
					m.Due(t)
				}
			}
		}
		n.Effects(func(turn.Effect) {})
	case "uses":
		needed := map[wire.HostID]bool{}
		n.Uses(needed)
		delete(needed, wire.HostID{})
		var b strings.Builder
		for _, h := range links.SortedHosts(needed) {
			b.WriteString(script.Name(h) + "\n")
		}
		return b.String(), true
	case "count":
		return fmt.Sprintln(n.Counts()[words[0]]), true
	case "exchanged":
		n.Exchanged(script.Host(words[0]), script.Stream(words[1]))
	case "not-exchanged":
		n.NotExchanged(script.Stream(words[0]), rest(1))
	case "show":
		return show(n), true
	case "readers":
		var b strings.Builder
		for _, s := range n.Status() {
			fmt.Fprintf(&b, "%s: %d\n", script.StreamName(s.Info.ID), s.Readers)
		}
		return b.String(), true
	default:
		return "", false
	}
	if err != nil {
		return "error: " + err.Error() + "\n", true
	}
	return "", true
}

func must(err error) {
	if err != nil {
		panic(err) // the script is wrong
	}
}

func show(n *Streams) string {
	var b strings.Builder
	for _, s := range n.Status() {
		fmt.Fprintf(&b, "%s:", script.StreamName(s.Info.ID))
		for _, h := range s.Path {
			fmt.Fprintf(&b, " %s", script.Name(h.Host.ID))
			if h.CostUs > 0 || h.LossPpm > 0 {
				fmt.Fprintf(&b, "(%d us, %d ppm)", h.CostUs, h.LossPpm)
			}
		}
		for i := range s.Children {
			b.WriteString(" -> " + childText(&s.Children[i]))
		}
		b.WriteByte('\n')
	}
	for _, u := range n.Subs() {
		fmt.Fprintf(&b, "%s; predicted %d us, %d ppm\n", subText(&u), u.Predicted.CostUs, u.Predicted.LossPpm)
	}
	return b.String()
}

// others does what other hosts and the data plane go on doing while time passes.
type others struct {
	m        *script.Machine
	n        *Streams
	beats    map[wire.HostID]*beats
	delivers map[SubID]Report

	directory *wire.Found
}

type beats struct {
	from   wire.Peer
	beat   wire.Beat
	number uint64
	lose   uint64
}

func (o *others) after(d Time, host wire.HostID, key uint64) {
	o.n.After(d, turn.Timer{Of: turn.Zones, Host: host, Key: key})
}

func (o *others) beat(from wire.Peer, words []string) {
	b := o.beats[from.ID]
	switch {
	case len(words) == 0:
		delete(o.beats, from.ID)
		return
	case b == nil:
		b = &beats{from: from}
		o.beats[from.ID] = b
		o.after(o.n.Cfg.BeatInterval, from.ID, 0)
	}
	b.beat, b.lose = wire.Beat{}, 0
	if n, ok := strings.CutPrefix(words[0], "lose:"); ok {
		v, err := strconv.ParseUint(n, 10, 64)
		must(err)
		b.lose, words = v, words[1:]
	}
	must(o.m.Set(&b.beat, strings.Join(words, " ")))
}

func (o *others) deliver(id SubID, fields string) {
	if fields == "" {
		delete(o.delivers, id)
		return
	}
	r := Report{Duration: time.Second / 2}
	must(o.m.Set(&r, fields))
	if _, ok := o.delivers[id]; !ok {
		o.after(r.Duration, wire.HostID{}, uint64(id))
	}
	o.delivers[id] = r
}

// asked answers a lookup in the directory after 10 ms.
func (o *others) asked(l *wire.Lookup) {
	if l.Kind == wire.Get && o.directory != nil {
		o.n.After(10*time.Millisecond, turn.Timer{Of: turn.Zones, What: 1, Key: l.Req})
	}
}

func (o *others) due(t turn.Timer) {
	if t.What == 1 {
		if f := o.directory; f != nil {
			answer := *f
			answer.Req = t.Key
			o.m.Handle(script.Host("o"), &answer)
		}
		return
	}
	if b := o.beats[t.Host]; b != nil {
		b.number++
		if b.lose == 0 || b.number%b.lose != 0 {
			m := b.beat
			m.Number, m.Seq = b.number, b.number
			o.m.Handle(b.from, &m)
		}
		o.after(o.n.Cfg.BeatInterval, t.Host, 0)
	} else if r, ok := o.delivers[SubID(t.Key)]; ok && t.Host.IsZero() {
		o.n.Measured(SubID(t.Key), r)
		o.after(r.Duration, t.Host, t.Key)
	}
}

// standIn stands in for the machine below.
type standIn struct {
	t     *turn.Turn
	links *links.Links
	died  func(wire.HostID)

	state      zones.MemberState
	covers     []wire.Zone
	next       wire.Peer
	aside      bool
	sideways   wire.Peer
	neighbours []wire.Peer
	somebody   wire.Peer
	calm       bool
	giving     bool
	moving     bool
}

// set takes what a script says of the cube:
//
//	state joining|member|...    next HOST       aside HOST     sideways HOST
//	covers ZONE...              neighbours HOST...             somebody HOST
//	calm|restless               giving|moving|still
func (p *standIn) set(words []string) error {
	var hosts []wire.Peer
	for _, w := range words[1:] {
		hosts = append(hosts, script.Host(w))
	}
	switch words[0] {
	case "state":
		p.state = zones.MemberState(slices.Index([]string{"idle", "joining", "member", "leaving", "gone"}, words[1]))
	case "next", "aside":
		p.next, p.aside = hosts[0], words[0] == "aside"
	case "sideways":
		p.sideways = hosts[0]
	case "covers":
		p.covers = nil
		for _, w := range words[1:] {
			z, err := script.Zone(w)
			if err != nil {
				return err
			}
			p.covers = append(p.covers, z)
		}
	case "neighbours":
		p.neighbours = hosts
	case "somebody":
		p.somebody = hosts[0]
	case "calm", "restless":
		p.calm = words[0] == "calm"
	case "giving", "moving", "still":
		p.giving, p.moving = words[0] == "giving", words[0] != "still"
	default:
		return fmt.Errorf("place %s?", words[0])
	}
	return nil
}

func (p *standIn) link(h wire.Peer, avoid func(wire.HostID) bool) *links.Peer {
	if h.ID.IsZero() || avoid(h.ID) {
		return nil
	}
	return p.links.Know(h)
}

func (p *standIn) State() zones.MemberState { return p.state }

func (p *standIn) Covers(id wire.Point) bool {
	return slices.ContainsFunc(p.covers, func(z wire.Zone) bool { return z.Covers(id) })
}

func (p *standIn) Near(wire.HostID) wire.Point {
	if len(p.covers) == 0 {
		return 0
	}
	return p.covers[0].Path
}

func (p *standIn) NextHop(_ wire.Point, avoid func(wire.HostID) bool) (*links.Peer, bool) {
	return p.link(p.next, avoid), p.aside
}

func (p *standIn) Sideways(avoid func(wire.HostID) bool) *links.Peer {
	return p.link(p.sideways, avoid)
}

func (p *standIn) Neighbours() iter.Seq[*links.Peer] {
	return func(yield func(*links.Peer) bool) {
		for _, h := range p.neighbours {
			if !yield(p.links.Know(h)) {
				return
			}
		}
	}
}

func (p *standIn) Somebody() wire.Peer               { return p.somebody }
func (p *standIn) Calm(turn.Time) bool               { return p.calm }
func (p *standIn) Giving() bool                      { return p.giving }
func (p *standIn) Moving() bool                      { return p.moving }
func (p *standIn) Died(h wire.Peer)                  { p.died(h.ID) }
func (p *standIn) Ward(int) (h wire.HostID, ok bool) { return h, false }

func (p *standIn) Exchange(to wire.Peer, id wire.StreamID) {
	p.t.Event("exchange-offered", to, script.StreamName(id))
}

func (p *standIn) Greeting() (digest uint64, r wire.Region) { return 0, r }
func (p *standIn) Greeted(wire.Peer, uint64, wire.Region)   {}
