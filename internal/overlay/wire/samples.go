// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net/netip"
)

// SampleHost is a host at an address of RFC 5737.
var SampleHost = Peer{HostID{1, 2, 3}, netip.MustParseAddrPort("192.0.2.7:4455")}

// Samples has one message of each kind, every field set: for the tests and fuzzers of
// the codec and of what takes messages.
func Samples() []Message {
	rec := Record{Zone: Zone{}.Child(2).Child(1), Counter: 7, Owner: SampleHost, Heirs: [2]Peer{SampleHost, {HostID{9}, netip.MustParseAddrPort("[2001:db8::1]:9")}}}
	info := StreamInfo{
		ID: StreamID{5}, Name: "camera", Publisher: SampleHost, RateBps: 4e6, Public: true, Version: 3,
		Pipeline: []Stage{{SPA: "filter", Params: map[string]uint64{"nulls": 1}, Place: Anywhere}},
		Parts:    []Part{{StreamID{5}, 3}, {StreamID{6}, 1}},
	}
	hop := Hop{Host: SampleHost, Quality: Quality{CostUs: 1500, LossPpm: 20}, StayUs: 8, SPA: "filter"}
	req := SubReq{
		Req: 4, Stream: StreamID{5}, Subscriber: SampleHost, Point: 1 << 60, Avoid: []HostID{{4}},
		Contract: Contract{LatencyUs: 50_000, MinRateBps: 1e6, LossPpm: 100, Degrade: []string{"filter"}, BestEffort: true, NoSwap: true},
	}
	reg := Region{N: 5, Version: 6, Hosts: 200, Radix: 3}
	return []Message{
		&Ping{1, 2, reg}, &Ack{1, 2, reg}, &PingReq{3, SampleHost}, &PingRes{3, HostID{4}}, &Pull{},
		&Announce{[]Record{rec}, true, 3, true}, &Moved{[]Record{rec, rec}, true}, &Query{rec.Zone}, &Dead{[]Record{rec}},
		&Heirloom{[]Peer{SampleHost}, []StreamInfo{info}},
		&Lookup{8, Put, 1 << 62, SampleHost, 3, []HostID{{4}}, &info, 3},
		&Found{8, rec, 0.125, 3, rec, []StreamInfo{info}, reg, true},
		&JoinAsk{9, 3}, &JoinNo{9, "busy", SampleHost, 3},
		&Offer{10, []Record{rec}, []Record{rec}, []StreamInfo{info}, true, StreamID{5}, reg},
		&Accept{10, true, "why", []Record{rec}, []Record{rec}, []StreamInfo{info}, true}, &Commit{10}, &Done{10, true}, &Cancel{10},
		&req, &Graft{req, info, []Hop{hop}, 3, "filter", 2, 5, 6, true},
		&Attach{StreamID{5}, "filter", true}, &Detach{StreamID{5}}, &NoStream{StreamID{5}, 4},
		&Beat{StreamID{5}, 11, []Hop{hop}, info, info.Pipeline, "filter", true, true, 12, 400_000},
		&Refuse{4, StreamID{5}, "too far", true}, &SwapFind{4, StreamID{5}, SampleHost, 1, 2, 3}, &SwapNo{4, "busy"},
	}
}
