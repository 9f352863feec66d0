package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/ghostwriter-dp/ghostwriter/dpadam/audit"
	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
)

// The figure's colours tell apart by lightness too.
var (
	colourIn    = color.NRGBA{R: 0xd5, G: 0x5e, B: 0x00, A: 0xb0}
	colourOut   = color.NRGBA{R: 0x00, G: 0x72, B: 0xb2, A: 0x90}
	colourClaim = color.NRGBA{A: 0xff}
)

// writeAuditFigure draws an audit in three panels: the scores of canaries in and out, the
// attacker's ROC curve, and the lower bound beside the claim.
func writeAuditFigure(path string, r *audit.Result) error {
	var panels []*plot.Plot
	for _, draw := range []func(*audit.Result) (*plot.Plot, error){scoresPanel, curvePanel, boundPanel} {
		p, err := draw(r)
		if err != nil {
			return fmt.Errorf("--plot: %w", err)
		}
		panels = append(panels, p)
	}
	canvas := vgsvg.New(27*vg.Centimeter, 9*vg.Centimeter)
	tiles := draw.Tiles{Rows: 1, Cols: len(panels), PadX: 6 * vg.Millimeter, PadTop: vg.Millimeter, PadBottom: vg.Millimeter, PadLeft: vg.Millimeter, PadRight: 2 * vg.Millimeter}
	for i, c := range plot.Align([][]*plot.Plot{panels}, tiles, draw.New(canvas))[0] {
		panels[i].Draw(c)
	}
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return fmt.Errorf("--plot: %w", err)
	}
	return durable.WriteBytes(path, 0o600, b.Bytes())
}

// scoresPanel has a histogram for canaries in and one for canaries out, on the same bins, each of
// area 1. The outermost hundredth of a percent of the scores falls into the last bins.
func scoresPanel(r *audit.Result) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = "Scores", "score", "density"
	sorted := slices.Sorted(slices.Values(r.Scores.Score))
	cut := len(sorted) / 10000
	low, high := sorted[cut], sorted[len(sorted)-1-cut]
	if !(high > low) {
		low, high = low-0.5, low+0.5
	}
	const bins = 40
	width := (high - low) / bins
	for _, in := range []bool{false, true} {
		h := &plotter.Histogram{Width: width, LineStyle: plotter.DefaultLineStyle}
		h.FillColor, h.LineStyle.Width = map[bool]color.Color{true: colourIn, false: colourOut}[in], 0
		counts, n := make([]float64, bins), 0.0
		for i, x := range r.Scores.Score {
			if r.Scores.In[i] == in {
				counts[min(bins-1, max(0, int((x-low)/width)))]++
				n++
			}
		}
		for k, c := range counts {
			h.Bins = append(h.Bins, plotter.HistogramBin{Min: low + float64(k)*width, Max: low + float64(k+1)*width, Weight: c / max(1, n*width)})
		}
		p.Add(h)
		p.Legend.Add(map[bool]string{true: "in", false: "out"}[in], h)
	}
	p.Legend.Top = true
	return p, nil
}

func curvePanel(r *audit.Result) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("ROC curve, area %.3f", r.Area)
	p.X.Label.Text, p.Y.Label.Text = "false positive rate", "true positive rate"
	chance, err := plotter.NewLine(plotter.XYs{{X: 0, Y: 0}, {X: 1, Y: 1}})
	if err != nil {
		return nil, err
	}
	chance.Dashes, chance.Color = []vg.Length{3, 3}, color.Gray{Y: 0x80}
	p.Add(chance)
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
	if len(r.Curve.FalsePositive) == 0 {
		return p, nil
	}
	points := make(plotter.XYs, len(r.Curve.FalsePositive))
	for i := range points {
		points[i].X, points[i].Y = r.Curve.FalsePositive[i], r.Curve.TruePositive[i]
	}
	line, err := plotter.NewLine(points)
	if err != nil {
		return nil, err
	}
	line.Color, line.Width = colourIn, 1.5
	p.Add(line)
	return p, nil
}

func boundPanel(r *audit.Result) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = "Lower bound and claim"
	p.Y.Label.Text = "epsilon"
	bars, err := plotter.NewBarChart(plotter.Values{r.Bound, r.Most}, 1.2*vg.Centimeter)
	if err != nil {
		return nil, err
	}
	bars.Color, bars.LineStyle.Width = colourOut, 0
	p.Add(bars)
	claim, err := plotter.NewLine(plotter.XYs{{X: -0.5, Y: r.Claimed}, {X: 1.5, Y: r.Claimed}})
	if err != nil {
		return nil, err
	}
	claim.Color, claim.Width = colourClaim, 1.5
	p.Add(claim)
	p.Legend.Add(fmt.Sprintf("claimed %.4g", r.Claimed), claim)
	p.Legend.Top, p.Legend.Left = true, true
	p.NominalX(fmt.Sprintf("bound (%.3g %%)", 100*(1-r.Significance)), "all guesses right")
	p.Y.Min, p.Y.Max = 0, 1.25*math.Max(r.Claimed, r.Most)
	return p, nil
}
