package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// swept makes groups of every combination of settings; the value of the one that is left out
// of what is measured is nil.
func swept(metric string, axes []string, groups ...runtime.SweepGroup) *runtime.SweepResult {
	r := &runtime.SweepResult{Version: 1, Axes: axes, Metric: metric, Smaller: runtime.SmallerIsBetter(metric), Groups: groups}
	for i := range r.Groups {
		g := &r.Groups[i]
		if g.Mean != nil && (r.Best == nil || r.Better(*g.Mean, *r.Best.Mean)) {
			r.Best = g
		}
	}
	return r
}

func group(value float64, spread float64, settings ...any) runtime.SweepGroup {
	g := runtime.SweepGroup{Settings: map[string]any{}, Runs: 1}
	for i := 0; i < len(settings); i += 2 {
		g.Settings[settings[i].(string)] = settings[i+1]
	}
	if value != 0 {
		g.Mean = &value
	}
	if spread > 0 {
		g.Spread = &spread
	}
	return g
}

func grid() []runtime.SweepGroup {
	var out []runtime.SweepGroup
	for i, b := range []int{64, 256, 1024} {
		for j, lr := range []float64{0.0005, 0.001, 0.002, 0.004} {
			v := 0.5 + 0.05*float64(i) + 0.03*float64(j)
			if i == 2 && j == 3 {
				v = 0 // not measured
			}
			out = append(out, group(v, 0, "expected-batch", b, "lr", lr))
		}
	}
	return out
}

// svgText is what an SVG says; it fails on what is not well-formed.
func svgText(t *testing.T, data []byte) string {
	t.Helper()
	var words strings.Builder
	d := xml.NewDecoder(bytes.NewReader(data))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return words.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		if text, ok := token.(xml.CharData); ok {
			words.WriteString(strings.TrimSpace(string(text)) + "\n")
		}
	}
}

func TestSweepFigures(t *testing.T) {
	manyCells := func() (out []runtime.SweepGroup) {
		for k := range 20 {
			for _, g := range grid() {
				g.Settings["cell"] = fmt.Sprint("c", k)
				out = append(out, g)
			}
		}
		return out
	}
	for name, c := range map[string]struct {
		r     *runtime.SweepResult
		file  string   // "" for no figure
		words []string // in the picture
		alt   string
	}{
		"two numbers": {swept("valid_accuracy", []string{"expected-batch", "lr"}, grid()...), "heatmap",
			[]string{"expected-batch", "lr", "1024", "0.0005", "0.64", "–", "valid_accuracy"}, "The best is expected-batch 1024, lr 0.002: valid_accuracy 0.66."},
		"smaller is better": {swept("valid_loss", []string{"expected-batch", "lr"}, grid()...), "heatmap", []string{"0.5"}, "The best is expected-batch 64, lr 0.0005"},
		"equal values": {swept("bleu", []string{"a", "b"}, group(1, 0, "a", 1, "b", 1), group(1, 0, "a", 2, "b", 1), group(1, 0, "a", 1, "b", 2), group(1, 0, "a", 2, "b", 2)),
			"heatmap", []string{"bleu"}, "Heat map of bleu over a (across) and b (up)"},
		"one number, two cells": {swept("bleu", []string{"clip-norm"}, group(0.2, 0.01, "clip-norm", 0.1, "cell", "full"), group(0.1, 0.02, "clip-norm", 10, "cell", "full"),
			group(0.15, 0, "clip-norm", 0.1, "cell", "<lora>"), group(0, 0, "clip-norm", 10, "cell", "<lora>")), "lines", []string{"clip-norm", "0.1", "10", "full", "<lora>"}, "one standard deviation"},
		"cells alone": {swept("bleu", nil, group(0.2, 0.01, "cell", "full"), group(0.1, 0, "cell", "scratch"), group(0, 0, "cell", "failed")), "cells",
			[]string{"full", "scratch", "failed"}, "bleu of each cell"},
		"numbers that are not numbers everywhere": {swept("bleu", []string{"method", "lr"}, group(0.2, 0, "method", "full", "lr", 1e-3), group(0.1, 0, "method", "lora", "lr", 1e-3),
			group(0.2, 0, "method", "full", "lr", 2e-3)), "lines", []string{"full", "lora"}, ""},
		"many panels":   {swept("bleu", []string{"expected-batch", "lr"}, manyCells()...), "heatmap", []string{"c0", "c11"}, "12 of 20 panels are drawn."},
		"one cell":      {swept("bleu", []string{"lr"}, group(1, 0, "lr", 1)), "", nil, ""},
		"nothing known": {swept("", []string{"lr"}, group(0, 0, "lr", 1), group(0, 0, "lr", 2)), "", nil, ""},
		"a hostile name": {swept("bleu", nil, group(0.2, 0, "cell", "a</text><script>alert(1)</script>\x00\x1b"), group(0.1, 0, "cell", "b\xff")), "cells",
			[]string{"a</text><script>alert(1"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			names, err := WriteFigures(dir, c.r)
			if err != nil {
				t.Fatal(err)
			}
			if c.file == "" {
				if len(names) > 0 {
					t.Errorf("drew %v", names)
				}
				return
			}
			if len(names) != 2 || names[0] != c.file+".svg" || names[1] != c.file+".png" {
				t.Fatalf("drew %v", names)
			}
			svg, err := os.ReadFile(filepath.Join(dir, names[0]))
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(svg, []byte("<script")) {
				t.Error("a script in the picture")
			}
			text := svgText(t, svg)
			for _, w := range c.words {
				if !strings.Contains(text, w) {
					t.Errorf("the picture does not say %q:\n%s", w, text)
				}
			}
			f, err := SweepFigure(c.r)
			if err != nil || !strings.Contains(f.Alt, c.alt) {
				t.Errorf("%q, %v", f.Alt, err)
			}
			file, err := os.Open(filepath.Join(dir, names[1]))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if m, err := png.Decode(file); err != nil || m.Bounds().Dx() < 300 {
				t.Errorf("%v", err)
			}
			if keep := os.Getenv("GHOSTWRITER_KEEP_FIGURES"); keep != "" {
				data, err := f.PNG()
				if err != nil || os.WriteFile(filepath.Join(keep, strings.ReplaceAll(name, " ", "-")+".png"), data, 0o644) != nil {
					t.Error(err)
				}
			}
		})
	}
}
