// SPDX-License-Identifier: Apache-2.0

// Command overlayd is one host of the Sandstream overlay, and the tool that
// talks to it. Package internal/live/daemon does the work of the host, overlayapi
// that of the tool.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"sandstream/internal/cli"
)

func main() { os.Exit(run(interrupted(), os.Args[1:])) }

// interrupted is over at the first signal that ends the program; a second ends it at once.
func interrupted() context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx
}

// run is main without the exit; transcripts in testdata call it.
func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	return cli.Report(os.Stderr, cli.Execute(ctx, root))
}
