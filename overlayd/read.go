// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/overlayapi"
	"sandstream/overlayapi/overlayv1"
)

// reader makes a command that asks once and prints the answer, as JSON or by show.
func reader[Req, Res any](c *cobra.Command,
	call func(c *overlayapi.Client, ctx context.Context, r *connect.Request[Req]) (*connect.Response[Res], error),
	request func(args []string) *Req, show func(cmd *cobra.Command, r *Res) error,
) *cobra.Command {
	asJSON := cli.JSONFlag(c)
	if c.Args == nil {
		c.Args = cli.NoArgs
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		return withClient(cmd, func(ctx context.Context, c *overlayapi.Client) error {
			req := new(Req)
			if request != nil {
				req = request(args)
			}
			r, err := call(c, ctx, connect.NewRequest(req))
			if err != nil {
				return err
			}
			if *asJSON {
				return printMessage(cmd, any(r.Msg).(proto.Message))
			}
			return show(cmd, r.Msg)
		})
	}
	return c
}

func statusCommand() *cobra.Command {
	return reader(&cobra.Command{
		Use:   "status",
		Short: "Say how the daemon does",
	}, (*overlayapi.Client).Status, nil, func(cmd *cobra.Command, s *overlayv1.StatusResponse) error {
		rows := [][2]string{
			{"host", s.Self.GetId()},
			{"address", s.Self.GetAddr()},
			{"state", s.State},
			{"ids", digits(s.Zones)},
			{"cube", fmt.Sprintf("%d-ary %d-cube, about %s", s.Radix, s.Region.GetDigits(), hosts(s.Region.GetHosts()))},
			{"neighbours", fmt.Sprint(s.Peers)},
			{"streams", fmt.Sprint(s.Streams)},
			{"subscriptions", fmt.Sprint(s.Subscriptions)},
			{"engine", s.Engine.GetName() + ": " + s.Engine.GetReason()},
			{"SPAs running", fmt.Sprint(s.Engine.GetRunning())},
		}
		if s.Engine.GetAborted() > 0 {
			rows = append(rows, [2]string{"SPAs aborted", fmt.Sprintf("%d, the last: %s", s.Engine.Aborted, cli.Plain(s.Engine.LastAbort))})
		}
		for _, p := range s.Problems {
			rows = append(rows, [2]string{"problem", cli.Plain(p)})
		}
		rows = append(rows, [][2]string{
			{"web page", cli.Or(s.WebAddr)},
			{"metrics", cli.Or(s.MetricsAddr)},
			{"up", microseconds(s.UptimeUs / 1e6 * 1e6)},
			{"version", s.Version},
		}...)
		return cli.Pairs(cmd.OutOrStdout(), rows)
	})
}

func peersCommand() *cobra.Command {
	return reader(&cobra.Command{
		Use:   "peers",
		Short: "List the neighbours and what their links cost",
	}, (*overlayapi.Client).Peers, nil, func(cmd *cobra.Command, r *overlayv1.PeersResponse) error {
		if len(r.Peers) == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "no neighbour is known")
			return nil
		}
		var rows [][]string
		for _, p := range r.Peers {
			state := "alive"
			if p.Suspect {
				state = "suspect"
			}
			rows = append(rows, []string{
				short(p.Host), p.Host.GetAddr(), digits(p.Zones), latency(p.CostUs), latency(p.RttUs), latency(p.VarUs),
				percent(p.LossPpm), octets(p.LinkBytes), microseconds(p.LastHeardUs / 1000 * 1000), state, cli.Or(cli.Plain(p.Version)),
			})
		}
		return cli.Table(cmd.OutOrStdout(),
			[]string{"HOST", "ADDRESS", "IDS", "COST", "RTT", "VARIATION", "LOSS", "SIZE", "HEARD", "STATE", "VERSION"}, rows)
	})
}

func topologyCommand() *cobra.Command {
	return reader(&cobra.Command{
		Use:   "topology",
		Short: "List the zones this host knows, and who owns them in which epoch",
	}, (*overlayapi.Client).Topology, nil, func(cmd *cobra.Command, r *overlayv1.TopologyResponse) error {
		cost := map[string]string{r.Self.GetId(): "this host"}
		for _, l := range r.Links {
			cost[l.To.GetId()] = latency(l.CostUs)
		}
		var rows [][]string
		for _, z := range r.Zones {
			rows = append(rows, []string{
				z.Digits, fmt.Sprint(z.Counter), short(z.Owner), z.Owner.GetAddr(), cli.Or(cost[z.Owner.GetId()]),
			})
		}
		return cli.Table(cmd.OutOrStdout(), []string{"IDS", "EPOCH", "OWNER", "ADDRESS", "COST"}, rows)
	})
}

func streamsCommand() *cobra.Command {
	return reader(&cobra.Command{
		Use:   "streams",
		Short: "List the streams that pass this host",
	}, (*overlayapi.Client).Streams, nil, func(cmd *cobra.Command, r *overlayv1.StreamsResponse) error {
		if len(r.Streams) == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "no stream passes this host")
			return nil
		}
		var rows [][]string
		for _, s := range r.Streams {
			role := "forwards"
			switch {
			case s.Local:
				role = "publishes"
			case len(s.Subscriptions) > 0:
				role = "subscribes"
			}
			rows = append(rows, []string{
				s.Id, cli.Or(cli.Plain(s.Name)), short(s.Publisher), rate(s.RateBps), role,
				fmt.Sprint(len(s.Children)), fmt.Sprint(s.Packets),
			})
		}
		return cli.Table(cmd.OutOrStdout(),
			[]string{"STREAM", "NAME", "PUBLISHER", "RATE", "HERE", "BRANCHES", "PACKETS"}, rows)
	})
}

func directoryCommand() *cobra.Command {
	var limit uint32
	c := &cobra.Command{
		Use:   "directory",
		Short: "List the public streams of the whole overlay",
		Long: `List the public streams of the whole overlay. The entries are spread over all
hosts, so this is a walk with a look-up for each zone of the cube (one to a few
for each host), one after the other; it ends after --limit streams. A host can
keep entries back that it is to answer for.`,
		Args: cli.NoArgs,
	}
	c.Flags().Uint32Var(&limit, "limit", 1000, "list at most about so many streams")
	asJSON := cli.JSONFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if limit == 0 {
			return fail.Usagef("--limit 0: it is more than 0")
		}
		return withClient(cmd, func(ctx context.Context, c *overlayapi.Client) error {
			all := &overlayv1.DirectoryResponse{}
			for {
				r, err := c.Directory(ctx, connect.NewRequest(&overlayv1.DirectoryRequest{Page: all.Next, Limit: limit - uint32(len(all.Entries))}))
				if err != nil {
					return err
				}
				all.Entries, all.Zones = append(all.Entries, r.Msg.Entries...), all.Zones+r.Msg.Zones
				all.Next, all.Incomplete = r.Msg.Next, r.Msg.Incomplete
				if all.Next == "" || uint32(len(all.Entries)) >= limit {
					return showDirectory(cmd, all, *asJSON)
				}
			}
		})
	}
	return c
}

// showDirectory prints what a walk has found; one that did not come to its end fails.
func showDirectory(cmd *cobra.Command, m *overlayv1.DirectoryResponse, asJSON bool) error {
	if asJSON {
		if err := printMessage(cmd, m); err != nil {
			return err
		}
	} else if len(m.Entries) > 0 {
		var rows [][]string
		for _, e := range m.Entries {
			rows = append(rows, []string{cli.Plain(e.Name), e.Id, short(e.Publisher), e.Publisher.GetAddr(), rate(e.RateBps)})
		}
		if err := cli.Table(cmd.OutOrStdout(), []string{"NAME", "STREAM", "PUBLISHER", "ADDRESS", "RATE"}, rows); err != nil {
			return err
		}
	}
	switch {
	case m.Incomplete != "":
		return fmt.Errorf("the list is not complete, after %d zones: %s", m.Zones, cli.Plain(m.Incomplete))
	case m.Next != "":
		fmt.Fprintf(cmd.ErrOrStderr(), "there are more: --limit %d\n", 10*len(m.Entries))
	case len(m.Entries) == 0:
		fmt.Fprintln(cmd.ErrOrStderr(), "no host publishes a public stream")
	}
	return nil
}

func contractsCommand() *cobra.Command {
	return reader(&cobra.Command{
		Use:     "contracts",
		Aliases: []string{"subscriptions"},
		Short:   "List the subscriptions of this host: what was asked, predicted and measured",
		Long: `List the subscriptions of this host: what was asked, predicted and measured.
LOSS is what did not come over the network; OVERRUN counts payloads that came,
and that the subscriber did not read in time.`,
	}, (*overlayapi.Client).Subscriptions, nil, func(cmd *cobra.Command, r *overlayv1.SubscriptionsResponse) error {
		if len(r.Subscriptions) == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "no subscription on this host")
			return nil
		}
		var rows [][]string
		for _, s := range r.Subscriptions {
			name := s.Name
			if name == "" && len(s.Stream) > 8 {
				name = s.Stream[:8]
			}
			rows = append(rows, slices.Concat(
				[]string{fmt.Sprint(s.Id), cli.Plain(name), asked(s.Contract), s.State, cli.Or(s.Degraded), latency(s.PredictedUs)},
				figures(s.Measured), []string{fmt.Sprint(s.Delivery.GetOverrun()), cli.Or(cli.Plain(s.Reason))},
			))
		}
		return cli.Table(cmd.OutOrStdout(),
			slices.Concat([]string{"ID", "STREAM", "ASKED", "STATE", "DEGRADED", "PREDICTED"}, measured, []string{"OVERRUN", "REASON"}), rows)
	})
}

func traceCommand() *cobra.Command {
	return reader(&cobra.Command{
		Use:   "trace STREAM",
		Short: "Show a stream's path to this host, hop by hop",
		Long: `Show a stream's path from its publisher to this host, hop by hop: what each
link costs, how long the packets stay in each host, and the SPA on the way.
STREAM is a stream's id, the first digits of it, or its name.`,
		Args: cli.Args("STREAM"),
	}, (*overlayapi.Client).Trace, func(args []string) *overlayv1.TraceRequest {
		return &overlayv1.TraceRequest{Stream: args[0]}
	}, func(cmd *cobra.Command, r *overlayv1.TraceResponse) error {
		var rows [][]string
		sum := uint32(0)
		for i, h := range r.Path {
			sum += h.CostUs + h.StayUs
			rows = append(rows, []string{
				fmt.Sprint(i), short(h.Host), h.Host.GetAddr(), latency(h.CostUs), percent(h.LossPpm), latency(h.StayUs),
				cli.Or(cli.Plain(h.Spa)), latency(sum),
			})
		}
		if err := cli.Table(cmd.OutOrStdout(),
			[]string{"HOP", "HOST", "ADDRESS", "COST", "LOSS", "STAY", "SPA", "SUM"}, rows); err != nil {
			return err
		}
		for _, b := range r.Children {
			fmt.Fprintf(cmd.OutOrStdout(), "branch to %s at %s, cost %s, SPA %s\n", short(b.Host), cli.Plain(b.Host.GetAddr()), latency(b.CostUs), thinning(b))
		}
		if r.MeasuredUs != 0 {
			fmt.Fprintf(cmd.OutOrStdout(), "measured at the subscriber: %s\n", latency(r.MeasuredUs))
		}
		return nil
	})
}

// thinning is a branch's SPA, and what it leaves if that is known.
func thinning(b *overlayv1.Branch) string {
	if b.SharePpm == 0 {
		return cli.Or(cli.Plain(b.Spa))
	}
	return fmt.Sprintf("%s, which leaves %s", cli.Plain(b.Spa), percent(b.SharePpm/1000*1000))
}

func withdrawCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "withdraw STREAM",
		Short: "End a stream that this host publishes",
		Args:  cli.Args("STREAM"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withClient(cmd, func(ctx context.Context, c *overlayapi.Client) error {
				_, err := c.Withdraw(ctx, connect.NewRequest(&overlayv1.WithdrawRequest{Stream: args[0]}))
				return err
			})
		},
	}
}

func leaveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "leave",
		Short: "Hand this host's ids over and stop the daemon",
		Args:  cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withClient(cmd, func(ctx context.Context, c *overlayapi.Client) error {
				_, err := c.Leave(ctx, connect.NewRequest(&overlayv1.LeaveRequest{}))
				return err
			})
		},
	}
}

func watchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "watch",
		Short: "Print what happens, until interrupted",
		Args:  cli.NoArgs,
	}
	asJSON := cli.JSONFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		return withClient(cmd, func(ctx context.Context, c *overlayapi.Client) error {
			s, err := c.Watch(ctx, connect.NewRequest(&overlayv1.WatchRequest{}))
			if err != nil {
				return err
			}
			defer s.Close()
			for s.Receive() {
				if err := printEvent(cmd, s.Msg(), *asJSON); err != nil {
					return err
				}
			}
			if ctx.Err() != nil {
				return nil
			}
			if s.Err() == nil {
				return errors.New("the daemon has ended")
			}
			return s.Err()
		})
	}
	return c
}
