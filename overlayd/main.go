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

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:]))
}

// run is main without the exit; transcripts in testdata call it.
func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	return cli.Report(os.Stderr, cli.Execute(ctx, root))
}
