// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/internal/report/results"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return cli.Report(os.Stderr, cli.Execute(ctx, newRoot()))
}

// options are the flags.
type options struct {
	Fan     int           // subscribers
	Payload int           // bytes of a packet
	Window  int           // packets on the way, of throughput
	Rate    int           // packets a second, of delay and stall
	For     time.Duration // of one measurement
	Hosts   int           // of idle
	Degree  int           // of idle
}

func newRoot() *cobra.Command {
	var o options
	var rounds int
	var seed uint64
	var parts, systems string
	cmd := &cobra.Command{
		Use:   "fanout",
		Short: "One stream to many subscribers: beside gossipsub and nats-server",
		Long: `A publisher, a hub and its subscribers, by this project's transport with and without
segmentation offload, by gossipsub and by nats-server with and without TLS. Rounds
are interleaved; figures are medians over rounds, ratios are of the same round, with
the 95 % interval of their median (bootstrap).`,
		Args:          cli.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			wanted := strings.Split(parts, ",")
			for _, p := range wanted {
				if !slices.Contains([]string{"throughput", "delay", "stall", "idle"}, p) {
					return fail.Usagef("--parts: %q is none of throughput, delay, stall, idle", p)
				}
			}
			var chosen []string
			for _, s := range strings.Split(systems, ",") {
				if _, ok := contenders[s]; !ok {
					return fail.Usagef("--systems: %q is none of %s", s, strings.Join(names, ", "))
				}
				chosen = append(chosen, s)
			}
			if rounds < 1 || o.Fan < 2 || o.Payload < 32 || o.Payload > 1316 || o.Degree >= o.Hosts {
				return fail.Usagef("rounds at least 1, fan at least 2, payload 32 to 1,316 bytes, degree below hosts")
			}
			r, err := results.Open(cmd, results.Meta{Experiment: "fanout", Seed: seed, Clock: "wall time and CPU time of this machine"})
			if err != nil {
				return err
			}
			b := bench{run: r, o: o, rounds: rounds, seed: seed, systems: chosen}
			var errs []error
			for _, part := range wanted {
				errs = append(errs, b.part(cmd.Context(), part))
			}
			return r.Close(errors.Join(errs...))
		},
	}
	cli.Strict(cmd)
	results.AddFlags(cmd.PersistentFlags())
	f := cmd.Flags()
	f.IntVar(&rounds, "rounds", 7, "interleaved rounds")
	f.Uint64Var(&seed, "seed", 1, "seed of the bootstrap and of the order in a round")
	f.StringVar(&parts, "parts", "throughput,delay,stall,idle", "what to measure")
	f.StringVar(&systems, "systems", strings.Join(names, ","), "what to compare")
	f.IntVar(&o.Fan, "fan", 8, "subscribers")
	f.IntVar(&o.Payload, "payload", 1316, "bytes of a packet")
	f.IntVar(&o.Window, "window", 512, "packets on the way at most (throughput)")
	f.IntVar(&o.Rate, "rate", 2000, "packets a second (delay, stall)")
	f.DurationVar(&o.For, "for", 3*time.Second, "length of one measurement")
	f.IntVar(&o.Hosts, "hosts", 32, "hosts in one process (idle)")
	f.IntVar(&o.Degree, "degree", 30, "connections of each (idle)")
	cmd.AddCommand(childCommand())
	return cmd
}
