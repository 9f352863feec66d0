package convert

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/floatfmt"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// A probe is a small batch of the inputs that a model may have, by the names that
// exporters give them.
type probe struct {
	batch, length, targets int64
	vocabulary, types      int64
	rng                    *rand.Rand
	made                   map[string][]int64
}

// newProbe draws token ids of the config's vocabulary; padding is not among them
// where the config names it.
func newProbe(c *Config, batch, length int64, seed uint64) *probe {
	p := &probe{
		batch: batch, length: min(length, c.positions()), vocabulary: c.Size(2, "vocab_size"),
		types: c.Size(1, "type_vocab_size"), rng: rand.New(rand.NewPCG(seed, 7)), made: map[string][]int64{},
	}
	p.targets = max(1, p.length-1)
	pad := c.ID("pad_token_id")
	draw := func(n int64) []int64 {
		ids := make([]int64, n)
		for i := range ids {
			for ids[i] = p.rng.Int64N(p.vocabulary); ids[i] == pad && p.vocabulary > 1; ids[i] = p.rng.Int64N(p.vocabulary) {
			}
		}
		return ids
	}
	p.made["input_ids"], p.made["decoder_input_ids"] = draw(batch*p.length), draw(batch*p.targets)
	p.made["attention_mask"], p.made["decoder_attention_mask"] = slices.Repeat([]int64{1}, int(batch*p.length)), slices.Repeat([]int64{1}, int(batch*p.targets))
	p.made["encoder_attention_mask"] = p.made["attention_mask"]
	for b := range batch {
		for t := range p.length {
			p.made["position_ids"] = append(p.made["position_ids"], t)
			p.made["token_type_ids"] = append(p.made["token_type_ids"], (b+t/2)%p.types)
		}
	}
	return p
}

// positions is how long a sequence may be.
func (c *Config) positions() int64 {
	n := int64(1 << 20)
	for _, name := range []string{"n_positions", "max_position_embeddings", "n_ctx"} {
		if c.Has(name) {
			n = min(n, c.Size(1, name))
		}
	}
	if c.ModelType != "bert" && c.Has("pad_token_id") { // RoBERTa counts from behind it
		n = max(1, n-1-max(0, c.ID("pad_token_id")))
	}
	return n
}

var (
	pastName   = regexp.MustCompile(`^past`)
	branchName = "use_cache_branch"
)

// errNoProbe is wrapped where an input is not known.
var errNoProbe = errors.New("an input that is not known")

// feed makes the tensor of an input; given holds what an earlier model made.
func (p *probe) feed(in ort.Info, given map[string]*ort.Tensor) (*ort.Tensor, error) {
	if t, ok := given[in.Name]; ok {
		return t, nil
	}
	if in.Name == branchName {
		return ort.NewTensor([]int64{1}, []bool{false})
	}
	if pastName.MatchString(in.Name) {
		return p.emptyPast(in)
	}
	values, ok := p.made[in.Name]
	if !ok {
		return nil, fmt.Errorf("%w: %q %v", errNoProbe, in.Name, in)
	}
	shape := []int64{p.batch, int64(len(values)) / p.batch}
	return intsAs(in.DType, shape, values)
}

// emptyPast is a cache of no tokens.
func (p *probe) emptyPast(in ort.Info) (*ort.Tensor, error) {
	shape := slices.Clone(in.Dims)
	for i, d := range shape {
		switch {
		case i == 0:
			shape[i] = p.batch
		case d < 0:
			shape[i] = 0
		}
	}
	return ort.NewZeros(in.DType, shape)
}

func intsAs(d ort.DType, shape, values []int64) (*ort.Tensor, error) {
	switch d {
	case ort.Int64:
		return ort.NewTensor(shape, values)
	case ort.Int32:
		return ort.NewTensor(shape, mapped(values, func(v int64) int32 { return int32(v) }))
	case ort.Bool:
		return ort.NewTensor(shape, mapped(values, func(v int64) bool { return v != 0 }))
	case ort.Float32:
		return ort.NewTensor(shape, mapped(values, func(v int64) float32 { return float32(v) }))
	}
	return nil, fmt.Errorf("%w: of type %v", errNoProbe, d)
}

func mapped[S, D any](v []S, f func(S) D) []D {
	out := make([]D, len(v))
	for i, x := range v {
		out[i] = f(x)
	}
	return out
}

// run feeds the probe through sessions, the encoder's states going into the one
// behind it, and returns the outputs of the last as float32.
func (p *probe) run(ctx context.Context, sessions ...*ort.Session) (map[string]floatTensor, error) {
	given := map[string]*ort.Tensor{}
	out := map[string]floatTensor{}
	for _, s := range sessions {
		feeds := map[string]*ort.Tensor{}
		alone := slices.ContainsFunc(s.Inputs(), func(in ort.Info) bool { return in.Name == "encoder_hidden_states" })
		for _, in := range s.Inputs() {
			name := in.Name
			if alone && name == "input_ids" { // of a decoder in a file of its own
				in.Name = "decoder_input_ids"
			}
			t, err := p.feed(in, given)
			if err != nil {
				return nil, err
			}
			feeds[name] = t
		}
		results, err := s.Run(ctx, feeds)
		if err != nil {
			return nil, err
		}
		clear(out)
		for name, t := range results {
			if f, ok := asFloats(t); ok {
				out[name] = f
			}
		}
		if h, ok := results["last_hidden_state"]; ok {
			given["encoder_hidden_states"] = h
		}
	}
	return out, nil
}

// A floatTensor is an output as float32.
type floatTensor struct {
	shape  []int64
	values []float32
}

func asFloats(t *ort.Tensor) (floatTensor, bool) {
	format, ok := map[ort.DType]floatfmt.Format{
		ort.Float32: floatfmt.F32, ort.Float16: floatfmt.F16, ort.BFloat16: floatfmt.BF16, ort.Float64: floatfmt.F64,
	}[t.DType()]
	if !ok {
		return floatTensor{}, false
	}
	f := floatTensor{t.Shape(), make([]float32, t.Len())}
	format.Decode(f.values, t.Bytes())
	return f, true
}

// mainOutput is the one that a model is compared by.
func mainOutput(outs map[string]floatTensor) (string, floatTensor, bool) {
	for _, name := range []string{"logits", "last_hidden_state"} {
		if f, ok := outs[name]; ok {
			return name, f, true
		}
	}
	for name, f := range outs { // the only one that is no cache
		others := 0
		for n := range outs {
			if !strings.HasPrefix(n, "present") && n != "pooler_output" {
				others++
			}
		}
		if others == 1 && !strings.HasPrefix(name, "present") && name != "pooler_output" {
			return name, f, true
		}
	}
	return "", floatTensor{}, false
}

// difference is the largest |a−b| and the largest |a|; NaN anywhere makes it
// infinite.
func difference(a, b []float32) (worst, scale float64) {
	for i := range a {
		d := math.Abs(float64(a[i]) - float64(b[i]))
		if d != d {
			d = math.Inf(1)
		}
		worst, scale = max(worst, d), max(scale, math.Abs(float64(a[i])))
	}
	return worst, scale
}
