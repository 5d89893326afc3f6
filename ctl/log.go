// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/uls"
)

// logRecord is one piece as JSON.
type logRecord struct {
	Text   string `json:"text"`
	Cursor uint64 `json:"cursor"` // where the next piece begins
	Lost   uint64 `json:"lost"`   // bytes overwritten before they could be read
}

func logCommand() *cobra.Command {
	var (
		follow bool
		cursor uint64
	)
	c := &cobra.Command{
		Use:   "log NAME",
		Short: "Print what an SPA has logged",
		Long: `Print what an SPA has logged, as far as its ring still holds it. Control characters
are replaced: an SPA is not trusted with the terminal. Needs CAP_NET_ADMIN.`,
		Args: cli.Args("NAME"),
	}
	asJSON := cli.JSONFlag(c)
	c.Flags().BoolVar(&follow, "follow", false, "wait for more until Ctrl-C")
	c.Flags().Uint64Var(&cursor, "cursor", 0, "begin at this byte")
	c.RunE = func(cmd *cobra.Command, a []string) error {
		return withSPA(a[0], func(c *uls.Client, s *uls.SPA) error {
			for {
				chunk, err := c.Log(s, cursor)
				if err != nil {
					return err
				}
				if err := printLog(cmd, chunk, *asJSON); err != nil {
					return err
				}
				if cursor = chunk.Next; len(chunk.Data) > 0 {
					continue
				}
				if !follow {
					return nil
				}
				select {
				case <-cmd.Context().Done():
					return nil
				case <-time.After(200 * time.Millisecond):
				}
			}
		})
	}
	return c
}

func printLog(cmd *cobra.Command, chunk uls.LogChunk, asJSON bool) error {
	if len(chunk.Data) == 0 && chunk.Lost == 0 {
		return nil
	}
	if asJSON {
		return jsonLine(cmd.OutOrStdout(), logRecord{string(chunk.Data), chunk.Next, chunk.Lost})
	}
	if chunk.Lost > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "%d bytes were lost\n", chunk.Lost)
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), cli.Plain(string(chunk.Data)))
	return err
}
