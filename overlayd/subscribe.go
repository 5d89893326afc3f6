// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/overlayapi"
	"sandstream/overlayapi/overlayv1"
)

func subscribeCommand() *cobra.Command {
	var udp, udpInterface string
	var ask bounds
	var timeout, within time.Duration
	var degrade []string
	var bestEffort, noSwap, now bool
	var count uint64
	var wait waiting
	c := &cobra.Command{
		Use:   "subscribe STREAM",
		Short: "Subscribe to a stream, under a contract",
		Long: `Subscribe to a stream by its id, or by the name of a public one, and write its
payloads to stdout, in order and each once. An MPEG transport stream begins where
a decoder can start, or if no such place comes, at its tables after --start-within.
What becomes of the contract is told on stderr. If no path can meet the contract it
is refused (exit status 1), unless an SPA that degrades the stream is accepted or
--best-effort is given.

The exit status says how the stream ended: 0 by its publisher's word, 6 broken off
(the publisher died, or cannot be reached any more), 7 put out by the publisher,
8 the right to it has run out. Before 6, a stream that was asked for by name is
waited for 10 seconds: one that is published anew under the name goes on. With
--wait it is waited for without end, also when it does not exist yet and when its
publisher has ended it. A daemon that is restarted is waited for 60 seconds.

  overlayd subscribe film --latency 80ms --min-rate 2M --loss 0.5% | ffplay -
  overlayd subscribe film --latency 40ms --degrade filter --udp 127.0.0.1:5001
  overlayd subscribe news --wait --udp 239.1.2.3:5001 --udp-interface eth1`,
		Args: cli.Args("STREAM"),
	}
	f := c.Flags()
	f.StringVar(&udp, "udp", "", "send each payload as a datagram to this ADDRESS:PORT instead of writing stdout")
	f.StringVar(&udpInterface, "udp-interface", "", "send to the multicast group of --udp through this network interface")
	ask.flags(f)
	f.StringArrayVar(&degrade, "degrade", nil, "an SPA accepted rather than no stream, e.g. filter; may be repeated, best first")
	f.BoolVar(&bestEffort, "best-effort", false, "deliver even what cannot be admitted")
	f.BoolVar(&noSwap, "no-swap", false, "never exchange ids with another host to meet the contract")
	f.BoolVar(&now, "now", false, "begin with what comes first; by default MPEG-TS begins where a decoder can start")
	f.DurationVar(&within, "start-within", startWithin, "how long a place where a decoder can start is waited for")
	f.Uint64Var(&count, "count", 0, "end after so many payloads")
	f.DurationVar(&timeout, "timeout", 0, "give up if no payload comes for so long (exit status 5)")
	f.Var(&wait, "wait", "wait for the stream to be published (anew), for ever or each time for a `duration`: --wait or --wait=5m; --wait=0 waits for nothing")
	f.Lookup("wait").NoOptDefVal = forEver
	c.RunE = func(cmd *cobra.Command, args []string) error {
		r := &overlayv1.SubscribeRequest{Stream: args[0], Contract: &overlayv1.Contract{
			Degrade: degrade, BestEffort: bestEffort, NoSwap: noSwap,
		}}
		if err := ask.set(cmd.Flags(), r.Contract); err != nil {
			return err
		}
		switch {
		case timeout < 0:
			return fail.Usagef("--timeout %v: it is more than 0, or 0 for none", timeout)
		case within <= 0:
			return fail.Usagef("--start-within %v: it is more than 0 (--now waits for nothing)", within)
		}
		out, err := sink(cmd, udp, udpInterface)
		if err != nil {
			return err
		}
		s := &subscriber{cmd: cmd, out: out, left: count, timeout: timeout, within: within}
		if now {
			s.within = 0
		}
		fo := &follower{subscriber: s, request: r, wait: wait}
		return withClient(cmd, func(ctx context.Context, c *overlayapi.Client) error { return fo.run(ctx, c) })
	}
	return c
}

// startWithin is how long a place where a decoder can start is waited for.
const startWithin = 10 * time.Second

// waiting is the flag --wait.
type waiting struct {
	set bool
	d   time.Duration // < 0: for ever
}

const forEver = "forever"

func (w *waiting) String() string {
	switch {
	case !w.set:
		return ""
	case w.d < 0:
		return forEver
	}
	return w.d.String()
}

func (w *waiting) Type() string { return "duration" }

func (w *waiting) Set(s string) error {
	if s == forEver {
		*w = waiting{set: true, d: -1}
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no time to wait, e.g. 30s", s)
	}
	*w = waiting{set: true, d: d}
	return nil
}
