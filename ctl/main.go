// SPDX-License-Identifier: Apache-2.0

// Command ulsctl maps stream processing agents into the sandbox region of a
// kernel with user-level sandboxing, and watches them. Package uls does the work.
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
	os.Exit(run(ctx, os.Args[1:]))
}

// run is main without the exit; transcripts in testdata call it.
func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	return cli.Report(os.Stderr, cli.Execute(ctx, root))
}
