// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"

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
//	place WORD...                    how the cube looks from here; see standIn.set
//	publish FIELDS | withdraw $STREAM
//	subscribe $STREAM|NAME FIELDS    FIELDS are the contract's
//	unsubscribe N | leave | died HOST | maintain
//	measured N FIELDS                a Report of subscription N
//	thinned $STREAM SPA IN OUT | residence $STREAM US
//	lookup HOST FIELDS               a lookup under an id of ours, and what it finds
//	exchanged HOST $STREAM | not-exchanged $STREAM WHY
//	know HOST...                     links to these are measured
//	show                             what passes this host, and subscriptions
//
// The cube is a stand-in whose answers the script gives.
func TestScripts(t *testing.T) {
	script.Play(t, "testdata", func() *script.Machine {
		n, place := newStreams(turn.DefaultConfig())
		m := &script.Machine{Turn: n.Turn}
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
			case turn.Zones:
			}
		}
		m.Ack = func(to wire.Peer, p *wire.Ping) {
			n.links.Heard(to)
			n.links.Handle(to, &wire.Ack{Seq: p.Seq})
		}
		m.Print = printEffect
		m.Command = func(d *datadriven.TestData) (string, bool) { return command(m, n, place, d) }
		// Lookups leave for wherever the cube leads them.
		n.Route = func(l *wire.Lookup) { n.Emit(routed(m.Format(l))) }
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

func command(m *script.Machine, n *Streams, place *standIn, d *datadriven.TestData) (string, bool) {
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
		err = n.Withdraw(script.Stream(words[0]))
	case "subscribe":
		var c wire.Contract
		must(m.Set(&c, rest(1)))
		if strings.HasPrefix(words[0], "$") {
			_, err = n.Subscribe(script.Stream(words[0]), "", c, nil)
		} else {
			_, err = n.Subscribe(wire.StreamID{}, words[0], c, nil)
		}
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
	case "thinned":
		n.Thinned(script.Stream(words[0]), words[1], num(2), num(3))
	case "residence":
		n.Residence(script.Stream(words[0]), uint32(num(1)))
	case "lookup":
		msg, e := m.Parse("lookup " + rest(1))
		must(e)
		f := &wire.Found{}
		n.Answer(script.Host(words[0]).ID, msg.(*wire.Lookup), f)
		return m.Format(f) + "\n", true
	case "exchanged":
		n.Exchanged(script.Host(words[0]), script.Stream(words[1]))
	case "not-exchanged":
		n.NotExchanged(script.Stream(words[0]), rest(1))
	case "show":
		return show(n), true
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
