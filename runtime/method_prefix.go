package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/adapt"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/canon"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/kvcache"
	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
	"github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"
)

// Defaults of --method prefix: those of Li & Liang's experiments and of the paper's.
const (
	defaultPrefixLength = 10
	defaultPrefixMid    = 512
)

// prefixTuning trains keys and values in front of the text's in every attention.
type prefixTuning struct {
	options MethodOptions
	base    *ghost.Prepared // the model as it is
	added   *adapt.Prefixed
}

func newPrefix(o MethodOptions) (method, error) {
	if o.PrefixLength == 0 {
		o.PrefixLength = defaultPrefixLength
	}
	switch {
	case o.PrefixDirect && o.PrefixMid != 0:
		return nil, usage("--prefix-direct trains without a network: leave --prefix-mid out")
	case o.PrefixMid == 0 && !o.PrefixDirect:
		o.PrefixMid = defaultPrefixMid
	}
	return &prefixTuning{options: o}, nil
}

func (x *prefixTuning) prefix() adapt.Prefix {
	return adapt.Prefix{Length: x.options.PrefixLength, Mid: x.options.PrefixMid, Source: x.options.source}
}

func (x *prefixTuning) prepare(_ context.Context, _ *Model, p *ghost.Prepared) (*ghost.Prepared, error) {
	if p.Output == "" {
		return nil, usage("the model has several outputs; choose one with --output")
	}
	x.base = p
	return p.Rewritten(func(g *canon.Graph) ([]string, error) {
		added, err := x.prefix().Train(g.Graph, p.Output)
		if errors.Is(err, kvcache.ErrNotUnderstood) {
			return nil, fmt.Errorf("%w: --method prefix puts keys and values in front of a text's, as a cache would: %w", ir.ErrUnsupported, err)
		}
		if err != nil {
			return nil, err
		}
		x.added, g.Graph = added, added.Graph
		return added.Parameters, nil
	})
}

func (x *prefixTuning) trainable(p *ghost.Prepared) []string {
	return withHead(p, []string{"part:" + ghost.PartAdapter})
}

func (x *prefixTuning) describe() string {
	how := "trained directly"
	if m := x.options.PrefixMid; m > 0 {
		how = fmt.Sprintf("trained through a network of %d units", m)
	}
	return fmt.Sprintf("prefix tuning, %d positions in %d attentions, %s, initial values from the public seed %d",
		x.options.PrefixLength, len(x.added.Slots)/2, how, x.options.Seed)
}

// prefixKey is the key of a file's metadata that says how many positions of the model its
// prefixes take: config.json counts them too.
const prefixKey = "ghostwriter.prefix_positions"

// baked is that number.
func (m *Model) baked() int64 {
	n, err := strconv.ParseInt(m.file.Metadata()[prefixKey], 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// reserved is the number of positions that texts can't have.
func (x *prefixTuning) reserved() int64 { return int64(x.options.PrefixLength) }

// save writes the model with the prefix as constants, and the prefix by itself for PEFT.
func (x *prefixTuning) save(m *Model, dir string, w *Weights, metadata map[string]string) error {
	parameters := make([][]float32, len(x.added.Parameters))
	for i, name := range x.added.Parameters {
		parameters[i] = w.of(name)
	}
	values := x.prefix().Values(x.added.Columns, parameters)
	g, extras := x.base.Graph.Clone(), 0
	for _, param := range w.Trained.Params() {
		if t := g.Inits[param.Name]; t != nil {
			g.Inits[param.Name], extras = ir.NewFloat32(param.Name, t.Dims, w.of(param.Name)), extras+1
		}
	}
	baked, err := x.prefix().Bake(g, x.base.Output, values)
	if err != nil {
		return err
	}
	about := m.file.Metadata()
	maps.Copy(about, metadata)
	about[prefixKey] = strconv.FormatInt(x.reserved()+m.baked(), 10)
	baked.Graph.Metadata = about
	if err := baked.Graph.Save(filepath.Join(dir, "model.onnx")); err != nil {
		return err
	}
	return x.saveAdapter(filepath.Join(dir, adapterDir), values, extras, metadata)
}

// A peftPrefixConfig is adapter_config.json of a prefix.
type peftPrefixConfig struct {
	PeftType      string  `json:"peft_type"`
	TaskType      *string `json:"task_type"`
	Base          string  `json:"base_model_name_or_path"`
	InferenceMode bool    `json:"inference_mode"`
	Tokens        int     `json:"num_virtual_tokens"`
	TokenDim      int64   `json:"token_dim"`
	Submodules    int     `json:"num_transformer_submodules"`
	Heads         int64   `json:"num_attention_heads"`
	Layers        int     `json:"num_layers"`
	Projection    bool    `json:"prefix_projection"`
}

// saveAdapter writes the prefix as PEFT's save_pretrained does, after the network.
func (x *prefixTuning) saveAdapter(dir string, values []float32, extras int, metadata map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	why := ""
	first := x.added.Slots[0]
	for _, s := range x.added.Slots {
		if s.Heads != first.Heads || s.Width != first.Width {
			why = "keys and values of different width, which PEFT's form has no place for"
		}
	}
	if extras > 0 {
		why = fmt.Sprintf("%d parameters of the model were trained beside the prefix, which PEFT's form has no place for", extras)
	}
	if why == "" {
		about := maps.Clone(metadata)
		about["format"] = "pt"
		t := safetensors.Tensor{Name: "prompt_embeddings", DType: "F32", Shape: []int64{int64(x.options.PrefixLength), x.added.Columns}, Floats: values}
		if err := safetensors.WriteFile(filepath.Join(dir, adapterWeights), []safetensors.Tensor{t}, about, nil); err != nil {
			return err
		}
		task := "CAUSAL_LM"
		c := peftPrefixConfig{PeftType: "PREFIX_TUNING", TaskType: &task, InferenceMode: true, Tokens: x.options.PrefixLength, TokenDim: first.Heads * first.Width,
			Submodules: 1, Heads: first.Heads, Layers: len(x.added.Slots) / 2}
		if err := durable.WriteJSON(filepath.Join(dir, adapterConfig), 0o644, c); err != nil {
			return err
		}
	}
	return durable.WriteBytes(filepath.Join(dir, adapterNote), 0o644, []byte(peftNote(x, "prefix", why, metadata)))
}
