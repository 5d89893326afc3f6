// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"time"

	"github.com/spf13/pflag"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/overlayapi/overlayv1"
)

// bounds are a contract's bounds as the command line takes them. What a contract can
// bound, and what is measured of it, this file alone puts into words.
type bounds struct {
	latency, jitter time.Duration
	minRate, loss   string
}

func (b *bounds) flags(f *pflag.FlagSet) {
	f.DurationVar(&b.latency, "latency", 0, "from publisher to subscriber, at most")
	f.StringVar(&b.minRate, "min-rate", "0", "bits per second, at least (e.g. 2M)")
	f.StringVar(&b.loss, "loss", "", "share of the packets lost, at most (e.g. 0.5%); without it any loss is accepted")
	f.DurationVar(&b.jitter, "jitter", 0, "variation of arrival against the stream's own pace, at most (RFC 3550, 6.4.1: e.g. 5ms)")
}

// set puts what was given into a contract.
func (b *bounds) set(f *pflag.FlagSet, c *overlayv1.Contract) (err error) {
	if c.LatencyUs, err = duration("latency", b.latency, f); err != nil {
		return err
	}
	if c.JitterUs, err = duration("jitter", b.jitter, f); err != nil {
		return err
	}
	if c.MinRateBps, err = parseRate(b.minRate); err != nil {
		return err
	}
	if b.loss == "" {
		return nil
	}
	ppm, err := parseLoss(b.loss)
	c.LossPpm = &ppm
	return err
}

// duration is a bound on a time, in microseconds; 0 if the flag was not given.
func duration(name string, d time.Duration, f *pflag.FlagSet) (us uint32, err error) {
	if f.Changed(name) && (d < time.Microsecond || d > time.Hour) {
		return 0, fail.Usagef("--%s %v is no bound: from 1µs to 1h", name, d)
	}
	return uint32(d.Microseconds()), nil
}

// bounded lists a contract's bounds in the words of the command line.
func bounded(c *overlayv1.Contract) (s []string) {
	if c.GetLatencyUs() != 0 {
		s = append(s, "latency="+microseconds(uint64(c.LatencyUs)))
	}
	if c.GetMinRateBps() != 0 {
		s = append(s, "min-rate="+rate(c.MinRateBps))
	}
	if c != nil && c.LossPpm != nil {
		s = append(s, "loss="+percent(*c.LossPpm))
	}
	if c.GetJitterUs() != 0 {
		s = append(s, "jitter="+microseconds(uint64(c.JitterUs)))
	}
	return s
}

// asked is a whole contract in the words of the command line.
func asked(c *overlayv1.Contract) string {
	s := bounded(c)
	for _, d := range c.GetDegrade() {
		s = append(s, "degrade="+d)
	}
	if c.GetBestEffort() {
		s = append(s, "best-effort")
	}
	return cli.Or(strings.Join(s, " "))
}

// measured has a column for each figure that a contract can bound.
var measured = []string{"P99", "RATE", "LOSS", "JITTER"}

// figures are those columns.
func figures(m *overlayv1.Report) []string {
	return []string{latency(m.GetP99Us()), rate(m.GetRateBps()), percent(lossOf(m)), latency(m.GetJitterUs())}
}

// lossOf is the share of packets that did not come, in parts per million.
func lossOf(r *overlayv1.Report) uint32 {
	if r.GetPackets()+r.GetLost() == 0 {
		return 0
	}
	return uint32(r.Lost * 1_000_000 / (r.Packets + r.Lost))
}
