// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"bytes"
	"errors"
	"math"
	"net/netip"
	"reflect"
	"testing"
)

var somePeer = Peer{HostID{1, 2, 3}, netip.MustParseAddrPort("192.0.2.7:4455")}

// someMessages has one message of each kind, every field set.
func someMessages() []Message {
	rec := Record{Zone: Zone{}.Child(2).Child(1), Counter: 7, Owner: somePeer, Heirs: [2]Peer{somePeer, {HostID{9}, netip.MustParseAddrPort("[2001:db8::1]:9")}}}
	info := StreamInfo{
		ID: StreamID{5}, Name: "camera", Publisher: somePeer, RateBps: 4e6, Public: true, Version: 3,
		Pipeline: []Stage{{SPA: "filter", Params: map[string]uint64{"nulls": 1}, Place: Anywhere}},
		Parts:    []Part{{StreamID{5}, 3}, {StreamID{6}, 1}},
	}
	hop := Hop{Host: somePeer, CostUs: 1500, LossPpm: 20, StayUs: 8, SPA: "filter"}
	req := SubReq{
		Req: 4, Stream: StreamID{5}, Subscriber: somePeer, Point: 1 << 60, Exclude: []HostID{{4}},
		Contract: Contract{LatencyUs: 50_000, MinRateBps: 1e6, LossPpm: 100, Degrade: []string{"filter"}, BestEffort: true, NoSwap: true},
	}
	reg := Region{N: 5, Version: 6, Hosts: 200, Radix: 3}
	return []Message{
		&Ping{1, 2, reg}, &Ack{1, 2, reg}, &PingReq{3, somePeer}, &PingRes{3, HostID{4}}, &Pull{},
		&Announce{[]Record{rec}, true, 3, true}, &Moved{[]Record{rec, rec}, true}, &Query{rec.Zone}, &Dead{[]Record{rec}},
		&Heirloom{[]Peer{somePeer}, []StreamInfo{info}},
		&Lookup{8, Put, 1 << 62, somePeer, 3, []HostID{{4}}, &info, 3},
		&Found{8, rec, 0.125, 3, rec, []StreamInfo{info}, reg, true},
		&JoinAsk{9, 3}, &JoinNo{9, "busy", somePeer, 3},
		&Offer{10, []Record{rec}, []Record{rec}, []StreamInfo{info}, true, StreamID{5}, reg},
		&Accept{10, true, "why", []Record{rec}, []Record{rec}, []StreamInfo{info}, true}, &Commit{10}, &Done{10, true}, &Cancel{10},
		&req, &Graft{req, info, []Hop{hop}, 3, "filter", 2, 5, 6, true},
		&Attach{StreamID{5}, "filter", true}, &Detach{StreamID{5}}, &NoStream{StreamID{5}, 4},
		&Beat{StreamID{5}, 11, []Hop{hop}, info, info.Pipeline, "filter", true, true, 12, 400_000},
		&Refuse{4, StreamID{5}, "too far", true}, &SwapFind{4, StreamID{5}, somePeer, 1, 2, 3}, &SwapNo{4, "busy"},
	}
}

func TestEveryKindRoundTrips(t *testing.T) {
	seen := map[kind]bool{}
	for _, m := range someMessages() {
		seen[m.kind()] = true
		b := Encode(nil, m)
		got, err := Decode(b)
		if err != nil {
			t.Errorf("%s: %v", KindOf(m), err)
		} else if !reflect.DeepEqual(got, m) {
			t.Errorf("%s: sent %+v, got %+v", KindOf(m), m, got)
		}
		for cut := range b {
			if _, err := Decode(b[:cut]); !errors.Is(err, ErrMessage) {
				t.Errorf("%s cut to %d of %d bytes: %v", KindOf(m), cut, len(b), err)
			}
		}
		if _, err := Decode(append(b, 0)); !errors.Is(err, ErrMessage) {
			t.Errorf("%s with a byte too many: %v", KindOf(m), err)
		}
	}
	for k := kPing; k < kEnd; k++ {
		if !seen[k] {
			t.Errorf("no message of kind %s is tried", kindNames[k])
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	long := string(bytes.Repeat([]byte("x"), MaxName+1))
	for name, m := range map[string]Message{
		"too many records": &Moved{Records: make([]Record, MaxRecords+1)},
		"long name":        &Lookup{Info: &StreamInfo{Name: long}},
		"long path":        &Beat{Path: make([]Hop, MaxPath+1)},
		"long reason":      &Refuse{Reason: string(bytes.Repeat([]byte("x"), 257))},
		"long SPA":         &Attach{Degrade: long},
		"many SPAs":        &SubReq{Contract: Contract{Degrade: make([]string, MaxStages+1)}},
		"unknown lookup":   &Lookup{Kind: Drop + 1},
		"one part":         &Lookup{Info: &StreamInfo{Parts: []Part{{Weight: 1}}}},
		"part of others":   &Lookup{Info: &StreamInfo{Parts: []Part{{StreamID{1}, 1}, {StreamID{2}, 1}}}},
		"part twice":       &Lookup{Info: &StreamInfo{Parts: []Part{{Weight: 1}, {Weight: 1}}}},
		"part of nothing":  &Lookup{Info: &StreamInfo{Parts: []Part{{Weight: 1}, {ID: StreamID{1}}}}},
		"many parts":       &Lookup{Info: &StreamInfo{Parts: []Part{{Weight: 1}, {StreamID{1}, 1}, {StreamID{2}, 1}, {StreamID{3}, 1}, {StreamID{4}, 1}}}},
		"unknown place":    &Beat{Todo: []Stage{{Place: Anywhere + 1}}},
	} {
		if _, err := Decode(Encode(nil, m)); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Decode(make([]byte, MaxMessage+1)); !errors.Is(err, ErrMessage) {
		t.Error("a message over the limit is taken")
	}
}

// What Decode takes, Encode writes so that Decode takes the same from it; and a
// host that is handed it lives on.
func FuzzDecode(f *testing.F) {
	for _, m := range someMessages() {
		f.Add(Encode(nil, m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrMessage) {
				t.Fatalf("%v is no ErrMessage", err)
			}
			return
		}
		again, err := Decode(Encode(nil, m))
		if err != nil {
			t.Fatalf("%s taken, but not after Encode: %v", KindOf(m), err)
		}
		if found, ok := m.(*Found); ok && math.IsNaN(found.Volume) {
			return // NaN is not equal to itself
		}
		if !bytes.Equal(Encode(nil, again), Encode(nil, m)) {
			t.Fatalf("%+v became %+v", m, again)
		}
		n := New(DefaultConfig(), Peer{HostID{77}, somePeer.Addr}, 1)
		n.Create(0)
		_ = n.Announce(0, StreamInfo{ID: StreamID{5}})
		for i := range Time(3) {
			n.Handle(i, somePeer, m)
			n.Tick(i * 1e9)
			n.Effects(func(e Effect) {
				if s, ok := e.(Send); ok {
					if _, err := Decode(Encode(nil, s.Msg)); err != nil {
						t.Fatalf("%s makes us send what nobody takes: %v", KindOf(m), err)
					}
				}
			})
		}
	})
}
