// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"net"
	"time"

	"connectrpc.com/connect"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/internal/live/ownfolder"
	"sandstream/overlayapi"
	"sandstream/overlayapi/overlayv1"
)

// How long is waited without --wait.
const (
	anewWithin   = 10 * time.Second // for a stream whose publisher died
	daemonWithin = time.Minute      // for the daemon
)

const againAfter = 500 * time.Millisecond // a daemon that does not answer is tried

// follower is a subscriber that outlives the stream and the daemon: it subscribes again
// where what ended may come anew.
type follower struct {
	*subscriber
	request *overlayv1.SubscribeRequest
	wait    waiting

	served bool   // something was admitted once
	stream string // its id
	away   bool   // the daemon is
	lack   *end   // why it is waited, nil: it is not
	until  <-chan time.Time
	at     time.Time // when until delivers; zero: never
}

// run subscribes until there is nothing to wait for.
func (f *follower) run(ctx context.Context, c *overlayapi.Client) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if f.timeout > 0 {
		f.silent = time.AfterFunc(f.timeout, func() {
			cancel(fail.Errorf(fail.ErrTimeout, "no payload of %s came for %v", cli.Line(f.request.Stream), f.timeout))
		})
		defer f.silent.Stop()
	}
	for {
		e := f.call(ctx, c, f.request, func() <-chan time.Time { return f.until }, f.news)
		switch {
		case f.cmd.Context().Err() != nil || errors.Is(e.err, errDone): // an interrupt is our wish as well
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(e.err, errNoWait):
			return f.lack.err
		case !f.waitAfter(e):
			return e.err
		}
		if f.away {
			select {
			case <-ctx.Done():
			case <-f.until:
				return f.lack.err
			case <-time.After(againAfter):
			}
		}
	}
}

// news takes a change of the contract.
func (f *follower) news(c *overlayv1.Subscription) *end {
	if f.away {
		f.away = false
		f.say("the overlayd at %s is back", socketPath(f.cmd))
	}
	switch e := endOf(c, f.request); {
	case e != nil && f.named(): // lost: by its name it may be found anew
		return e
	case e != nil:
		f.waitAfter(e)
	case c.State == "admitted" || c.State == "at risk" || c.State == "violated":
		if f.lack != nil && f.served {
			if c.Stream != f.stream {
				f.say("%s is published anew, as %s", cli.Line(f.request.Stream), c.Stream)
			} else {
				f.say("%s goes on", cli.Line(f.request.Stream))
			}
		}
		f.served, f.stream, f.lack, f.until = true, c.Stream, nil, nil
	}
	return nil
}

// named says whether the stream is asked for by its name: only a name can come anew.
func (f *follower) named() bool {
	b, err := hex.DecodeString(f.request.Stream)
	return err != nil || len(b) != 16
}

// waitAfter says whether it is waited after an end, and begins to.
func (f *follower) waitAfter(e *end) bool {
	d, what := f.worth(e)
	if d == 0 {
		return f.lack != nil && e.state == overlayapi.StateRefused // not yet
	}
	if f.lack != nil && (f.lack.state == e.state || f.at.IsZero() || d > 0 && time.Now().Add(d).Before(f.at)) {
		return true
	}
	f.lack = e
	f.until, f.at = nil, time.Time{}
	if d > 0 {
		f.until, f.at = time.After(d), time.Now().Add(d)
		f.say("waiting for %s, at most %v (--wait: for ever; --wait=0: not at all)", what, d)
	} else {
		f.say("waiting for %s", what)
	}
	return true
}

// worth is how long is waited after an end, 0 if it is not, < 0 for ever; and for what.
func (f *follower) worth(e *end) (d time.Duration, what string) {
	name := cli.Line(f.request.Stream)
	usual := func(d time.Duration) time.Duration {
		if f.wait.set {
			return f.wait.d
		}
		return d
	}
	switch e.state {
	case overlayapi.StateBrokenOff:
		if f.named() {
			return usual(anewWithin), name + " to be published anew"
		}
	case overlayapi.StateLost:
		return usual(anewWithin), name + " to come back"
	case overlayapi.StateWithdrawn:
		if f.named() {
			return usual(0), name + " to be published anew"
		}
	case overlayapi.StateRefused:
		if f.lack == nil {
			return usual(0), name + " to be published"
		}
	case "":
		if gone(e.err) {
			f.away = true
			if !f.served {
				return usual(0), "the overlayd at " + socketPath(f.cmd)
			}
			return usual(daemonWithin), "the overlayd at " + socketPath(f.cmd) + ", which is gone"
		}
	}
	return 0, ""
}

// gone says whether a call failed because there is no daemon, or one that is about to be
// or to end.
func gone(err error) bool {
	var dial *net.OpError
	switch {
	case err == nil, errors.Is(err, fs.ErrPermission), errors.Is(err, ownfolder.ErrNotOurs):
		return false
	case errors.As(err, &dial) && dial.Op == "dial":
		return true
	case connect.IsWireError(err):
		return connect.CodeOf(err) == connect.CodeUnavailable
	}
	return lost(err)
}
