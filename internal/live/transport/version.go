// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"fmt"
	"net/netip"
	"strings"
)

// The versions of the wire that this build speaks. Within one, builds with another
// minor number understand one another: what is new is used only between hosts that
// both name its feature, and what is not known is ignored.
//
//	1  until November 2026: two ports, payload sealed from hop to hop
//	2  one port, hellos that can be extended, payload sealed from end to end
//
// Raise wireMinor with each feature, and wireMax with what older hosts cannot take.
// (The tests build overlayd with others: see wire_this.go.)
const (
	wireFirst = 1 // the version of hosts that say none: their first word is their ALPN
)

// features are what a host can do beyond its version, a bit each. Unknown ones are
// ignored.
type features uint64

const (
	featureAES  features = 1 << iota // AES in hardware
	featureLink                      // answers what the transport asks over a session: linkAsk, linkProbe
)

// versions is what a host says of itself in its hello.
type versions struct {
	min, max, minor uint16
	build           string // for people
}

// WireVersion is the newest version of the wire of this build, in words.
func WireVersion() string { return fmt.Sprintf("wire version %d.%d", wireMax, wireMinor) }

func (t *Transport) versions() versions { return t.own }

func (v versions) String() string {
	s := fmt.Sprintf("version %d", v.max)
	if v.min != v.max {
		s = fmt.Sprintf("versions %d to %d", v.min, v.max)
	}
	s += " of the wire"
	if v.build != "" {
		s += fmt.Sprintf(" (overlayd %s)", v.build)
	}
	return s
}

// short is for tables: the newest version of the wire, and the build.
func (v versions) short() string {
	return strings.TrimSpace(fmt.Sprintf("%d.%d %s", v.max, v.minor, v.build))
}

// encode is what a host says of itself to one that it refuses.
func (v versions) encode() string { return fmt.Sprintf("%d-%d %s", v.min, v.max, v.build) }

// decodeVersions reads what encode wrote. Hosts of version 1 of the wire say nothing.
func decodeVersions(s string) versions {
	var v versions
	if n, _ := fmt.Sscanf(s, "%d-%d", &v.min, &v.max); n != 2 || v.min > v.max {
		return versions{min: wireFirst, max: wireFirst}
	}
	_, build, _ := strings.Cut(s, " ")
	v.build = words(build)
	return v
}

// share gives a pointer to v, to what this host has for itself if it is the same: most
// peers are of one build.
func (t *Transport) share(v versions) *versions {
	if v == t.own {
		return &t.own
	}
	return &v
}

// common is the newest version that both speak; 0: none.
func (v versions) common(o versions) uint16 {
	if n := min(v.max, o.max); n >= max(v.min, o.min) {
		return n
	}
	return 0
}

// refuse says in words why hosts with no common version do not speak, and what helps:
// theirs is what the host at addr says of itself.
func (v versions) refuse(host string, theirs versions) error {
	upgrade := "upgrade overlayd there"
	if theirs.min > v.max {
		upgrade = "upgrade overlayd here"
	}
	return fmt.Errorf("%w: host %s speaks %s, this one %s: %s", ErrVersion, host, theirs, v, upgrade)
}

// refuseFirst refuses a host of version 1 of the wire, in words that one puts into its log.
func (t *Transport) refuseFirst(at netip.AddrPort) *refusal {
	first := versions{min: wireFirst, max: wireFirst}
	text := fmt.Sprintf("the other host speaks %s, this one %s: upgrade overlayd here", t.versions(), first)
	return &refusal{codeVersion, text, t.versions().refuse(at.String(), first)}
}

// words makes what another host says fit for a log: one line of printable
// characters, not too long.
func words(s string) string {
	const most = 300
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0xfffd {
			return -1
		}
		return r
	}, s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
