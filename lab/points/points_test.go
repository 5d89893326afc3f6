// SPDX-License-Identifier: Apache-2.0

package points

import (
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"sandstream/internal/report/plot"
	"sandstream/internal/report/results"
	"sandstream/lab/image"
	"sandstream/lab/kbuild"
	"sandstream/lab/vm"
)

// nominal is a run of 1,000 frames at 5,000 per second as labpoint reports it.
func nominal() Line {
	return Line{
		Kind: "run", Rate: 5000, Burst: 1, Count: 1000, Len: 200, Offered: 1000, Returned: 990, Missed: 5, BurstMax: 1,
		First: 1e9, Last: 1e9 + 999*200_000,
		WinTicks: 180e6, WinSpent: 1e6, WinOffered: 900, WinReturned: 895, WinHogUnits: 100_000,
	}
}

func TestLineFigures(t *testing.T) {
	l := nominal()
	if err := l.Valid(); err != nil {
		t.Fatal(err)
	}
	for what, pair := range map[string][2]float64{
		"loss":        {l.Loss(), 0.01},
		"forwarded":   {l.Forwarded(), 895 / 0.18},
		"mbit":        {l.Mbit(), 895 / 0.18 * 204 * 8 / 1e6},
		"per million": {l.PerMillion(), 895.0 / 179},
		"background":  {l.Background(), 100_000 * 512 / 180e6},
	} {
		if math.Abs(pair[0]-pair[1]) > 1e-9*pair[1] {
			t.Errorf("%s is %g, want %g", what, pair[0], pair[1])
		}
	}
}

func TestInvalidRuns(t *testing.T) {
	for want, spoil := range map[string]func(*Line){
		"nominal 5000":   func(l *Line) { l.Last += 20e6 },
		"frames at once": func(l *Line) { l.BurstMax = 7 },
		"not sent":       func(l *Line) { l.Strange = 1 },
		"too few":        func(l *Line) { l.Count = 1 },
	} {
		l := nominal()
		spoil(&l)
		if err := l.Valid(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want one about %q", err, want)
		}
	}
}

func TestStamps(t *testing.T) {
	data := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 7), 9)
	got, err := Stamps(data)
	if err != nil || !reflect.DeepEqual(got, []Stamp{{7, 9}}) {
		t.Errorf("stamps are %v, %v", got, err)
	}
	if _, err := Stamps(data[:9]); err == nil {
		t.Error("half a stamp was accepted")
	}
}

func env() *Env {
	return &Env{Lab: &image.Lab{Kernel: &kbuild.Kernel{Key: "k", BzImage: "/x"}, Image: &vm.Image{}}, ImageHash: "i", QEMU: "q", Jobs: 1}
}

func keyOf(t *testing.T, e *Env, b Boot) string {
	t.Helper()
	key, err := e.key(b, e.job(b))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestKeySeesWhatMatters(t *testing.T) {
	point := Point{Contender: Contenders()[2], Hogs: 8, Len: 200, Seed: 1, Steps: []string{"run", "5000", "1000"}}
	base := keyOf(t, env(), point.Boot())
	if again := keyOf(t, env(), point.Boot()); again != base {
		t.Errorf("the same boot has keys %s and %s", base, again)
	}
	elsewhere := env()
	elsewhere.Lab.Kernel.BzImage = "/y" // the place of a file decides nothing
	if keyOf(t, elsewhere, point.Boot()) != base {
		t.Error("the kernel's place is part of the key")
	}
	for what, change := range map[string]func(*Env, *Point, *Boot){
		"seed":        func(_ *Env, p *Point, _ *Boot) { p.Seed++ },
		"background":  func(_ *Env, p *Point, _ *Boot) { p.Hogs++ },
		"contender":   func(_ *Env, p *Point, _ *Boot) { p.Contender = Contenders()[4] },
		"kernel":      func(e *Env, _ *Point, _ *Boot) { e.Lab.Kernel.Key = "other" },
		"image":       func(e *Env, _ *Point, _ *Boot) { e.ImageHash = "other" },
		"QEMU":        func(e *Env, _ *Point, _ *Boot) { e.QEMU = "other" },
		"mitigations": func(_ *Env, _ *Point, b *Boot) { b.Mitigations = true },
	} {
		// Changing a point after its boot was made does nothing, nor does changing
		// a boot that is thrown away: so apply the change on both sides.
		e, p := env(), point
		change(e, &p, &Boot{})
		b := p.Boot()
		change(env(), &Point{}, &b)
		if keyOf(t, e, b) == base {
			t.Errorf("the key does not depend on the %s", what)
		}
	}
}

func TestOutcomesSurvive(t *testing.T) {
	dir := t.TempDir()
	o := &Outcome{
		Name: "user-8", Key: "abc", Programs: []Program{{"point", "exit 0", "{\"kind\":\"search\",\"loss_free\":5}\n"}},
		Files: map[string][]byte{"stamps.0": {1, 2}}, FileList: []string{"stamps.0"},
	}
	if err := o.save(dir); err != nil {
		t.Fatal(err)
	}
	if got := load(dir, "user-8", "abc"); !reflect.DeepEqual(got, o) {
		t.Errorf("loaded %+v", got)
	}
	if load(dir, "user-8", "abd") != nil {
		t.Error("an outcome of another key was taken")
	}
	if load(dir, "user-9", "abc") != nil {
		t.Error("an outcome that is not there was taken")
	}
	lines, err := Lines[Line](o, "point")
	if err != nil || len(lines) != 1 || lines[0].LossFree != 5 {
		t.Errorf("lines are %+v, %v", lines, err)
	}
	o.Programs[0].How = "exit 1"
	if _, err := Lines[Line](o, "point"); err == nil {
		t.Error("the output of a failed program was taken")
	}
}

func TestVerdicts(t *testing.T) {
	table := Claims("c", "t", "met", "not met", []Claim{
		{"a", "≥ 1", 1, AtLeast(1)},
		{"b", "≥ 1", 0.99, AtLeast(1)},
		{"c", "≤ 1", math.NaN(), AtMost(1)},
		{"d", "≤ 1", 1.01, AtMost(1)},
	})
	for i, want := range []string{"met", "not met", "not measured", "not met"} {
		if got := table.Rows[i][3]; got != want {
			t.Errorf("statement %v is %v, want %s", table.Rows[i][0], got, want)
		}
	}
}

func TestReportStandsAlone(t *testing.T) {
	cmd := &cobra.Command{Use: "x"}
	results.AddFlags(cmd.Flags())
	if err := cmd.ParseFlags([]string{"--results", t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	cmd.SetOut(new(strings.Builder))
	cmd.SetErr(new(strings.Builder))
	run, err := results.Open(cmd, results.Meta{Experiment: "unit"})
	if err != nil {
		t.Fatal(err)
	}
	r := &Report{Run: run, Title: "A < B"}
	table := &results.Table{Name: "t", Title: "T", Columns: []string{"name", "value"}}
	table.Row("<b>", 2.5)
	if err := r.Table(table); err != nil {
		t.Fatal(err)
	}
	chart := &plot.Chart{Name: "c", X: LevelAxis([]int{0, 8}), Series: []plot.Series{{Name: "s", X: []float64{0, LevelPlace([]int{0, 8}, 8)}, Y: []float64{1, 2}}}}
	if err := r.Chart(chart); err != nil {
		t.Fatal(err)
	}
	page := r.body.String()
	for _, want := range []string{"&lt;b&gt;", ">2.5<", "<svg", "</svg>", ">8<"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "src=") || strings.Contains(page, "<?xml") {
		t.Error("the page needs other files, or has an XML declaration inside")
	}
	if err := r.Write(nil); err != nil {
		t.Fatal(err)
	}
}

func TestLevels(t *testing.T) {
	list := []Point{{Hogs: 8}, {Hogs: 0}, {Hogs: 128}, {Hogs: 8}}
	levels := LevelsOf(list, func(p Point) int { return p.Hogs })
	if !slices.Equal(levels, []int{0, 8, 128}) {
		t.Errorf("levels %v", levels)
	}
	if ends := Ends(levels); !slices.Equal(ends, []int{0, 128}) {
		t.Errorf("ends %v", ends)
	}
	if ends := Ends([]int{4}); !slices.Equal(ends, []int{4}) {
		t.Errorf("one level has the ends %v", ends)
	}
}

// A point that is not valid is named and left out; one that was not booted is left
// out.
func TestExperimentReadAll(t *testing.T) {
	e := Experiment[int]{Read: func(p Point, o *Outcome, seed uint64) ([]int, error) {
		if o.Key == "bad" {
			return nil, errors.New("torn")
		}
		return []int{p.Hogs, int(seed)}, nil
	}}
	points := []Point{{Contender: Contender{Name: "a"}}, {Contender: Contender{Name: "a"}, Hogs: 2}, {Contender: Contender{Name: "a"}, Hogs: 4}}
	list, err := e.ReadAll(points, map[string]*Outcome{"a-0": {Key: "bad"}, "a-4": {}}, 7)
	if !slices.Equal(list, []int{4, 7}) || err == nil || err.Error() != "a-0 is not valid: torn" {
		t.Errorf("%v, %v", list, err)
	}
}
