// SPDX-License-Identifier: Apache-2.0

// Package door carries payloads between a program and the daemon on its machine,
// past the control API.
//
// A call of the API (Publish, Subscribe) asks for a door and is told its name: a unix
// socket of the type seqpacket beside the API's, made for this call, with 64 random
// bits in its name, which is gone as soon as the caller has come in. HTTP stays for what
// is rare: the call itself, its errors, changes of a contract, the end.
//
// # Records
//
// What is written at once is a record, and read at once: the kernel keeps its bounds,
// so that a reader sees whole payloads or none. A record is one payload after another,
// each with a head of 4 bytes:
//
//	0  1  flags: 1 KEY  2 DISCARDABLE
//	1  3  length of the payload in bytes, big-endian, 1 to MaxPayload
//	4  n  the payload
//
// A record has at most MaxRecord bytes. Neither side answers: whoever writes faster than
// the other reads waits, as with a pipe. The end of the file is the end of the payloads.
package door

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Sizes in bytes.
const (
	MaxPayload = 64 << 10
	MaxRecord  = 128 << 10 // less than the least send buffer that Linux has by default

	headSize = 4
	// fill is how long a record grows of small payloads. Longer ones gain nothing:
	// then the copies cost more than the calls.
	fill    = 64 << 10
	maxPath = 107 // what sockaddr_un has room for
)

// Flags of a payload.
const (
	Key         = 1 << iota // a decoder can start here
	Discardable             // decoding survives without it

	known = Key | Discardable
)

// Payload is what one packet of a stream carries.
type Payload struct {
	Data  []byte
	Flags uint8
}

// Conn is one side of an open door. One goroutine may send while another receives.
type Conn struct {
	c   *net.UnixConn
	out []byte
	in  []byte
	ps  []Payload

	records uint64 // sent
}

// ErrRecord says that the other side does not speak this package's language.
var ErrRecord = errors.New("door: malformed record")

// Put adds payloads to the record, and writes what does not fit. The data are copied.
func (c *Conn) Put(ps ...Payload) error {
	for i := range ps {
		n := len(ps[i].Data)
		if n == 0 || n > MaxPayload {
			return fmt.Errorf("door: payload of %d bytes: 1 to %d", n, MaxPayload)
		}
		if len(c.out) > 0 && len(c.out)+headSize+n > fill {
			if err := c.Flush(); err != nil {
				return err
			}
		}
		if c.out == nil {
			c.out = make([]byte, 0, fill)
		}
		c.out = binary.BigEndian.AppendUint32(c.out, uint32(ps[i].Flags)<<24|uint32(n))
		c.out = append(c.out, ps[i].Data...)
	}
	return nil
}

// Flush writes the record, if there is anything in it. It waits for the other side.
func (c *Conn) Flush() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.c.Write(c.out)
	c.out = c.out[:0]
	if err != nil {
		return err
	}
	c.records++
	return nil
}

// Records is how many have been written.
func (c *Conn) Records() uint64 { return c.records }

// Next waits for a record and gives its payloads, which are valid until it is called
// again; io.EOF when the other side has closed.
func (c *Conn) Next() ([]Payload, error) {
	if c.in == nil {
		c.in = make([]byte, MaxRecord+1)
	}
	n, err := c.c.Read(c.in)
	if err != nil {
		return nil, err
	}
	c.ps, err = parse(c.in[:n], c.ps[:0])
	return c.ps, err
}

// parse adds the payloads of record b, which are parts of it, to ps.
func parse(b []byte, ps []Payload) ([]Payload, error) {
	if len(b) > MaxRecord {
		return ps, fmt.Errorf("%w: more than %d bytes", ErrRecord, MaxRecord)
	}
	for len(b) > 0 {
		if len(b) < headSize {
			return ps, fmt.Errorf("%w: %d bytes at its end", ErrRecord, len(b))
		}
		word := binary.BigEndian.Uint32(b)
		n, flags := int(word&0xffffff), uint8(word>>24)
		b = b[headSize:]
		switch {
		case flags&^known != 0:
			return ps, fmt.Errorf("%w: unknown flag %#x", ErrRecord, flags&^known)
		case n == 0 || n > MaxPayload || n > len(b):
			return ps, fmt.Errorf("%w: a payload of %d bytes, and %d left", ErrRecord, n, len(b))
		}
		ps = append(ps, Payload{Data: b[:n:n], Flags: flags})
		b = b[n:]
	}
	return ps, nil
}

// Close ends what this side sends and receives.
func (c *Conn) Close() error { return c.c.Close() }

// CloseWhen closes the connection when ctx ends, and so wakes who waits in it.
func (c *Conn) CloseWhen(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { c.c.Close() })
}

// Door waits for its caller.
type Door struct {
	l    *net.UnixListener
	name string
}

// Open makes a door beside the API's socket, for the owner and group of the process
// alone.
func Open(socket string) (*Door, error) {
	var r [randomSize]byte
	if _, err := rand.Read(r[:]); err != nil {
		return nil, fmt.Errorf("door: %w", err)
	}
	path := socket + "." + hex.EncodeToString(r[:])
	if len(path) > maxPath {
		return nil, fmt.Errorf("door %s: %d bytes; a unix socket's path has at most %d", path, len(path), maxPath)
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return nil, fmt.Errorf("door: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return nil, fmt.Errorf("door: %w", err)
	}
	return &Door{l: l, name: filepath.Base(path)}, nil
}

const randomSize = 8 // bytes in a door's name, after the socket's

// Name is what the caller is told.
func (d *Door) Name() string { return d.name }

// Accept waits for the caller, no longer than within, and takes the door away.
func (d *Door) Accept(ctx context.Context, within time.Duration) (*Conn, error) {
	defer d.l.Close()
	stop := context.AfterFunc(ctx, func() { d.l.Close() })
	defer stop()
	_ = d.l.SetDeadline(time.Now().Add(within))
	c, err := d.l.AcceptUnix()
	if err != nil {
		return nil, fmt.Errorf("door: nobody came in: %w", err)
	}
	return &Conn{c: c}, nil
}

// Close takes a door away that nobody shall use.
func (d *Door) Close() error { return d.l.Close() }

// Dial goes in by the door of that name beside the API's socket.
func Dial(socket, name string) (*Conn, error) {
	if name == "" || filepath.Base(name) != name {
		return nil, fmt.Errorf("door %q: not a name", name)
	}
	a := &net.UnixAddr{Name: filepath.Join(filepath.Dir(socket), name), Net: "unixpacket"}
	c, err := net.DialUnix("unixpacket", nil, a)
	if err != nil {
		return nil, fmt.Errorf("door: %w", err)
	}
	return &Conn{c: c}, nil
}

// Clean removes the doors beside a socket that a daemon left which died.
func Clean(socket string) {
	dir := filepath.Dir(socket)
	left, _ := os.ReadDir(dir)
	for _, e := range left {
		end, ok := strings.CutPrefix(e.Name(), filepath.Base(socket)+".")
		if b, err := hex.DecodeString(end); ok && err == nil && len(b) == randomSize && e.Type()&os.ModeSocket != 0 {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
