// SPDX-License-Identifier: Apache-2.0

package throughput

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"sandstream/lab/points"
)

// line is a valid run that forwards so many frames per second.
func line(kind string, rate, forwarded float64) string {
	burst := int(math.Ceil(rate / 50_000))
	count := int(rate/10) / burst * burst
	period := 1e9 * float64(burst) / rate
	last := 1_000_000 + uint64(period*float64(count/burst-1))
	return fmt.Sprintf(`{"kind":%q,"rate":%g,"burst":%d,"count":%d,"len":200,"offered":%d,"returned":%d,"first":1000000,"last":%d,"burst_max":%d,`+
		`"win_ticks":100000000,"win_spent":0,"win_offered":%d,"win_missed":%d,"win_returned":%d}`,
		kind, rate, burst, count, count, int(forwarded/10), last, burst, int(rate/10), int((rate-forwarded)/10), int(forwarded/10))
}

func outcome(saturated, peak float64) *points.Outcome {
	return &points.Outcome{Programs: []points.Program{{Name: "point", How: "exit 0", Output: strings.Join([]string{
		`{"kind":"cost","nmi_entry":478}`,
		line("run", overload, saturated), line("step", 100_000, peak), line("step", overload, saturated),
		`{"kind":"search","loss_free":100000,"half_percent":100000}`, "",
	}, "\n")}}}
}

func at(contender string, hogs int) points.Point {
	return points.Point{Contender: points.Contender{Name: contender}, Hogs: hogs}
}

func TestRead(t *testing.T) {
	asked := []points.Point{at("user", 0), at("user", 8)}
	list, err := experiment.ReadAll(asked, map[string]*points.Outcome{"user-0": outcome(20_000, 90_000)}, 1)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d results, %v", len(list), err)
	}
	r := list[0]
	peak := r.peak()
	if r.lossFree != 100_000 || r.saturated.Forwarded() != 20_000 || peak.Forwarded() != 90_000 || len(r.rungs) != 2 {
		t.Errorf("read %+v", r)
	}
}

func TestReadRefusesWrongStimulus(t *testing.T) {
	o := outcome(20_000, 90_000)
	o.Programs[0].Output = strings.Replace(o.Programs[0].Output, `"last":`, `"last":9`, 1)
	if _, err := read(at("user", 0), o, 1); err == nil || !strings.Contains(err.Error(), "nominal") {
		t.Errorf("error is %v", err)
	}
	o.Programs[0].Output = `{"kind":"cost","nmi_entry":478}`
	if _, err := read(at("user", 0), o, 1); err == nil {
		t.Error("a point without a run was accepted")
	}
}

func verdict(list []*result) string {
	var words []string
	for _, row := range points.Claims("c", "", "met", "not met", claims(list)).Rows {
		words = append(words, row[3].(string))
	}
	return strings.Join(words, ", ")
}

func TestClaimsFollowTheFigures(t *testing.T) {
	for want, rate := range map[string]float64{"met, met, met, met": 196_100, "not met, met, met, met": 195_900} {
		asked := []points.Point{at("sandbox", 0), at("sandbox", 128)}
		list, err := experiment.ReadAll(asked, map[string]*points.Outcome{"sandbox-0": outcome(200_000, 100_000), "sandbox-128": outcome(rate, 100_000)}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := verdict(list); got != want {
			t.Errorf("at %g: %s, want %s", rate, got, want)
		}
	}
	if got := verdict(nil); got != "not measured, not measured, not measured, not measured" {
		t.Errorf("without figures: %s", got)
	}
}
