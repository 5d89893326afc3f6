// SPDX-License-Identifier: Apache-2.0

package overlayapi

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"pgregory.net/rapid"

	"sandstream/internal/live/ownfolder"
	"sandstream/overlayapi/overlayv1"
)

func TestJSONNumbersNamesAndZeroes(t *testing.T) {
	loss := uint32(0)
	b, err := MarshalJSON(&overlayv1.Subscription{
		Id: 1<<53 + 1, Name: "a \"b\" <c>\n", Contract: &overlayv1.Contract{LossPpm: &loss, Degrade: []string{"filter"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":9007199254740993,"stream":"","name":"a \"b\" <c>\n","contract":{"latency_us":0,"min_rate_bps":0,"loss_ppm":0,` +
		`"degrade":["filter"],"best_effort":false,"no_swap":false,"jitter_us":0},"state":"","reason":"","degraded":"","path":[],"predicted_us":0,` +
		`"predicted_loss_ppm":0,"measured":null,"swaps":0,"repairs":0,"delivery":null,"predicted_jitter_us":0}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	b, err = MarshalJSON(&overlayv1.StatusResponse{Sent: map[string]uint64{"b": 2, "a": 1}})
	if err != nil || !strings.Contains(string(b), `"sent":{"a":1,"b":2}`) {
		t.Errorf("map keys: %s, %v", b, err)
	}
}

// fill sets every field of m by chance, two levels of lists and maps deep.
func fill(t *rapid.T, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if depth == 0 && f.Message() != nil || rapid.IntRange(0, 3).Draw(t, "leave") == 0 {
			continue
		}
		switch {
		case f.IsList():
			for range rapid.IntRange(0, 2).Draw(t, "len") {
				l := m.Mutable(f).List()
				l.Append(value(t, f, func() protoreflect.Message { return l.NewElement().Message() }, depth))
			}
		case f.IsMap():
			for range rapid.IntRange(0, 2).Draw(t, "len") {
				m.Mutable(f).Map().Set(protoreflect.ValueOfString(rapid.String().Draw(t, "key")).MapKey(),
					value(t, f.MapValue(), nil, depth))
			}
		default:
			m.Set(f, value(t, f, func() protoreflect.Message { return m.NewField(f).Message() }, depth))
		}
	}
}

func value(t *rapid.T, f protoreflect.FieldDescriptor, message func() protoreflect.Message, depth int) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.MessageKind:
		n := message()
		fill(t, n, depth-1)
		return protoreflect.ValueOfMessage(n)
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(rapid.String().Draw(t, "s"))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(rapid.SliceOf(rapid.Byte()).Draw(t, "b"))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rapid.Bool().Draw(t, "bool"))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(rapid.Uint32().Draw(t, "u32"))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(rapid.Uint64().Draw(t, "u64"))
	}
	t.Fatalf("kind %v", f.Kind())
	return protoreflect.Value{}
}

// Every message of the API: what MarshalJSON writes is JSON, and reads back.
func TestJSONRoundTrip(t *testing.T) {
	messages := overlayv1.File_overlay_proto.Messages()
	rapid.Check(t, func(t *rapid.T) {
		d := messages.Get(rapid.IntRange(0, messages.Len()-1).Draw(t, "message"))
		mt, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
		if err != nil {
			t.Fatal(err)
		}
		m := mt.New()
		fill(t, m, 3)
		b, err := MarshalJSON(m.Interface())
		if err != nil || !json.Valid(b) {
			t.Fatalf("%s: %v", b, err)
		}
		back := mt.New().Interface()
		if err := (Codec{}).Unmarshal(b, back); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if !proto.Equal(back, m.Interface()) {
			t.Fatalf("%s\nread back as %v\nwas %v", b, back, m)
		}
	})
}

func TestCodecRefuses(t *testing.T) {
	c := Codec{}
	if _, err := c.Marshal(1); err == nil {
		t.Error("marshals what is no message")
	}
	for _, bad := range []string{"", "[", `{"no_such_field":1}`, `{"rate_bps":"x"}`} {
		if err := c.Unmarshal([]byte(bad), &overlayv1.Announce{}); err == nil {
			t.Errorf("takes %q", bad)
		}
	}
}

func TestDefaultSocket(t *testing.T) {
	t.Setenv(SocketEnv, "/x/y.sock")
	if got := DefaultSocket(); got != "/x/y.sock" {
		t.Error(got)
	}
	t.Setenv(SocketEnv, "")
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/7")
	want := "/run/user/7/sandstream/overlayd.sock"
	if os.Geteuid() == 0 {
		want = "/run/sandstream/overlayd.sock"
	}
	if got := DefaultSocket(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Without a folder of the session's own, another user could have made the one that
// is used, and listen in it: the client does not speak to that.
func TestFolderThatAnotherMade(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	socket := filepath.Join(tempFolder(), "overlayd.sock")
	if os.Geteuid() != 0 {
		t.Setenv(SocketEnv, "")
		t.Setenv("XDG_RUNTIME_DIR", "")
		if got := DefaultSocket(); got != socket {
			t.Errorf("%s, want %s", got, socket)
		}
	}
	call := func() error {
		c := Dial(socket)
		defer c.Close()
		_, err := c.Status(t.Context(), connect.NewRequest(&overlayv1.StatusRequest{}))
		return err
	}
	if err := call(); err == nil || errors.Is(err, ownfolder.ErrNotOurs) {
		t.Errorf("nobody listens: %v", err)
	}
	if err := os.Mkdir(tempFolder(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(tempFolder(), 0o777); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	spoken := make(chan struct{})
	go func() {
		if c, err := l.Accept(); err == nil {
			close(spoken)
			c.Close()
		}
	}()
	if err := call(); !errors.Is(err, ownfolder.ErrNotOurs) {
		t.Errorf("a folder that all may write: %v", err)
	}
	select {
	case <-spoken:
		t.Error("the client connected")
	default:
	}
}

// The generated code is that of overlay.proto.
func TestGenerated(t *testing.T) {
	if _, err := exec.LookPath("protoc"); err != nil {
		t.Skip("protoc is missing: apt-get install protobuf-compiler")
	}
	if testing.Short() {
		t.Skip("builds the plugins")
	}
	out := t.TempDir()
	if b, err := exec.Command("./generate.sh", out).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	for _, f := range []string{"overlayv1/overlay.pb.go", "overlayv1/overlayv1connect/overlay.connect.go"} {
		want, err := os.ReadFile(filepath.Join(out, "overlayapi", f))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if plain(got) != plain(want) {
			t.Errorf("%s is not what overlay.proto gives: run overlayapi/generate.sh", f)
		}
	}
}

// plain is generated code without the line that names protoc's version.
func plain(b []byte) string {
	return regexp.MustCompile(`(?m)^// .*\bprotoc +v.*$`).ReplaceAllString(string(b), "")
}
