// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/internal/live/payload"
	"sandstream/overlayapi"
	"sandstream/overlayapi/door"
	"sandstream/overlayapi/overlayv1"
)

func subscribeCommand() *cobra.Command {
	var udp string
	var ask bounds
	var timeout time.Duration
	var degrade []string
	var bestEffort, noSwap, now bool
	var count uint64
	c := &cobra.Command{
		Use:   "subscribe STREAM",
		Short: "Subscribe to a stream, under a contract",
		Long: `Subscribe to a stream by its id, or by the name of a public one, and write its
payloads to stdout, in order and each once. An MPEG transport stream begins where
a decoder can start. What becomes of the contract is told
on stderr. If no path can meet the contract it is refused (exit status 1), unless an
SPA that degrades the stream is accepted or --best-effort is given.

  overlayd subscribe film --latency 80ms --min-rate 2M --loss 0.5% | ffplay -
  overlayd subscribe film --latency 40ms --degrade filter --udp 127.0.0.1:5001`,
		Args: cli.Args("STREAM"),
	}
	f := c.Flags()
	f.StringVar(&udp, "udp", "", "send each payload as a datagram to this ADDRESS:PORT instead of writing stdout")
	ask.flags(f)
	f.StringArrayVar(&degrade, "degrade", nil, "an SPA accepted rather than no stream, e.g. filter; may be repeated, best first")
	f.BoolVar(&bestEffort, "best-effort", false, "deliver even what cannot be admitted")
	f.BoolVar(&noSwap, "no-swap", false, "never exchange ids with another host to meet the contract")
	f.BoolVar(&now, "now", false, "begin with what comes first; by default MPEG-TS begins where a decoder can start")
	f.Uint64Var(&count, "count", 0, "end after so many payloads")
	f.DurationVar(&timeout, "timeout", 0, "give up if no payload comes for so long (exit status 5)")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		r := &overlayv1.SubscribeRequest{Stream: args[0], Contract: &overlayv1.Contract{
			Degrade: degrade, BestEffort: bestEffort, NoSwap: noSwap,
		}}
		if err := ask.set(cmd.Flags(), r.Contract); err != nil {
			return err
		}
		if timeout < 0 {
			return fail.Usagef("--timeout %v: it is more than 0, or 0 for none", timeout)
		}
		out, err := sink(cmd, udp)
		if err != nil {
			return err
		}
		s := &subscriber{cmd: cmd, out: out, left: count, timeout: timeout}
		if !now {
			s.starter = &payload.Starter{Patience: startWithin}
		}
		return withClient(cmd, func(ctx context.Context, c *overlayapi.Client) error { return s.run(ctx, c, r) })
	}
	return c
}

// sink is stdout, or a UDP socket that sends each write as one datagram.
func sink(cmd *cobra.Command, udp string) (output, error) {
	if udp == "" {
		return bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10), nil
	}
	conn, err := net.Dial("udp", udp)
	if err != nil {
		return nil, fail.Usagef("--udp %q: %w", udp, err)
	}
	return datagrams{conn}, nil
}

type output interface {
	io.Writer
	Flush() error
}

type datagrams struct{ net.Conn }

// Write sends a datagram. A port where nobody listens yet is no reason to end.
func (d datagrams) Write(p []byte) (int, error) {
	if n, err := d.Conn.Write(p); err == nil {
		return n, nil
	}
	return d.Conn.Write(p) // the error was the answer to the datagram before
}

func (d datagrams) Flush() error { return nil }

type subscriber struct {
	cmd     *cobra.Command
	out     output
	left    uint64 // 0: no end
	timeout time.Duration
	said    string
	over    uint64           // payloads that came while the output was full
	overNow uint64           // of which this was said,
	overAt  time.Time        // then
	starter *payload.Starter // nil: deliver from the first packet on
}

// overEvery is how often it is said that the output is too slow.
const overEvery = 10 * time.Second

// overran says that payloads were dropped before they were read.
func (s *subscriber) overran(n uint64) {
	s.over = max(s.over, n)
	if s.over > s.overNow && time.Since(s.overAt) >= overEvery {
		s.overNow, s.overAt = s.over, time.Now()
		fmt.Fprintf(s.cmd.ErrOrStderr(), "%d payloads so far were dropped here: they come faster than the output takes them\n", s.over)
	}
}

// startWithin is how long a place where a decoder can start is waited for.
const startWithin = 10 * time.Second

func (s *subscriber) run(ctx context.Context, c *overlayapi.Client, r *overlayv1.SubscribeRequest) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := func() {
		cancel(fail.Errorf(fail.ErrTimeout, "no payload of %s came for %v", cli.Line(r.Stream), s.timeout))
	}
	var timer *time.Timer
	if s.timeout > 0 {
		timer = time.AfterFunc(s.timeout, late)
		defer timer.Stop()
	}
	st, err := c.Feed(ctx, r)
	if err != nil {
		return s.why(ctx, err)
	}
	defer st.Close()
	defer func() {
		s.overAt = time.Time{} // whatever is not said yet
		s.overran(s.over)
	}()
	for {
		ps, changed, err := st.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return s.why(ctx, nil)
		case err != nil:
			return s.why(ctx, err)
		}
		if len(ps) > 0 {
			if timer != nil {
				timer.Reset(s.timeout)
			}
			if done, err := s.write(ps); done || err != nil {
				return err
			}
		}
		if changed == nil {
			continue
		}
		s.tell(changed)
		s.overran(changed.GetDelivery().GetOverrun())
		switch changed.State {
		case "refused":
			return fmt.Errorf("the contract is refused: %s%s", cli.Plain(changed.Reason), wayOut(r.Contract))
		case "withdrawn":
			return nil
		}
	}
}

// wayOut says what a refused subscriber has not offered yet. A stream that is
// not there is not to be had by less.
func wayOut(c *overlayv1.Contract) string {
	switch {
	case bounded(c) == nil, c.BestEffort:
		return " (is it published, and if you gave a name, with --public?)"
	case len(c.Degrade) > 0:
		return " (--best-effort delivers what there is)"
	}
	return " (accept a degraded stream with --degrade filter, or what there is with --best-effort)"
}

// why is the error of a stream that ended: none if that was our wish.
func (s *subscriber) why(ctx context.Context, err error) error {
	switch {
	case s.cmd.Context().Err() != nil: // an interrupt
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return err
}

func (s *subscriber) write(ps []door.Payload) (done bool, err error) {
	for _, p := range ps {
		pass := [][]byte{p.Data}
		if s.starter != nil {
			pass = s.starter.Feed(p.Data, time.Now())
		}
		for _, b := range pass {
			if done {
				break
			}
			if _, err := s.out.Write(b); err != nil {
				return true, fmt.Errorf("write the payload: %w", err)
			}
			if s.left > 0 {
				s.left--
				done = s.left == 0
			}
		}
	}
	if err := s.out.Flush(); err != nil {
		return true, fmt.Errorf("write the payload: %w", err)
	}
	return done, nil
}

// tell says what became of the contract, if that is new.
func (s *subscriber) tell(c *overlayv1.Subscription) {
	line := "contract " + c.State
	if c.Reason != "" {
		line += ": " + cli.Plain(c.Reason)
	}
	if c.Degraded != "" {
		line += " (degraded by " + cli.Plain(c.Degraded) + ")"
	}
	if c.State == "admitted" {
		line += fmt.Sprintf(", %s predicted over %d hops", latency(c.PredictedUs), max(0, len(c.Path)-1))
	}
	// A measured figure moves all the time: only another state or reason is news.
	key := c.State + c.Degraded + via(c.Path)
	if key != s.said {
		s.said = key
		fmt.Fprintln(s.cmd.ErrOrStderr(), line)
	}
}
