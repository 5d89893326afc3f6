// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
)

// childCommand is one measurement, in the process that it is made in.
func childCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:    "one PART SYSTEM OPTIONS",
		Short:  "One measurement, printed as JSON",
		Hidden: true,
		Args:   cli.Args("PART", "SYSTEM", "OPTIONS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := json.Unmarshal([]byte(args[2]), &o); err != nil {
				return fail.Usagef("options: %w", err)
			}
			r, err := measure(args[0], args[1], o)
			if err != nil {
				return err
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
		},
	}
	return cmd
}

// inChild makes one measurement in a process of its own.
func inChild(ctx context.Context, part, name string, o options) (reading, error) {
	var r reading
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	opts, err := json.Marshal(o)
	if err != nil {
		return r, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.For+2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "one", part, name, string(opts))
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := runFirst(cmd); err != nil {
		return r, fmt.Errorf("%s of %s: %w: %s", part, name, err, bytes.TrimSpace(talk.Bytes()))
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return r, fmt.Errorf("%s of %s: %w", part, name, err)
	}
	return r, nil
}

// runFirst runs a process that goes before all others, if that is allowed:
// the machine may have other work, and what that does to a tail is not what is
// measured. A process inherits the policy of the thread that starts it.
func runFirst(cmd *exec.Cmd) error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		// Without the right to it the figures are only noisier.
		_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}, 0)
		started <- cmd.Start()
	}()
	if err := <-started; err != nil {
		return err
	}
	return cmd.Wait()
}
