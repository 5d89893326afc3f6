// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/fxamacker/cbor/v2"
)

// unset lists the fields of a value that are zero, those within others included.
func unset(v reflect.Value, at string) (list []string) {
	switch v.Interface().(type) {
	case HostID, StreamID, netip.AddrPort:
		if v.IsZero() {
			list = append(list, at)
		}
		return list
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return unset(v.Elem(), at)
		}
		list = append(list, at)
	case reflect.Struct:
		for i := range v.NumField() {
			list = append(list, unset(v.Field(i), at+"."+v.Type().Field(i).Name)...)
		}
	case reflect.Slice, reflect.Array:
		if v.Len() == 0 {
			list = append(list, at)
		}
		for i := range v.Len() {
			list = append(list, unset(v.Index(i), fmt.Sprintf("%s[%d]", at, i))...)
		}
	default:
		if v.IsZero() || v.Kind() == reflect.Map && v.Len() == 0 {
			list = append(list, at)
		}
	}
	return list
}

// A test of the codec is worth as much as the samples hold: one message of each kind, and
// no field of it is zero.
func TestSamplesAreComplete(t *testing.T) {
	var seen [NumKinds]int
	for _, m := range Samples() {
		seen[KindOf(m)]++
		for _, f := range unset(reflect.ValueOf(m), KindOf(m).String()) {
			t.Errorf("%s is not set", f)
		}
	}
	for k := 1; k < NumKinds; k++ {
		if known := kinds[k].blank != nil; known && seen[k] != 1 { // a number may be kept free
			t.Errorf("%d samples of %s", seen[k], Kind(k))
		}
	}
}

// Hosts of different versions speak with one another: testdata/format has the samples as
// they are on the wire, the kind and then the fields in CBOR's diagnostic notation (RFC
// 8949, section 8). A number in it is never used for anything else.
func TestFormatStaysAsItIs(t *testing.T) {
	samples := map[string]Message{}
	for _, m := range Samples() {
		samples[KindOf(m).String()] = m
	}
	datadriven.RunTest(t, "testdata/format", func(t *testing.T, d *datadriven.TestData) string {
		m := samples[d.CmdArgs[0].Key]
		if m == nil {
			d.Fatalf(t, "no kind is called %s", d.CmdArgs[0].Key)
		}
		delete(samples, d.CmdArgs[0].Key)
		b := Encode(nil, m)
		text, err := cbor.Diagnose(b[1:])
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		return fmt.Sprintf("%d, for %s\n%s\n", b[0], ClassOf(m), text)
	})
	for k := range samples {
		t.Errorf("testdata/format has no %s", k)
	}
}

// Every kind is known by a name of its own, and some say the radix of their sender's ids.
func TestKinds(t *testing.T) {
	names := map[string]bool{}
	radix := map[string]bool{}
	for _, m := range Samples() {
		name := KindOf(m).String()
		if name == "" || names[name] {
			t.Errorf("kind %d is called %q", KindOf(m), name)
		}
		names[name] = true
		if k, says := RadixOf(m); says {
			radix[name] = true
			if k == 0 {
				t.Errorf("the sample of a %s says no radix", name)
			}
		}
	}
	for _, name := range strings.Fields("ping ack announce lookup found join-ask offer") {
		if !radix[name] {
			t.Errorf("%s speaks of ids and does not say of which radix", name)
		}
		delete(radix, name)
	}
	if len(radix) > 0 {
		t.Errorf("these say a radix: %v", radix)
	}
	for _, m := range []Request{&Lookup{}, &JoinAsk{}, &SubReq{}, &SwapFind{}} {
		m.Stamp(77, 2)
		if req := reflect.ValueOf(m).Elem().FieldByName("Req").Uint(); req != 77 {
			t.Errorf("%s is stamped with 77 and has %d", KindOf(m), req)
		}
		if k, says := RadixOf(m); says && k != 2 {
			t.Errorf("%s is stamped with radix 2 and says %d", KindOf(m), k)
		}
	}
}

// A graft carries the path, and the link's quality, which is written in one place and read
// in another.
func TestGraftCarries(t *testing.T) {
	var g Graft
	g.Carry([]Hop{{Host: SampleHost}}, Quality{CostUs: 5, LossPpm: 6}, true)
	if len(g.Path) != 1 || g.Link() != (Quality{CostUs: 5, LossPpm: 6}) || !g.Measured {
		t.Errorf("%+v", g)
	}
}

func TestNamesOfHostsAndStreams(t *testing.T) {
	if got := SampleHost.String(); got != "01020300@192.0.2.7:4455" {
		t.Errorf("the sample host is %s", got)
	}
	if got := SampleHost.ID.Hex(); got != "01020300000000000000000000000000" {
		t.Errorf("the sample host's id is %s", got)
	}
	id := StreamID{0xab, 15: 1}
	if got, err := ParseStreamID(id.String()); err != nil || got != id {
		t.Errorf("%s is read as %s: %v", id, got, err)
	}
	for _, bad := range []string{"", "ab", strings.Repeat("ab", 17), strings.Repeat("xy", 16)} {
		if _, err := ParseStreamID(bad); err == nil {
			t.Errorf("%q is a stream's id", bad)
		}
	}
	if !(HostID{}).IsZero() || SampleHost.ID.IsZero() {
		t.Error("which host is none?")
	}
	if a, b := (HostID{1, 2}), (HostID{1, 3}); !a.Less(b) || b.Less(a) || a.Less(a) {
		t.Error("hosts have no order")
	}
}
