// SPDX-License-Identifier: Apache-2.0

package plot

import (
	"bytes"
	"image/png"
	"strings"
	"testing"
)

func lines() *Chart {
	return &Chart{
		Name: "t", Title: "penalty",
		X: Axis{Label: "penalty", Scale: Log2, Min: 1, Max: 512},
		Y: Axis{Label: "%", Max: 100},
		Series: []Series{
			{Name: "a", X: []float64{1, 2, 64}, Y: []float64{0, 50, 100}, Lo: []float64{0, 40, 99}, Hi: []float64{2, 60, 100}},
			{Name: "b", X: []float64{1, 4, 128}, Y: []float64{0, 50, 100}, Dashed: true, Points: true},
		},
	}
}

func bars() *Chart {
	return &Chart{
		Name: "b", Bars: []string{"x", "y"}, Legend: TopLeft,
		Groups: []Group{{"one", []float64{1, 2}, []float64{0.5, 1.5}, []float64{1.5, 2.5}}, {"two", []float64{3, 4}, nil, nil}},
	}
}

func TestSameBytes(t *testing.T) {
	for _, c := range []*Chart{lines(), bars()} {
		for _, format := range []string{"svg", "png"} {
			var a, b bytes.Buffer
			if err := c.Write(&a, format); err != nil {
				t.Fatal(err)
			}
			if err := c.Write(&b, format); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(a.Bytes(), b.Bytes()) {
				t.Errorf("%s.%s differs between two runs", c.Name, format)
			}
			if format == "svg" {
				for _, want := range []string{"<svg", ">512<", ">penalty<"} {
					if c.Name == "t" && !strings.Contains(a.String(), want) {
						t.Errorf("%s.svg lacks %q", c.Name, want)
					}
				}
				continue
			}
			if _, err := png.Decode(&a); err != nil {
				t.Errorf("%s.png: %v", c.Name, err)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	short := lines()
	short.Series[0].Y = short.Series[0].Y[:2]
	band := lines()
	band.Series[0].Hi = nil
	zero := lines()
	zero.X.Min, zero.X.Max = 0, 0
	zero.Series[0].X[0] = 0
	group := bars()
	group.Groups[0].Values = nil
	for want, c := range map[string]*Chart{"y values": short, "band": band, "logarithmic": zero, `group "one"`: group} {
		err := c.Write(&bytes.Buffer{}, "svg")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not speak of %s", err, want)
		}
	}
}
