// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/overlayapi"
	"sandstream/overlayapi/overlayv1"
)

func subscribersCommand() *cobra.Command {
	return reader(&cobra.Command{
		Use:   "subscribers STREAM",
		Short: "List the hosts that have the key of a stream published here",
		Long: `List the hosts that have the key of a stream which is published on this host, by its
id or name: since when, of which epoch the newest key is that they were given, and
whether a stage of the stream's pipeline runs there (it then seals what it makes).
A host that has left stays in the list until the next epoch.`,
		Args: cobra.ExactArgs(1),
	}, (*overlayapi.Client).Subscribers, func(args []string) *overlayv1.SubscribersRequest {
		return &overlayv1.SubscribersRequest{Stream: args[0]}
	}, func(cmd *cobra.Command, r *overlayv1.SubscribersResponse) error {
		var rows [][]string
		for _, h := range r.Holders {
			role := "reads"
			if h.Seals {
				role = "seals"
			}
			rows = append(rows, []string{
				h.Host, cli.Or(cli.Plain(h.Name)), time.Unix(0, int64(h.SinceUnixNs)).Format(time.DateTime), fmt.Sprint(h.Epoch), role,
			})
		}
		return cli.Table(cmd.OutOrStdout(), []string{"HOST", "NAME", "SINCE", "EPOCH", "ROLE"}, rows)
	})
}

func evictCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "evict STREAM HOST",
		Short: "Put a host out of a stream published here",
		Long: `Put a host out of a stream which is published on this host. It is given no key any
more, its subscriptions end, and of the epoch that begins within two seconds it can
read nothing. HOST is its id as 'overlayd subscribers' shows it, or the first eight
digits and more. It stays out until the stream is published anew.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withClient(cmd, func(ctx context.Context, c *overlayapi.Client) error {
				r, err := c.Evict(ctx, connect.NewRequest(&overlayv1.EvictRequest{Stream: args[0], Host: args[1]}))
				if err == nil {
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "put out: %s\n", r.Msg.Host)
				}
				return err
			})
		},
	}
}
