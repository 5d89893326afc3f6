// SPDX-License-Identifier: Apache-2.0

package overlayapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// MarshalJSON writes m with the field names of overlay.proto in its order, zero
// values included, map keys sorted, and 64-bit numbers as numbers (the standard
// mapping of protobuf writes strings). Fields of a oneof and optional fields
// are written if they are set.
func MarshalJSON(m proto.Message) ([]byte, error) {
	var b bytes.Buffer
	if err := writeMessage(&b, m.ProtoReflect()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func writeMessage(b *bytes.Buffer, m protoreflect.Message) error {
	b.WriteByte('{')
	fields := m.Descriptor().Fields()
	first := true
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.HasPresence() && !m.Has(f) && (f.ContainingOneof() != nil || f.Message() == nil) {
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		fmt.Fprintf(b, "%q:", f.Name())
		if err := writeField(b, f, m); err != nil {
			return fmt.Errorf("%s: %w", f.Name(), err)
		}
	}
	b.WriteByte('}')
	return nil
}

func writeField(b *bytes.Buffer, f protoreflect.FieldDescriptor, m protoreflect.Message) error {
	v := m.Get(f)
	switch {
	case f.IsList():
		b.WriteByte('[')
		for i := range v.List().Len() {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeValue(b, f, v.List().Get(i)); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	case f.IsMap():
		return writeMap(b, f, v.Map())
	case f.Message() != nil && !m.Has(f):
		b.WriteString("null")
		return nil
	}
	return writeValue(b, f, v)
}

func writeMap(b *bytes.Buffer, f protoreflect.FieldDescriptor, m protoreflect.Map) error {
	var keys []protoreflect.MapKey
	m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, k)
		return true
	})
	slices.SortFunc(keys, func(x, y protoreflect.MapKey) int {
		switch s, t := x.String(), y.String(); {
		case s < t:
			return -1
		case s > t:
			return 1
		}
		return 0
	})
	b.WriteByte('{')
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := writeString(b, k.String()); err != nil {
			return err
		}
		b.WriteByte(':')
		if err := writeValue(b, f.MapValue(), m.Get(k)); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

func writeValue(b *bytes.Buffer, f protoreflect.FieldDescriptor, v protoreflect.Value) error {
	switch f.Kind() {
	case protoreflect.MessageKind:
		return writeMessage(b, v.Message())
	case protoreflect.StringKind:
		return writeString(b, v.String())
	case protoreflect.BytesKind:
		return writeString(b, base64.StdEncoding.EncodeToString(v.Bytes()))
	case protoreflect.BoolKind:
		b.WriteString(strconv.FormatBool(v.Bool()))
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		b.WriteString(strconv.FormatUint(v.Uint(), 10))
	default:
		return fmt.Errorf("a field of kind %v has no JSON yet", f.Kind())
	}
	return nil
}

func writeString(b *bytes.Buffer, s string) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the encoder's newline
	return nil
}

// Codec is the JSON codec of the API's handler: connect.WithCodec(Codec{}).
type Codec struct{}

// Name is what the content type says.
func (Codec) Name() string { return "json" }

// Marshal is MarshalJSON.
func (Codec) Marshal(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no protobuf message", v)
	}
	return MarshalJSON(m)
}

// Unmarshal reads field names as in overlay.proto or in protobuf's mapping.
func (Codec) Unmarshal(b []byte, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no protobuf message", v)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return fmt.Errorf("the request is empty: send a JSON object, {} if there is nothing to say")
	}
	return protojson.Unmarshal(b, m)
}
