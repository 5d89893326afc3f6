// SPDX-License-Identifier: Apache-2.0

package script

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"sandstream/internal/overlay/wire"
)

// Parse reads a message.
func (n *Names) Parse(text string) (wire.Message, error) {
	kind, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	for _, m := range wire.Samples() {
		if wire.KindOf(m).String() == kind {
			v := reflect.New(reflect.TypeOf(m).Elem())
			if err := n.parse(v.Elem(), rest); err != nil {
				return nil, fmt.Errorf("%s: %w", kind, err)
			}
			return v.Interface().(wire.Message), nil
		}
	}
	return nil, fmt.Errorf("no message is called %q", kind)
}

// Set reads fields into the struct that p points to.
func (n *Names) Set(p any, fields string) error { return n.parse(reflect.ValueOf(p).Elem(), fields) }

func (n *Names) parse(v reflect.Value, text string) error {
	words, err := split(text)
	if err != nil {
		return err
	}
	for _, w := range words {
		key, val, given := strings.Cut(w, ":")
		f := field(v, key)
		switch {
		case !f.IsValid():
			return fmt.Errorf("%s has no field %q", v.Type().Name(), key)
		case key == "req" || key == "xfer":
			f.SetUint(n.number(val))
		case !given && f.Kind() == reflect.Bool:
			f.SetBool(true)
		case !given:
			return fmt.Errorf("%s has no value", key)
		default:
			if err := n.set(f, val); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	return nil
}

func field(v reflect.Value, key string) reflect.Value {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			if x := field(v.Field(i), key); x.IsValid() {
				return x
			}
		} else if lower(f.Name) == key {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}

// split cuts text at the blanks that are in no brackets and no quotes.
func split(text string) (words []string, err error) {
	depth, quoted, start := 0, false, -1
	for i, c := range text + " " {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		case c == ' ' && depth == 0:
			if start >= 0 {
				words = append(words, text[start:i])
			}
			start = -1
			continue
		}
		if start < 0 {
			start = i
		}
	}
	if depth != 0 || quoted {
		return nil, fmt.Errorf("%q: brackets or quotes do not match", text)
	}
	return words, nil
}

func inner(s, brackets string) (string, error) {
	if len(s) < 2 || s[0] != brackets[0] || s[len(s)-1] != brackets[1] {
		return "", fmt.Errorf("%q: want %s around it", s, brackets)
	}
	return s[1 : len(s)-1], nil
}

func (n *Names) set(f reflect.Value, s string) error {
	var err error
	switch f.Interface().(type) {
	case wire.Peer:
		f.Set(reflect.ValueOf(Host(s)))
		return nil
	case wire.HostID:
		f.Set(reflect.ValueOf(Host(s).ID))
		return nil
	case wire.StreamID:
		f.Set(reflect.ValueOf(Stream(s)))
		return nil
	case wire.Zone:
		z, err := Zone(s)
		f.Set(reflect.ValueOf(z))
		return err
	case wire.Point:
		z, err := Zone(s)
		f.Set(reflect.ValueOf(z.Path))
		return err
	case wire.Record:
		r, err := Record(s)
		f.Set(reflect.ValueOf(r))
		return err
	case wire.LookupKind:
		for i, k := range lookups {
			if k == s {
				f.SetUint(uint64(i))
				return nil
			}
		}
	}
	switch f.Kind() {
	case reflect.Pointer:
		f.Set(reflect.New(f.Type().Elem()))
		return n.set(f.Elem(), s)
	case reflect.Struct:
		if s, err = inner(s, "{}"); err == nil {
			err = n.parse(f, s)
		}
	case reflect.Slice:
		var words []string
		if s, err = inner(s, "[]"); err != nil {
			return err
		}
		if words, err = split(s); err != nil {
			return err
		}
		f.Set(reflect.MakeSlice(f.Type(), len(words), len(words)))
		for i, w := range words {
			err = errors.Join(err, n.set(f.Index(i), w))
		}
	case reflect.Map:
		var words []string
		if s, err = inner(s, "{}"); err != nil {
			return err
		}
		if words, err = split(s); err != nil {
			return err
		}
		f.Set(reflect.MakeMap(f.Type()))
		for _, w := range words {
			k, val, _ := strings.Cut(w, ":")
			x := reflect.New(f.Type().Elem()).Elem()
			err = errors.Join(err, n.set(x, val))
			f.SetMapIndex(reflect.ValueOf(k), x)
		}
	case reflect.String:
		if strings.HasPrefix(s, `"`) {
			s, err = strconv.Unquote(s)
		}
		f.SetString(s)
	case reflect.Bool:
		var b bool
		b, err = strconv.ParseBool(s)
		f.SetBool(b)
	case reflect.Float64:
		var x float64
		x, err = strconv.ParseFloat(s, 64)
		f.SetFloat(x)
	case reflect.Int, reflect.Int64:
		var x int64
		x, err = strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, 64)
		f.SetInt(x)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		var x uint64
		x, err = strconv.ParseUint(strings.ReplaceAll(s, "_", ""), 10, f.Type().Bits())
		f.SetUint(x)
	default:
		err = fmt.Errorf("no text for a %s", f.Type())
	}
	return err
}
