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
	for _, m := range Samples() {
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
}

// The parts of a split stream must fit together, whoever says what they are.
func TestPartsThatDoNotFit(t *testing.T) {
	for name, parts := range map[string][]Part{
		"one part":        {{Weight: 1}},
		"part of others":  {{StreamID{1}, 1}, {StreamID{2}, 1}},
		"part twice":      {{Weight: 1}, {Weight: 1}},
		"part of nothing": {{Weight: 1}, {ID: StreamID{1}}},
	} {
		if _, err := Decode(Encode(nil, &Lookup{Info: &StreamInfo{Parts: parts}})); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
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
