// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/internal/live/payload"
	"sandstream/overlayapi"
	"sandstream/overlayapi/door"
	"sandstream/overlayapi/overlayv1"
)

// subscriber writes what comes of one call of Subscribe after the other.
type subscriber struct {
	cmd     *cobra.Command
	out     output
	left    uint64 // 0: no end
	timeout time.Duration
	within  time.Duration // that a place to start is waited for; 0: deliver from the first packet on
	said    string
	over    uint64    // payloads that came while the output was full
	overNow uint64    // of which this was said,
	overAt  time.Time // then

	starter *payload.Starter // of this call; nil: there is none
	patient bool             // it was said that a place to start is waited for
	silent  *time.Timer      // of --timeout; nil: there is none
}

// overEvery is how often it is said that the output is too slow.
const overEvery = 10 * time.Second

// overran says that payloads were dropped before they were read.
func (s *subscriber) overran(n uint64) {
	s.over = max(s.over, n)
	if s.over > s.overNow && time.Since(s.overAt) >= overEvery {
		s.overNow, s.overAt = s.over, time.Now()
		s.say("%d payloads so far were dropped here: they come faster than the output takes them", s.over)
	}
}

func (s *subscriber) say(format string, args ...any) {
	fmt.Fprintf(s.cmd.ErrOrStderr(), format+"\n", args...)
}

// end is how a call of Subscribe ended.
type end struct {
	state string // of the subscription, as in the API; "": err says it all
	err   error  // what becomes of the program if nothing comes after it
}

var (
	errDone = errors.New("done") // as much came as was asked for
	// errNoWait ends a call in which nothing came for as long as it was waited for.
	errNoWait = errors.New("waited long enough")
)

// endOf is what a state means, if it is one of an end.
func endOf(c *overlayv1.Subscription, r *overlayv1.SubscribeRequest) *end {
	name, why := cli.Line(r.Stream), cli.Plain(c.Reason)
	e := &end{state: c.State}
	switch c.State {
	case overlayapi.StateRefused:
		e.err = fmt.Errorf("the contract is refused: %s%s", why, wayOut(r.Contract))
		if c.Reason != overlayapi.NoPublisher {
			e.state = ""
		}
	case overlayapi.StateWithdrawn:
	case overlayapi.StateBrokenOff:
		e.err = fail.Errorf(fail.ErrBrokenOff, "the stream %s was broken off: %s", name, why)
	case overlayapi.StateLost:
		e.err = fail.Errorf(fail.ErrBrokenOff, "the stream %s is lost: its publisher has died, or cannot be reached (%s)", name, why)
	case overlayapi.StateEvicted:
		e.err = fail.Errorf(fail.ErrEvicted, "the stream %s is not for us any more: %s", name, why)
	case overlayapi.StateExpired:
		e.err = fail.Errorf(fail.ErrExpired, "the stream %s is not for us any more: %s", name, why)
	default:
		return nil
	}
	return e
}

// wayOut says what a refused subscriber has not offered yet. A stream that is
// not there is not to be had by less.
func wayOut(c *overlayv1.Contract) string {
	switch {
	case bounded(c) == nil, c.BestEffort:
		return " (is it published, and if you gave a name, with --public? --wait waits for it)"
	case len(c.Degrade) > 0:
		return " (--best-effort delivers what there is)"
	}
	return " (accept a degraded stream with --degrade filter, or what there is with --best-effort)"
}

// call makes one call of Subscribe and writes what comes, until the stream or the call
// ends. late is closed, or delivers, when it has been waited long enough for a first
// payload; news is told of each change of the contract.
func (s *subscriber) call(ctx context.Context, c *overlayapi.Client, r *overlayv1.SubscribeRequest, late func() <-chan time.Time, news func(*overlayv1.Subscription) *end) *end {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	st := c.Feed(ctx, r)
	defer st.Close()
	s.said, s.patient, s.starter = "", false, nil
	if s.within > 0 {
		s.starter = &payload.Starter{Patience: s.within}
	}
	for looked := time.Now(); ; {
		ps, changed, err := next(ctx, st)
		var e *end
		switch {
		case errors.Is(err, io.EOF):
			return s.finish(&end{})
		case err != nil:
			return s.finish(&end{err: err})
		case len(ps) > 0:
			e = s.take(ps)
		case changed != nil:
			e = s.changed(changed, r, news)
		}
		if e == nil && time.Since(looked) >= patienceEvery {
			looked = time.Now()
			select {
			case <-late():
				e = &end{err: errNoWait}
			default:
				e = s.patience()
			}
		}
		if e != nil {
			return s.finish(e)
		}
	}
}

// next waits for something of a feed, though not for longer than patienceEvery.
func next(ctx context.Context, st *overlayapi.Feed) ([]door.Payload, *overlayv1.Subscription, error) {
	tick, stop := context.WithTimeout(ctx, patienceEvery)
	defer stop()
	ps, changed, err := st.Next(tick)
	if err != nil && tick.Err() != nil && ctx.Err() == nil {
		err = nil
	}
	return ps, changed, err
}

// patienceEvery is how often it is looked whether something was waited for long enough.
const patienceEvery = 100 * time.Millisecond

func (s *subscriber) take(ps []door.Payload) *end {
	if s.silent != nil {
		s.silent.Reset(s.timeout)
	}
	return s.write(s.pass(ps))
}

func (s *subscriber) changed(c *overlayv1.Subscription, r *overlayv1.SubscribeRequest, news func(*overlayv1.Subscription) *end) *end {
	s.tell(c)
	s.overran(c.GetDelivery().GetOverrun())
	if e := endOf(c, r); e != nil && e.state != overlayapi.StateLost {
		return e
	}
	return news(c)
}

// finish writes what is held of a stream that has ended.
func (s *subscriber) finish(e *end) *end {
	defer func() {
		s.overAt = time.Time{} // whatever is not said yet
		s.overran(s.over)
		s.over, s.overNow = 0, 0
	}()
	if s.starter == nil || !s.starter.Waiting() || errors.Is(e.err, errDone) {
		return e
	}
	held := s.starter.End()
	s.began()
	if w := s.write(held); w != nil {
		return w
	}
	return e
}

// pass gives those of some payloads that may pass.
func (s *subscriber) pass(ps []door.Payload) (out [][]byte) {
	for _, p := range ps {
		if s.starter == nil {
			out = append(out, p.Data)
			continue
		}
		// It may keep them, and the door takes the next ones into the same place.
		out = append(out, s.starter.Feed(bytes.Clone(p.Data), time.Now())...)
		s.began()
	}
	return out
}

// patience looks whether a place to start has been waited for long enough.
func (s *subscriber) patience() *end {
	if s.starter == nil || !s.starter.Waiting() {
		return nil
	}
	out := s.starter.Due(time.Now())
	if !s.began() && !s.patient {
		s.patient = true
		s.say("waiting for a place where a decoder can start (a random access point of the video), at most %v; --now begins at once", s.within)
	}
	return s.write(out)
}

// began says where the stream began, once it has, and whether it has.
func (s *subscriber) began() bool {
	if s.starter == nil || s.starter.Waiting() {
		return false
	}
	if s.starter.GaveUp() {
		s.say("no random access point of the video came: the stream begins where its tables are, and a decoder may take a while")
	}
	s.starter = nil
	return true
}

func (s *subscriber) write(ps [][]byte) *end {
	done := false
	for _, b := range ps {
		if done {
			break
		}
		if _, err := s.out.Write(b); err != nil {
			return &end{err: fmt.Errorf("write the payload: %w", err)}
		}
		if s.left > 0 {
			s.left--
			done = s.left == 0
		}
	}
	if err := s.out.Flush(); err != nil {
		return &end{err: fmt.Errorf("write the payload: %w", err)}
	}
	if done {
		return &end{err: errDone}
	}
	return nil
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
