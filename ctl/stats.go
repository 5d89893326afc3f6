// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/uls"
)

func statsCommand() *cobra.Command {
	var (
		watch    bool
		interval time.Duration
	)
	c := &cobra.Command{
		Use:   "stats NAME",
		Short: "Show frames, upcalls, their cost and the SPA's own counters",
		Long: `Show frames, upcalls, their cost and the SPA's own counters.

With --watch again and again, with rates, until Ctrl-C; with --json as well, one
line each time.`,
		Args: cli.Args("NAME"),
	}
	asJSON := cli.JSONFlag(c)
	c.Flags().BoolVar(&watch, "watch", false, "repeat until Ctrl-C")
	c.Flags().DurationVar(&interval, "interval", time.Second, "time between two looks")
	c.RunE = func(cmd *cobra.Command, a []string) error {
		if interval < 10*time.Millisecond {
			return fail.Usagef("--interval %v: at least 10ms", interval)
		}
		return withSPA(a[0], func(c *uls.Client, s *uls.SPA) error {
			if watch {
				return watchStats(cmd, c, s, interval, *asJSON)
			}
			st, err := c.Stats(s)
			if err != nil {
				return err
			}
			if *asJSON {
				return cli.JSON(cmd.OutOrStdout(), st)
			}
			printStats(cmd.OutOrStdout(), st)
			return nil
		})
	}
	return c
}

// watchStats repeats until the SPA is gone or the user has seen enough, which is
// no failure.
func watchStats(cmd *cobra.Command, c *uls.Client, s *uls.SPA, interval time.Duration, asJSON bool) error {
	out, ctx := cmd.OutOrStdout(), cmd.Context()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var last *uls.Stats
	for {
		st, err := c.Stats(s)
		if err != nil {
			return err
		}
		switch {
		case asJSON:
			if err := jsonLine(out, st); err != nil {
				return err
			}
		case terminal(out):
			fmt.Fprint(out, "\x1b[H\x1b[2J")
			fallthrough
		default:
			printStats(out, st)
			if last != nil {
				per := func(now, then uint64) string {
					return fmt.Sprintf("%.0f/s", float64(now-then)/interval.Seconds())
				}
				cli.Pairs(out, [][2]string{
					{"received", per(st.RXFrames, last.RXFrames)},
					{"sent", per(st.TXFrames, last.TXFrames)},
					{"upcalls", per(st.Upcalled(), last.Upcalled())},
				})
			}
			fmt.Fprintln(out)
		}
		last = st
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// terminal tells whether w is one that may be cleared.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

func printStats(w io.Writer, s *uls.Stats) {
	rows := [][2]string{
		{"frames received", fmt.Sprint(s.RXFrames)},
		{"frames sent", fmt.Sprint(s.TXFrames)},
		{"upcalls", fmt.Sprintf("%d (%s)", s.Upcalled(), byName(s.Upcalls))},
		{"they interrupted", byName(s.Contexts)},
		{"time in upcalls", fmt.Sprintf("%s, longest %s%s", nanoseconds(s.UpcallNS), nanoseconds(s.UpcallMaxNS), mean(s))},
		{"interrupts in upcalls", fmt.Sprint(s.Interrupts)},
		{"context switches in upcalls", fmt.Sprint(s.ContextSwitches)},
		{"migrations in upcalls", fmt.Sprint(s.Migrations)},
		{"batches without upcall", fmt.Sprintf("busy polling %d, interrupts off %d, other %d",
			s.Deferred.BusyPoll, s.Deferred.IRQsOff, s.Deferred.Other)},
		{"polls", fmt.Sprintf("%d in %s, of which the pool paid for %d; waited for time %d times, kept from ksoftirqd %d times",
			s.Polls.Polls, nanoseconds(s.Polls.NS), s.Polls.Pool, s.Polls.Throttled, s.Polls.Parked)},
		{"last ran", fmt.Sprintf("at privilege level %d (CS %v), on CPU %d", uint64(s.LastCS)&3, s.LastCS, s.LastCPU)},
		{"aborts", fmt.Sprint(s.Aborts)},
	}
	for _, c := range s.Counters {
		rows = append(rows, [2]string{"counter " + c.Name, fmt.Sprint(c.Value)})
	}
	cli.Pairs(w, rows)
	chart(w, s.Histogram)
}

func mean(s *uls.Stats) string {
	if n := s.Upcalled(); n > 0 {
		return ", mean " + nanoseconds(s.UpcallNS/n)
	}
	return ""
}

// byName writes the entries that are not 0, ordered by name.
func byName(m map[string]uint64) string {
	var parts []string
	for name, n := range m {
		if n != 0 {
			parts = append(parts, fmt.Sprintf("%s %d", name, n))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	sort.Strings(parts)
	return strings.Join(parts, ", ")
}

// chart draws the histogram of upcall durations, one line for each bucket.
func chart(w io.Writer, buckets []uls.Bucket) {
	if len(buckets) == 0 {
		return
	}
	var most uint64
	for _, b := range buckets {
		most = max(most, b.Count)
	}
	fmt.Fprintln(w, "duration of upcalls")
	for _, b := range buckets {
		to := nanoseconds(b.ToNS)
		if b.ToNS == 0 {
			to = ""
		}
		const width = 50
		bar := int(b.Count * width / most)
		if b.Count > 0 {
			bar = max(bar, 1)
		}
		fmt.Fprintf(w, "%12s .. %-12s %10d %s\n", nanoseconds(b.FromNS), to, b.Count, strings.Repeat("#", bar))
	}
}
