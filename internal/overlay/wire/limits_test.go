// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"errors"
	"strings"
	"testing"
)

// Every limit, from both sides: as much as it allows is taken, one more is refused.
func TestLimits(t *testing.T) {
	word := func(n int) string { return strings.Repeat("x", n) }
	words := func(n int) (v []string) {
		for range n {
			v = append(v, "filter")
		}
		return v
	}
	params := func(n, length int) map[string]uint64 {
		m := map[string]uint64{}
		for i := range n {
			m[word(length-1)+string(rune('a'+i))] = 1
		}
		return m
	}
	parts := func(n int) (v []Part) {
		for i := range n {
			v = append(v, Part{StreamID{byte(i)}, 1})
		}
		return v
	}
	// Each of these things comes in several kinds of messages, and all of them check it.
	inEntry := func(i StreamInfo) []Message {
		return []Message{
			&Lookup{Info: &i}, &Found{Infos: []StreamInfo{{}, i}}, &Heirloom{Infos: []StreamInfo{i}}, &Offer{Infos: []StreamInfo{i}},
			&Accept{Infos: []StreamInfo{i}}, &Graft{Info: i}, &Beat{Info: i},
		}
	}
	inRequest := func(r SubReq) []Message { return []Message{&r, &Graft{SubReq: r}} }
	inPipeline := func(s ...Stage) []Message { return append(inEntry(StreamInfo{Pipeline: s}), &Beat{Todo: s}) }
	inPath := func(p ...Hop) []Message { return []Message{&Graft{Path: p}, &Beat{Path: p}} }
	inRecords := func(n int) []Message {
		rs := make([]Record, n)
		return []Message{
			&Announce{Records: rs}, &Moved{Records: rs}, &Dead{Records: rs}, &Offer{Give: rs}, &Offer{Table: rs}, &Accept{Give: rs}, &Accept{Table: rs},
		}
	}
	for _, c := range []struct {
		what  string
		limit int
		with  func(n int) []Message
	}{
		{"records", MaxRecords, inRecords},
		{"peers of an heirloom", MaxRecords, func(n int) []Message { return []Message{&Heirloom{Peers: make([]Peer, n)}} }},
		{"kind of a lookup", int(List), func(n int) []Message { return []Message{&Lookup{Kind: LookupKind(n)}} }},
		{"hosts that a lookup avoids", MaxAvoid, func(n int) []Message { return []Message{&Lookup{Avoid: make([]HostID, n)}} }},
		{"hosts that a path avoids", MaxAvoid, func(n int) []Message { return inRequest(SubReq{Avoid: make([]HostID, n)}) }},
		{"SPAs that a contract accepts", MaxStages, func(n int) []Message { return inRequest(SubReq{Contract: Contract{Degrade: words(n)}}) }},
		{"name of such an SPA", MaxName, func(n int) []Message {
			return inRequest(SubReq{Contract: Contract{Degrade: []string{"filter", word(n)}}})
		}},
		{"name of a stream", MaxName, func(n int) []Message { return inEntry(StreamInfo{Name: word(n)}) }},
		{"parts of a stream", MaxParts, func(n int) []Message { return inEntry(StreamInfo{Parts: parts(n)}) }},
		{"stages", MaxStages, func(n int) []Message { return inPipeline(make([]Stage, n)...) }},
		{"name of a stage", MaxName, func(n int) []Message { return inPipeline(Stage{}, Stage{SPA: word(n)}) }},
		{"place of a stage", int(Anywhere), func(n int) []Message { return inPipeline(Stage{}, Stage{Place: Place(n)}) }},
		{"parameters of a stage", 16, func(n int) []Message { return inPipeline(Stage{Params: params(n, 3)}) }},
		{"name of a parameter", MaxName, func(n int) []Message { return inPipeline(Stage{Params: params(1, n)}) }},
		// 16 parameters of 9 bytes beside their names are 144 of the bytes.
		{"words of an entry", MaxInfo, func(n int) []Message {
			return inEntry(StreamInfo{Name: word(n - 144 - 16*54), Pipeline: []Stage{{Params: params(16, 54)}}})
		}},
		{"hops of a path", MaxPath, func(n int) []Message { return inPath(make([]Hop, n)...) }},
		{"name of an SPA on a path", MaxName, func(n int) []Message { return inPath(Hop{}, Hop{SPA: word(n)}) }},
		{"name of a degrading SPA", MaxName, func(n int) []Message {
			return []Message{&Attach{Degrade: word(n)}, &Graft{Degrade: word(n)}, &Beat{Degrade: word(n)}}
		}},
		{"reason", maxReason, func(n int) []Message {
			return []Message{&Refuse{Reason: word(n)}, &JoinNo{Reason: word(n)}, &SwapNo{Reason: word(n)}, &Accept{Reason: word(n)}}
		}},
	} {
		for _, m := range c.with(c.limit) {
			if _, err := Decode(Encode(nil, m)); err != nil {
				t.Errorf("%s: %d in a %s: %v", c.what, c.limit, KindOf(m), err)
			}
		}
		for _, m := range c.with(c.limit + 1) {
			if _, err := Decode(Encode(nil, m)); !errors.Is(err, ErrMessage) {
				t.Errorf("%s: %d in a %s is taken: %v", c.what, c.limit+1, KindOf(m), err)
			}
		}
	}
}

// What is not as Encode writes it is refused before anyone looks at it.
func TestBytesThatAreNoMessage(t *testing.T) {
	for what, b := range map[string][]byte{
		"nothing":                        {},
		"kind 0":                         {0, 0xa0},
		"a kind above all":               {byte(NumKinds), 0xa0},
		"a field twice":                  {17, 0xa2, 1, 1, 1, 2},
		"a map without end":              {5, 0xbf, 0xff},
		"a tag":                          {17, 0xa1, 1, 0xc1, 1},
		"text for a number":              {17, 0xa1, 1, 0x61, 'x'},
		"a reason that is no UTF-8":      {28, 0xa2, 1, 1, 2, 0x61, 0xff},
		"a number that does not fit":     {4, 0xa1, 1, 0x1b, 1, 0, 0, 0, 0, 0, 0, 0},
		"more after the end":             {5, 0xa0, 0},
		"an address of too few bytes":    {13, 0xa1, 1, 0x41, 1},
		"a message over the limit":       make([]byte, MaxMessage+1),
		"an array with more than itself": {9, 0xa1, 1, 0x9a, 0xff, 0xff, 0xff, 0xff},
	} {
		if m, err := Decode(b); !errors.Is(err, ErrMessage) {
			t.Errorf("%s is read as %+v: %v", what, m, err)
		}
	}
	if _, err := Decode([]byte{5, 0xa0}); err != nil {
		t.Errorf("the shortest message: %v", err)
	}
	// Hosts to come may say more.
	if _, err := Decode([]byte{5, 0xa1, 9, 1}); err != nil {
		t.Errorf("a message with a field that nobody knows yet: %v", err)
	}
}
