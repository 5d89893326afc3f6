// SPDX-License-Identifier: Apache-2.0

package zones

import (
	"fmt"
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
//	state WORD                   where the host stands: joining, member, leaving
//	region FIELDS                the cube in force
//	own RECORD...                zones of this host
//	table RECORD...              zones next to them
//	wards HOST...                who named this host an heir
//	create | join HOST... | leave | die HOST | exchange HOST $STREAM
//	entries $STREAM... | wants $STREAM   what the machine above has, and has asked for
//	show                         what the host now knows
//
// The machine above is a stand-in that prints what it is told.
func TestScripts(t *testing.T) {
	script.Play(t, "testdata", func() *script.Machine {
		cfg := turn.DefaultConfig()
		m := &script.Machine{Turn: turn.New(cfg, script.Host(script.Self), 1)}
		l := links.New(m.Turn)
		z := New(m.Turn, l)
		up := &above{t: m.Turn}
		l.Up, z.Up = z, up
		m.Handle = func(from wire.Peer, msg wire.Message) {
			if z.Takes(from, msg) {
				l.Heard(from)
				z.Handle(from, msg)
			}
		}
		m.Due = func(t turn.Timer) {
			switch t.Of {
			case turn.Requests:
				m.Turn.Retry(t.Key)
			case turn.Links:
				l.Due(t)
			case turn.Zones:
				z.Due(t)
			case turn.Streams:
			}
		}
		m.Ack = func(to wire.Peer, p *wire.Ping) {
			a := &wire.Ack{Seq: p.Seq, Region: z.Region()}
			if e := l.Get(to.ID); e != nil {
				a.Digest = e.Digest // nothing has changed there
			}
			l.Heard(to)
			l.Handle(to, a)
		}
		m.Print = printEffect
		m.Command = func(d *datadriven.TestData) (string, bool) { return command(m, l, z, up, d) }
		return m
	})
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

func command(m *script.Machine, l *links.Links, z *Zones, up *above, d *datadriven.TestData) (string, bool) {
	words := script.Words(d)
	hosts := func() (v []wire.Peer) {
		for _, w := range words {
			v = append(v, script.Host(w))
		}
		return v
	}
	switch d.Cmd {
	case "state":
		z.state = MemberState(slices.Index([]string{"idle", "joining", "member", "leaving", "gone"}, words[0]))
	case "region":
		must(m.Set(&z.region.Region, strings.Join(words, " ")))
		z.region.Radix = m.Turn.Radix()
	case "own", "table":
		var rs []wire.Record
		for _, w := range words {
			r, err := script.Record(w)
			must(err)
			if d.Cmd == "own" {
				r.Owner = m.Turn.Self
			} else {
				l.Know(r.Owner).Digest = 1
			}
			rs = append(rs, r)
		}
		if d.Cmd == "own" {
			z.own, z.digest = rs, wire.DigestOf(rs)
		} else {
			z.table = rs
		}
	case "wards":
		for _, p := range hosts() {
			z.heirs.wards = append(z.heirs.wards, ward{owner: p})
		}
	case "create":
		z.Create()
	case "join":
		z.Join(hosts())
	case "leave":
		z.Leave()
	case "die":
		l.Die(l.Get(hosts()[0].ID))
	case "exchange":
		z.Exchange(hosts()[0], script.Stream(words[1]))
	case "entries":
		for _, w := range words {
			up.entries = append(up.entries, wire.StreamInfo{ID: script.Stream(w)})
		}
	case "wants":
		up.wants = script.Stream(words[0])
	case "show":
		return show(z), true
	default:
		return "", false
	}
	return "", true
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
	fmt.Fprintf(&b, "%s, region %d digits, version %d\n", z.state, z.region.N, z.region.Version)
	list("own", z.own)
	list("table", z.table)
	var graves []wire.Record
	for _, g := range z.dead.graves {
		graves = append(graves, g.Record)
	}
	if len(graves) > 0 {
		list("graves", graves)
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
	a.tell("answer %s of %s", []string{"find", "put", "get", "grow-ask", "drop"}[m.Kind], script.Name(from))
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
