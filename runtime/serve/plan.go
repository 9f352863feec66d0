package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/separate"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// Requests are joined only where that can't change their answers. A model's rows
// join when every input counts rows along its first axis, of no fixed extent, and
// the graph is proven to keep rows apart (onnxgrad/separate, the proof that
// private training rests on); a model that quantises activations by the whole
// batch, for example, fails the proof. Rows of different lengths join, padded and
// cut again, when all inputs are those of one token sequence, one of them the
// mask, when the graph's shapes say which axes of an output are the sequence, and
// when a trial at loading gives the same numbers alone and padded beside a longer
// neighbour: whether a model obeys its mask is not a matter of names.

// A plan says which runs of a model may be joined.
type plan struct {
	rows    map[string]bool // outputs whose rows are proven apart
	whyNot  string          // why no rows join
	lengths bool            // rows of different lengths join too
	whySame string          // why they don't
	fill    map[string]int64
	crop    map[string][]int // axes of an output that are the sequence
}

// tokenInputs are the inputs of one token sequence, and masks those that hide
// padding.
var (
	tokenInputs = []string{"input_ids", "attention_mask", "token_type_ids", "position_ids", "input_mask", "segment_ids"}
	masks       = []string{"attention_mask", "input_mask"}
)

// newPlan examines a model. A fault of the analysis costs the joining, not the
// model.
func newPlan(ctx context.Context, i *instance) (p *plan) {
	defer func() {
		if fault := recover(); fault != nil {
			p = &plan{whyNot: fmt.Sprintf("the analysis of its graph has a fault (%T)", fault)}
		}
	}()
	p = &plan{rows: map[string]bool{}}
	for _, in := range i.inputs {
		if in.Kind != "tensor" || len(in.Dims) == 0 || in.Dims[0] >= 0 {
			p.whyNot = fmt.Sprintf("input %q has no free first axis (%v)", in.Name, in)
			return p
		}
	}
	prepared, err := ghost.Prepare(i.model.File(), "", "")
	if err != nil {
		p.whyNot = fmt.Sprintf("its graph could not be analysed: %v", err)
		return p
	}
	if len(prepared.Left) > 0 {
		p.whyNot = fmt.Sprintf("input %q is a cache or a switch", prepared.Left[0])
		return p
	}
	for _, o := range tensorNames(i.outputs) {
		if err := prepared.Proof.Check(o); err != nil {
			p.whyNot = err.Error()
			continue
		}
		p.rows[o] = true
	}
	if len(p.rows) == 0 {
		return p
	}
	p.whyNot = ""
	if err := p.tryRows(ctx, i); err != nil {
		p.rows, p.whyNot = nil, err.Error()
		return p
	}
	p.planLengths(ctx, i, prepared.Values)
	return p
}

// planLengths decides whether rows of different lengths join.
func (p *plan) planLengths(ctx context.Context, i *instance, values *infer.Values) {
	if p.whySame = sequenceOnly(i.inputs); p.whySame != "" {
		return
	}
	p.crop = map[string][]int{}
	for o := range p.rows {
		axes, err := sequenceAxes(values.Of(o))
		if err != nil {
			p.whySame = fmt.Sprintf("output %q: %v", o, err)
			return
		}
		p.crop[o] = axes
	}
	p.fill = map[string]int64{"input_ids": padID(i.model.Dir())}
	p.lengths = true
	if err := p.tryLengths(ctx, i); err != nil {
		p.lengths, p.whySame = false, err.Error()
	}
}

// sequenceOnly says why inputs are not those of one token sequence with a mask.
func sequenceOnly(inputs []ort.Info) string {
	masked := false
	for _, in := range inputs {
		if !slices.Contains(tokenInputs, in.Name) || len(in.Dims) != 2 || in.Dims[1] >= 0 || in.DType != ort.Int64 && in.DType != ort.Int32 {
			return fmt.Sprintf("input %q is not of a token sequence of free length", in.Name)
		}
		masked = masked || slices.Contains(masks, in.Name)
	}
	if !masked {
		return "no input masks padding"
	}
	return ""
}

// sequenceAxes finds the axes of an output that are as long as the sequence.
func sequenceAxes(info infer.Info) ([]int, error) {
	if !info.Ranked || len(info.Shape) == 0 {
		return nil, fmt.Errorf("its shape is not known")
	}
	var axes []int
	for axis, d := range info.Shape {
		switch {
		case axis == 0:
		case sym.Equal(d, sym.Var(separate.SequenceSymbol)):
			axes = append(axes, axis)
		case infer.Unknown(d) || d.Contains(separate.SequenceSymbol):
			return nil, fmt.Errorf("axis %d has extent %v", axis, d)
		}
	}
	return axes, nil
}

// padID is config.json's pad_token_id, or 0.
func padID(dir string) int64 {
	var config struct {
		Pad *int64 `json:"pad_token_id"`
	}
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil || json.Unmarshal(data, &config) != nil || config.Pad == nil || *config.Pad < 0 {
		return 0
	}
	return *config.Pad
}

// describe says in words what joins.
func (p *plan) describe() string {
	switch {
	case len(p.rows) == 0:
		return "off: " + p.whyNot
	case !p.lengths:
		return "rows of one shape: " + p.whySame
	}
	return "rows of any length"
}
