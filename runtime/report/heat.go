package report

import (
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/palette"
	"gonum.org/v1/plot/palette/moreland"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A heat is a value for every pair of two settings.
type heat struct {
	title, x, y string
	columns     []string    // the values of x
	rows        []string    // the values of y
	value       [][]float64 // [row][column]; NaN for none
	text        [][]string  // what stands in the cell
	best        [2]int      // row and column; -1 for none here
}

// colourScale maps values from low to high to colours whose lightness grows with them, so
// that they are told apart in grey too. The darkest and the lightest are left out.
func colourScale(low, high float64) palette.ColorMap {
	m := moreland.Kindlmann()
	if high <= low {
		low, high = low-0.5, high+0.5
	}
	m.SetMin(low - 0.25*(high-low))
	m.SetMax(high + 0.05*(high-low))
	return m
}

// inkOn is what can be read on a colour: black or white, by its relative luminance.
func inkOn(c color.Color) color.Color {
	r, g, b, _ := c.RGBA()
	if 0.2126*float64(r)+0.7152*float64(g)+0.0722*float64(b) > 0.45*0xffff {
		return color.Black
	}
	return color.White
}

// panel draws cells with their values, and a frame around the best.
func (h *heat) panel(scale palette.ColorMap) *plot.Plot {
	p := newPlot(h.title, h.x, h.y)
	p.Add(cells{h, scale})
	p.X.Tick.Marker, p.Y.Tick.Marker = nominal(h.columns), nominal(h.rows)
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Tick.Length, a.Padding, a.LineStyle.Width = 0, 0, 0
	}
	return p
}

// nominal are labels at 0, 1, 2, …
func nominal(names []string) plot.ConstantTicks {
	out := make(plot.ConstantTicks, len(names))
	for i, n := range names {
		out[i] = plot.Tick{Value: float64(i), Label: label(n, 24)}
	}
	return out
}

// cells is the plotter of a heat.
type cells struct {
	*heat
	scale palette.ColorMap
}

// DataRange implements plot.DataRanger.
func (h cells) DataRange() (xmin, xmax, ymin, ymax float64) {
	return -0.5, float64(len(h.columns)) - 0.5, -0.5, float64(len(h.rows)) - 0.5
}

// Plot implements plot.Plotter.
func (h cells) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	style := p.X.Tick.Label
	style.XAlign, style.YAlign = text.XCenter, text.YCenter
	style.Font.Size = vg.Points(max(6, min(11, 90/float64(max(len(h.columns), len(h.rows))))))
	for i, row := range h.value {
		for j, v := range row {
			corners := box(x, y, float64(j), float64(i), 0.5)
			fill := color.Color(noColour)
			if !math.IsNaN(v) {
				if at, err := h.scale.At(v); err == nil {
					fill = at
				}
			}
			c.FillPolygon(fill, corners[:4])
			style.Color = inkOn(fill)
			c.FillText(style, vg.Point{X: x(float64(j)), Y: y(float64(i))}, h.text[i][j])
		}
	}
	if h.best[0] >= 0 {
		frame := box(x, y, float64(h.best[1]), float64(h.best[0]), 0.47)
		c.StrokeLines(draw.LineStyle{Color: color.White, Width: vg.Points(4)}, frame)
		c.StrokeLines(draw.LineStyle{Color: color.Black, Width: vg.Points(2)}, frame)
	}
}

// box is the closed square around a point, half as wide as given.
func box(x, y func(float64) vg.Length, cx, cy, half float64) []vg.Point {
	out := make([]vg.Point, 0, 5)
	for _, d := range [][2]float64{{-1, -1}, {1, -1}, {1, 1}, {-1, 1}, {-1, -1}} {
		out = append(out, vg.Point{X: x(cx + half*d[0]), Y: y(cy + half*d[1])})
	}
	return out
}

// strip is the scale beside the panels.
type strip struct {
	scale     palette.ColorMap
	low, high float64
}

// panel draws the colours from low to high.
func (s strip) panel(title string) *plot.Plot {
	p := newPlot("", "", title)
	p.HideX()
	p.Add(s)
	return p
}

// DataRange implements plot.DataRanger.
func (s strip) DataRange() (xmin, xmax, ymin, ymax float64) { return 0, 1, s.low, s.high }

// Plot implements plot.Plotter.
func (s strip) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	const steps = 48
	d := (s.high - s.low) / steps
	for k := range steps {
		low := s.low + d*float64(k)
		at, err := s.scale.At(low + d/2)
		if err != nil {
			continue
		}
		high := min(s.high, low+1.2*d) // a little over the next, so that no seam shows
		c.FillPolygon(at, []vg.Point{{X: x(0), Y: y(low)}, {X: x(1), Y: y(low)}, {X: x(1), Y: y(high)}, {X: x(0), Y: y(high)}})
	}
}

// heatFigure draws panels of the same scale, and the scale.
func heatFigure(name, alt, metric string, heats []*heat) *Figure {
	low, high, columns, rows := math.Inf(1), math.Inf(-1), 0, 0
	for _, h := range heats {
		columns, rows = max(columns, len(h.columns)), max(rows, len(h.rows))
		for _, row := range h.value {
			for _, v := range row {
				if !math.IsNaN(v) {
					low, high = min(low, v), max(high, v)
				}
			}
		}
	}
	if math.IsInf(low, 0) {
		return nil
	}
	scale := colourScale(low, high)
	if high <= low {
		low, high = low-0.5, high+0.5
	}
	var panels []*plot.Plot
	for _, h := range heats {
		panels = append(panels, h.panel(scale))
	}
	width := vg.Length(max(7, 2.6+1.7*float64(columns))) * vg.Centimeter
	height := vg.Length(max(6, 2.6+1.1*float64(rows))) * vg.Centimeter
	w, h, paint := tiles(panels, width, height)
	const side = 2.4 * vg.Centimeter
	return &Figure{Name: name, Alt: alt, width: w + side, height: h, paint: func(c draw.Canvas) {
		paint(draw.Crop(c, 0, -side, 0, 0))
		bar := strip{scale, low, high}.panel(metric)
		bar.Draw(draw.Crop(c, w, -3*vg.Millimeter, 8*vg.Millimeter, -8*vg.Millimeter))
	}}
}
