// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/fail"
	"sandstream/lab/image"
	"sandstream/lab/vm"
)

// machineFlags are the flags of run and shell that describe the machine.
type machineFlags struct {
	variant     string
	cpus        int
	memory      int
	ports       int
	generator   bool
	mitigations bool
	exact       bool
	verbose     bool
	kernelArgs  []string
	modules     bool
}

func (f *machineFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.variant, "variant", "lab", "kernel variant: lab, debug")
	c.Flags().IntVar(&f.cpus, "cpus", 1, "virtual CPUs")
	c.Flags().IntVar(&f.memory, "memory", 512, "memory in MiB")
	c.Flags().IntVar(&f.ports, "ports", 2, "e1000e ports, all on one hub")
	c.Flags().BoolVar(&f.generator, "generator", false, "one more port for the traffic generator (ulsgen.ko)")
	c.Flags().BoolVar(&f.mitigations, "mitigations", false, "leave CPU mitigations on")
	c.Flags().BoolVar(&f.exact, "exact", false, "guest time is a count of instructions")
	c.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "every kernel message on the console")
	c.Flags().StringSliceVar(&f.kernelArgs, "append", nil, "further kernel parameters")
	c.Flags().BoolVar(&f.modules, "modules", true, "load the modules of kmod/")
}

func (f *machineFlags) machine(l *image.Lab) vm.Machine {
	m := l.Machine()
	m.CPUs, m.Memory, m.Mitigations, m.Exact = f.cpus, f.memory, f.mitigations, f.exact
	m.Verbose, m.Append = f.verbose, f.kernelArgs
	m.NICs = hubPorts(f.ports)
	if f.generator {
		addGenerator(&m)
	}
	return m
}

// hubPorts returns n e1000e ports on one hub.
func hubPorts(n int) []vm.NIC {
	nics := make([]vm.NIC, n)
	for i := range nics {
		nics[i].Hub = 1
	}
	return nics
}

// addGenerator adds the traffic generator's port to the machine, behind the others
// (see lab/guest/gen), and fixes their interrupt moderation as the experiments do.
func addGenerator(m *vm.Machine) {
	m.Append = append(m.Append, "e1000e.InterruptThrottleRate="+strings.TrimSuffix(strings.Repeat("7813,", len(m.NICs)), ","))
	m.NICs = append(m.NICs, vm.NIC{Hub: 1, Model: "e1000", Props: []string{"romfile=", "mitigation=off"}})
}

// loadModules loads every module of kmod/ that the image holds.
func loadModules(l *image.Lab, job *vm.Job) {
	for _, p := range l.Parts {
		if p.Name == "kmod" {
			for _, path := range p.Files {
				job.Module(path, "")
			}
		}
	}
}

func shellCommand() *cobra.Command {
	var f machineFlags
	c := &cobra.Command{
		Use:   "shell",
		Short: "Boot a guest and open a shell in it; 'exit' or Ctrl-A X leaves",
		Args:  cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := buildLab(c.Context(), f.variant, keepGoing(c))
			if err != nil {
				return err
			}
			job := &vm.Job{}
			if f.modules {
				loadModules(l, job)
			}
			job.Shell()
			fmt.Fprintln(os.Stderr, "lab: booting; 'exit' powers the guest off, Ctrl-A X kills it. Nothing in it outlives it.")
			return vm.Shell(c.Context(), vm.Config{Machine: f.machine(l), Image: l.Image, Job: job})
		},
	}
	f.register(c)
	return c
}

func runCommand() *cobra.Command {
	var f machineFlags
	var limit time.Duration
	var out string
	c := &cobra.Command{
		Use:   "run [flags] -- PROGRAM [ARGUMENT]...",
		Short: "Run one program in a guest; its exit status is this command's",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fail.Usagef("run: name a program, for example: lab run -- /tests/boot/boot 1 2")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			l, err := buildLab(c.Context(), f.variant, keepGoing(c))
			if err != nil {
				return err
			}
			job := &vm.Job{}
			if f.modules {
				loadModules(l, job)
			}
			if f.generator {
				job.Module("/lib/modules/ulsgen.ko", "")
			}
			job.Run(vm.Program{Name: args[0], Argv: args, Time: limit})
			job.Collect("/results")
			r, err := vm.Run(c.Context(), vm.Config{
				Machine: f.machine(l), Image: l.Image, Job: job, Time: limit + time.Minute, Log: os.Stderr,
			})
			if r != nil {
				fmt.Fprintf(os.Stderr, "lab: %.1f s; %s\n", r.Elapsed.Seconds(), r.Command)
				for _, p := range r.Programs {
					os.Stdout.Write(p.Output)
				}
				if werr := writeFiles(out, r.Files); werr != nil {
					return werr
				}
			}
			if err != nil {
				return err
			}
			for _, p := range r.Programs {
				if !p.OK() {
					return fmt.Errorf("%s: %s", p.Name, p.How)
				}
			}
			return nil
		},
	}
	f.register(c)
	c.Flags().DurationVar(&limit, "time", 5*time.Minute, "time limit")
	c.Flags().StringVar(&out, "out", "", "folder for the files the guest left in /results")
	return c
}

// writeFiles writes collected files below dir; nothing if dir is empty.
func writeFiles(dir string, files map[string]vm.File) error {
	if dir == "" {
		return nil
	}
	for path, f := range files {
		name := filepath.Join(dir, filepath.FromSlash(path)) // Join cleans, path is absolute: it stays below dir
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, f.Data, f.Mode.Perm()); err != nil {
			return err
		}
	}
	return nil
}

func cleanCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "clean",
		Short: "Remove the cache: kernel sources, objects, images",
		Args:  cli.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b, err := image.Builder(image.Options{})
			if err != nil {
				return err
			}
			fmt.Fprintln(os.Stderr, "lab: removing "+b.Cache)
			return os.RemoveAll(b.Cache)
		},
	}
}
