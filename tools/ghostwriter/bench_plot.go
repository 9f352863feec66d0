package main

import (
	"bytes"
	"fmt"
	"image/color"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
)

// benchColours tell methods apart, by lightness too (Okabe and Ito); a further
// method begins again.
var benchColours = []color.NRGBA{
	{R: 0x56, G: 0xb4, B: 0xe9, A: 0xff}, {R: 0x00, G: 0x72, B: 0xb2, A: 0xff}, {R: 0x00, G: 0x9e, B: 0x73, A: 0xff}, {R: 0xcc, G: 0x79, B: 0xa7, A: 0xff},
	{R: 0xe6, G: 0x9f, B: 0x00, A: 0xff}, {R: 0xd5, G: 0x5e, B: 0x00, A: 0xff}, {R: 0xf0, G: 0xe4, B: 0x42, A: 0xff}, {A: 0xff},
}

// A benchSeries is one method over the cells of a report.
type benchSeries struct {
	label  string
	values []float64 // by cell, 0 where it was not measured
}

// hiddenMethods are what the figures leave out: they compare training steps.
var hiddenMethods = map[string]bool{"forward": true, "products": true, "logical": true}

// benchSeriesOf collects a number of each method, cell by cell.
func benchSeriesOf(cells []runtime.BenchCell, number func(c *runtime.BenchCell, m *runtime.BenchMeasure) float64) []benchSeries {
	var out []benchSeries
	for i := range cells {
		c := &cells[i]
		for k := range c.Variants {
			m := &c.Variants[k]
			if hiddenMethods[m.Name] {
				continue
			}
			label := m.By + " " + m.Name
			at := slices.IndexFunc(out, func(s benchSeries) bool { return s.label == label })
			if at < 0 {
				at = len(out)
				out = append(out, benchSeries{label, make([]float64, len(cells))})
			}
			out[at].values[i] = number(c, m)
		}
	}
	return slices.DeleteFunc(out, func(s benchSeries) bool { return slices.Max(s.values) == 0 })
}

// writeBenchFigure draws peak memory and throughput by method, side by side, as
// Figure 4 of Li et al. (2022) does, in SVG and PNG. A report of nothing draws
// nothing.
func writeBenchFigure(dir string, r *runtime.BenchReport) error {
	cells := slices.DeleteFunc(slices.Clone(r.Cells), func(c runtime.BenchCell) bool { return len(c.Variants) == 0 })
	if len(cells) == 0 {
		return nil
	}
	var panels []*plot.Plot
	for _, panel := range []struct {
		title, axis string
		number      func(c *runtime.BenchCell, m *runtime.BenchMeasure) float64
	}{
		{"Peak memory", "GB", func(_ *runtime.BenchCell, m *runtime.BenchMeasure) float64 { return float64(m.PeakBytes) / (1 << 30) }},
		{"Throughput", "tokens/s", func(c *runtime.BenchCell, m *runtime.BenchMeasure) float64 { return perSecond(c.Tokens, m.Median) }},
	} {
		p, err := barPanel(panel.title, panel.axis, cells, benchSeriesOf(cells, panel.number))
		if err != nil {
			return fmt.Errorf("the figure: %w", err)
		}
		if p != nil {
			panels = append(panels, p)
		}
	}
	width := vg.Length(14+3*min(len(cells), 12)) * vg.Centimeter
	return saveFigure(filepath.Join(dir, "bench"), panels, width)
}

func perSecond(n int, seconds float64) float64 {
	if seconds == 0 {
		return 0
	}
	return float64(n) / seconds
}

// barPanel draws a group of bars for each cell; nil where no method has a number.
func barPanel(title, axis string, cells []runtime.BenchCell, series []benchSeries) (*plot.Plot, error) {
	if len(series) == 0 {
		return nil, nil
	}
	p := plot.New()
	p.Title.Text, p.Y.Label.Text = title, axis
	p.Y.Min = 0
	width := vg.Points(min(14, 80/float64(len(series))))
	top := 0.0
	for k, s := range series {
		bars, err := plotter.NewBarChart(plotter.Values(s.values), width)
		if err != nil {
			return nil, err
		}
		bars.Color, bars.LineStyle.Width = benchColours[k%len(benchColours)], 0
		bars.Offset = width * vg.Length(float64(k)-float64(len(series)-1)/2)
		p.Add(bars)
		p.Legend.Add(s.label, bars)
		top = max(top, slices.Max(s.values))
	}
	p.Y.Max = top * (1.1 + 0.09*float64(len(series))) // room for the legend
	p.Legend.Top = true
	p.NominalX(cellNames(cells)...)
	return p, nil
}

// cellNames are short names of cells: what they differ in, over two lines.
func cellNames(cells []runtime.BenchCell) []string {
	var out []string
	for _, c := range cells {
		out = append(out, fmt.Sprintf("%s\nT %d, B %d", c.Model, c.Length, c.Microbatch))
	}
	return out
}

// saveFigure writes panels side by side to name.svg and name.png.
func saveFigure(name string, panels []*plot.Plot, width vg.Length) error {
	const height = 10 * vg.Centimeter
	tiles := draw.Tiles{Rows: 1, Cols: len(panels), PadX: 8 * vg.Millimeter, PadTop: 2 * vg.Millimeter, PadBottom: 2 * vg.Millimeter, PadLeft: 2 * vg.Millimeter, PadRight: 4 * vg.Millimeter}
	paint := func(c vg.CanvasSizer) {
		for i, part := range plot.Align([][]*plot.Plot{panels}, tiles, draw.New(c))[0] {
			panels[i].Draw(part)
		}
	}
	svg := vgsvg.New(width, height)
	paint(svg)
	raster := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(150), vgimg.UseBackgroundColor(color.White))
	paint(raster)
	for suffix, write := range map[string]func(*bytes.Buffer) error{
		".svg": func(b *bytes.Buffer) error { _, err := svg.WriteTo(b); return err },
		".png": func(b *bytes.Buffer) error { _, err := (vgimg.PngCanvas{Canvas: raster}).WriteTo(b); return err },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			return fmt.Errorf("the figure: %w", err)
		}
		if err := durable.WriteBytes(name+suffix, 0o644, b.Bytes()); err != nil {
			return err
		}
	}
	return nil
}
