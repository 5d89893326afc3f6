// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/uls"
)

const flowHelp = `A flow is written

  udp dst ADDRESS:PORT [-> ADDRESS:PORT [src ADDRESS:PORT] [mac MAC] [srcmac MAC]]

Frames of UDP over IPv4 to the first address go to the SPA; all others go to the
kernel as ever. Behind the arrow stands what a forwarding SPA rewrites: the new
destination, the new source, the MAC address of the next station and our own.
"*" means any in front of the arrow and "as it is" behind it. Without "mac" the
address is looked up among the kernel's neighbours; without "srcmac" it is the
port's. A flow without an arrow is only steered: the SPA is not told.`

func mapCommand() *cobra.Command {
	var (
		o       uls.MapOptions
		texts   []string
		params  []string
		reserve string
	)
	c := &cobra.Command{
		Use:   "map FILE.spa",
		Short: "Load an SPA and put it in front of a device",
		Long: `Load an SPA and put it in front of a device.

Either all of it succeeds or nothing is left behind. The SPA stays when ulsctl
ends. The device needs a driver with AF_XDP zero copy. Without --dev the SPA has
no port: it gets ticks and control messages only.

A reservation is CPU time that the port has in each period, whatever else the
machine does, and no more than that; without one it shares the pool of its CPU
with all others. 'ulsctl limit' shows how much can be reserved. RUNTIME must be at
least the budget, PERIOD 1ms to 10ms.

` + flowHelp,
		Example: `  ulsctl map forward.spa --dev eth0 --flow 'udp dst 10.0.1.1:9000 -> 10.0.2.2:9001'
  ulsctl map echo.spa --dev eth0 --flow 'udp dst 10.0.1.1:7' --reserve 300us/1ms`,
		Args: cli.Args("FILE.spa"),
	}
	f := c.Flags()
	f.StringVar(&o.Device, "dev", "", "network device")
	f.IntVar(&o.Queue, "queue", 0, "receive queue of the device")
	f.StringArrayVar(&texts, "flow", nil, "a flow, see above; repeatable")
	f.StringVar(&o.Name, "name", "", "name of the SPA (default: the one in its file)")
	f.DurationVar(&o.Budget, "budget", 0, "CPU time of one upcall (default: the module's)")
	f.StringVar(&reserve, "reserve", "", "hard reservation of CPU time, RUNTIME/PERIOD or none (default: a tenth of a CPU, if there is room)")
	f.StringArrayVar(&params, "param", nil, "NAME=VALUE of a parameter; repeatable")
	f.IntVar(&o.Frames, "frames", 0, "frames of memory, 4 KiB each (default: 4096)")
	c.RunE = func(cmd *cobra.Command, a []string) (err error) {
		o.File = a[0]
		if o.Flows, err = flows(texts); err != nil {
			return err
		}
		if o.Params, err = assignments(params); err != nil {
			return err
		}
		if o.Reserve, err = reserveFlag(cmd, reserve); err != nil {
			return err
		}
		if o.Queue < 0 || o.Budget < 0 || o.Frames < 0 {
			return fail.Usagef("--queue, --budget and --frames cannot be negative")
		}
		return withClient(func(c *uls.Client) error {
			s, err := c.Map(o)
			if err != nil {
				return err
			}
			l, err := c.Limit()
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "mapped %s %s at %v%s\n%s; %s\n",
				s.Name, s.Version, s.Base, onDevice(s), reserved(s, o.Reserve == nil), keeps(l))
			return nil
		})
	}
	return c
}

// reserveFlag is nil unless the flag is given.
func reserveFlag(cmd *cobra.Command, text string) (*uls.Reserve, error) {
	if !cmd.Flags().Changed("reserve") {
		return nil, nil
	}
	r, err := uls.ParseReserve(text)
	if err != nil {
		return nil, usage(err)
	}
	return &r, nil
}

// reserved says who pays for the SPA; def: it did not ask.
func reserved(s *uls.SPA, def bool) string {
	switch {
	case s.Ifindex == 0:
		return "no port, so no reservation: the pool of the CPU pays"
	case s.RuntimeNS != 0 && def:
		return fmt.Sprintf("reservation %s (default)", reservation(s))
	case s.RuntimeNS != 0:
		return fmt.Sprintf("reservation %s", reservation(s))
	case def && s.BudgetNS > uls.DefaultReserveBudgetMax:
		return fmt.Sprintf("no reservation: a tenth of a CPU holds no upcall of %s, so the pool of the CPU pays", nanoseconds(s.BudgetNS))
	case def:
		return "no reservation: no CPU has a tenth left ('ulsctl limit'), so the pool of the CPU pays"
	}
	return "no reservation: the pool of the CPU pays"
}

func onDevice(s *uls.SPA) string {
	if s.Ifindex == 0 {
		return ""
	}
	return fmt.Sprintf(" on %s queue %d", s.Device, s.Queue)
}

func unmapCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "unmap NAME",
		Short: "Take an SPA away; its traffic goes back to the kernel",
		Long: `Take an SPA away; its traffic goes back to the kernel. Of an SPA that was aborted
it drops the record.`,
		Args: cli.Args("NAME"),
		RunE: func(cmd *cobra.Command, a []string) error {
			return withClient(func(c *uls.Client) error {
				if err := c.Unmap(a[0]); err != nil {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "unmapped %s\n", a[0])
				return nil
			})
		},
	}
}

func replaceCommand() *cobra.Command {
	var (
		o       uls.ReplaceOptions
		params  []string
		reserve string
	)
	c := &cobra.Command{
		Use:   "replace NAME FILE.spa",
		Short: "Exchange the code of a running SPA under traffic",
		Long: `Exchange the code of a running SPA under traffic. Device, frames, name, flows and
the parameters that both have stay. If the new SPA fails to start, the old one
goes on.`,
		Args: cli.Args("NAME", "FILE.spa"),
	}
	c.Flags().DurationVar(&o.Budget, "budget", 0, "CPU time of one upcall (default: as it was)")
	c.Flags().StringVar(&reserve, "reserve", "", "hard reservation, RUNTIME/PERIOD or none (default: as it was)")
	c.Flags().StringArrayVar(&params, "param", nil, "NAME=VALUE of a parameter; repeatable")
	c.RunE = func(cmd *cobra.Command, a []string) (err error) {
		o.File = a[1]
		if o.Params, err = assignments(params); err != nil {
			return err
		}
		if o.Reserve, err = reserveFlag(cmd, reserve); err != nil {
			return err
		}
		return withClient(func(c *uls.Client) error {
			s, err := c.Replace(a[0], o)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "replaced %s by %s version %s\n", a[0], a[1], s.Version)
			return nil
		})
	}
	return c
}
