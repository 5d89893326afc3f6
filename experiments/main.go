// SPDX-License-Identifier: Apache-2.0

// Command experiments reproduces the figures and claims of the paper and sets
// today's systems beside them. Each experiment is a package in a folder of its
// own; root.go names them.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"sandstream/internal/cli"
)

func main() { os.Exit(run()) }

// run is main without the exit, so that transcripts can call it as a command.
func run() int {
	// The first Ctrl-C asks an experiment to stop and print what is finished;
	// stop() restores the default action, so that a second one kills.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return cli.Report(os.Stderr, cli.Execute(ctx, newRoot()))
}
