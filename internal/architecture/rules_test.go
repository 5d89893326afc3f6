// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"
	"testing"
)

// graph builds a made-up graph from chains "a -> b -> c"; "-test->" is an
// import by a test file.
func graph(t *testing.T, chains ...string) Graph {
	t.Helper()
	g := Graph{}
	for _, chain := range chains {
		words := strings.Fields(chain)
		for n := 0; n < len(words); n += 2 {
			if p := words[n]; strings.HasPrefix(p, "./") && g[p] == nil {
				g[p] = &Package{Path: p}
			}
			if n == 0 {
				continue
			}
			file := map[string]string{"->": "a.go", "-test->": "a_test.go"}[words[n-1]]
			if file == "" {
				t.Fatalf("%q: no arrow %q", chain, words[n-1])
			}
			p := g[words[n-2]]
			p.Imports = append(p.Imports, Import{Path: words[n], File: file, Line: 7})
		}
	}
	return g
}

// broken has, for each rule, imports that break it.
var broken = map[string][]string{
	"overlay imports only the core's layers below it": {
		"./internal/overlay -> ./internal/live/frame",
		"./internal/overlay -> ./internal/overlay/simnet",
		"./internal/overlay -> ./internal/model/cube",
		"./internal/overlay -test-> ./internal/overlay/simnet",
	},
	"overlay/streams imports only the core's layers below it": {
		"./internal/overlay/streams -> ./internal/overlay",
		"./internal/overlay/streams -> ./internal/fail",
		"./internal/overlay/streams -test-> ./internal/overlay",
	},
	"overlay/zones imports only the core's layers below it": {
		"./internal/overlay/zones -> ./internal/overlay/streams",
		"./internal/overlay/zones -> ./internal/model/oracle",
	},
	"overlay/links imports only the core's layers below it": {
		"./internal/overlay/links -> ./internal/overlay/zones",
		"./internal/overlay/links -> ./internal/overlay/streams",
		"./internal/overlay/links -> ./internal/model/cube",
	},
	"overlay/turn imports only the core's layers below it": {
		"./internal/overlay/turn -> ./internal/overlay/links",
		"./internal/overlay/turn -> ./internal/overlay",
	},
	"overlay/wire imports nothing of the project": {
		"./internal/overlay/wire -> ./internal/overlay/turn",
		"./internal/overlay/wire -> ./internal/fail",
		"./internal/overlay/wire -test-> ./internal/overlay",
	},
	"the core is pure": {
		"./internal/overlay -> net",
		"./internal/overlay/turn -> net/http",
		"./internal/overlay/links -> os",
		"./internal/overlay/zones -> sync",
		"./internal/overlay/streams -> sync/atomic",
		"./internal/overlay -> context",
		"./internal/overlay/wire -> log",
		"./internal/overlay/wire -> log/slog",
		"./internal/overlay/links -> math/rand",
		"./internal/overlay/links -> golang.org/x/sys/unix",
		"./internal/overlay/zones -test-> sync",
	},
	"the core is used by its Node and its wire format": {
		"./internal/live/daemon -> ./internal/overlay/streams",
		"./internal/live/control -test-> ./internal/overlay/zones",
		"./experiments/churn -> ./internal/overlay/links",
	},
	"script knows turn and wire": {
		"./internal/overlay/script -> ./internal/overlay/links",
		"./internal/overlay/script -test-> ./internal/overlay/zones",
	},
	"script is for tests": {
		"./internal/overlay -> ./internal/overlay/script",
		"./internal/live/daemon -> ./internal/overlay/script",
	},
	"simnet knows Node and wire": {
		"./internal/overlay/simnet -> ./internal/overlay/zones",
		"./internal/overlay/simnet -> ./internal/model/topology",
		"./internal/overlay/simnet -test-> ./internal/live/transport",
	},
	"transport takes only wire from the core": {
		"./internal/live/transport -> ./internal/overlay",
		"./internal/live/transport -test-> ./internal/overlay/simnet",
		"./internal/live/transport -> ./internal/live/frame -> ./internal/overlay",
	},
	"what runs for real knows no model": {
		"./internal/live/daemon -> ./internal/model/cube",
		"./internal/live/daemon -> ./internal/report/results -> ./internal/model/bigmem",
		"./internal/live/netem -> ./internal/model/scenario",
		"./internal/overlay/links -> ./internal/model/cube",
		"./overlayd -test-> ./internal/model/topology",
		"./uls -> ./internal/model/bigmem",
	},
	"live's leaves import nothing of the project": {
		"./internal/live/ownfolder -> ./internal/live/daemon",
		"./internal/live/frame -> ./internal/overlay/wire",
	},
	"netem is for tests on emulated networks": {
		"./internal/live/daemon -> ./internal/live/netem",
		"./overlayd -test-> ./internal/live/netem",
	},
	"only commands know cobra": {
		"./internal/live/daemon -> github.com/spf13/cobra",
		"./internal/model/scenario -> github.com/spf13/pflag",
		"./internal/report/results -> github.com/spf13/cobra",
		"./lab/image -> ./internal/cli",
		"./uls -test-> ./internal/cli",
		"./lab/image -> ./lab/points -> github.com/spf13/cobra",
	},
	"fail stands alone": {
		"./internal/fail -> ./internal/cli",
		"./internal/fail -> github.com/mdlayher/netlink",
	},
	"model, host and report are foundations": {
		"./internal/model/scenario -> ./internal/overlay",
		"./internal/model/cube -test-> ./internal/live/netem",
		"./internal/host/shm -> ./uls",
		"./internal/report/results -> ./lab/vm",
		"./internal/report/results -> ./internal/cli -> ./lab/vm",
	},
	"the lab knows no overlay": {
		"./lab/image -> ./internal/live/daemon",
		"./lab/points -> ./internal/overlay/wire",
		"./lab/cmd -> ./internal/cli -> ./overlayapi",
	},
	"only uls speaks generic netlink": {
		"./ctl -> github.com/mdlayher/genetlink",
		"./internal/host/steer -> github.com/mdlayher/netlink",
	},
	"only uls knows the numbers of the ABI": {
		"./ctl -> ./uls/internal/abi",
		"./uls/flow -> ./uls/internal/abi",
	},
	"overlayapi is small": {
		"./overlayapi -> ./internal/live/daemon",
		"./overlayapi/overlayv1 -> ./internal/overlay/wire",
	},
	"ctl knows neither overlayd nor experiments": {
		"./ctl -> ./overlayd/units",
		"./ctl -test-> ./experiments/upcall",
		"./ctl -> ./internal/cli -> ./overlayd/units",
	},
	"overlayd knows neither ctl nor experiments": {
		"./overlayd -> ./ctl/table",
		"./overlayd/nettest -test-> ./experiments/churn",
	},
	"experiments knows neither ctl nor overlayd": {
		"./experiments/upcall -> ./ctl/table",
		"./experiments -> ./overlayd/units",
	},
	"nothing imports an experiment": {
		"./internal/report/results -> ./experiments/churn",
		"./experiments/churn -> ./experiments/penalty",
		"./experiments/repeat -> ./experiments/upcall",
		"./lab/points -test-> ./experiments/jitter",
	},
}

func TestEachRuleFailsWhenBroken(t *testing.T) {
	known := map[string]bool{}
	for n := range rules {
		r := &rules[n]
		known[r.Name] = true
		if len(broken[r.Name]) == 0 {
			t.Errorf("nothing shows that the rule %q can fail", r.Name)
		}
		if r.Why == "" || r.Instead == "" {
			t.Errorf("the rule %q does not teach", r.Name)
		}
		for _, chain := range broken[r.Name] {
			breaches, _ := r.check(graph(t, chain))
			if len(breaches) != 1 || breaches[0].From != strings.Fields(chain)[0] {
				t.Errorf("rule %q on %s: breaches %v", r.Name, chain, breaches)
			}
		}
	}
	for name := range broken {
		if !known[name] {
			t.Errorf("there is no rule %q", name)
		}
	}
}

// fine are imports that break no rule.
var fine = []string{
	"./internal/overlay -> ./internal/overlay/streams -> ./internal/overlay/zones -> ./internal/overlay/links -> ./internal/overlay/turn -> ./internal/overlay/wire",
	"./internal/overlay -> ./internal/overlay/wire",
	"./internal/overlay/zones -> ./internal/model/cube",
	"./internal/overlay/wire -> net/netip",
	"./internal/overlay -> time",
	"./internal/overlay/zones -> math/rand/v2",
	"./internal/overlay/zones -test-> ./internal/overlay/script -> ./internal/overlay/turn",
	"./internal/overlay/zones -test-> ./internal/overlay/zones", // package zones_test
	"./internal/overlay/simnet -> ./internal/overlay",
	"./internal/live/transport -> ./internal/overlay/wire",
	"./internal/live/daemon -> ./internal/overlay -> ./internal/overlay/zones -> ./internal/model/cube",
	"./internal/live/netem -> ./internal/model/topology",
	"./overlayd/nettest -test-> ./internal/live/netem -> ./internal/model/oracle",
	"./overlayd -> ./internal/cli -> github.com/spf13/cobra",
	"./lab/points -> ./internal/cli -> ./internal/fail",
	"./internal/report/results -test-> github.com/spf13/cobra",
	"./internal/live/daemon -> ./uls -> github.com/mdlayher/netlink",
	"./uls -> ./uls/internal/abi",
	"./experiments -> ./experiments/churn -> ./internal/overlay/simnet",
	"./experiments/repeat -> ./experiments/jitter -> ./lab/points",
	"./overlayapi -> ./internal/live/ownfolder",
	"./internal/livestock -> ./internal/model/cube", // a name that only begins like one
}

func TestWhatIsAllowed(t *testing.T) {
	for _, chain := range fine {
		for n := range rules {
			if breaches, _ := rules[n].check(graph(t, chain)); len(breaches) > 0 {
				t.Errorf("%s: %v breaks %q", chain, breaches, rules[n].Name)
			}
		}
	}
}

func TestBreachTeaches(t *testing.T) {
	got := checkRules(rules, graph(t, "./internal/live/daemon -> ./internal/report/results -> ./internal/model/bigmem"))
	i := slices.IndexFunc(got, func(s string) bool { return strings.Contains(s, "by ") })
	want := `internal/live/daemon/a.go:7: imports ./internal/report/results, and so reaches ./internal/model/bigmem
  by ./internal/live/daemon -> ./internal/report/results -> ./internal/model/bigmem
rule: what runs for real knows no model
`
	if i < 0 || !strings.HasPrefix(got[i], want) {
		t.Errorf("got\n%s\nwant something that begins with\n%s", strings.Join(got, "\n"), want)
	}
}

func TestUnusedExemption(t *testing.T) {
	r := []Rule{{
		Name: "r", From: []string{"./a"}, Never: []string{"os"},
		Exempt: []Exemption{{"./a", "os", false, "It was needed once."}},
	}}
	if got := checkRules(r, graph(t, "./a -> os")); len(got) != 0 {
		t.Errorf("a needed exemption: %v", got)
	}
	if got := checkRules(r, graph(t, "./a -> io")); len(got) != 1 || !strings.Contains(got[0], "take the exemption out") {
		t.Errorf("an exemption that nothing needs: %v", got)
	}
}

func TestRooms(t *testing.T) {
	for chain, want := range map[string]string{
		"./internal/drawer -> io":                            "./internal/drawer has no place",
		"./internal/live/transport -> ./overlayd/units":      "./overlayd/units, which is not below it",
		"./uls -> ./internal/overlay":                        "./internal/overlay, which is not below it", // beside is not below
		"./internal/live/ownfolder -> ./internal/live/frame": "",
	} {
		got := ""
		for _, s := range checkRooms(graph(t, chain)) {
			if !strings.Contains(s, "is empty") {
				got += s
			}
		}
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q", chain, got)
		}
	}
	if got := checkRooms(Graph{}); len(got) == 0 || !strings.Contains(got[0], "the room overlayd is empty") {
		t.Errorf("an empty house: %v", got)
	}
}
