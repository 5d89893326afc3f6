// SPDX-License-Identifier: Apache-2.0

// Package payload cuts a byte stream into the payloads of a stream's packets,
// and knows where a decoder of an MPEG transport stream can start.
//
// A transport stream (ISO/IEC 13818-1) is cut into seven packets of 188 bytes,
// as senders over UDP do; anything else into 1,316 bytes, the same size.
package payload

import (
	"bufio"
	"errors"
	"fmt"
	"io"
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

// RandomAccess says whether a decoder can start in p: p is MPEG-TS, and the
// adaptation field of one of its packets has the random_access_indicator.
func RandomAccess(p []byte) bool {
	if !IsTS(p) {
		return false
	}
	for ; len(p) > 0; p = p[tsPacket:] {
		// Byte 3: adaptation_field_control's upper bit says that there is a field;
		// byte 4 its length, byte 5 its flags.
		if p[3]&0x20 != 0 && p[4] > 0 && p[5]&0x40 != 0 {
			return true
		}
	}
	return false
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
	r    *bufio.Reader
	ts   bool
	seen bool
}

// NewCutter reads from r.
func NewCutter(r io.Reader) *Cutter { return &Cutter{r: bufio.NewReaderSize(r, 64<<10)} }

// Next reads the next payload into p, which must hold Max bytes, and gives its
// length. It waits until a payload is full, except at the end, where the rest
// is one; then io.EOF follows. What begins as a transport stream (its first
// byte and the one 188 later are sync bytes) must stay one: a packet that does
// not begin with 0x47 is an error, since what follows could not be decoded.
func (c *Cutter) Next(p []byte) (int, error) {
	if !c.seen {
		b, err := c.r.Peek(tsPacket + 1)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		c.seen = true
		c.ts = len(b) >= tsPacket && b[0] == tsSync && (len(b) == tsPacket || b[tsPacket] == tsSync)
	}
	n, err := io.ReadFull(c.r, p[:Max])
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	if err != nil {
		return 0, err
	}
	if c.ts {
		for i := 0; i < n; i += tsPacket {
			if p[i] != tsSync {
				return 0, fmt.Errorf("the input began as MPEG-TS, but a packet begins with %#02x, not 0x47: is it damaged or another format?", p[i])
			}
		}
	}
	return n, nil
}

// TS says whether what was read is a transport stream.
func (c *Cutter) TS() bool { return c.ts }
