package report

import (
	"bytes"
	"fmt"
	"image/color"
	"path/filepath"
	"strings"
	"unicode"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
)

// A Figure is a drawing and what it shows in words.
type Figure struct {
	Name string // of its files, without ending
	Alt  string // what stands in its place where it can't be seen

	width, height vg.Length
	paint         func(draw.Canvas)
}

// SVG draws the figure as a scalable picture.
func (f *Figure) SVG() ([]byte, error) {
	c := vgsvg.New(f.width, f.height)
	f.paint(draw.New(c))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("figure %s: %w", f.Name, err)
	}
	return bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans;"), []byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif;")), nil // of the same widths
}

// PNG draws the figure as a picture of 150 dots to the inch.
func (f *Figure) PNG() ([]byte, error) {
	c := vgimg.NewWith(vgimg.UseWH(f.width, f.height), vgimg.UseDPI(150), vgimg.UseBackgroundColor(color.White))
	f.paint(draw.New(c))
	var b bytes.Buffer
	if _, err := (vgimg.PngCanvas{Canvas: c}).WriteTo(&b); err != nil {
		return nil, fmt.Errorf("figure %s: %w", f.Name, err)
	}
	return b.Bytes(), nil
}

// write writes NAME.svg and NAME.png and returns their names.
func (f *Figure) write(dir string) (names []string, err error) {
	for _, form := range []struct {
		ending string
		draw   func() ([]byte, error)
	}{{".svg", f.SVG}, {".png", f.PNG}} {
		data, err := form.draw()
		if err != nil {
			return nil, err
		}
		if err := durable.WriteBytes(filepath.Join(dir, f.Name+form.ending), 0o644, data); err != nil {
			return nil, err
		}
		names = append(names, f.Name+form.ending)
	}
	return names, nil
}

// Colours of series, told apart by lightness too (Okabe and Ito); a further one begins again.
var seriesColours = []color.NRGBA{
	{R: 0x00, G: 0x72, B: 0xb2, A: 0xff}, {R: 0xd5, G: 0x5e, B: 0x00, A: 0xff}, {R: 0x00, G: 0x9e, B: 0x73, A: 0xff}, {R: 0xcc, G: 0x79, B: 0xa7, A: 0xff},
	{R: 0x56, G: 0xb4, B: 0xe9, A: 0xff}, {R: 0xe6, G: 0x9f, B: 0x00, A: 0xff}, {A: 0xff},
}

func colourOf(k int) color.NRGBA { return seriesColours[k%len(seriesColours)] }

var (
	gridColour = color.NRGBA{R: 0xe4, G: 0xe4, B: 0xe4, A: 0xff}
	noColour   = color.NRGBA{R: 0xdd, G: 0xdd, B: 0xdd, A: 0xff} // of a cell without a value
)

// label makes a text fit for a figure: it has no control characters, which SVG does not
// know, and is not long.
func label(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// newPlot is an empty panel.
func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = label(title, 70), label(x, 60), label(y, 60)
	p.Title.Padding = 2 * vg.Millimeter
	for _, f := range []*font.Font{&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font, &p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.Legend.TextStyle.Font} {
		f.Variant = "Sans"
	}
	return p
}

// tiles arranges panels in rows of at most three.
func tiles(panels []*plot.Plot, width, height vg.Length) (w, h vg.Length, paint func(draw.Canvas)) {
	columns := min(3, len(panels))
	rows := (len(panels) + columns - 1) / columns
	grid := make([][]*plot.Plot, rows)
	for i := range grid {
		grid[i] = make([]*plot.Plot, columns)
		copy(grid[i], panels[i*columns:min(len(panels), (i+1)*columns)])
	}
	t := draw.Tiles{Rows: rows, Cols: columns, PadX: 6 * vg.Millimeter, PadY: 6 * vg.Millimeter, PadTop: 2 * vg.Millimeter, PadBottom: 2 * vg.Millimeter,
		PadLeft: 2 * vg.Millimeter, PadRight: 4 * vg.Millimeter}
	return vg.Length(columns) * width, vg.Length(rows) * height, func(c draw.Canvas) {
		for i, row := range plot.Align(grid, t, c) {
			for j, part := range row {
				if grid[i][j] != nil {
					grid[i][j].Draw(part)
				}
			}
		}
	}
}
