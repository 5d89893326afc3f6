// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/uls"
)

func kforwardCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "kforward",
		Short: "The kernel-thread forwarder, to compare with",
		Long: `Start, stop or show the forwarder that does in a kernel thread what the SPA
"forward" does in the sandbox. It exists to be compared with.

` + flowHelp,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cli.Usagef("kforward start, kforward stop or kforward status? (see '%s --help')", cmd.CommandPath())
		},
	}
	c.AddCommand(kforwardStart(), kforwardStatus(), &cobra.Command{
		Use: "stop DEVICE", Short: "Stop it", Args: cli.Args("DEVICE"),
		RunE: func(_ *cobra.Command, a []string) error {
			return withClient(func(c *uls.Client) error { return c.KforwardStop(a[0]) })
		},
	})
	return c
}

func kforwardStart() *cobra.Command {
	var (
		o     uls.KforwardOptions
		texts []string
		cpu   int
	)
	c := &cobra.Command{
		Use: "start DEVICE", Short: "Start it on a device", Args: cli.Args("DEVICE"),
		Example: `  ulsctl kforward start eth0 --flow 'udp dst 10.0.1.1:9000 -> 10.0.2.2:9001' --priority 50`,
	}
	f := c.Flags()
	f.StringVar(&o.Out, "out", "", "device to send on (default: the same)")
	f.StringArrayVar(&texts, "flow", nil, "a flow with an arrow, see 'ulsctl kforward --help'; repeatable")
	f.Uint32Var(&o.Priority, "priority", 0, "SCHED_FIFO priority of the thread; 0: an ordinary thread")
	f.Uint32Var(&o.QueueLen, "queue-len", 0, "frames that may wait for the thread (default: the module's)")
	f.IntVar(&cpu, "cpu", -1, "CPU to bind the thread to")
	c.RunE = func(_ *cobra.Command, a []string) (err error) {
		o.Device = a[0]
		if o.Flows, err = flows(texts); err != nil {
			return err
		}
		if len(o.Flows) == 0 {
			return cli.Usagef("kforward start: at least one --flow is needed")
		}
		if cpu >= 0 {
			n := uint32(cpu)
			o.CPU = &n
		}
		return withClient(func(c *uls.Client) error { return usage(c.KforwardStart(o)) })
	}
	return c
}

func kforwardStatus() *cobra.Command {
	c := &cobra.Command{Use: "status", Short: "Show the running ones", Args: cli.NoArgs}
	asJSON := cli.JSONFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		return withClient(func(c *uls.Client) error {
			ks, err := c.Kforwards()
			if err != nil {
				return err
			}
			if *asJSON {
				return cli.JSON(cmd.OutOrStdout(), ks)
			}
			if len(ks) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "no kernel-thread forwarder runs")
				return nil
			}
			var rows [][]string
			for _, k := range ks {
				rows = append(rows, []string{
					cli.Or(k.Device), cli.Or(k.Out), fmt.Sprint(k.PID), fmt.Sprint(k.Priority), fmt.Sprint(len(k.Flows)),
					fmt.Sprint(k.RXFrames), fmt.Sprint(k.TXFrames), fmt.Sprint(k.QueueDrops + k.TTLDrops + k.TXDrops),
				})
			}
			return cli.Table(cmd.OutOrStdout(), []string{"DEVICE", "OUT", "PID", "PRIORITY", "FLOWS", "RECEIVED", "SENT", "DROPPED"}, rows)
		})
	}
	return c
}
