package convert

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A Report says what was written.
type Report struct {
	Out        string   `json:"out"`
	ModelType  string   `json:"model_type"`
	Class      string   `json:"class"`
	Head       Head     `json:"head"`
	Parameters int64    `json:"parameters"` // elements, tied ones once
	Bytes      int64    `json:"bytes"`      // of all files
	Inputs     []string `json:"inputs"`
	Outputs    []string `json:"outputs"`
	// Fresh are parameters that no checkpoint gave, drawn from the seed; Unused are
	// tensors of the checkpoint that the model does not read.
	Fresh  []string `json:"fresh,omitempty"`
	Unused []string `json:"unused,omitempty"`
	// Notes say what a reader of the config would not expect.
	Notes []string `json:"notes,omitempty"`
}

// ToONNX converts the Hugging Face directory src to a model directory dst, which
// must not exist or be empty.
func ToONNX(ctx context.Context, src, dst string, o Options) (*Report, error) {
	c, err := readConfig(filepath.Join(src, "config.json"))
	if err != nil {
		return nil, err
	}
	w, closeWeights, err := OpenWeights(src)
	if err != nil {
		return nil, err
	}
	r, err := write(ctx, c, w, src, dst, o)
	return r, errors.Join(err, closeWeights())
}

// New writes a model with the initial weights that transformers would draw for a
// config.json, from a seed of our own.
func New(ctx context.Context, config, dst string, o Options) (*Report, error) {
	c, err := readConfig(config)
	if err != nil {
		return nil, err
	}
	return write(ctx, c, nil, filepath.Dir(config), dst, o)
}

func readConfig(path string) (*Config, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, bad("%s does not exist; a Hugging Face directory holds config.json and model.safetensors", path)
	case err != nil:
		return nil, bad("%w", err)
	case !info.Mode().IsRegular() || info.Size() > maxConfig:
		return nil, bad("%s is no file of at most %d bytes", path, maxConfig)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, bad("%w", err)
	}
	c, err := ParseConfig(data)
	if err != nil {
		return nil, bad("%s: %w", path, err)
	}
	return c, nil
}

// Build writes the graph of a config over weights, nil for drawn ones, and returns
// the config of the model that it became.
func Build(c *Config, w Weights, o Options) (*ir.Graph, *Config, *Report, error) {
	a, err := ArchitectureOf(c.ModelType)
	if err != nil {
		return nil, nil, nil, err
	}
	head, err := a.headOf(c, o.Head)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := c.plain(); err != nil {
		return nil, nil, nil, err
	}
	src := newSource(w, a, o)
	if c, err = c.forModel(a, head, o); err != nil {
		return nil, nil, nil, err
	}
	if err := o.check(a, head); err != nil {
		return nil, nil, nil, err
	}
	o.Head = head
	if head == HeadClassify {
		o.Labels = c.Labels()
	}
	b := newBuilder(c, o, src)
	b.record.Class = a.Classes[head]
	if err := a.Build(b); err != nil {
		return nil, nil, nil, err
	}
	g, err := b.finish()
	if err != nil {
		return nil, nil, nil, err
	}
	return g, c, &Report{
		ModelType: c.ModelType, Class: a.Classes[head], Head: head, Parameters: b.total,
		Inputs: valueNames(g.Inputs), Outputs: valueNames(g.Outputs), Fresh: src.fresh, Unused: src.unused(), Notes: b.notes,
	}, nil
}

// plain refuses what no architecture reads.
func (c *Config) plain() error {
	if c.Has("quantization_config") {
		c.Fail("quantization_config", "quantised checkpoints are not read; save the model in float16 or bfloat16 (transformers: model.dequantize())")
	}
	var heads map[string]any
	if c.value(&heads, "an object", []string{"pruned_heads"}); len(heads) > 0 {
		c.Fail("pruned_heads", "layers with fewer heads than the others are not converted")
	}
	return c.Err()
}

func valueNames(list []*ir.ValueInfo) []string {
	var out []string
	for _, v := range list {
		out = append(out, v.Name)
	}
	return out
}

// check refuses options that the architecture can't follow.
func (o Options) check(a *Architecture, head Head) error {
	switch {
	case o.Cache && !a.Decoder:
		return bad("a %s has no cache: it does not generate", a.ModelType)
	case o.Cache && head != HeadLM:
		return bad("a cache belongs to a language model; the head is %s", head)
	case o.Labels != 0 && head != HeadClassify:
		return bad("%d labels are asked for, but the head is %s", o.Labels, head)
	case o.Labels < 0 || o.Labels > 1<<20:
		return bad("%d labels; 1 to %d are possible", o.Labels, 1<<20)
	}
	switch o.DType {
	case ir.Undefined, ir.Float32, ir.Float16, ir.BFloat16:
		return nil
	}
	return bad("weights are not stored as %v; float32, float16 and bfloat16 are", o.DType)
}

// forModel is the config of the model as it is written.
func (c *Config) forModel(a *Architecture, head Head, o Options) (*Config, error) {
	fields := map[string]any{"architectures": []string{a.Classes[head]}}
	if head == HeadClassify && o.Labels > 0 && o.Labels != c.Labels() {
		for k, v := range labelFields(o.Labels) {
			fields[k] = v
		}
	}
	if o.DType != ir.Undefined {
		field := "dtype" // since transformers 4.56; torch_dtype is understood by all
		if !c.Has(field) {
			field = "torch_dtype"
		}
		fields[field] = o.DType.String()
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	return c.With(fields)
}
