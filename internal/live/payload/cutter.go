// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Format is what a byte stream is taken for.
type Format uint8

// The formats. Guess looks at the first packets of the input.
const (
	Guess Format = iota
	Raw
	TS
)

// ParseFormat reads what Format.String writes.
func ParseFormat(s string) (Format, error) {
	for f := Guess; f <= TS; f++ {
		if s == f.String() {
			return f, nil
		}
	}
	return 0, fmt.Errorf("format %q is not guess, raw or ts", s)
}

func (f Format) String() string { return [...]string{"guess", "raw", "ts"}[f] }

const (
	// guessPackets is how many packets in a row make a transport stream where nobody
	// said so.
	guessPackets = 5
	// guessFor is how long the first bytes are held where they could be its beginning;
	// then guessLate of them will do.
	guessFor  = 2 * time.Second
	guessLate = 3
)

// Cutter reads payloads from a byte stream.
type Cutter struct {
	chunks <-chan chunk
	flush  time.Duration
	buf    []byte
	err    error // how the stream ended
	format Format
	first  time.Time // when the first bytes came
	damage Damage
	astray bool // what was before the buffer was no packet
	blind  bool // nor is it known that one begins with the buffer
}

// Damage counts what of a transport stream did not have its sync byte where it
// belongs. These bytes are in no payload.
type Damage struct {
	Places uint64 // runs of such bytes
	Bytes  uint64
}

type chunk struct {
	b   []byte
	err error
}

// NewCutter reads from r, in a goroutine that ends with r or with ctx, once its
// Read returns. What has come is a payload, though a short one, when nothing
// more comes for flush: who types, or sends little, is not kept waiting.
func NewCutter(ctx context.Context, r io.Reader, format Format, flush time.Duration) *Cutter {
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
	return &Cutter{chunks: chunks, flush: flush, format: format, blind: true}
}

// Next reads the next payload into p, which must hold Max bytes, and gives its
// length, io.EOF at the end. Of a transport stream, bytes between whole packets
// are passed over and counted, see Damage.
func (c *Cutter) Next(ctx context.Context, p []byte) (int, error) {
	for {
		n, err := c.await(ctx)
		if err != nil {
			return 0, err
		}
		if c.format == TS {
			if n = c.inSync(n); n == 0 {
				continue
			}
		}
		n = copy(p, c.buf[:n])
		c.buf = c.buf[n:]
		return n, nil
	}
}

// await waits for a payload, and says how many bytes it has.
func (c *Cutter) await(ctx context.Context) (int, error) {
	for len(c.buf) < Max && c.err == nil {
		var quiet <-chan time.Time
		if len(c.buf) > 0 {
			quiet = time.After(c.flush)
		}
		select {
		case k := <-c.chunks:
			if len(c.buf) == 0 {
				c.first = time.Now()
			}
			c.buf, c.err = append(c.buf, k.b...), k.err
		case <-quiet:
			if n := c.whole(); n > 0 {
				return n, nil
			}
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	c.decide(guessPackets)
	switch {
	case len(c.buf) >= Max:
		return Max, nil
	case len(c.buf) > 0 && (c.err == nil || errors.Is(c.err, io.EOF)):
		return len(c.buf), nil
	}
	return 0, c.err
}

// decide tells a transport stream from anything else, by so many packets at least if
// there may be more to come.
func (c *Cutter) decide(packets int) {
	if c.format != Guess {
		return
	}
	c.format = Raw
	b := c.buf
	if len(b) >= packets*tsPacket && couldBeTS(b[:packets*tsPacket]) || c.err != nil && IsTS(b) && couldBeTS(b) {
		c.format = TS
	}
}

// couldBeTS says whether b looks like the beginning of a transport stream: a packet
// at each 188 bytes, which says that it has an adaptation field or a payload, and a
// byte among them that no text has.
func couldBeTS(b []byte) bool {
	for i := 0; i < len(b); i += tsPacket {
		if b[i] != tsSync || i+3 < len(b) && b[i+3]&0x30 == 0 {
			return false
		}
	}
	return !text(b)
}

// text says whether b has no byte that texts do not have, in whatever encoding of
// one byte or more a letter.
func text(b []byte) bool {
	return !bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' && (r < '\b' || r > '\r') && r != 0x1b })
}

// whole is how much of a payload that is not full may leave: a packet of a
// transport stream is not cut. What could be the beginning of one waits for more, but
// not for long.
func (c *Cutter) whole() int {
	switch late := time.Since(c.first) >= guessFor; {
	case late:
		c.decide(guessLate)
	case len(c.buf) >= guessPackets*tsPacket || !couldBeTS(c.buf):
		c.decide(guessPackets)
	}
	switch c.format {
	case Raw:
		return len(c.buf)
	case TS:
		return len(c.buf) / tsPacket * tsPacket
	case Guess:
	}
	return 0
}

// Format is what the input is taken for, Guess until that is decided.
func (c *Cutter) Format() Format { return c.format }

// Damage is what was passed over so far.
func (c *Cutter) Damage() Damage { return c.damage }

// inSync says how many of the n bytes at the front of the buffer are whole packets.
// What is none is passed over first. The last bytes of the input, less than a packet,
// are given as they are if they begin as one.
func (c *Cutter) inSync(n int) int {
	if c.buf[0] != tsSync || c.blind && !c.found(0) {
		c.passOver(c.resync())
		return 0
	}
	c.astray, c.blind = false, false
	good := 0
	for good+tsPacket <= n && c.buf[good] == tsSync {
		good += tsPacket
	}
	if good == 0 {
		return n
	}
	return good
}

// passOver drops bytes at the front of the buffer.
func (c *Cutter) passOver(skip int) {
	if skip == 0 {
		return
	}
	if !c.astray {
		c.damage.Places++
	}
	c.damage.Bytes += uint64(skip)
	c.astray, c.buf = true, c.buf[skip:]
}

// resync says how many bytes to pass over at the front of the buffer, where no packet
// begins. If most packets that follow are where they belong, only a sync byte is
// damaged; else bytes were lost or added, and packets are looked for anywhere.
func (c *Cutter) resync() int {
	b := c.buf
	c.blind = false
	there, of, at := 0, 0, 0
	for i := tsPacket; i < len(b) && of < 6; i += tsPacket {
		of++
		if b[i] == tsSync {
			there++
			if at == 0 {
				at = i
			}
		}
	}
	if there > of/2 {
		return at
	}
	for i := 1; i < len(b); i++ {
		if c.found(i) {
			return i
		}
	}
	if c.err != nil {
		return len(b)
	}
	c.blind = true
	return max(0, len(b)-tsPacket) // a packet may begin in the rest
}

// found says whether a packet begins at a place of the buffer: one byte 0x47 is not
// enough, the packets after it must begin with it as well.
func (c *Cutter) found(i int) bool {
	last := i+tsPacket >= len(c.buf)
	if c.buf[i] != tsSync || last && (c.err == nil || i+tsPacket > len(c.buf)) {
		return false
	}
	for k := i; k < len(c.buf) && k <= i+3*tsPacket; k += tsPacket {
		if c.buf[k] != tsSync {
			return false
		}
	}
	return true
}
