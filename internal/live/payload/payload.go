// SPDX-License-Identifier: Apache-2.0

// Package payload cuts a byte stream into the payloads of a stream's packets,
// and knows where a decoder of an MPEG transport stream can start.
//
// A transport stream (ISO/IEC 13818-1) is cut into seven packets of 188 bytes,
// as senders over UDP do; anything else into 1,316 bytes, the same size.
package payload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Sizes in bytes.
const (
	Max      = 1316 // a payload
	tsPacket = 188
	tsSync   = 0x47
)

// IsTS says whether p is whole MPEG-TS packets and nothing else.
func IsTS(p []byte) bool {
	if len(p) == 0 || len(p)%tsPacket != 0 {
		return false
	}
	for i := 0; i < len(p); i += tsPacket {
		if p[i] != tsSync {
			return false
		}
	}
	return true
}

// RandomAccess says whether a decoder of video can start in p: p is MPEG-TS, and
// in one of its packets a video access unit begins (a PES of stream 0xe0 to
// 0xef) whose adaptation field has the random_access_indicator. Every access
// unit of audio has it too; it does not count.
func RandomAccess(p []byte) bool {
	if !IsTS(p) {
		return false
	}
	for ; len(p) > 0; p = p[tsPacket:] {
		// Byte 3: adaptation_field_control's upper bit says that there is a field;
		// byte 4 its length, byte 5 its flags.
		if p[3]&0x20 != 0 && p[4] > 0 && p[5]&0x40 != 0 && video(p) {
			return true
		}
	}
	return false
}

// video says whether a PES of video begins in the TS packet p.
func video(p []byte) bool {
	at := 4
	if p[3]&0x20 != 0 {
		at += 1 + int(p[4])
	}
	// Byte 1: payload_unit_start_indicator; byte 3: there is payload.
	return p[1]&0x40 != 0 && p[3]&0x10 != 0 && at+4 <= tsPacket &&
		p[at] == 0 && p[at+1] == 0 && p[at+2] == 1 && p[at+3]&0xf0 == 0xe0
}

// Null says whether all of p is MPEG-TS stuffing (PID 0x1fff): it may be dropped.
func Null(p []byte) bool {
	if !IsTS(p) {
		return false
	}
	for ; len(p) > 0; p = p[tsPacket:] {
		if p[1]&0x1f != 0x1f || p[2] != 0xff {
			return false
		}
	}
	return true
}

// Cutter reads payloads from a byte stream.
type Cutter struct {
	chunks <-chan chunk
	flush  time.Duration
	buf    []byte
	err    error // how the stream ended
	ts     bool
	seen   bool
}

type chunk struct {
	b   []byte
	err error
}

// NewCutter reads from r, in a goroutine that ends with r or with ctx, once its
// Read returns. What has come is a payload, though a short one, when nothing
// more comes for flush: who types, or sends little, is not kept waiting.
func NewCutter(ctx context.Context, r io.Reader, flush time.Duration) *Cutter {
	chunks := make(chan chunk)
	go func() {
		for {
			b := make([]byte, 32<<10)
			n, err := r.Read(b)
			select {
			case chunks <- chunk{b[:n], err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return &Cutter{chunks: chunks, flush: flush}
}

// Next reads the next payload into p, which must hold Max bytes, and gives its
// length, io.EOF at the end. What begins as a transport stream (its first byte
// and the one 188 later are sync bytes) must stay one: a packet that does not
// begin with 0x47 is an error, since what follows could not be decoded.
func (c *Cutter) Next(ctx context.Context, p []byte) (int, error) {
	n, err := c.await(ctx)
	if err != nil {
		return 0, err
	}
	if c.ts {
		for i := 0; i < n; i += tsPacket {
			if c.buf[i] != tsSync {
				return 0, fmt.Errorf("the input began as MPEG-TS, but a packet begins with %#02x, not 0x47: is it damaged or another format?", c.buf[i])
			}
		}
	}
	n = copy(p, c.buf[:n])
	c.buf = c.buf[n:]
	return n, nil
}

// await waits for a payload, and says how many bytes it has.
func (c *Cutter) await(ctx context.Context) (int, error) {
	var quiet <-chan time.Time
	for len(c.buf) < Max && c.err == nil {
		if len(c.buf) > 0 {
			quiet = time.After(c.flush)
		}
		select {
		case k := <-c.chunks:
			c.buf, c.err = append(c.buf, k.b...), k.err
		case <-quiet:
			if n := c.whole(); n > 0 {
				return n, nil
			}
			quiet = nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	c.look()
	switch {
	case len(c.buf) >= Max:
		return Max, nil
	case len(c.buf) > 0 && (c.err == nil || errors.Is(c.err, io.EOF)):
		return len(c.buf), nil
	}
	return 0, c.err
}

// look tells a transport stream from anything else, by the first bytes.
func (c *Cutter) look() {
	if !c.seen {
		b := c.buf
		c.seen = true
		c.ts = len(b) >= tsPacket && b[0] == tsSync && (len(b) == tsPacket || b[tsPacket] == tsSync)
	}
}

// whole is how much of a payload that is not full may leave: a packet of a
// transport stream is not cut. Too little to tell what it is waits.
func (c *Cutter) whole() int {
	if !c.seen && c.buf[0] == tsSync && len(c.buf) <= tsPacket {
		return 0
	}
	c.look()
	if c.ts {
		return len(c.buf) / tsPacket * tsPacket
	}
	return len(c.buf)
}

// TS says whether what was read is a transport stream.
func (c *Cutter) TS() bool { return c.ts }
