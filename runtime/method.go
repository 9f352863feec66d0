package runtime

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// MethodOptions say what of a model is trained, and what is added to it for that.
// Zero means the default.
type MethodOptions struct {
	Name    string   // see Methods
	Rank    int      // lora: r
	Alpha   float64  // lora: α
	Targets []string // lora: patterns of the weights that get an update
	// RGPRank is that of the gradient carriers, RGPTargets patterns of the weights that have them.
	RGPRank    int
	RGPTargets []string
	// PrefixLength and PrefixMid are positions, and units of the network that makes them while they are
	// trained; PrefixDirect trains them without one.
	PrefixLength, PrefixMid int
	PrefixDirect            bool
	// AdapterModel also writes the model that takes onnxruntime's adapter.
	AdapterModel bool
	// Seed draws initial values: of adapters, or of the whole model trained from
	// scratch. It is public: no value that depends on data comes from it.
	Seed uint64
}

// A method is a way to fine-tune: a choice of parameters, or a rewrite of the graph.
type method interface {
	// prepare is given the analysis of the model's file and returns that of what is
	// trained.
	prepare(ctx context.Context, m *Model, p *ghost.Prepared) (*ghost.Prepared, error)
	// trainable are the patterns of what is trained; nil for everything.
	trainable(p *ghost.Prepared) []string
	// describe says it in words for the plan; "" for full fine-tuning.
	describe() string
	// save writes model.onnx into dir, and what else the method has to give.
	save(m *Model, dir string, w *Weights, metadata map[string]string) error
}

// methods by the name of --method.
var methods = map[string]func(MethodOptions) (method, error){
	"full":           preset{name: "full"}.method,
	"bias-only":      preset{name: "bias-only", patterns: []string{"kind:bias+shift"}, withHead: true}.method,
	"attention-only": preset{name: "attention-only", patterns: []string{"attention:"}, withHead: true}.method,
	"head-only":      preset{name: "head-only", patterns: []string{"part:" + ghost.PartHead}}.method,
	"top2":           preset{name: "top2", patterns: []string{"layers:top2", "part:" + ghost.PartFinalNorm + "+" + ghost.PartHead}}.method,
	"lora":           newLoRA,
	"rgp":            newRGP,
	"prefix":         newPrefix,
	"scratch":        newFromScratch,
}

// Methods lists the names of --method.
func Methods() []string { return slices.Sorted(maps.Keys(methods)) }

func newMethod(o MethodOptions) (method, error) {
	make, ok := methods[cmp.Or(o.Name, "full")]
	if !ok {
		return nil, usage("--method %q: there are %s", o.Name, strings.Join(Methods(), ", "))
	}
	return make(o)
}

// method returns what --method and its settings name.
func (o *FinetuneOptions) method() MethodOptions {
	return MethodOptions{Name: o.Method, Rank: o.LoRARank, Alpha: o.LoRAAlpha, Targets: o.LoRATargets, RGPRank: o.RGPRank, RGPTargets: o.RGPTargets, AdapterModel: o.AdapterModel,
		PrefixLength: o.PrefixLength, PrefixMid: o.PrefixMid, PrefixDirect: o.PrefixDirect, Seed: o.InitSeed}
}

// Adapt makes the model one that is trained by a method: from here on Prepared is the
// analysis of what the method makes of it. It returns the patterns of --trainable that
// the method stands for, with trainable behind them; nil means everything.
func (m *Model) Adapt(ctx context.Context, o MethodOptions, trainable []string) ([]string, error) {
	made, err := newMethod(o)
	if err != nil {
		return nil, err
	}
	p, err := m.Prepared()
	if err != nil {
		return nil, err
	}
	if p, err = made.prepare(ctx, m, p); err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.prepared, m.method = p, made
	m.mu.Unlock()
	patterns := made.trainable(p)
	if patterns == nil {
		return trainable, nil
	}
	return append(slices.Clone(patterns), trainable...), nil
}

// A preset trains a choice of the model's parameters.
type preset struct {
	name     string
	patterns []string
	withHead bool // a classifier's head is trained too: it is new
}

func (s preset) method(MethodOptions) (method, error) { return s, nil }

func (s preset) prepare(_ context.Context, _ *Model, p *ghost.Prepared) (*ghost.Prepared, error) {
	return p, s.check(p)
}

// check says why a choice matches nothing.
func (s preset) check(p *ghost.Prepared) error {
	switch {
	case s.name == "head-only" && !hasPart(p, ghost.PartHead):
		return usage("--method head-only: the model has no head that can be told from its layers; name its parameters with --trainable instead of --method")
	case s.name == "attention-only" && !slices.ContainsFunc(p.Parameters, func(q ghost.Parameter) bool { return len(q.Attention) > 0 }):
		return usage("--method attention-only: the model has no attention with weights of its own")
	case s.name == "top2" && !hasPart(p, ghost.PartLayers):
		return usage("--method top2: neither names nor nodes of this model tell layers; name parameters with --trainable instead of --method")
	}
	return nil
}

func (s preset) trainable(p *ghost.Prepared) []string {
	if s.withHead {
		return withHead(p, s.patterns)
	}
	if s.name == "top2" && !hasPart(p, ghost.PartFinalNorm) && !hasPart(p, ghost.PartHead) {
		return s.patterns[:1]
	}
	return s.patterns
}

func (s preset) describe() string {
	if s.name == "full" {
		return ""
	}
	return s.name
}

func (s preset) save(m *Model, dir string, w *Weights, metadata map[string]string) error {
	return saveWeights(m, dir, w, metadata)
}

// saveWeights writes the model's file with its trained numbers.
func saveWeights(m *Model, dir string, w *Weights, metadata map[string]string) error {
	values := map[string][]float32{}
	for _, param := range w.Trained.Params() {
		values[param.Name] = w.of(param.Name)
	}
	return writeBack(m, dir, values, metadata)
}

// writeBack writes the model's file with new numbers of these parameters.
func writeBack(m *Model, dir string, values map[string][]float32, metadata map[string]string) error {
	p, err := m.Prepared()
	if err != nil {
		return err
	}
	return m.file.WriteBack(filepath.Join(dir, "model.onnx"), patchOf(p, values, metadata))
}

func hasPart(p *ghost.Prepared, part string) bool {
	return slices.ContainsFunc(p.Parameters, func(q ghost.Parameter) bool { return slices.Contains(q.Parts, part) })
}

// withHead adds the head of a classifier to patterns: a checkpoint that was pretrained as
// something else brings none, and a method that leaves it as it was drawn learns little.
func withHead(p *ghost.Prepared, patterns []string) []string {
	classifier := p.Output != "" && p.Values.Of(p.Output).Ranked && p.Values.Of(p.Output).Rank() == 2
	if !classifier || !hasPart(p, ghost.PartHead) {
		return patterns
	}
	return append(slices.Clone(patterns), "part:"+ghost.PartHead)
}

// initialiser of parameters about which no architecture says more: weights and tables are
// normal, scales 1, biases and shifts 0.
func plainInit(q ghost.Parameter, std float64, draw func() float64) []float32 {
	v := make([]float32, q.Elements())
	has := func(k ghost.Kind) bool {
		return slices.ContainsFunc(q.Uses, func(u ghost.ParameterUse) bool { return u.Kind == k })
	}
	for i := range v {
		switch {
		case has(ghost.Linear), has(ghost.Embedding), has(ghost.Token), has(ghost.Other):
			v[i] = float32(std * draw())
		case has(ghost.Scale):
			v[i] = 1
		}
	}
	return v
}

// replaced is a float32 initializer in the place of another.
func replaced(t *ir.Tensor, values []float32) (*ir.Tensor, error) {
	if int64(len(values)) != t.Len() {
		return nil, fmt.Errorf("initial values of %q: %d for shape %v", t.Name, len(values), t.Dims)
	}
	return ir.NewFloat32(t.Name, t.Dims, values), nil
}

// validateMethod refuses settings of another method.
func (o *FinetuneOptions) validateMethod() error {
	for flag, s := range map[string]struct {
		given  bool
		method string
	}{
		"--lora-rank": {o.LoRARank != 0, "lora"}, "--lora-alpha": {o.LoRAAlpha != 0, "lora"}, "--lora-targets": {len(o.LoRATargets) > 0, "lora"},
		"--adapter-model": {o.AdapterModel, "lora"},
		"--rgp-rank":      {o.RGPRank != 0, "rgp"}, "--rgp-targets": {len(o.RGPTargets) > 0, "rgp"},
		"--prefix-length": {o.PrefixLength != 0, "prefix"}, "--prefix-mid": {o.PrefixMid != 0, "prefix"}, "--prefix-direct": {o.PrefixDirect, "prefix"},
	} {
		if s.given && o.Method != s.method {
			return usage("%s belongs to --method %s", flag, s.method)
		}
	}
	return nil
}

// reserved is the number of positions that the method takes from a text.
func (m *Model) reserved() int64 {
	if x, ok := m.method.(interface{ reserved() int64 }); ok {
		return x.reserved()
	}
	return 0
}
