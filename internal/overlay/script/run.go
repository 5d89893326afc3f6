// SPDX-License-Identifier: Apache-2.0

package script

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"sandstream/internal/overlay/turn"
	"sandstream/internal/overlay/wire"
)

// Self is the name of the host that a script is about.
const Self = "a"

// Machine is what a script drives: a machine and the turns that it takes.
type Machine struct {
	Names

	Turn   *turn.Turn
	Handle func(from wire.Peer, m wire.Message)
	Due    func(t turn.Timer)
	// Print writes an effect of the machine's own; "" leaves it out.
	Print func(e turn.Effect) string
	// Ack answers a probe in place of the host it was sent to. Nil: probes are
	// printed, and nobody answers them.
	Ack func(to wire.Peer, p *wire.Ping)
	// Command does what the scripts of this machine alone know, and may print. It says
	// whether it knows the command.
	Command func(d *datadriven.TestData) (text string, known bool)

	silent map[wire.HostID]bool
	rtt    map[wire.HostID]turn.Time
	acks   []ack
	skip   map[string]bool
}

type ack struct {
	at   turn.Time
	to   wire.Peer
	ping *wire.Ping
}

// Play runs all scripts of a folder, each with a machine of its own. Commands that all
// know:
//
//	handle HOST     the message below comes from HOST
//	tick DURATION   time passes; timers fire
//	silent HOST...  these do not answer probes any more
//	rtt HOST TIME   how long it takes to answer one (10ms unless said)
//	skip KIND...    messages of these kinds are not printed from now on
//
// What follows of a command is printed: every message sent, event and effect.
func Play(t *testing.T, dir string, machine func() *Machine) {
	datadriven.Walk(t, dir, func(t *testing.T, path string) {
		m := machine()
		m.silent, m.rtt, m.skip = map[wire.HostID]bool{}, map[wire.HostID]turn.Time{}, map[string]bool{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out := m.do(t, d) + m.drain()
			if out == "" {
				return "nothing\n"
			}
			return out
		})
	})
}

func (m *Machine) do(t *testing.T, d *datadriven.TestData) string {
	words := Words(d)
	need := func(n int) {
		if len(words) < n {
			d.Fatalf(t, "%s takes %d arguments", d.Cmd, n)
		}
	}
	switch d.Cmd {
	case "handle":
		need(1)
		for line := range strings.Lines(d.Input) {
			msg, err := m.Parse(line)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			m.Turn.Received(msg)
			m.Handle(Host(words[0]), msg)
		}
	case "tick":
		need(1)
		dur, err := time.ParseDuration(words[0])
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		return m.tick(dur)
	case "silent":
		for _, w := range words {
			m.silent[Host(w).ID] = true
		}
	case "rtt":
		need(2)
		dur, err := time.ParseDuration(words[1])
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		m.rtt[Host(words[0]).ID] = dur
	case "skip":
		for _, w := range words {
			m.skip[w] = true
		}
	default:
		text, known := m.Command(d)
		if !known {
			d.Fatalf(t, "no command %q", d.Cmd)
		}
		return text
	}
	return ""
}

// Words are the arguments of a command as they were written.
func Words(d *datadriven.TestData) []string {
	var v []string
	for i := range d.CmdArgs {
		v = append(v, d.CmdArgs[i].String())
	}
	return v
}

// tick lets time pass. What happens is printed with the time it took until then.
func (m *Machine) tick(d turn.Time) string {
	var b strings.Builder
	start, end := m.Turn.Now, m.Turn.Now+d
	for {
		at, i := m.Turn.Deadline(), -1
		for j := range m.acks {
			if m.acks[j].at <= at {
				at, i = m.acks[j].at, j
			}
		}
		if at > end {
			break
		}
		m.Turn.Advance(at)
		if i >= 0 {
			a := m.acks[i]
			m.acks = append(m.acks[:i], m.acks[i+1:]...)
			m.Ack(a.to, a.ping)
		} else if t, ok := m.Turn.Due(); ok {
			m.Due(t)
		}
		for line := range strings.Lines(m.drain()) {
			fmt.Fprintf(&b, "+%v %s", m.Turn.Now-start, line)
		}
	}
	m.Turn.Advance(end)
	return b.String()
}

// drain prints the effects since the last call.
func (m *Machine) drain() string {
	var b strings.Builder
	m.Turn.Effects(func(e turn.Effect) {
		switch e := e.(type) {
		case turn.Send:
			if p, ok := e.Msg.(*wire.Ping); ok && m.Ack != nil {
				if !m.silent[e.To.ID] {
					rtt, ok := m.rtt[e.To.ID]
					if !ok {
						rtt = 10 * time.Millisecond
					}
					m.acks = append(m.acks, ack{m.Turn.Now + rtt, e.To, p})
				}
				return
			}
			if !m.skip[wire.KindOf(e.Msg).String()] {
				fmt.Fprintf(&b, "to %s: %s\n", Name(e.To.ID), m.Format(e.Msg))
			}
		case turn.Event:
			fmt.Fprintln(&b, strings.TrimSpace(fmt.Sprintf("event %s %s %s", e.Kind, Name(e.Host.ID), e.Detail)))
		default:
			if s := m.Print(e); s != "" {
				b.WriteString(strings.TrimRight(s, "\n") + "\n")
			}
		}
	})
	return b.String()
}
