// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/overlayapi"
	"sandstream/overlayapi/overlayv1"
)

// printEvent prints one line.
func printEvent(cmd *cobra.Command, e *overlayv1.WatchResponse, asJSON bool) error {
	w := cmd.OutOrStdout()
	if asJSON {
		b, err := overlayapi.MarshalJSON(e)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", b)
		return err
	}
	line := time.UnixMicro(int64(e.TimeUs)).Format("15:04:05.000") + " " + e.Kind
	if e.Host != nil {
		line += " " + short(e.Host) + " " + cli.Plain(e.Host.Addr)
	}
	if z := e.Zone; z != nil {
		line += fmt.Sprintf(" %s epoch %d", z.Digits, z.Counter)
	}
	if s := e.Subscription; s != nil {
		line += fmt.Sprintf(" %d %s %s", s.Id, cli.Or(cli.Plain(s.Name)), s.State)
		if s.Reason != "" {
			line += ": " + cli.Plain(s.Reason)
		}
	}
	if e.Detail != "" {
		line += " " + cli.Plain(e.Detail)
	}
	_, err := fmt.Fprintln(w, line)
	return err
}
