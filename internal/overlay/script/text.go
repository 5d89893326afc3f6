// SPDX-License-Identifier: Apache-2.0

// Package script plays message scripts: text files that say what a machine of the
// protocol is given and what it answers, to be read without the code. The tests of the
// machines use it; see their testdata folders.
//
// A message is written as its kind and its fields, those that are zero left out:
//
//	offer xfer:x1 give:[012/4@b] region:{n:3 version:2 radix:3}
//
// A host is a letter, a zone its digits (* for all ids), a record zone/counter@owner with
// its heirs behind a plus sign (01/3@a+bc), a stream $name. A field that is true stands
// alone. Numbers of requests and hand-overs, which hosts draw, are r1, r2, ... and x1,
// x2, ... in the order in which they appear.
package script

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"sandstream/internal/overlay/wire"
)

// Host is the host with a letter for its name: its id is that letter, its address one of
// 192.0.2.0/24 (RFC 5737). The name - is no host.
func Host(name string) wire.Peer {
	if name == "-" || name == "" {
		return wire.Peer{}
	}
	return wire.Peer{ID: wire.HostID{name[0]}, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, name[0]}), 1)}
}

// Name is the letter of a host.
func Name(h wire.HostID) string {
	if h.IsZero() {
		return "-"
	}
	return string(rune(h[0]))
}

// Stream is the stream $name.
func Stream(name string) (id wire.StreamID) {
	copy(id[:], strings.TrimPrefix(name, "$"))
	return id
}

// StreamName is the other way around.
func StreamName(id wire.StreamID) string { return "$" + strings.TrimRight(string(id[:]), "\x00") }

// Zone reads digits, or * for all ids.
func Zone(s string) (z wire.Zone, err error) {
	if s == "*" {
		return z, nil
	}
	for _, c := range s {
		if c < '0' || c > '2' || z.Len == wire.MaxDigits {
			return z, fmt.Errorf("%q is no zone", s)
		}
		z = z.Child(int(c - '0'))
	}
	return z, nil
}

// Record reads zone/counter@owner+heirs; owner and heirs may be left out.
func Record(s string) (r wire.Record, err error) {
	s, heirs, _ := strings.Cut(s, "+")
	s, owner, _ := strings.Cut(s, "@")
	zone, counter, _ := strings.Cut(s, "/")
	if r.Zone, err = Zone(zone); err != nil {
		return r, err
	}
	if r.Counter, err = strconv.ParseUint(counter, 10, 64); err != nil {
		return r, fmt.Errorf("record %q: zone/counter@owner+heirs", s)
	}
	r.Owner = Host(owner)
	for i, h := range heirs {
		if i < len(r.Heirs) {
			r.Heirs[i] = Host(string(h))
		}
	}
	return r, nil
}

// RecordText writes what Record reads.
func RecordText(r wire.Record) string {
	s := fmt.Sprintf("%s/%d", r.Zone, r.Counter)
	if !r.Owner.ID.IsZero() {
		s += "@" + Name(r.Owner.ID)
	}
	if r.Heirs != [2]wire.Peer{} {
		s += "+" + Name(r.Heirs[0].ID)
		if !r.Heirs[1].ID.IsZero() {
			s += Name(r.Heirs[1].ID)
		}
	}
	return s
}

// Point writes the digits of an id, eight at most.
func Point(p wire.Point) string {
	const most = 8
	var b strings.Builder
	for i := range most {
		b.WriteByte(byte('0' + p.Digit(i)))
	}
	if p<<(2*most) != 0 {
		return b.String() + ".."
	}
	return strings.TrimRight(b.String(), "0") + "0"
}

// Names gives short names to the numbers that hosts draw.
type Names struct {
	name map[uint64]string
	num  map[string]uint64
}

func (n *Names) of(kind string, v uint64) string {
	if n.name == nil {
		n.name, n.num = map[uint64]string{}, map[string]uint64{}
	}
	s, ok := n.name[v]
	if !ok {
		for i := 1; s == "" || n.num[s] != 0; i++ {
			s = kind + strconv.Itoa(i)
		}
		n.name[v], n.num[s] = s, v
	}
	return s
}

// number is what a name stands for; a new name gets a number that no host draws.
func (n *Names) number(s string) uint64 {
	if v, ok := n.num[s]; ok {
		return v
	}
	if n.name == nil {
		n.name, n.num = map[uint64]string{}, map[string]uint64{}
	}
	v := uint64(1000 + 2*len(n.num))
	n.name[v], n.num[s] = s, v
	return v
}

var lookups = []string{"find", "put", "get", "grow-ask", "drop", "list"}

// Format writes a message.
func (n *Names) Format(m wire.Message) string {
	return strings.TrimSpace(wire.KindOf(m).String() + " " + n.fields(reflect.ValueOf(m).Elem()))
}

func (n *Names) fields(v reflect.Value) string {
	var b []string
	for i := range v.NumField() {
		f, x := v.Type().Field(i), v.Field(i)
		if x.IsZero() {
			continue
		}
		key := lower(f.Name)
		switch {
		case f.Anonymous:
			b = append(b, n.fields(x))
		case key == "req":
			b = append(b, "req:"+n.of("r", x.Uint()))
		case key == "xfer":
			b = append(b, "xfer:"+n.of("x", x.Uint()))
		case x.Kind() == reflect.Bool:
			b = append(b, key)
		default:
			b = append(b, key+":"+n.value(x))
		}
	}
	return strings.Join(b, " ")
}

// lower writes a field's name as the scripts do: RateBps is rateBps, ID is id.
func lower(s string) string {
	r := []rune(s)
	for i := range r {
		if i > 0 && i+1 < len(r) && unicode.IsLower(r[i+1]) {
			break
		}
		r[i] = unicode.ToLower(r[i])
	}
	return string(r)
}

func (n *Names) value(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case wire.Peer:
		return Name(x.ID)
	case wire.HostID:
		return Name(x)
	case wire.StreamID:
		return StreamName(x)
	case wire.Zone:
		return x.String()
	case wire.Point:
		return Point(x)
	case wire.Record:
		return RecordText(x)
	case wire.LookupKind:
		if int(x) < len(lookups) {
			return lookups[x]
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		return n.value(v.Elem())
	case reflect.Struct:
		return "{" + n.fields(v) + "}"
	case reflect.Slice:
		var b []string
		for i := range v.Len() {
			b = append(b, n.value(v.Index(i)))
		}
		return "[" + strings.Join(b, " ") + "]"
	case reflect.Map:
		var b []string
		for _, k := range v.MapKeys() {
			b = append(b, fmt.Sprintf("%v:%v", k, v.MapIndex(k)))
		}
		slices.Sort(b)
		return "{" + strings.Join(b, " ") + "}"
	case reflect.String:
		if s := v.String(); s == "" || strings.ContainsAny(s, " :[]{}\"") {
			return strconv.Quote(s)
		}
	}
	return fmt.Sprint(v.Interface())
}
