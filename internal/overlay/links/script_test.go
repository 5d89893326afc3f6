// SPDX-License-Identifier: Apache-2.0

package links

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"sandstream/internal/overlay/script"
	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// TestScripts plays what testdata says. Beside the commands that all scripts know:
//
//	by-hand                  probes are printed from now on, and only the script answers them
//	know HOST... | ping HOST | knock HOST | die HOST
//	forget-all-but HOST...
//	start                    probing in turn begins
//	wards HOST...            who counts on this host
//	greeting DIGEST FIELDS   what the host says of itself: a digest, and a Region's fields
//	measure HOST TIME...     a probe is answered after so long, then the next; "lost": never,
//	                         but the host says something else meanwhile, so that it lives
//	late TIME                the hosts that owe an answer, and whether it is overdue after TIME
//	show                     what is known of each link
//
// Until by-hand, every host answers by itself, and an answer is printed as "b answers".
// The machine above is a stand-in that prints what it is told.
func TestScripts(t *testing.T) {
	script.Play(t, "testdata", func() *script.Machine {
		m := &script.Machine{Turn: turn.New(turn.DefaultConfig(), script.Host(script.Self), 1)}
		l := New(m.Turn)
		up := &above{t: m.Turn}
		l.Up = up
		m.Handle = func(from wire.Peer, msg wire.Message) {
			l.Heard(from)
			l.Handle(from, msg)
		}
		m.Due = l.Due
		m.Ack = func(to wire.Peer, p *wire.Ping) {
			up.tell("%s answers", script.Name(to.ID))
			l.Heard(to)
			l.Handle(to, &wire.Ack{Seq: p.Seq})
		}
		m.Print = func(e turn.Effect) string { return fmt.Sprint(e) }
		m.Command = func(d *datadriven.TestData) (string, bool) { return command(m, l, up, d) }
		return m
	})
}

func command(m *script.Machine, l *Links, up *above, d *datadriven.TestData) (string, bool) {
	words := script.Words(d)
	var hosts []wire.Peer
	for _, w := range words {
		hosts = append(hosts, script.Host(w))
	}
	switch d.Cmd {
	case "by-hand":
		m.Ack = nil
	case "know":
		for _, h := range hosts {
			l.Know(h)
		}
	case "ping":
		l.Ping(l.Get(hosts[0].ID))
	case "knock":
		l.Knock(hosts[0])
	case "die":
		l.Die(l.Get(hosts[0].ID))
	case "forget-all-but":
		needed := map[wire.HostID]bool{}
		for _, h := range hosts {
			needed[h.ID] = true
		}
		l.Forget(needed)
	case "start":
		l.Start()
	case "wards":
		up.wards = hosts
	case "greeting":
		if _, err := fmt.Sscan(words[0], &up.digest); err != nil {
			panic(err) // the script is wrong
		}
		if err := m.Set(&up.region, strings.Join(words[1:], " ")); err != nil {
			panic(err)
		}
	case "measure":
		return measure(m, l, hosts[0], words[1:]), true
	case "late":
		within, err := time.ParseDuration(words[0])
		if err != nil {
			panic(err)
		}
		return late(l, within), true
	case "show":
		return show(l), true
	default:
		return "", false
	}
	return "", true
}

// measure prints what the link is said to be after each probe.
func measure(m *script.Machine, l *Links, h wire.Peer, trips []string) string {
	var lines []string
	p := l.Get(h.ID)
	for _, w := range trips {
		l.Ping(p)
		seq := p.probe.seq
		if w == "lost" {
			l.Advance(l.Now + time.Millisecond)
			l.Heard(h)
			for end := l.Now + l.Cfg.AckTimeout; l.Deadline() <= end; {
				l.Advance(l.Deadline())
				if t, ok := l.Turn.Due(); ok {
					l.Due(t)
				}
			}
			l.Advance(l.Now + l.Cfg.AckTimeout)
		} else {
			rtt, err := time.ParseDuration(w)
			if err != nil {
				panic(err) // the script is wrong
			}
			l.Advance(l.Now + rtt)
			m.Handle(h, &wire.Ack{Seq: seq})
		}
		lines = append(lines, fmt.Sprintf("%s: %d us, %d ppm, weighs %d", w, p.Quality().CostUs, p.Quality().LossPpm, p.Weight()))
	}
	l.Effects(func(turn.Effect) {}) // the probes, which are answered
	var b strings.Builder
	for len(lines) > 0 {
		same := 1
		for same < len(lines) && lines[same] == lines[0] {
			same++
		}
		b.WriteString(lines[0])
		if same > 1 {
			fmt.Fprintf(&b, " (%d times)", same)
		}
		b.WriteByte('\n')
		lines = lines[same:]
	}
	return b.String()
}

func late(l *Links, within turn.Time) string {
	var b strings.Builder
	for _, p := range l.Hosts() {
		if d := p.LateFor(l.Now); d > 0 {
			fmt.Fprintf(&b, "%s owes an answer for %v", script.Name(p.ID), d)
			if p.Overdue(l.Now, within) {
				b.WriteString(", overdue")
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func show(l *Links) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d known\n", l.Len())
	for _, p := range l.Hosts() {
		q, measured := l.QualityTo(p.ID)
		fmt.Fprintf(&b, "%s: %d us, %d ppm", script.Name(p.ID), q.CostUs, q.LossPpm)
		if p.Weight() != uint64(q.CostUs) {
			fmt.Fprintf(&b, ", weighs %d", p.Weight())
		}
		if measured {
			mean, deviation := p.RTT()
			sent, lost := p.Lost(64)
			fmt.Fprintf(&b, "; round trip %v, give or take %v; %d of %d lost", mean.Round(100*time.Microsecond), deviation.Round(100*time.Microsecond), lost, sent)
		} else {
			b.WriteString("; not measured")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// told is what the machine above was told, and what else is worth a line.
type told string

func (told) Effect() {}

// above stands in for the machine above.
type above struct {
	t      *turn.Turn
	wards  []wire.Peer
	digest uint64
	region wire.Region
}

func (a *above) tell(format string, v ...any) { a.t.Emit(told(fmt.Sprintf(format, v...))) }

func (a *above) Greeting() (digest uint64, r wire.Region) { return a.digest, a.region }

func (a *above) Greeted(from wire.Peer, digest uint64, r wire.Region) {
	if digest != 0 {
		a.tell("above: greeted by %s, digest %d, %d digits", script.Name(from.ID), digest, r.N)
	}
}

func (a *above) Ward(i int) (h wire.HostID, ok bool) {
	if len(a.wards) == 0 {
		return h, false
	}
	return a.wards[i%len(a.wards)].ID, true
}

func (a *above) Died(p wire.Peer) { a.tell("above: %s died", script.Name(p.ID)) }
