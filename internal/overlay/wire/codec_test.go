// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"testing"
)

func TestEveryKindRoundTrips(t *testing.T) {
	seen := map[Kind]bool{}
	for _, m := range Samples() {
		seen[KindOf(m)] = true
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
	for k := 1; k < NumKinds; k++ {
		if !seen[Kind(k)] {
			t.Errorf("no message of kind %s is tried", Kind(k))
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

// What Decode takes, Encode writes so that Decode takes the same from it.
func FuzzDecode(f *testing.F) {
	for _, m := range Samples() {
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
	})
}
