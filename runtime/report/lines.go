package report

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A series is a line with a name. Spread is a standard deviation around each point; nil for
// none, 0 for a point of a single run.
type series struct {
	name   string
	points plotter.XYs
	spread []float64
	dots   bool // points are marked
	dashed bool
}

// linePanel draws series. Where marked is not nil the x axis has its values as labels, and it
// is logarithmic if they ask for it.
func linePanel(title, x, y string, marked []float64, lines ...series) (*plot.Plot, error) {
	p := newPlot(title, x, y)
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = gridColour, gridColour
	p.Add(grid)
	for k, s := range lines {
		if err := s.add(p, k, len(lines) > 1 || s.dashed); err != nil {
			return nil, err
		}
	}
	p.Legend.Top, p.Legend.Left = true, false
	if marked != nil {
		markAxis(&p.X, marked)
	}
	if p.Y.Max == p.Y.Min { // a constant, which gonum would show within ±1
		p.Y.Min, p.Y.Max = min(0, 2*p.Y.Min), max(2*p.Y.Max, 0)
		if p.Y.Max == p.Y.Min {
			p.Y.Max = 1
		}
	}
	if len(lines) > 1 { // room for the legend
		p.Y.Max += (p.Y.Max - p.Y.Min) * 0.09 * float64(len(lines))
	}
	return p, nil
}

func (s *series) add(p *plot.Plot, k int, named bool) error {
	line, dots, err := plotter.NewLinePoints(s.points)
	if err != nil {
		return err
	}
	line.Color, line.Width, dots.Color, dots.Shape, dots.Radius = colourOf(k), vg.Points(1.5), colourOf(k), draw.CircleGlyph{}, vg.Points(2.5)
	if s.dashed {
		line.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
	}
	p.Add(line)
	if s.dots {
		p.Add(dots)
	}
	if named {
		thumbs := []plot.Thumbnailer{line}
		if s.dots {
			thumbs = append(thumbs, dots)
		}
		p.Legend.Add(label(s.name, 40)+"   ", thumbs...) // a reader's font may be wider
	}
	if s.spread == nil {
		return nil
	}
	bars, err := plotter.NewYErrorBars(spread{s.points, s.spread})
	if err != nil {
		return err
	}
	bars.Color, bars.Width = colourOf(k), vg.Points(1)
	p.Add(bars)
	return nil
}

// spread gives points their error bars.
type spread struct {
	plotter.XYs
	by []float64
}

// YError implements plotter.YErrorer.
func (s spread) YError(i int) (low, high float64) { return s.by[i], s.by[i] }

// markAxis labels the values of a setting. They are spread by their logarithm when the
// largest is at least eight times the smallest.
func markAxis(a *plot.Axis, values []float64) {
	ticks := make(plot.ConstantTicks, len(values))
	low, high := math.Inf(1), math.Inf(-1)
	for i, v := range values {
		ticks[i] = plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 4, 64)}
		low, high = min(low, v), max(high, v)
	}
	a.Tick.Marker = ticks
	if low > 0 && high >= 8*low {
		a.Scale = plot.LogScale{}
		a.Min, a.Max = low/1.15, high*1.15
	}
}

// dotPanel draws a value for each name, one below the other, with its spread.
func dotPanel(title, x string, names []string, values, by []float64) (*plot.Plot, error) {
	p := newPlot(title, x, "")
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = gridColour, gridColour
	p.Add(grid)
	n := len(names)
	shown, points, errs := make([]string, n), plotter.XYs{}, []float64{}
	for i, name := range names {
		shown[n-1-i] = name
		if !math.IsNaN(values[i]) {
			points, errs = append(points, plotter.XY{X: values[i], Y: float64(n - 1 - i)}), append(errs, by[i])
		}
	}
	dots, err := plotter.NewScatter(points)
	if err != nil {
		return nil, err
	}
	dots.GlyphStyle = draw.GlyphStyle{Color: colourOf(0), Radius: vg.Points(3.5), Shape: draw.CircleGlyph{}}
	bars, err := plotter.NewXErrorBars(xSpread{points, errs})
	if err != nil {
		return nil, err
	}
	bars.Color, bars.Width = colourOf(0), vg.Points(1.2)
	p.Add(bars, dots)
	p.X.Min, p.X.Max = p.X.Min-0.04*(p.X.Max-p.X.Min), p.X.Max+0.04*(p.X.Max-p.X.Min)
	p.Y.Tick.Marker = nominal(shown)
	p.Y.Min, p.Y.Max = -0.5, float64(n)-0.5
	return p, nil
}

type xSpread struct {
	plotter.XYs
	by []float64
}

// XError implements plotter.XErrorer.
func (s xSpread) XError(i int) (low, high float64) { return s.by[i], s.by[i] }

// panelsFigure puts panels side by side.
func panelsFigure(name, alt string, panels ...*plot.Plot) *Figure {
	w, h, paint := tiles(panels, 12*vg.Centimeter, 8*vg.Centimeter)
	return &Figure{Name: name, Alt: alt, width: w, height: h, paint: paint}
}
