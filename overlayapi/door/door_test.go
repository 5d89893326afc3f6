// SPDX-License-Identifier: Apache-2.0

package door

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pair opens a door and goes in.
func pair(t *testing.T) (daemon, program *Conn) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "api.sock")
	d, err := Open(socket)
	if err != nil {
		t.Fatal(err)
	}
	if i, err := os.Stat(filepath.Join(filepath.Dir(socket), d.Name())); err != nil || i.Mode().Perm() != 0o660 {
		t.Fatalf("the door is %v, %v", i, err)
	}
	if program, err = Dial(socket, d.Name()); err != nil {
		t.Fatal(err)
	}
	if daemon, err = d.Accept(context.Background(), time.Minute); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { daemon.Close(); program.Close() })
	if _, err := os.Stat(filepath.Join(filepath.Dir(socket), d.Name())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the door is still there after the caller came in: %v", err)
	}
	return daemon, program
}

func TestPayloadsComeWhole(t *testing.T) {
	daemon, program := pair(t)
	var sent []Payload
	for i, n := range []int{1, 1316, MaxPayload, 2, MaxPayload, MaxPayload, 9000, 1} {
		sent = append(sent, Payload{Data: bytes.Repeat([]byte{byte(i + 1)}, n), Flags: uint8(i) & known})
	}
	for range 200 { // more than one record of small ones
		sent = append(sent, Payload{Data: make([]byte, 1316)})
	}
	done := make(chan error, 1)
	go func() {
		err := program.Put(sent...)
		done <- errors.Join(err, program.Flush(), program.Close())
	}()
	var got []Payload
	records := uint64(0)
	for {
		ps, err := daemon.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		records++
		for _, p := range ps {
			got = append(got, Payload{bytes.Clone(p.Data), p.Flags})
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if records != program.Records() || records > 12 {
		t.Errorf("%d records came, %d were sent", records, program.Records())
	}
	if len(got) != len(sent) {
		t.Fatalf("%d payloads came of %d", len(got), len(sent))
	}
	for i := range got {
		if got[i].Flags != sent[i].Flags || !bytes.Equal(got[i].Data, sent[i].Data) {
			t.Fatalf("payload %d of %d bytes came as %d", i, len(sent[i].Data), len(got[i].Data))
		}
	}
}

func TestRefused(t *testing.T) {
	daemon, program := pair(t)
	for _, n := range []int{0, MaxPayload + 1} {
		if err := program.Put(Payload{Data: make([]byte, n)}); err == nil {
			t.Errorf("a payload of %d bytes was taken", n)
		}
	}
	for _, b := range [][]byte{
		{0},
		{0, 0, 0, 0},
		{0, 0, 0, 2, 1},
		{4, 0, 0, 1, 1},
		{0, 0, 0, 1, 1, 0},
		append([]byte{0, 1, 0, 1}, make([]byte, MaxPayload+1)...),
		make([]byte, MaxRecord+1),
	} {
		if _, err := program.c.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := daemon.Next(); !errors.Is(err, ErrRecord) {
			t.Errorf("record of %d bytes % x: %v", len(b), b[:min(len(b), 8)], err)
		}
	}
	// The connection itself is whole: what is right comes.
	if err := errors.Join(program.Put(Payload{Data: []byte("x")}), program.Flush()); err != nil {
		t.Fatal(err)
	}
	if ps, err := daemon.Next(); err != nil || len(ps) != 1 {
		t.Errorf("%v, %v", ps, err)
	}
}

func TestNobodyComes(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "api.sock")
	d, err := Open(socket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Accept(context.Background(), 10*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Accept: %v", err)
	}
	if d, err = Open(socket); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := d.Accept(ctx, time.Minute); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept of a call that has ended: %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(socket))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	for _, name := range []string{"", "../x", "a/b", d.Name()} {
		if _, err := Dial(socket, name); err == nil {
			t.Errorf("Dial %q went in", name)
		}
	}
}

// Whoever waits in a connection is woken by the end of its call.
func TestCloseWhen(t *testing.T) {
	daemon, program := pair(t)
	ctx, cancel := context.WithCancel(context.Background())
	daemon.CloseWhen(ctx)
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := daemon.Next(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Next: %v", err)
	}
	err := program.Put(Payload{Data: []byte("x")})
	if err = errors.Join(err, program.Flush()); err == nil {
		t.Error("writing to a closed door is no error")
	}
}

func TestClean(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "api.sock")
	keep := []string{"api.sock", "api.sock.0123456789abcdef.sock", "api.sock.notsixteen", "other.sock.0123456789abcdef"}
	gone := []string{"api.sock.0123456789abcdef"}
	for _, name := range append(keep, gone...) {
		l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: filepath.Join(dir, name), Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
	}
	file := filepath.Join(dir, "api.sock.fedcba9876543210")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	Clean(socket)
	for _, name := range append(keep, filepath.Base(file)) {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s is gone", name)
		}
	}
	for _, name := range gone {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
}

func TestLongPath(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), strings.Repeat("x", 100))); err == nil || !strings.Contains(err.Error(), "at most 107") {
		t.Errorf("%v", err)
	}
}

// What is taken is whole payloads that give the same record again.
func FuzzParse(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 'x'})
	f.Add([]byte{3, 0, 0, 2, 'x', 'y', 1, 0, 0, 1, 'z'})
	f.Add([]byte{4, 0, 0, 1, 'x'})
	f.Add([]byte{0, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		ps, err := parse(b, nil)
		if err != nil {
			if !errors.Is(err, ErrRecord) {
				t.Fatal(err)
			}
			return
		}
		var again []byte
		for _, p := range ps {
			again = append(again, p.Flags, byte(len(p.Data)>>16), byte(len(p.Data)>>8), byte(len(p.Data)))
			again = append(again, p.Data...)
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("% x was read as %d payloads", b, len(ps))
		}
	})
}
