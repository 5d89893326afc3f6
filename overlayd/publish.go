// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/internal/live/payload"
	"sandstream/overlayapi"
	"sandstream/overlayapi/door"
	"sandstream/overlayapi/overlayv1"
)

// flushAfter is how long a payload from stdin waits to be full.
const flushAfter = 20 * time.Millisecond

// longestBurst is what a paced stream may catch up at once.
const longestBurst = 50 * time.Millisecond

func publishCommand() *cobra.Command {
	var udp, udpInterface, rateText, splitText, formatText string
	var public, pace bool
	var readers uint32
	var readersWithin time.Duration
	var spas []string
	c := &cobra.Command{
		Use:   "publish NAME",
		Short: "Publish a stream from stdin or from a UDP port",
		Long: `Publish a stream from stdin or from a UDP port, until its end or an interrupt.

From stdin, an MPEG transport stream is cut into seven packets a payload, and
anything else into 1,316 bytes; less, if nothing more comes for 20 ms. What it is is
seen from the first five packets, or said by --format. Of a transport stream, bytes
that are not of a packet are passed over, counted and told of. From a UDP port, one
datagram is one payload, of any size. Where a decoder can start is marked (MPEG-TS
random access).

A stream that is over before anybody subscribes is gone: --wait-readers reads the
input when there are so many subscriptions, anywhere in the overlay.

The stream's id is printed to stderr: who is told the id can subscribe. With
--public everybody in the overlay finds the stream by its name.

  ffmpeg -re -i film.mkv -c copy -f mpegts - | overlayd publish film --public
  ffmpeg ... -f mpegts 'udp://127.0.0.1:5000?pkt_size=1316' &
  overlayd publish camera --udp 127.0.0.1:5000 --rate 4M --split 3:1`,
		Args: cli.Args("NAME"),
	}
	f := c.Flags()
	f.StringVar(&udp, "udp", "", "receive datagrams at this ADDRESS:PORT instead of reading stdin")
	f.StringVar(&udpInterface, "udp-interface", "", "join the multicast group of --udp on this network interface")
	f.StringVar(&formatText, "format", payload.Guess.String(), "what stdin is: ts (MPEG transport stream), raw, or guess")
	f.Uint32Var(&readers, "wait-readers", 0, "read the input when this many subscriptions are served")
	f.DurationVar(&readersWithin, "wait-timeout", 0, "give up if they do not come within this time (exit status 5); 0: wait for ever")
	f.StringVar(&rateText, "rate", "0", "what the stream sends at most, in bits per second (e.g. 4M); contracts and capacities are computed with it")
	f.BoolVar(&pace, "pace", false, "read stdin no faster than --rate")
	f.BoolVar(&public, "public", false, "let all hosts find the stream by its name")
	f.StringArrayVar(&spas, "spa", nil, "an SPA that all packets pass, NAME[:PARAM=N,...][@source|sink|anywhere]; may be repeated")
	f.StringVar(&splitText, "split", "", "send the stream over two paths, its packets shared by these weights, e.g. 3:1")
	asJSON := f.Bool("json", false, "print the stream's id, and at the end its counts, as JSON lines on stdout")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		a := &overlayv1.Announce{Name: args[0], Public: public}
		var err error
		if a.RateBps, err = parseRate(rateText); err != nil {
			return err
		}
		if pace && (a.RateBps == 0 || udp != "") {
			return fail.Usagef("--pace needs --rate, and stdin as its source")
		}
		format, err := payload.ParseFormat(formatText)
		if err != nil {
			return fail.Usagef("--%v", err)
		}
		if readersWithin < 0 || readersWithin > 0 && readers == 0 {
			return fail.Usagef("--wait-timeout %v: it is more than 0, and needs --wait-readers", readersWithin)
		}
		if a.Split, err = parseSplit(splitText); err != nil {
			return err
		}
		for _, s := range spas {
			st, err := parseStage(s)
			if err != nil {
				return err
			}
			a.Pipeline = append(a.Pipeline, st)
		}
		var conn net.PacketConn
		if udp != "" {
			if conn, err = listenUDP(udp, udpInterface); err != nil {
				return err
			}
			defer conn.Close()
		} else if udpInterface != "" {
			return fail.Usagef("--udp-interface needs --udp with a multicast address")
		}
		return withClient(cmd, func(ctx context.Context, c *overlayapi.Client) error {
			p := &publisher{cmd: cmd, json: *asJSON, name: args[0], format: format, readers: readers, readersWithin: readersWithin}
			var pacer uint64
			if pace {
				pacer = a.RateBps
			}
			return p.run(ctx, c, a, conn, pacer)
		})
	}
	return c
}

// listenUDP opens a port, or joins a multicast group.
func listenUDP(addr, through string) (net.PacketConn, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fail.Usagef("--udp %q is no ADDRESS:PORT, e.g. 127.0.0.1:5000", addr)
	}
	var c *net.UDPConn
	var i *net.Interface
	if through != "" {
		if i, err = multicastInterface(through, ap.Addr()); err != nil {
			return nil, err
		}
	}
	if ap.Addr().IsMulticast() {
		c, err = net.ListenMulticastUDP("udp", i, net.UDPAddrFromAddrPort(ap))
	} else {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(ap))
	}
	if err != nil {
		return nil, fmt.Errorf("receive at %s: %w", addr, err)
	}
	_ = c.SetReadBuffer(4 << 20) // as much as the kernel gives: a key frame comes at once
	return c, nil
}

type publisher struct {
	cmd    *cobra.Command
	json   bool
	name   string
	format payload.Format

	readers       uint32 // to wait for
	readersWithin time.Duration

	dropped atomic.Int64 // datagrams that came faster than they were taken,
	empty   atomic.Int64 // and that had no payload
	damage  atomic.Pointer[payload.Damage]
}

// lastWord is how long the daemon has to say its counts after an interrupt; tests give
// it more, for a machine that stands still.
var lastWord = 2 * time.Second

func (p *publisher) run(ctx context.Context, c *overlayapi.Client, a *overlayv1.Announce, conn net.PacketConn, pace uint64) error {
	// An interrupt ends the source; the call goes on until the daemon has said what
	// it got.
	call, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	ctx, done := context.WithCancel(ctx)
	defer done()
	early := context.AfterFunc(ctx, cancel)
	s, err := c.Announced(call, a)
	if err != nil {
		return quiet(ctx, err)
	}
	defer s.Close()
	if early() {
		late := context.AfterFunc(ctx, func() { time.AfterFunc(lastWord, cancel) })
		defer late()
	}
	fmt.Fprintf(p.cmd.ErrOrStderr(), "publishing %s as %s\n", cli.Line(p.name), s.Stream)
	if err := p.say(&overlayv1.PublishResponse{Stream: s.Stream}); err != nil {
		return err
	}

	last := make(chan result, 1)
	go func() {
		m, err := s.Wait()
		last <- result{m, err}
	}()
	if early, err := p.awaitReaders(ctx, c, s.Stream, last); err != nil {
		_ = s.End() // an end in order: nothing was sent
		<-last
		return err
	} else if early != nil {
		_ = s.End()
		return p.end(ctx, *early)
	}
	queue := make(chan door.Payload, 1024)
	source := make(chan error, 1) // how the source ended; nothing more comes from it
	if conn != nil {
		context.AfterFunc(ctx, func() { conn.Close() })
		go func() { defer close(queue); source <- p.fromUDP(ctx, conn, queue) }()
	} else {
		// A read of stdin cannot be interrupted: the goroutine ends with the program.
		go func() { defer close(queue); source <- p.fromReader(ctx, p.cmd.InOrStdin(), pace, queue) }()
	}
	return p.send(ctx, s, queue, source, last)
}

type result struct {
	msg *overlayv1.PublishResponse
	err error
}

// send moves payloads to the daemon, as many at a time as there are.
func (p *publisher) send(ctx context.Context, s *overlayapi.Publication, queue <-chan door.Payload, source <-chan error, last <-chan result) error {
	var batch []door.Payload
	for {
		select {
		case <-ctx.Done():
			_ = s.End() // the answer says why it fails
			return p.end(ctx, <-last)
		case r := <-last:
			return p.end(ctx, r)
		case first, ok := <-queue:
			if !ok {
				if err := <-source; err != nil {
					p.tellCounts()
					return err // the call breaks, and so does the stream: it is not at its end
				}
				if err := s.End(); err != nil {
					return quiet(ctx, err)
				}
				return p.end(ctx, <-last)
			}
			batch = append(batch[:0], first)
			for len(batch) < 64 && len(queue) > 0 {
				if m, ok := <-queue; ok {
					batch = append(batch, m)
				}
			}
			if err := s.Send(batch); err != nil {
				// The answer says why.
				return p.end(ctx, <-last)
			}
		}
	}
}

// end reports how the daemon ended the stream.
func (p *publisher) end(ctx context.Context, r result) error {
	if r.err != nil {
		return quiet(ctx, r.err)
	}
	how := "end of the stream"
	if r.msg.Withdrawn {
		how = "withdrawn"
	}
	fmt.Fprintf(p.cmd.ErrOrStderr(), "%s: %d packets, %d bytes\n", how, r.msg.Packets, r.msg.Bytes)
	p.tellCounts()
	return p.say(r.msg)
}

// tellCounts says what of the input is not in the stream.
func (p *publisher) tellCounts() {
	w := p.cmd.ErrOrStderr()
	if n := p.dropped.Load(); n > 0 {
		fmt.Fprintf(w, "%d datagrams were dropped: they came faster than the daemon took them\n", n)
	}
	if n := p.empty.Load(); n > 0 {
		fmt.Fprintf(w, "%d datagrams had no payload\n", n)
	}
	if d := p.damage.Load(); d != nil && d.Bytes > 0 {
		fmt.Fprintf(w, "%d bytes at %d places of the input were of no MPEG-TS packet, and were passed over\n", d.Bytes, d.Places)
	}
}

// awaitReaders waits for as many subscriptions as were asked for. It gives the
// daemon's last word if that comes before, or nil.
func (p *publisher) awaitReaders(ctx context.Context, c *overlayapi.Client, id string, last <-chan result) (*result, error) {
	if p.readers == 0 {
		return nil, nil
	}
	fmt.Fprintf(p.cmd.ErrOrStderr(), "waiting for %d readers\n", p.readers)
	var late <-chan time.Time
	if p.readersWithin > 0 {
		late = time.After(p.readersWithin)
	}
	for have := uint32(0); ; {
		if r, err := c.Streams(ctx, connect.NewRequest(&overlayv1.StreamsRequest{})); err == nil {
			for _, s := range r.Msg.Streams {
				if s.Id == id {
					have = s.Readers
				}
			}
		}
		if have >= p.readers {
			return nil, nil
		}
		select {
		case <-ctx.Done():
			return nil, nil // send ends the stream
		case r := <-last:
			return &r, nil
		case <-late:
			return nil, fail.Errorf(fail.ErrTimeout, "%d of %d readers came within %v", have, p.readers, p.readersWithin)
		case <-time.After(readersEvery):
		}
	}
}

// readersEvery is how often the daemon is asked how many readers there are.
const readersEvery = 50 * time.Millisecond

func (p *publisher) say(m *overlayv1.PublishResponse) error {
	if !p.json {
		return nil
	}
	b, err := overlayapi.MarshalJSON(m)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.cmd.OutOrStdout(), "%s\n", b)
	return err
}

func (p *publisher) mark(b []byte) door.Payload {
	m := door.Payload{Data: b}
	if p.format == payload.Raw {
		return m
	}
	if payload.RandomAccess(b) {
		m.Flags |= door.Key
	}
	if payload.Null(b) {
		m.Flags |= door.Discardable
	}
	return m
}

func (p *publisher) fromReader(ctx context.Context, r io.Reader, pace uint64, queue chan<- door.Payload) error {
	k := payload.NewCutter(ctx, r, p.format, flushAfter)
	start, sent := time.Now(), uint64(0)
	for {
		b := make([]byte, payload.Max)
		n, err := k.Next(ctx, b)
		d := k.Damage()
		p.damaged(d)
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			if p.format == payload.TS && sent == 0 && d.Bytes > 0 {
				return fmt.Errorf("nothing of the %d bytes of stdin was MPEG-TS, as --format said: give --format raw", d.Bytes)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("read stdin: %w", err)
		}
		select {
		case queue <- p.mark(b[:n]):
		case <-ctx.Done():
			return nil
		}
		sent += uint64(n) * 8
		if pace > 0 {
			due := start.Add(time.Duration(float64(sent) / float64(pace) * 1e9))
			if late := time.Since(due) - longestBurst; late > 0 { // stdin was silent: no burst makes up for it
				start = start.Add(late)
			}
			select {
			case <-time.After(time.Until(due)):
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// damaged takes how much was passed over so far, and says so once.
func (p *publisher) damaged(d payload.Damage) {
	if d.Bytes > 0 && p.damage.Load() == nil {
		fmt.Fprintln(p.cmd.ErrOrStderr(), "the input is damaged: bytes that are of no MPEG-TS packet are passed over and counted")
	}
	if d.Bytes > 0 {
		p.damage.Store(&d)
	}
}

func (p *publisher) fromUDP(ctx context.Context, conn net.PacketConn, queue chan<- door.Payload) error {
	buf := make([]byte, door.MaxPayload) // UDP has none that is longer
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("receive: %w", err)
		}
		switch {
		case n == 0:
			p.empty.Add(1)
			continue
		}
		select {
		case queue <- p.mark(append([]byte(nil), buf[:n]...)):
		default:
			p.dropped.Add(1)
		}
	}
}

// quiet makes an interrupt no error.
func quiet(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
