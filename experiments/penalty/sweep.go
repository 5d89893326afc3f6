// SPDX-License-Identifier: Apache-2.0

package penalty

import (
	"errors"

	"github.com/spf13/cobra"

	"sandstream/internal/cli"
	"sandstream/internal/model/scenario"
	"sandstream/internal/report/results"
	"sandstream/internal/report/stats"
)

// variant is one network of the sweep.
type variant struct{ what, placement, topology string }

// variants change one thing at a time against the default of each placement.
var variants = []variant{
	{"default on routers", string(scenario.OnRouters), ""},
	{"transit domains joined more", string(scenario.OnRouters), "top=.5"},
	{"", string(scenario.OnRouters), "top=1"},
	{"transit domains joined less", string(scenario.OnRouters), "top=.2"},
	{"transit nodes joined less", string(scenario.OnRouters), "transit=.4"},
	{"transit nodes joined more", string(scenario.OnRouters), "transit=1"},
	{"stub nodes joined less", string(scenario.OnRouters), "stub=.25"},
	{"stub nodes joined more", string(scenario.OnRouters), "stub=.8"},
	{"few large transit domains", string(scenario.OnRouters), "T=5,Nt=10"},
	{"one transit domain", string(scenario.OnRouters), "T=1,Nt=50"},
	{"many small transit domains", string(scenario.OnRouters), "T=25,Nt=2"},
	{"few large stubs", string(scenario.OnRouters), "K=4,Ns=25"},
	{"many small stubs", string(scenario.OnRouters), "K=25,Ns=4"},
	{"more routers", string(scenario.OnRouters), "K=20,Ns=20"},
	{"extra transit-stub edges", string(scenario.OnRouters), "ts=100"},
	{"extra stub-stub edges", string(scenario.OnRouters), "ss=100"},
	{"default, hosts are nodes", string(scenario.AreNodes), ""},
	{"fewer transit nodes", string(scenario.AreNodes), "T=4,Nt=4,K=315,Ns=13"},
	{"more transit nodes", string(scenario.AreNodes), "T=16,Nt=16,K=17,Ns=15"},
	{"many small domains", string(scenario.AreNodes), "T=32,Nt=8,K=17,Ns=15"},
	{"as published", string(scenario.AreNodes), "T=10,Nt=10,K=60,Ns=11"},
}

// sweepCommand is 'experiments penalty sweep'.
func sweepCommand() *cobra.Command {
	var f scenario.Flags
	cmd := &cobra.Command{
		Use:   "sweep",
		Short: "How much Figure 4 depends on what the paper leaves open about the network",
		Long: `Runs the six curves of Figure 4 and the best path on networks that differ from
the default in one parameter each: how much greedy saves, and how far it stays
above the best path, over seeds.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := makePlan(f, "paper")
			if err != nil {
				return err
			}
			p.extend(0, best)
			var scs []*scenario.Scenario
			for _, v := range variants {
				one := f
				one.Placement, one.Topology = v.placement, v.topology
				sc, err := one.Resolve()
				if err != nil {
					return err
				}
				if err := sc.CheckMemory(sc.NetworkBytes() + p.bytes(f.Hosts)); err != nil {
					return err
				}
				scs = append(scs, sc)
			}
			r, err := results.Open(cmd, results.Meta{Experiment: "penalty-sweep", Seed: f.Seed, Runs: f.Seeds, Clock: "simulated: path lengths", Extra: map[string]any{"hosts": f.Hosts}})
			if err != nil {
				return err
			}
			bar := r.Progress("penalty sweep: curves", len(p.curves)*f.Seeds*len(variants))
			t := sweepTable(p)
			var cause error
			for i, sc := range scs {
				var g *gathered
				if g, cause = run(cmd.Context(), sc, p, bar); cause != nil {
					break
				}
				sweepRow(t, variants[i], sc, p, g)
			}
			bar.Done()
			return r.Close(errors.Join(r.Table(t), cause))
		},
	}
	cmd.Flags().IntVar(&f.Hosts, "hosts", 65536, "number of hosts")
	cmd.Flags().Uint64Var(&f.Seed, "seed", 1, "first seed")
	cmd.Flags().IntVar(&f.Seeds, "seeds", 30, "number of seeds, counted up from --seed")
	return cmd
}

func sweepTable(p *plan) *results.Table {
	a, b := p.overlays[0].cube.String(), p.overlays[1].cube.String()
	return &results.Table{
		Name: "sweep", Title: "Sensitivity of Figure 4 to the network",
		Note: "saves: of mean latency by greedy against ordered; below greedy: by how much the best path's mean latency is less;\n" +
			"medians: of the subscribers' penalties, mean over seeds; ± standard deviation over seeds",
		Columns: []string{
			"network", "placement", "parameters", "seeds", a + " saves %", "±", b + " saves %", "± ",
			"best below greedy %", "median ordered", "median greedy", "median ordered, " + b, "median greedy, " + b,
		},
	}
}

func sweepRow(t *results.Table, v variant, sc *scenario.Scenario, p *plan, g *gathered) {
	find := func(overlay int, routing string) int {
		for i, c := range p.curves {
			if c.overlay == overlay && c.routing == routing {
				return i
			}
		}
		return -1
	}
	saves := func(overlay int) stats.Summary {
		return stats.Summarize(g.against(p, find(overlay, greedy), ordered, func(o, base *outcome) float64 { return 100 * (1 - o.latency/base.latency) }))
	}
	below := stats.Mean(g.against(p, find(0, best), greedy, func(o, base *outcome) float64 { return 100 * (1 - o.latency/base.latency) }))
	median := func(overlay int, routing string) float64 {
		return stats.Mean(column(g.finished(find(overlay, routing)), func(o *outcome) float64 { return o.penalty.Quantile(.5) }))
	}
	a, b := saves(0), saves(1)
	spec := v.topology
	if spec == "" {
		spec = sc.Params.String()
	}
	t.Row(v.what, v.placement, spec, sc.Seeds, a.Mean, a.SD, b.Mean, b.SD, below,
		median(0, ordered), median(0, greedy), median(1, ordered), median(1, greedy))
}
