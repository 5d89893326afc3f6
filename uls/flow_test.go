// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"sandstream/internal/host/shm"
	"sandstream/internal/host/steer"
)

const fullFlow = "udp dst 10.0.1.1:9000 -> 10.0.2.2:9001 src 10.0.1.1:40000 mac 52:54:00:12:34:56 srcmac 52:54:00:00:00:01"

var goodFlows = []string{
	"udp dst 10.0.1.1:9000",
	"udp dst *:9000",
	"udp dst 10.0.1.1:*",
	"udp dst *:*",
	"udp dst 10.0.1.1:9000 -> 10.0.2.2:9001",
	"udp dst 10.0.1.1:9000 -> *:*",
	"udp dst 10.0.1.1:9000 -> 10.0.2.2:9001 src *:40000",
	"udp dst 10.0.1.1:9000 -> 10.0.2.2:9001 mac 52:54:00:12:34:56",
	fullFlow,
}

func TestParseFlow(t *testing.T) {
	f, err := ParseFlow(fullFlow)
	must(t, err)
	want := Flow{
		DstIP: netip.MustParseAddr("10.0.1.1"), DstPort: 9000, Forward: true,
		NewDstIP: netip.MustParseAddr("10.0.2.2"), NewDstPort: 9001,
		NewSrcIP: netip.MustParseAddr("10.0.1.1"), NewSrcPort: 40000,
		NewDstMAC: [6]byte{0x52, 0x54, 0, 0x12, 0x34, 0x56}, NewSrcMAC: [6]byte{0x52, 0x54, 0, 0, 0, 1},
	}
	if f != want {
		t.Errorf("got %+v, want %+v", f, want)
	}
	for _, text := range goodFlows {
		f, err := ParseFlow(text)
		if err != nil || f.String() != text {
			t.Errorf("%q came back as %q (%v)", text, f, err)
		}
	}
	if f, err := ParseFlow("  udp\tdst  *:1 "); err != nil || f.DstPort != 1 {
		t.Errorf("blanks: %v %v", f, err)
	}
}

var badFlows = map[string]string{
	"":                                                 `"udp" expected`,
	"tcp dst 10.0.1.1:9000":                            `"udp" expected`,
	"udp src 10.0.1.1:9000":                            `"dst" expected`,
	"udp dst":                                          "ADDRESS:PORT",
	"udp dst 10.0.1.1":                                 "ADDRESS:PORT",
	"udp dst 10.0.1:9000":                              "not an IPv4 address",
	"udp dst 10.0.1.256:9000":                          "not an IPv4 address",
	"udp dst 010.0.1.1:9000":                           "not an IPv4 address",
	"udp dst 0.0.0.0:9000":                             "not an IPv4 address",
	"udp dst [::1]:9000":                               "ADDRESS:PORT",
	"udp dst ::1:9000":                                 "ADDRESS:PORT",
	"udp dst 10.0.1.1:0":                               "not a port",
	"udp dst 10.0.1.1:65536":                           "not a port",
	"udp dst 10.0.1.1:-1":                              "not a port",
	"udp dst 10.0.1.1:+1":                              "not a port",
	"udp dst 10.0.1.1:http":                            "not a port",
	"udp dst 10.0.1.1:":                                "not a port",
	"udp dst *:1 to 10.0.2.2:1":                        `"->" expected`,
	"udp dst *:1 ->":                                   "ADDRESS:PORT",
	"udp dst *:1 -> *:2 mac":                           "not a MAC",
	"udp dst *:1 -> *:2 mac 1:2":                       "not a MAC",
	"udp dst *:1 -> *:2 ttl 5":                         "unknown word",
	"udp dst *:1 mac 52:54:0:0:0":                      `"->" expected`,
	"udp dst *:1 -> *:2 src *:1 x":                     "unknown word",
	"udp dst *:1 -> *:2 src *:1 src *:2":               "occurs twice",
	"udp dst *:1 -> *:2 mac 00:00:00:00:00:00":         "no station's address",
	"udp dst *:1 -> *:2 mac 00:00:00:00:fe:80:00:00":   "not a MAC",
	"udp dst *:1 -> *:2 srcmac 52:54:00:12:34:56 -> x": "unknown word",
}

func TestParseFlowRefuses(t *testing.T) {
	for text, want := range badFlows {
		_, err := ParseFlow(text)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want it to say %q", text, err, want)
		}
	}
}

func FuzzParseFlow(f *testing.F) {
	for _, s := range goodFlows {
		f.Add(s)
	}
	for s := range badFlows {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseFlow(text)
		if err != nil {
			return
		}
		b, err := ParseFlow(a.String())
		if err != nil || a != b {
			t.Fatalf("%q: %+v came back as %+v (%v)", text, a, b, err)
		}
		if back := flowOf(steer.Flow{Match: a.match(), Note: a.note()}); back != a {
			t.Fatalf("%q: the steering map remembers %+v as %+v", text, a, back)
		}
	})
}

// The message has the bytes the SPA expects, in network byte order where it says.
func TestFlowMessage(t *testing.T) {
	f, err := ParseFlow(fullFlow)
	must(t, err)
	b := f.message(shm.MsgTypeFlowAdd)
	want := "\x02\x00\x28\x00\x00\x00\x00\x00" + "\x0a\x00\x01\x01" + "\x23\x28" + "\x00\x00" +
		"\x0a\x00\x01\x01" + "\x0a\x00\x02\x02" + "\x9c\x40" + "\x23\x29" +
		"\x52\x54\x00\x12\x34\x56" + "\x52\x54\x00\x00\x00\x01"
	if string(b) != want {
		t.Errorf("message % x\nwant    % x", b, want)
	}
	p := paramMessage(3, 1<<40)
	if len(p) != 24 || binary.LittleEndian.Uint32(p[8:]) != 3 || binary.LittleEndian.Uint64(p[16:]) != 1<<40 || p[2] != 24 {
		t.Errorf("parameter message % x", p)
	}
}

func TestResolve(t *testing.T) {
	for text, want := range map[string]string{
		"udp dst *:1": "",
		"udp dst *:1 -> *:2 mac 52:54:00:12:34:56":       "",
		"udp dst *:1 -> *:2":                             "add 'mac ADDRESS'",
		"udp dst *:1 -> 203.0.113.77:2 src 10.0.0.1:555": "ping it first",
	} {
		f, err := ParseFlow(text)
		must(t, err)
		err = f.resolve("map", "lo")
		if (want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
