// SPDX-License-Identifier: Apache-2.0

package main

import "strings"

// layers are the protocol core from top to bottom.
var layers = []string{
	"./internal/overlay",
	"./internal/overlay/streams",
	"./internal/overlay/zones",
	"./internal/overlay/links",
	"./internal/overlay/turn",
	"./internal/overlay/wire",
}

// script reads the message scripts that test each layer alone.
const script = "./internal/overlay/script"

// rules are all import rules. rules_test.go breaks each of them.
var rules = append(layerRules(), []Rule{
	{
		Name:  "the core is pure",
		From:  layers,
		Never: []string{"net/...", "os/...", "sync/...", "context", "log/...", "syscall", "unsafe", "runtime/...", "math/rand", "crypto/rand", "golang.org/x/..."},
		Fine:  []string{"net/netip"},
		Why: `The protocol is a function of its state, a message and the time; that is why a simulator runs 10,000 hosts of it, a test
			replays any run byte for byte, and the daemon needs no lock around it.`,
		Instead: `Let internal/live do it: take what comes from outside as an argument of Node's methods, and give what must happen
			outside back as an effect (internal/overlay/turn).`,
	},
	{
		Name:    "the core is used by its Node and its wire format",
		From:    []string{"./..."},
		But:     append([]string{"./internal/overlay/simnet", script}, layers...),
		Never:   []string{"./internal/overlay/turn", "./internal/overlay/links", "./internal/overlay/zones", "./internal/overlay/streams"},
		Why:     `The machines inside the core may change their ways with each other as long as Node keeps its own.`,
		Instead: `Import internal/overlay, or internal/overlay/wire for ids, zones and messages; add a method or a type alias to Node if it lacks one.`,
	},
	{
		Name:    "script knows turn and wire",
		From:    []string{script},
		Never:   []string{"./..."},
		Fine:    []string{"./internal/overlay/turn", "./internal/overlay/wire"},
		Why:     `Message scripts drive each machine alone; what reads and writes them must fit all machines.`,
		Instead: `Let the test of the machine pass in what only that machine has.`,
	},
	{
		Name:    "script is for tests",
		From:    []string{"./..."},
		Never:   []string{script},
		TestsDo: []string{script},
		Why:     `Message scripts are how tests say what goes in and what comes out; a program has no use for them.`,
		Instead: `Write messages and effects out with the methods of wire and turn.`,
	},
	{
		Name:    "simnet knows Node and wire",
		From:    []string{"./internal/overlay/simnet"},
		Never:   []string{"./..."},
		Fine:    []string{"./internal/overlay", "./internal/overlay/wire"},
		Why:     `The simulated network drives hosts as the daemon does; what it finds out by looking inside would not hold for the daemon.`,
		Instead: `Ask Node (its Status), or write the test beside the machine that it is about.`,
	},
	{
		Name:    "transport takes only wire from the core",
		From:    []string{"./internal/live/transport"},
		Never:   []string{"./internal/overlay/..."},
		Fine:    []string{"./internal/overlay/wire"},
		Through: true,
		Why:     `The transport carries bytes between ids; it does not know what they are for.`,
		Instead: `Take ids, addresses and limits from internal/overlay/wire; what needs a decision of the protocol belongs into internal/live/daemon.`,
	},
	{
		Name:    "what runs for real knows no model",
		From:    []string{"./internal/overlay/...", "./internal/live/...", "./overlayd", "./overlayapi/...", "./uls/...", "./ctl"},
		But:     []string{"./internal/overlay/simnet"},
		Never:   []string{"./internal/model/..."},
		Through: true,
		Why:     `internal/model computes the paper's figures: it sees the whole network at once and trusts its input. A host sees its neighbours, and trusts nobody.`,
		Instead: `Copy the few lines that are needed, or move them to the core if both need them.`,
		Exempt: []Exemption{
			{"./internal/overlay/zones", "./internal/model/cube", false, "The table of M-regions is pure arithmetic of the cube."},
			{"./internal/live/netem", "./internal/model/topology", false, "netem lays out a drawn network with real interfaces."},
			{"./internal/live/netem", "./internal/model/oracle", false, "netem takes the delays of its links from it."},
		},
	},
	{
		Name:    "live's leaves import nothing of the project",
		From:    leaves,
		Never:   []string{"./..."},
		Why:     `Packages outside internal/live stand on these too (overlayapi, overlayd, experiments), and must not get the daemon with them.`,
		Instead: `Pass in what is needed, or move the code to the package of internal/live that needs it.`,
	},
	{
		Name:    "netem is for tests on emulated networks",
		From:    []string{"./..."},
		But:     []string{"./overlayd/nettest"},
		Never:   []string{"./internal/live/netem"},
		Why:     `netem needs root, makes network namespaces, and brings the paper's model along.`,
		Instead: `Write such a test in overlayd/nettest.`,
	},
	{
		Name:    "only commands know cobra",
		From:    []string{"./..."},
		But:     append([]string{"./internal/cli"}, commands...),
		Never:   []string{"github.com/spf13/...", "./internal/cli"},
		Through: true,
		Why: `Everything below the command line is also used without one, by tests and by other programs, and must not dictate its
			library.`,
		Instead: `Take plain values or a small interface as arguments, and return errors of internal/fail: they carry the exit status.`,
		Exempt: []Exemption{
			{"./internal/report/results", "github.com/spf13/cobra", true, "The test shows that cobra's command is what Open takes."},
		},
	},
	{
		Name:    "fail stands alone",
		From:    []string{"./internal/fail"},
		Never:   []string{"./...", "github.com/...", "golang.org/x/..."},
		Why:     `Every package may return these errors; so this one must be importable from everywhere at no cost.`,
		Instead: `Keep to the standard library; what turns an error into words on a terminal is in internal/cli.`,
	},
	{
		Name:    "model, host and report are foundations",
		From:    []string{"./internal/model/...", "./internal/host/...", "./internal/report/..."},
		Never:   []string{"./internal/live/...", "./internal/overlay/...", "./lab/...", "./uls/...", "./overlayapi/..."},
		Through: true,
		Why:     `They are used from above (overlayd, uls, lab, experiments) and so cannot know what stands on them.`,
		Instead: `Move what is shared downwards, or let the caller bring the two together.`,
	},
	{
		Name:    "the lab knows no overlay",
		From:    []string{"./lab/..."},
		Never:   []string{"./internal/live/...", "./internal/overlay/...", "./overlayd/...", "./overlayapi/..."},
		Through: true,
		Why:     `The lab builds kernels and boots machines for whatever runs in them; the overlay's networks are emulated on this machine, in overlayd/nettest.`,
		Instead: `Let the guest run the program that needs the overlay.`,
	},
	{
		Name:    "only uls speaks generic netlink",
		From:    []string{"./..."},
		But:     []string{"./uls"},
		Never:   []string{"github.com/mdlayher/..."},
		Why:     `The module's netlink family has one door, where errors get their hints and the version handshake is made.`,
		Instead: `Use uls.Client, and add to it what it lacks.`,
	},
	{
		Name:    "only uls knows the numbers of the ABI",
		From:    []string{"./..."},
		But:     []string{"./uls", "./uls/internal/abi"},
		Never:   []string{"./uls/internal/abi"},
		Why:     `The numbers are generated from kmod/uapi/uls.yaml and change with it; uls gives them names that stay.`,
		Instead: `Use the types of uls, and add to them what they lack.`,
	},
	{
		Name:    "overlayapi is small",
		From:    []string{"./overlayapi/..."},
		Never:   []string{"./..."},
		Fine:    []string{"./overlayapi/...", "./internal/live/ownfolder"},
		Why:     `Programs link overlayapi to talk to the daemon; they must not get the daemon with it.`,
		Instead: `Put what both need into overlay.proto, or into a package that imports nothing.`,
	},
	apart("ctl", "overlayd", "experiments"),
	apart("overlayd", "ctl", "experiments"),
	apart("experiments", "ctl", "overlayd"),
	{
		Name:    "nothing imports an experiment",
		From:    []string{"./..."},
		But:     []string{"./experiments"},
		Never:   []string{"./experiments/..."},
		Why:     `An experiment answers one question and is thrown away when that is answered; nothing may stand on it.`,
		Instead: `Move what is shared to lab/points, internal/model or internal/report.`,
		Exempt: []Exemption{
			{"./experiments/repeat", "./experiments/jitter", false, "repeat runs other experiments twice and compares their bytes."},
			{"./experiments/repeat", "./experiments/throughput", false, "repeat runs other experiments twice and compares their bytes."},
		},
	},
}...)

// commands are the packages with a command line.
var commands = []string{"./ctl", "./overlayd", "./experiments/...", "./lab/cmd", "./lab/points"}

// layerRules are one rule for each layer of the core.
func layerRules() (list []Rule) {
	for n, layer := range layers {
		below := layers[n+1:]
		name := strings.TrimPrefix(layer, "./internal/")
		r := Rule{
			Name:    name + " imports only the core's layers below it",
			From:    []string{layer},
			Never:   []string{"./..."},
			Fine:    below,
			TestsDo: []string{script},
			Why: `The core's layers are, from top to bottom, overlay (Node), streams, zones, links, turn and wire; each is read and tested
				without those above it.`,
			Instead: `Let the layer above pass in a function or a small interface (links tells of a death by calling what it was given;
				streams asks for its place through one interface), or move the code to the layer it belongs to.`,
		}
		switch name {
		case "overlay/wire":
			r.TestsDo = nil
			r.Name = name + " imports nothing of the project"
			r.Why = `The wire format is what two hosts of different age have in common; it changes for reasons of its own, and the transport imports nothing else of the core.`
			r.Instead = `What a type of the wire format needs is in wire itself; what only one layer needs is in that layer.`
		case "overlay/zones":
			r.Exempt = []Exemption{{layer, "./internal/model/cube", false, "The table of M-regions is pure arithmetic of the cube."}}
		}
		list = append(list, r)
	}
	return list
}

// apart is the rule that one command keeps away from others and what is theirs.
func apart(command string, others ...string) Rule {
	r := Rule{
		Name:    command + " knows neither " + strings.Join(others, " nor "),
		From:    []string{"./" + command + "/..."},
		Through: true,
		Why:     `ctl (the kernel module), overlayd (the overlay) and experiments (the figures) are three programs that can be built, shipped and left out each on its own.`,
		Instead: `Move what is shared to internal/.`,
	}
	for _, o := range others {
		r.Never = append(r.Never, "./"+o+"/...")
	}
	return r
}
