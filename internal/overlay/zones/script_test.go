// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"sandstream/internal/overlay/links"
	"sandstream/internal/overlay/script"
	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// TestScripts plays what testdata says. Beside the commands that all scripts know:
//
//	given           what is true before the story, a line each:
//	                  member | leaving     where the host stands (else outside)
//	                  region FIELDS        the cube in force (unless said, n:4 version:1)
//	                  own RECORD...        zones of this host
//	                  table RECORD...      zones next to them
//	                  entries $STREAM...   what the machine above keeps under our ids
//	                  wants $STREAM        what it has asked for an exchange of ids for
//	                  upkeep               what is done every few seconds is done (else only
//	                                       what follows from a message, a death, a request)
//	create | join HOST... | leave | exchange HOST $STREAM   what the user, or the machine above, asks
//	die HOST        it is taken for dead; from now on it answers no probe
//	back HOST       it does again
//	show            what the host now knows
//	counts          what it has counted so far
//
// Hosts answer probes unless they are silent. The machine above is a stand-in that prints
// what it is told.
func TestScripts(t *testing.T) {
	script.Play(t, "testdata", func() *script.Machine { return newHost().m })
}

// host is one host of a script: the machine with what is below and above it.
type host struct {
	m    *script.Machine
	l    *links.Links
	z    *Zones
	up   *above
	dead map[wire.HostID]bool // these answer no probes
}

func newHost() *host {
	t := turn.New(turn.DefaultConfig(), script.Host(script.Self), 1)
	h := &host{m: &script.Machine{Turn: t}, l: links.New(t), up: &above{t: t}, dead: map[wire.HostID]bool{{}: true}}
	h.z = New(t, h.l)
	h.l.Up, h.z.Up = h.z, h.up
	h.m.Handle, h.m.Due, h.m.Ack = h.handle, h.due, h.ack
	h.m.Print, h.m.Command = printEffect, h.command
	return h
}

func (h *host) handle(from wire.Peer, m wire.Message) {
	if !h.z.Takes(from, m) {
		return
	}
	h.l.Heard(from)
	if wire.ClassOf(m) == wire.Detection {
		h.l.Handle(from, m)
	} else {
		h.z.Handle(from, m)
	}
}

func (h *host) due(t turn.Timer) {
	switch t.Of {
	case turn.Requests:
		h.m.Turn.Retry(t.Key)
	case turn.Links:
		h.l.Due(t)
	case turn.Zones:
		h.z.Due(t)
	case turn.Streams:
	}
}

func (h *host) ack(to wire.Peer, p *wire.Ping) {
	if h.dead[to.ID] {
		return
	}
	a := &wire.Ack{Seq: p.Seq, Region: h.z.Region()}
	if e := h.l.Get(to.ID); e != nil {
		a.Digest = e.Digest // nothing has changed there
	}
	h.l.Heard(to)
	h.l.Handle(to, a)
}

func printEffect(e turn.Effect) string {
	switch e := e.(type) {
	case Owned:
		return fmt.Sprintf("owned %s/%d", e.Record.Zone, e.Record.Counter)
	case Released:
		return fmt.Sprintf("released %s/%d", e.Record.Zone, e.Record.Counter)
	case Joined:
		return "joined"
	case Left:
		return "left"
	case told:
		return string(e)
	}
	return fmt.Sprintf("%T", e)
}

func (h *host) command(d *datadriven.TestData) (string, bool) {
	words := script.Words(d)
	var hosts []wire.Peer
	for _, w := range words {
		hosts = append(hosts, script.Host(w))
	}
	switch d.Cmd {
	case "given":
		must(h.m.Set(&h.z.region.Region, "n:4 version:1 radix:3"))
		for line := range strings.Lines(d.Input) {
			word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			h.given(word, rest)
		}
		return "ok\n", true
	case "create":
		h.z.Create()
	case "join":
		h.z.Join(hosts)
	case "leave":
		h.z.Leave()
	case "die":
		h.dead[hosts[0].ID] = true
		h.l.Die(h.l.Get(hosts[0].ID))
	case "back":
		delete(h.dead, hosts[0].ID)
	case "exchange":
		h.z.Exchange(hosts[0], script.Stream(words[1]))
	case "show":
		return show(h.z), true
	case "counts":
		var b strings.Builder
		c := h.m.Turn.Counts()
		for _, k := range slices.Sorted(maps.Keys(c)) {
			fmt.Fprintf(&b, "%s %d\n", k, c[k])
		}
		return b.String(), true
	default:
		return "", false
	}
	return "", true
}

func (h *host) given(word, rest string) {
	switch word {
	case "member":
		h.z.state = Member
	case "leaving":
		h.z.state = Leaving
	case "region":
		must(h.m.Set(&h.z.region.Region, rest))
	case "own", "table":
		var rs []wire.Record
		for w := range strings.FieldsSeq(rest) {
			r, err := script.Record(w)
			must(err)
			if word == "own" {
				r.Owner = h.m.Turn.Self
			} else {
				h.l.Know(r.Owner).Digest = 1
			}
			rs = append(rs, r)
		}
		if word == "own" {
			h.z.own, h.z.digest = rs, wire.DigestOf(rs)
		} else {
			h.z.table = rs
		}
	case "entries":
		for w := range strings.FieldsSeq(rest) {
			h.up.entries = append(h.up.entries, wire.StreamInfo{ID: script.Stream(w)})
		}
	case "wants":
		h.up.wants = script.Stream(rest)
	case "upkeep":
		state := h.z.state
		h.z.start()
		h.z.state = state
	default:
		panic("given: " + word)
	}
}

func must(err error) {
	if err != nil {
		panic(err) // the script is wrong
	}
}

func show(z *Zones) string {
	var b strings.Builder
	list := func(what string, rs []wire.Record) {
		fmt.Fprintf(&b, "%s:", what)
		for _, r := range rs {
			fmt.Fprintf(&b, " %s", script.RecordText(r))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%s, region %d digits, version %d", z.state, z.region.N, z.region.Version)
	if z.region.Hosts > 0 {
		fmt.Fprintf(&b, ", for %d hosts", z.region.Hosts)
	}
	b.WriteByte('\n')
	list("own", z.own)
	list("table", z.table)
	var graves []wire.Record
	for _, g := range z.dead.graves {
		graves = append(graves, g.Record)
	}
	if len(graves) > 0 {
		list("graves", graves)
	}
	for _, w := range z.heirs.wards {
		fmt.Fprintf(&b, "ward: %s, %d neighbours, %d entries\n", script.Name(w.owner.ID), len(w.peers), len(w.infos))
	}
	return b.String()
}

// told is what the machine above was told, printed in its place among the effects.
type told string

func (told) Effect() {}

// above stands in for the machine above.
type above struct {
	t       *turn.Turn
	entries []wire.StreamInfo
	wants   wire.StreamID
}

func (a *above) tell(format string, v ...any) { a.t.Emit(told("above: " + fmt.Sprintf(format, v...))) }

func (a *above) Of([]wire.Zone) []wire.StreamInfo { return slices.Clone(a.entries) }

func (a *above) Keep(infos []wire.StreamInfo) {
	for _, i := range infos {
		a.tell("keep %s", script.StreamName(i.ID))
	}
}

func (a *above) Answer(from wire.HostID, m *wire.Lookup, f *wire.Found) {
	a.tell("answer %s of %s", []string{"find", "put", "get", "grow-ask", "drop", "list"}[m.Kind], script.Name(from))
	if m.Kind == wire.Get {
		f.Infos = a.entries
	}
}

func (a *above) Uses(map[wire.HostID]bool) {}
func (a *above) Died(h wire.HostID)        { a.tell("died %s", script.Name(h)) }
func (a *above) Maintain()                 {}
func (a *above) Leave()                    { a.tell("leave") }

func (a *above) MayExchange(id wire.StreamID) bool { return id == a.wants && id != wire.StreamID{} }

func (a *above) Exchanged(with wire.Peer, id wire.StreamID) {
	a.tell("exchanged ids with %s for %s", script.Name(with.ID), script.StreamName(id))
}

func (a *above) NotExchanged(id wire.StreamID, why string) {
	a.tell("no exchange for %s: %s", script.StreamName(id), why)
}
