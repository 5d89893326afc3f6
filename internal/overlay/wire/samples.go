// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net/netip"
	"reflect"
)

// SampleHost is a host at an address of RFC 5737.
var SampleHost = Peer{ID: HostID{1, 2, 3}, Addr: netip.MustParseAddrPort("192.0.2.7:4455")}

// Samples has one message of each kind, every field set: for the tests and fuzzers of
// the codec and of what takes messages.
func Samples() []Message {
	var v []Message
	for _, k := range kinds {
		if k.blank == nil {
			continue
		}
		m, n := k.blank(), uint64(0)
		fill(reflect.ValueOf(m).Elem(), &n)
		v = append(v, m)
	}
	return v
}

// fill sets all of a value; n counts the numbers it has used.
func fill(v reflect.Value, n *uint64) {
	set := func(x any) { v.Set(reflect.ValueOf(x)) }
	switch v.Interface().(type) {
	case Peer:
		set(SampleHost)
		return
	case HostID:
		set(HostID{4})
		return
	case StreamID:
		set(StreamID{5})
		return
	case Zone:
		set(Zone{}.Child(2).Child(1))
		return
	case Point:
		set(Zone{}.Child(1).Child(2).Path)
		return
	case LookupKind:
		set(Put)
		return
	case Place:
		set(Anywhere)
		return
	case []byte:
		set([]byte{8, byte(*n)})
		return
	case []Part:
		set([]Part{{StreamID{5}, 3}, {StreamID{6}, 1}})
		return
	}
	*n++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), n)
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Map:
		set(map[string]uint64{"nulls": *n})
	case reflect.String:
		v.SetString("filter")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(0.125)
	default: // the unsigned integers
		v.SetUint(*n)
	}
}
