// SPDX-License-Identifier: Apache-2.0

package points

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sandstream/internal/fail"
	"sandstream/lab/vm"
)

// Clock labels the axis of every figure that comes from an exact boot.
const Clock = "guest virtual time (1 instruction = 1 ns; idle jumps to the next timer)"

// A Contender is one way to forward UDP frames.
type Contender struct {
	Name  string
	Title string
	// Setup adds what must be in place before the measurement; Args are
	// labpoint's.
	Setup func(j *vm.Job)
	Args  []string
	// After adds what is worth reading afterwards.
	After func(j *vm.Job)
}

// The addresses of every run: the generator sends from 10.0.0.2 to 10.0.0.1:5000,
// the forwarders send on to 10.0.0.2:6000, plain IP forwarding to 10.0.9.1 behind it.
const (
	generatorMAC = "52:54:00:00:00:02"
	flow         = "udp dst 10.0.0.1:5000 -> 10.0.0.2:6000 src 10.0.0.1:5000 mac " + generatorMAC
	programs     = "/guest/contenders/"
	kforward     = "/proc/net/kforward" // of lab/guest/kforward
)

// Reservation of the sandbox: the same at every level of background, none
// included. It is more than half of the CPU, so processes keep less than they would
// by default: reservations come to nine tenths of the rest at most.
const (
	ReservedRuntime = 600 * time.Microsecond
	ReservedPeriod  = time.Millisecond
	ProcessesKeep   = 30 // per cent
)

// Reserved says what the sandbox is given in these measurements.
func Reserved() string {
	return fmt.Sprintf("The sandbox has a reservation of %v/%v; so that there is room for it, processes keep %d %% of the CPU instead of 50 %% (ulsctl limit --cpu-share %d%%)",
		ReservedRuntime, ReservedPeriod, ProcessesKeep, ProcessesKeep)
}

// Contenders are all forwarders, in the order of tables and plots.
func Contenders() []Contender {
	forwarder := "exec " + programs + "udpfwd 10.0.0.1 5000 10.0.0.2 6000"
	return []Contender{
		{Name: "sandbox", Title: "sandbox", Setup: setupSandbox, After: afterSandbox},
		{Name: "kthread", Title: "kernel thread", Setup: setupThread, After: afterThread},
		{Name: "user", Title: "user sockets", Args: []string{"--forwarder", forwarder}},
		{Name: "user-fifo", Title: "user sockets, FIFO priority", Args: []string{"--forwarder", forwarder + " 50"}},
		{
			Name: "ip", Title: "kernel IP forwarding", Args: []string{"--dst-ip", "10.0.9.1"},
			Setup: func(j *vm.Job) { j.Write("/proc/sys/net/ipv4/ip_forward", "1") },
		},
	}
}

func setupSandbox(j *vm.Job) {
	j.Run(vm.Program{Name: "limit", Argv: []string{"ulsctl", "limit", "--cpu-share", strconv.Itoa(ProcessesKeep)}})
	j.Run(vm.Program{Name: "map", Argv: []string{
		"ulsctl", "map", "/spa/forward.spa", "--dev", "eth0", "--flow", flow,
		"--reserve", ReservedRuntime.String() + "/" + ReservedPeriod.String(),
	}})
}

func afterSandbox(j *vm.Job) {
	j.Run(vm.Program{Name: "stats", Argv: []string{"ulsctl", "stats", "forward", "--json"}, Hold: true})
}

func setupThread(j *vm.Job) {
	j.Module("/lib/modules/kforward.ko", "")
	j.Write(kforward, "start eth0 flow "+flow)
}

func afterThread(j *vm.Job) {
	j.Run(vm.Program{Name: "stats", Argv: []string{"cat", kforward}, Hold: true})
}

// Choose returns the contenders of those names, all if there are none.
func Choose(names []string) ([]Contender, error) {
	all := Contenders()
	if len(names) == 0 {
		return all, nil
	}
	var known []string
	for _, c := range all {
		known = append(known, c.Name)
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return nil, fail.Usagef("no contender is called %q: there are %s", n, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(all, func(c Contender) bool { return !slices.Contains(names, c.Name) }), nil
}

// Levels are the numbers of background processes: the quick grid or the full one.
func Levels(full bool) []int {
	if full {
		return []int{0, 1, 2, 4, 8, 16, 32, 64, 128}
	}
	return []int{0, 1, 8, 32, 128}
}

// A Point is one contender at one level of background.
type Point struct {
	Contender Contender
	Hogs      int
	Len       int      // bytes of a frame without FCS
	Seed      uint64   // of the generator's pace
	WarmMS    int      // what comes before is not counted in rates
	Steps     []string // labpoint's
	Stamps    bool     // collect the stamps of each run
	Cost      float64  // seconds of one core that it takes, about
}

// Name is unique within an experiment: "user-128".
func (p Point) Name() string { return fmt.Sprintf("%s-%d", p.Contender.Name, p.Hogs) }

// Boot is the machine that measures the point.
func (p Point) Boot() Boot {
	return Boot{Name: p.Name(), Exact: true, Network: true, Cost: p.Cost, Fill: func(j *vm.Job) {
		j.Run(vm.Program{Name: "port", Argv: []string{"/bin/sh", programs + "port.sh", generatorMAC}})
		if p.Contender.Setup != nil {
			p.Contender.Setup(j)
		}
		args := []string{
			programs + "labpoint", "--hogs", strconv.Itoa(p.Hogs), "--len", strconv.Itoa(p.Len),
			"--seed", strconv.FormatUint(p.Seed%1_000_000_000, 10), "--warm", strconv.Itoa(p.WarmMS),
			// A forwarder among processes may have to wait for all of them.
			"--drain", strconv.Itoa(100 + 5*p.Hogs),
		}
		if p.Stamps {
			args = append(args, "--stamps", "/results/stamps")
		}
		args = append(append(args, p.Contender.Args...), p.Steps...)
		j.Run(vm.Program{Name: "point", Argv: args, Time: 10 * time.Minute, Hold: true})
		if p.Contender.After != nil {
			p.Contender.After(j)
		}
		if p.Stamps {
			j.Collect("/results")
		}
	}}
}
