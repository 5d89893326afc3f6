// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/uls"
)

func jsonLine(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", b)
	return err
}

func eventsCommand() *cobra.Command {
	var (
		count   int
		timeout time.Duration
	)
	c := &cobra.Command{
		Use:   "events",
		Short: "Print what happens to SPAs: mapped, aborted, unmapped, replaced",
		Long: `Print what happens to SPAs, one line each, until Ctrl-C: mapped, aborted (with
cause and address), unmapped, replaced.

With --count it ends after that many events; with --timeout it ends with exit
status 5 if they have not come by then.`,
		Args: cli.NoArgs,
	}
	asJSON := cli.JSONFlag(c)
	c.Flags().IntVar(&count, "count", 0, "end after that many events")
	c.Flags().DurationVar(&timeout, "timeout", 0, "end with status 5 after that time")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if count < 0 || timeout < 0 {
			return fail.Usagef("--count and --timeout cannot be negative")
		}
		ctx := cmd.Context()
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		e, err := uls.Subscribe()
		if err != nil {
			return err
		}
		defer e.Close()
		fmt.Fprintln(cmd.ErrOrStderr(), "listening")
		for n := 0; count == 0 || n < count; {
			ev, err := e.Next(ctx)
			switch {
			case errors.Is(err, context.Canceled):
				return nil
			case errors.Is(err, context.DeadlineExceeded):
				return fail.Errorf(fail.ErrTimeout, "%d events came in %v, not %d", n, timeout, count)
			case errors.Is(err, uls.ErrLost):
				fmt.Fprintln(cmd.ErrOrStderr(), err)
				continue
			case err != nil:
				return err
			}
			n++
			if err := printEvent(cmd.OutOrStdout(), ev, *asJSON); err != nil {
				return err
			}
		}
		return nil
	}
	return c
}

func printEvent(w io.Writer, ev uls.Event, asJSON bool) error {
	if asJSON {
		return jsonLine(w, ev)
	}
	more := ""
	if ev.Kind == uls.EventAborted && ev.SPA.Abort != nil {
		more = ": " + ev.SPA.Abort.Cause + ": " + ev.SPA.Abort.Text
	}
	_, err := fmt.Fprintf(w, "%s %s %s (id %d, port %s)%s\n", ev.Time.Format("15:04:05.000"), ev.Kind, ev.SPA.Name, ev.SPA.ID, port(ev.SPA), more)
	return err
}
