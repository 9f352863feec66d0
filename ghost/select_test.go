package ghost_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
)

func prepared(t *testing.T, name string) *ghost.Prepared {
	t.Helper()
	m, err := ir.Open(filepath.Join("..", "testdata", "models", name))
	if err != nil {
		t.Fatal(err)
	}
	p, err := ghost.Prepare(m, "", "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// preparedGraph is prepared for a graph written by hand, as if read from a file.
func preparedGraph(t *testing.T, b *irtest.Builder) *ghost.Prepared {
	t.Helper()
	data, err := b.Graph().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	m, err := ir.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ghost.Prepare(m, "", "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// trained lists the parameters that an inspection calls trainable.
func trained(r *ghost.Report) []ghost.ParameterReport {
	return slices.DeleteFunc(slices.Clone(r.Parameters), func(p ghost.ParameterReport) bool { return !p.Trainable })
}

func TestPatternsChooseParameters(t *testing.T) {
	p := prepared(t, "gpt2-ts17") // 2 layers of 12 parameters, 4 outside
	for _, c := range []struct {
		trainable, freeze []string
		want              int
	}{
		{nil, nil, 28},
		{[]string{"layers:0"}, nil, 12},
		{[]string{"layers:0-1"}, nil, 24},
		{[]string{"layers:1-"}, nil, 12},
		{nil, []string{"layers:0-"}, 4},
		{[]string{"kind:scale"}, nil, 5},
		{[]string{"kind:scale+shift"}, nil, 10},
		{[]string{"kind:bias+shift", "layers:1"}, []string{"layers:0"}, 13}, // the last norm's shift
		{[]string{"*.wte.*"}, nil, 1},
		{[]string{"*"}, []string{"model.transformer.w?e.weight"}, 26},
	} {
		r, err := p.Inspect(c.trainable, c.freeze)
		if err != nil {
			t.Errorf("%v without %v: %v", c.trainable, c.freeze, err)
			continue
		}
		if n := len(trained(r)); n != c.want {
			t.Errorf("%v without %v: %d parameters, want %d", c.trainable, c.freeze, n, c.want)
		}
		if len(r.Matches) != len(c.trainable)+len(c.freeze) || len(r.Lines()) != len(r.Matches) {
			t.Errorf("%v without %v: it says %q", c.trainable, c.freeze, r.Lines())
		}
	}
}

func TestPatternsThatAreRefused(t *testing.T) {
	p := prepared(t, "gpt2-ts17")
	for pattern, says := range map[string]string{
		"nothing*": "28", "layers:2": "0 to 1", "layers:2-5": "0 to 1", "kind:token": "matches no parameter",
		"kind:weights": "no kind", "kind:": "no kind", "kind:bias+": "no kind", "layers:": "no range", "layers:1-0": "no range",
		"layers:-1": "no range", "layers:x": "no range", "layers:1-x": "no range", "layers:99999999999999999999": "no range", "kind:quantised": "matches no parameter",
	} {
		for _, flags := range [][2][]string{{{pattern}, nil}, {nil, {pattern}}} {
			_, err := p.Inspect(flags[0], flags[1])
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v, want an error with %q", pattern, err, says)
			}
		}
	}
}

// Every exporter's file tells the layers of the same parameters.
func TestLayersOfEveryExporter(t *testing.T) {
	for name, want := range map[string][3]int{ // outside, layer 0, layer 1
		"gpt2-ts13": {4, 12, 12}, "gpt2-dyn18": {4, 12, 12}, "gpt2-optimum": {4, 12, 12}, "bert-ts13": {9, 16, 16}, "bert-dyn18": {9, 16, 16},
		"bert-optimum": {9, 16, 16}, "distilbert-ts13": {8, 16, 16}, "roberta-ts17": {10, 16, 16},
	} {
		var got [3]int
		for _, param := range prepared(t, name).Parameters {
			got[param.Layer-ghost.NoLayer]++
		}
		if got != want {
			t.Errorf("%s: %v parameters by layer, want %v", name, got, want)
		}
	}
}

// Quantised weights pass gradients, can be frozen by name or kind, and are never
// trained.
func TestQuantisedWeights(t *testing.T) {
	p := preparedGraph(t, irtest.New(18).Input("x", ir.Float32, "batch", 3).Output("logits").
		Fill("w1", 3, 4).Fill("w2", 4, 2).Fill("scale").Raw("q", ir.Int8, []int64{4, 4}, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16).
		Node("w = DequantizeLinear(q,scale)").Node("h = MatMul(x,w1)").Node("t = MatMul(h,w)").Node("logits = MatMul(t,w2)"))
	r, err := p.Inspect(nil, nil)
	if err != nil || len(trained(r)) != 2 || len(r.Left) != 1 || len(r.Lines()) != 1 || !errors.Is(p.RefuseLeft(r.Selection), ir.ErrUnsupported) {
		t.Errorf("no pattern: %d trained, %d left, %v", len(trained(r)), len(r.Left), err)
	}
	for _, pattern := range []string{"kind:quantised", "q", "?"} {
		r, err := p.Inspect(nil, []string{pattern})
		if err != nil || len(r.Left) != 0 || len(trained(r)) != 2 || p.RefuseLeft(r.Selection) != nil {
			t.Errorf("--freeze %s: %v", pattern, err)
		}
	}
	for _, pattern := range []string{"kind:quantised", "q"} {
		if _, err := p.Inspect([]string{pattern}, nil); !errors.Is(err, ir.ErrUnsupported) {
			t.Errorf("--trainable %s: %v", pattern, err)
		}
	}
	if _, err := p.Inspect([]string{"kind:linear+shift"}, nil); err != nil { // no shift, but a kind that there is
		t.Errorf("--trainable kind:linear+shift: %v", err)
	}
	if r, err := p.Inspect([]string{"w?"}, nil); err != nil || len(trained(r)) != 2 || p.RefuseLeft(r.Selection) != nil {
		t.Errorf("--trainable w?: %v", err)
	}
}
