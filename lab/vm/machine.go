// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// A Machine is the hardware and the kernel's command line.
type Machine struct {
	Kernel string // bzImage
	CPUs   int    // virtual CPUs; 1 if zero
	Memory int    // MiB; 512 if zero

	// Exact makes guest time a count of instructions: the same image then gives
	// the same bytes. Shift scales it: one instruction is 2^Shift nanoseconds.
	Exact bool
	Shift int

	Mitigations bool     // leave CPU mitigations on (mitigations=auto); off by default
	Append      []string // further kernel parameters
	NICs        []NIC
	Verbose     bool // every kernel message on the console

	// Devices are further raw QEMU arguments, for what this type does not cover.
	Devices []string
}

// A NIC is one network port, wired to a hub inside QEMU: nothing outside the
// machine can reach it, unless another backend is given.
type NIC struct {
	Model string   // "e1000e" if empty
	MAC   string   // 52:54:00:00:00:01 and so on, by position, if empty
	Hub   int      // ports with the same number share a wire; positive
	Net   string   // a QEMU -netdev backend without its id, instead of Hub
	Props []string // further device properties, "name=value"
	Pcap  string   // host file for a capture of all frames of this port, guest time; or empty
}

// Mac returns the address of the NIC at position i (from 0) unless it is set.
func (n NIC) mac(i int) string {
	if n.MAC != "" {
		return n.MAC
	}
	return fmt.Sprintf("52:54:00:00:00:%02x", i+1)
}

// channels say where the machine's two serial channels go.
type channels struct {
	console string // file of the kernel console; "" means QEMU's own terminal
	report  string // file of the report port
	initrd  string
}

const qemuBinary = "qemu-system-x86_64"

// args returns QEMU's command line. Only TCG is used: its results do not depend
// on the host's processor, and CI has nothing else.
func (m *Machine) args(ch channels) ([]string, error) {
	cpus, memory := m.CPUs, m.Memory
	if cpus == 0 {
		cpus = 1
	}
	if memory == 0 {
		memory = 512
	}
	accel := "tcg,thread=multi"
	// No random numbers from the processor: they would differ from run to run.
	// 5-level paging is not handled by the patches' first version.
	args := []string{
		qemuBinary,
		"-machine", "q35", "-cpu", "max,-rdrand,-rdseed,la57=off",
		"-smp", strconv.Itoa(cpus), "-m", strconv.Itoa(memory),
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-rtc", "base=2026-01-01T00:00:00,clock=vm",
	}
	if m.Exact {
		accel = "tcg,thread=single"
		args = append(args, "-icount", fmt.Sprintf("shift=%d,sleep=off%s", m.Shift, m.serialise(cpus)))
	} else if m.Shift != 0 {
		return nil, errors.New("a time shift needs an exact machine")
	}
	args = append(args, "-accel", accel, "-kernel", m.Kernel, "-initrd", ch.initrd, "-append", m.cmdline())
	if ch.console == "" {
		args = append(args, "-serial", "mon:stdio")
	} else {
		args = append(args, "-chardev", "file,id=console,path="+comma(ch.console), "-serial", "chardev:console")
	}
	// Without ioeventfd a write to the port is done in the guest's own time:
	// with it another host thread would decide when.
	args = append(args, "-device", "virtio-serial-pci,ioeventfd=off,max_ports=2")
	if ch.report != "" {
		args = append(args,
			"-chardev", "file,id=report,path="+comma(ch.report),
			"-device", "virtserialport,chardev=report,name=sandstream.report")
	}
	for i, n := range m.NICs {
		more, err := n.args(i)
		if err != nil {
			return nil, err
		}
		args = append(args, more...)
	}
	return append(args, m.Devices...), nil
}

// serialise returns what makes QEMU's threads take turns while it counts instructions.
//
// With sleep=off its main loop sets guest time forward to the next timer whenever it finds
// the virtual processor idle. One that executes HLT is halted before its last instructions
// are counted (QEMU 7.2: helper_hlt, then icount_process_data); if the main loop happens to
// look in between, on another processor of the host, it starts from too early a time, and the
// guest finds itself some tens of ns late. Of 10 pairs of runs of a guest that idles, 3 to 8
// differed by that on a busy host, and none of 40 of guests that never idle. Recording for
// replay holds a lock from before the first instruction until all are counted, and so keeps
// the main loop out; the recording itself is not wanted. QEMU cannot do it with two
// processors.
func (m *Machine) serialise(cpus int) string {
	if cpus > 1 {
		return ""
	}
	return ",rr=record,rrfile=/dev/null"
}

func (n NIC) args(i int) ([]string, error) {
	id := fmt.Sprintf("net%d", i)
	backend := n.Net
	if backend == "" {
		if n.Hub <= 0 {
			return nil, fmt.Errorf("NIC %d has neither a hub (1, 2, ...) nor a backend", i)
		}
		backend = fmt.Sprintf("hubport,hubid=%d", n.Hub)
	}
	kind, options, _ := strings.Cut(backend, ",")
	netdev := kind + ",id=" + id
	if options != "" {
		netdev += "," + options
	}
	model := n.Model
	if model == "" {
		model = "e1000e"
	}
	// A fixed slot, so that eth0, eth1, ... come in the order of the list.
	device := fmt.Sprintf("%s,netdev=%s,mac=%s,addr=0x%x", model, id, n.mac(i), 0x10+i)
	if len(n.Props) > 0 {
		device += "," + strings.Join(n.Props, ",")
	}
	args := []string{"-netdev", netdev, "-device", device}
	if n.Pcap != "" {
		args = append(args, "-object", fmt.Sprintf("filter-dump,id=dump%d,netdev=%s,file=%s", i, id, comma(n.Pcap)))
	}
	return args, nil
}

func (m *Machine) cmdline() string {
	words := []string{
		"console=ttyS0", "panic=-1", "oops=panic", "nokaslr", "norandmaps", "net.ifnames=0",
		"no5lvl", "rdinit=/init", "dummy.numdummies=0",
	}
	if m.Verbose {
		words = append(words, "loglevel=8")
	} else {
		words = append(words, "loglevel=5") // warnings and worse; the rest is in Result.KernelLog
	}
	if m.Mitigations {
		words = append(words, "mitigations=auto")
	} else {
		words = append(words, "mitigations=off")
	}
	return strings.Join(append(words, m.Append...), " ")
}

// comma doubles commas, as QEMU wants them inside an option's value.
func comma(s string) string { return strings.ReplaceAll(s, ",", ",,") }

// Quote renders a command line for a shell.
func Quote(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		if a == "" || strings.ContainsAny(a, " \t\n'\"\\$&|;<>()*?[]#~`") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		quoted[i] = a
	}
	return strings.Join(quoted, " ")
}

// Version returns QEMU's first line about itself.
func Version() (string, error) {
	out, err := exec.Command(qemuBinary, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: run 'make deps'", qemuBinary, err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line, nil
}
