// SPDX-License-Identifier: Apache-2.0

// Package plot draws the project's charts with gonum/plot: lines with bands,
// points, and grouped bars, as SVG or PNG, the same bytes for the same data.
package plot

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Series is one curve. X and Y are of one length; Lo and Hi, if not nil, are
// the edges of a band around Y, of the same length.
type Series struct {
	Name   string
	X, Y   []float64
	Lo, Hi []float64
	Dashed bool
	Points bool // mark the points as well
	Steps  bool // horizontal, then vertical: for a distribution or a region
}

// Group is one cluster of bars, a value (and, if not nil, Lo and Hi ends of an
// error bar) for each name in Chart.Bars.
type Group struct {
	Name   string
	Values []float64
	Lo, Hi []float64
}

// Scale of an axis.
type Scale int

// Axis scales. On a logarithmic axis all values must be positive.
const (
	Linear Scale = iota
	Log2         // ticks at powers of two, printed as numbers: the paper's penalty axis
	Log10
)

// Axis describes one axis. With Min == Max the range follows the data.
type Axis struct {
	Label    string
	Scale    Scale
	Min, Max float64
	Ticks    []Tick // instead of the scale's own; may be empty
}

// Tick is a labelled mark of an axis.
type Tick struct {
	Value float64
	Label string
}

// Chart is one plot: either Series or Groups (with Bars naming the bars of a
// group).
type Chart struct {
	Name   string // file name without extension
	Title  string
	X, Y   Axis
	Series []Series
	Groups []Group
	Bars   []string
	Legend Corner
}

// Corner is where the legend goes.
type Corner int

// Corners.
const (
	BottomRight Corner = iota
	TopRight
	TopLeft
	BottomLeft
)

// Palette by Okabe and Ito: distinct for colour-blind readers too.
var palette = []color.RGBA{
	{0x00, 0x72, 0xb2, 0xff},
	{0xd5, 0x5e, 0x00, 0xff},
	{0x00, 0x9e, 0x73, 0xff},
	{0xcc, 0x79, 0xa7, 0xff},
	{0xe6, 0x9f, 0x00, 0xff},
	{0x56, 0xb4, 0xe9, 0xff},
	{0x00, 0x00, 0x00, 0xff},
	{0x8c, 0x56, 0x4b, 0xff},
	{0x7f, 0x7f, 0x7f, 0xff},
	{0xf0, 0xe4, 0x42, 0xff},
}

const (
	width  = 18 * vg.Centimeter
	height = 12 * vg.Centimeter
)

// Write draws the chart; format is "svg" or "png". Errors name the chart and
// the series.
func (c *Chart) Write(w io.Writer, format string) error {
	p, err := c.build()
	if err != nil {
		return fmt.Errorf("plot %s: %w", c.Name, err)
	}
	wt, err := p.WriterTo(width, height, format)
	if err != nil {
		return fmt.Errorf("plot %s: %w", c.Name, err)
	}
	_, err = wt.WriteTo(w)
	return err
}

func (c *Chart) build() (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = c.Title
	p.Title.Padding = vg.Points(6)
	p.Legend.Padding = vg.Points(1.5)
	p.Legend.ThumbnailWidth = vg.Points(24)
	p.Legend.Top = c.Legend == TopRight || c.Legend == TopLeft
	p.Legend.Left = c.Legend == TopLeft || c.Legend == BottomLeft
	p.Legend.XOffs, p.Legend.YOffs = vg.Points(-6), vg.Points(6)
	if p.Legend.Left {
		p.Legend.XOffs = vg.Points(6)
	}
	if p.Legend.Top {
		p.Legend.YOffs = vg.Points(-6)
	}
	setAxis(&p.X, c.X)
	setAxis(&p.Y, c.Y)
	p.Add(grid())
	for i, s := range c.Series {
		if err := c.addSeries(p, i, s); err != nil {
			return nil, fmt.Errorf("series %q: %w", s.Name, err)
		}
	}
	if len(c.Groups) > 0 {
		if err := c.addBars(p); err != nil {
			return nil, err
		}
	}
	// Adding data widens the range: put the wanted one back.
	if c.X.Min < c.X.Max {
		p.X.Min, p.X.Max = c.X.Min, c.X.Max
	}
	if c.Y.Min < c.Y.Max {
		p.Y.Min, p.Y.Max = c.Y.Min, c.Y.Max
	}
	for _, a := range []struct {
		name string
		axis Axis
		min  float64
	}{{"x", c.X, p.X.Min}, {"y", c.Y, p.Y.Min}} {
		if a.axis.Scale != Linear && a.min <= 0 {
			return nil, fmt.Errorf("the %s axis is logarithmic and begins at %g: it needs positive values", a.name, a.min)
		}
	}
	return p, nil
}

func grid() *plotter.Grid {
	g := plotter.NewGrid()
	light := color.Gray{0xdd}
	g.Vertical.Color, g.Horizontal.Color = light, light
	return g
}

func setAxis(dst *plot.Axis, a Axis) {
	dst.Label.Text = a.Label
	dst.Label.Padding = vg.Points(4)
	switch a.Scale {
	case Log2:
		dst.Scale, dst.Tick.Marker = plot.LogScale{}, log2Ticks{}
	case Log10:
		dst.Scale, dst.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	if len(a.Ticks) > 0 {
		var marks plot.ConstantTicks
		for _, t := range a.Ticks {
			marks = append(marks, plot.Tick(t))
		}
		dst.Tick.Marker = marks
	}
}

// log2Ticks marks the powers of two, thinned to at most about a dozen.
type log2Ticks struct{}

func (log2Ticks) Ticks(lo, hi float64) []plot.Tick {
	if lo <= 0 || hi <= lo {
		return plot.DefaultTicks{}.Ticks(lo, hi)
	}
	a, b := int(math.Floor(math.Log2(lo))), int(math.Ceil(math.Log2(hi)))
	step := 1 + (b-a)/13
	var ticks []plot.Tick
	for e := a; e <= b; e++ {
		v := math.Exp2(float64(e))
		label := ""
		if (e-a)%step == 0 {
			label = strconv.FormatFloat(v, 'g', -1, 64)
		}
		ticks = append(ticks, plot.Tick{Value: v, Label: label})
	}
	return ticks
}

func (c *Chart) addSeries(p *plot.Plot, i int, s Series) error {
	if len(s.X) != len(s.Y) {
		return fmt.Errorf("%d x values and %d y values", len(s.X), len(s.Y))
	}
	if len(s.X) == 0 {
		return nil
	}
	xy := make(plotter.XYs, len(s.X))
	for j := range xy {
		xy[j].X, xy[j].Y = s.X[j], s.Y[j]
	}
	col := palette[i%len(palette)]
	if s.Lo != nil || s.Hi != nil {
		if len(s.Lo) != len(s.X) || len(s.Hi) != len(s.X) {
			return fmt.Errorf("the band has %d and %d values, the curve %d", len(s.Lo), len(s.Hi), len(s.X))
		}
		// Up along the lower edge, back along the upper one.
		ring := make(plotter.XYs, 0, 2*len(s.X))
		for j := range s.X {
			ring = append(ring, plotter.XY{X: s.X[j], Y: s.Lo[j]})
		}
		for j := len(s.X) - 1; j >= 0; j-- {
			ring = append(ring, plotter.XY{X: s.X[j], Y: s.Hi[j]})
		}
		band, err := plotter.NewPolygon(ring)
		if err != nil {
			return err
		}
		pale := col
		pale.A = 0x38
		// NRGBA: the palette is not premultiplied.
		band.Color = color.NRGBA(pale)
		band.LineStyle.Width = 0
		p.Add(band)
	}
	line, err := plotter.NewLine(xy)
	if err != nil {
		return err
	}
	line.Color, line.Width = col, vg.Points(1.6)
	if s.Dashed {
		line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
	}
	if s.Steps {
		line.StepStyle = plotter.PostStep
	}
	p.Add(line)
	if !s.Points {
		if s.Name != "" {
			p.Legend.Add(s.Name, line)
		}
		return nil
	}
	dots, err := plotter.NewScatter(xy)
	if err != nil {
		return err
	}
	dots.Color, dots.Radius = col, vg.Points(2.5)
	dots.Shape = glyph(i)
	p.Add(dots)
	if s.Name != "" {
		p.Legend.Add(s.Name, line, dots)
	}
	return nil
}

func glyph(i int) draw.GlyphDrawer {
	shapes := []draw.GlyphDrawer{draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.PyramidGlyph{}, draw.CrossGlyph{}, draw.PlusGlyph{}, draw.RingGlyph{}}
	return shapes[i%len(shapes)]
}

func (c *Chart) addBars(p *plot.Plot) error {
	n := len(c.Bars)
	barWidth := vg.Length(float64(width)*0.7) / vg.Length(len(c.Groups)*(n+1))
	names := make([]string, len(c.Groups))
	for b, name := range c.Bars {
		values := make(plotter.Values, len(c.Groups))
		for g, group := range c.Groups {
			if len(group.Values) != n {
				return fmt.Errorf("group %q has %d values for %d bars", group.Name, len(group.Values), n)
			}
			values[g], names[g] = group.Values[b], group.Name
		}
		bars, err := plotter.NewBarChart(values, barWidth)
		if err != nil {
			return err
		}
		bars.Color = palette[b%len(palette)]
		bars.LineStyle.Width = 0
		bars.Offset = barWidth * vg.Length(float64(b)-float64(n-1)/2)
		p.Add(bars, &whiskers{groups: c.Groups, bar: b, offset: bars.Offset})
		p.Legend.Add(name, bars)
	}
	p.NominalX(names...)
	return nil
}

// whiskers draws the error bars of one bar of each group, at the same offset
// in points as the bar itself.
type whiskers struct {
	groups []Group
	bar    int
	offset vg.Length
}

func (e *whiskers) Plot(c draw.Canvas, p *plot.Plot) {
	tx, ty := p.Transforms(&c)
	style := draw.LineStyle{Color: color.Black, Width: vg.Points(0.8)}
	for g, group := range e.groups {
		if len(group.Lo) <= e.bar || len(group.Hi) <= e.bar {
			continue
		}
		x := tx(float64(g)) + e.offset
		c.StrokeLine2(style, x, ty(group.Lo[e.bar]), x, ty(group.Hi[e.bar]))
		for _, y := range []float64{group.Lo[e.bar], group.Hi[e.bar]} {
			c.StrokeLine2(style, x-vg.Points(2), ty(y), x+vg.Points(2), ty(y))
		}
	}
}

// DataRange lets the axis include the ends of the error bars.
func (e *whiskers) DataRange() (xmin, xmax, ymin, ymax float64) {
	xmin, xmax, ymin, ymax = 0, float64(len(e.groups)-1), math.Inf(1), math.Inf(-1)
	for _, g := range e.groups {
		if len(g.Lo) > e.bar && len(g.Hi) > e.bar {
			ymin, ymax = math.Min(ymin, g.Lo[e.bar]), math.Max(ymax, g.Hi[e.bar])
		}
	}
	return xmin, xmax, ymin, ymax
}
