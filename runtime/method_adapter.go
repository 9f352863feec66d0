package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/adapt"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	checkpoints "github.com/ghostwriter-dp/ghostwriter/runtime/convert"
	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ortadapter"
	"github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"
)

// The files of adapter/.
const (
	adapterDir     = "adapter"
	adapterWeights = "adapter_model.safetensors" // PEFT
	adapterConfig  = "adapter_config.json"       // PEFT
	adapterORT     = "adapter.onnx_adapter"      // onnxruntime
	adapterModel   = "model.onnx"                // the model that takes adapter.onnx_adapter
	adapterNote    = "README.md"
)

// saveAdapter writes the updates by themselves, in PEFT's form and in onnxruntime's.
func (l *lora) saveAdapter(m *Model, dir string, w *Weights, metadata map[string]string) error {
	dir = filepath.Join(dir, adapterDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := l.saveORT(dir, w, metadata[privacyKey]); err != nil {
		return err
	}
	if l.options.AdapterModel {
		if err := l.saveModel(dir, w, metadata); err != nil {
			return err
		}
	}
	why := ""
	names, err := locate(context.Background(), m)
	if err == nil {
		err = l.savePEFT(dir, w, names, metadata)
	}
	switch {
	case errors.Is(err, errNoNames):
		why = err.Error()
	case err != nil:
		return err
	}
	return durable.WriteBytes(filepath.Join(dir, adapterNote), 0o644, []byte(l.note(why, metadata)))
}

// errNoNames is wrapped where the parameters' names in transformers can't be told.
var errNoNames = errors.New("the names of transformers can't be told")

// locate finds the parameters' names in transformers.
func locate(ctx context.Context, m *Model) (*checkpoints.Location, error) {
	o := checkpoints.BackOptions{Library: m.options.Library, NoCompare: true}
	l, err := checkpoints.Locate(ctx, m.file.Path, o)
	if err != nil { // guesses are confirmed by comparing outputs
		o.NoCompare = false
		l, err = checkpoints.Locate(ctx, m.file.Path, o)
	}
	if errors.Is(err, checkpoints.ErrInput) || errors.Is(err, ir.ErrUnsupported) {
		named, nerr := checkpoints.LocateNamed(m.file.Path)
		if nerr != nil { // not the place of the folder, which is nobody's business
			return nil, fmt.Errorf("%w: %s", errNoNames, strings.ReplaceAll(err.Error(), m.Dir(), "the folder"))
		}
		return named, nil
	}
	return l, err
}

// note is the adapter's README.
func (l *lora) note(why string, metadata map[string]string) string {
	return peftNote(l, "update", why, metadata) +
		fmt.Sprintf("- `%s`: for onnxruntime's LoraAdapter, on a model whose inputs have these names (`--adapter-model` writes it); alpha/rank is multiplied into B.\n", adapterORT)
}

// peftNote begins the README of an adapter: what it is, what it guarantees, and PEFT's files or why there are none.
func peftNote(m method, held, why string, metadata map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Adapter\n\n%s.\n\n%s\n\nThe model beside this folder holds the %s already.\n\n", m.describe(), metadata[privacyKey], held)
	if why == "" {
		fmt.Fprintf(&b, "- `%s`, `%s`: for `peft.PeftModel.from_pretrained` on the original checkpoint.\n", adapterWeights, adapterConfig)
	} else {
		fmt.Fprintf(&b, "- There is no PEFT adapter: %s.\n", why)
	}
	return b.String()
}

// saveORT writes onnxruntime's adapter. The factor α/r is multiplied into B, so that
// adapters of any α fit one model.
func (l *lora) saveORT(dir string, w *Weights, note string) error {
	var list []ortadapter.Parameter
	rank := int64(l.options.Rank)
	for _, u := range l.updates {
		list = append(list,
			ortadapter.Parameter{Name: u.A, Dims: []int64{u.In, rank}, Floats: w.of(u.A)},
			ortadapter.Parameter{Name: u.B, Dims: []int64{rank, u.Out}, Floats: l.scaled(w.of(u.B))})
	}
	data, err := ortadapter.Marshal(ortadapter.Adapter{Version: 1, ModelVersion: 1, Parameters: list, Note: note})
	if err != nil {
		return err
	}
	return durable.WriteBytes(filepath.Join(dir, adapterORT), 0o644, data)
}

func (l *lora) scaled(b []float32) []float32 {
	out := make([]float32, len(b))
	for i, v := range b {
		out[i] = float32(l.options.Alpha / float64(l.options.Rank) * float64(v))
	}
	return out
}

// savePEFT writes the adapter as PEFT's save_pretrained does. An update of a packed
// initializer becomes one for each of the layers in it, which share A.
func (l *lora) savePEFT(dir string, w *Weights, names *checkpoints.Location, metadata map[string]string) error {
	c := peftConfig{
		PeftType: "LORA", TaskType: peftTask(names.Head), R: l.options.Rank, Alpha: l.options.Alpha, Bias: "none",
		InferenceMode: true, TargetModules: []string{},
	}
	var tensors []safetensors.Tensor
	for _, u := range l.updates {
		held := l.held(names, u.Weight)
		if len(held) == 0 {
			return fmt.Errorf("%w: no parameter of %s is found in %q", errNoNames, names.Class, u.Weight)
		}
		for _, h := range held {
			module, ok := strings.CutSuffix(h.Name, ".weight")
			if !ok {
				return fmt.Errorf("%w: %q is the weight of no module", errNoNames, h.Name)
			}
			c.TargetModules = append(c.TargetModules, module)
			c.FanInFanOut = h.Transposed == u.Transposed // Conv1D keeps [in,out]
			tensors = append(tensors, l.peftTensors(module, h, u, w)...)
		}
	}
	tensors, err := l.peftExtras(tensors, &c, names, w)
	if err != nil {
		return err
	}
	if err := durable.WriteJSON(filepath.Join(dir, adapterConfig), 0o644, c); err != nil {
		return err
	}
	about := maps.Clone(metadata)
	about["format"] = "pt"
	return safetensors.WriteFile(filepath.Join(dir, adapterWeights), tensors, about, nil)
}

// held lists the parameters that lie in an initializer of the canonical graph.
func (l *lora) held(names *checkpoints.Location, root string) []checkpoints.Located {
	var out []checkpoints.Located
	for _, h := range names.Parameters {
		at := h.Initializer
		for _, a := range l.base.Graph.Aliases {
			if a.Name == at {
				at, h.Transposed = a.Root, h.Transposed != a.Transposed
			}
		}
		if at == root {
			out = append(out, h)
		}
	}
	return out
}

// peftPrefix is what PEFT puts in front of names of the model that it wraps.
const peftPrefix = "base_model.model."

// peftTensors are lora_A [r,in] and lora_B [out,r] of a layer.
func (l *lora) peftTensors(module string, h checkpoints.Located, u adapt.LowRank, w *Weights) []safetensors.Tensor {
	rank := int64(l.options.Rank)
	from, to := h.From, cmp.Or(h.To, u.Out)
	b := make([]float32, 0, (to-from)*rank)
	all := w.of(u.B)
	for j := from; j < to; j++ {
		for k := range rank {
			b = append(b, all[k*u.Out+j])
		}
	}
	return []safetensors.Tensor{
		{Name: peftPrefix + module + ".lora_A.weight", DType: "F32", Shape: []int64{rank, u.In}, Floats: transposed(w.of(u.A), []int64{u.In, rank})},
		{Name: peftPrefix + module + ".lora_B.weight", DType: "F32", Shape: []int64{to - from, rank}, Floats: b},
	}
}

// flipped is the transpose of a rows×columns matrix.
// peftExtras adds the modules that were trained beside the updates, whole, as
// modules_to_save.
func (l *lora) peftExtras(tensors []safetensors.Tensor, c *peftConfig, names *checkpoints.Location, w *Weights) ([]safetensors.Tensor, error) {
	saved := map[string]bool{}
	for _, param := range w.Trained.Params() {
		if l.base.Graph.Inits[param.Name] == nil {
			continue
		}
		held := l.held(names, param.Name)
		if len(held) == 0 {
			return nil, fmt.Errorf("%w: no parameter of %s is found in %q", errNoNames, names.Class, param.Name)
		}
		for _, h := range held {
			saved[moduleOf(h.Name)] = true
		}
	}
	for _, h := range names.Parameters {
		if !saved[moduleOf(h.Name)] {
			continue
		}
		t, err := l.peftTensor(h, names, w)
		if err != nil {
			return nil, err
		}
		tensors = append(tensors, t)
	}
	if len(saved) > 0 {
		c.ModulesToSave = slices.Sorted(maps.Keys(saved))
	}
	return tensors, nil
}

// moduleOf is the module of a parameter's name.
func moduleOf(name string) string {
	i := strings.LastIndexByte(name, '.')
	return name[:max(i, 0)]
}

// peftTensor is a parameter as the checkpoint keeps it.
func (l *lora) peftTensor(h checkpoints.Located, names *checkpoints.Location, w *Weights) (safetensors.Tensor, error) {
	root := h.Initializer
	for _, a := range l.base.Graph.Aliases {
		if a.Name == root {
			root, h.Transposed = a.Root, h.Transposed != a.Transposed
		}
	}
	v := slices.Clone(w.of(root))
	if v == nil || h.To != 0 {
		return safetensors.Tensor{}, fmt.Errorf("%w: %q of %s does not lie in the model by itself", errNoNames, h.Name, names.Class)
	}
	if h.Transposed {
		v = transposed(v, []int64{h.Shape[1], h.Shape[0]})
	}
	for i := range v {
		v[i] += h.Offset
	}
	return safetensors.Tensor{Name: peftPrefix + h.Name, DType: "F32", Shape: h.Shape, Floats: v}, nil
}

// A peftConfig is adapter_config.json.
type peftConfig struct {
	PeftType      string   `json:"peft_type"`
	TaskType      *string  `json:"task_type"`
	Base          string   `json:"base_model_name_or_path"`
	InferenceMode bool     `json:"inference_mode"`
	R             int      `json:"r"`
	Alpha         float64  `json:"lora_alpha"`
	Dropout       float64  `json:"lora_dropout"`
	Bias          string   `json:"bias"`
	FanInFanOut   bool     `json:"fan_in_fan_out"`
	TargetModules []string `json:"target_modules"`
	ModulesToSave []string `json:"modules_to_save"`
}

// peftTask is PEFT's word for what a model ends in.
func peftTask(h checkpoints.Head) *string {
	words := map[checkpoints.Head]string{checkpoints.HeadLM: "CAUSAL_LM", checkpoints.HeadClassify: "SEQ_CLS"}
	if t, ok := words[h]; ok {
		return &t
	}
	return nil
}

// saveModel writes the model that takes the adapter: A and B are inputs with a default of
// 0, with which it is the model as it was, trained extras included.
func (l *lora) saveModel(dir string, w *Weights, metadata map[string]string) error {
	g := l.base.Graph.Clone()
	one := adapt.LoRA{Rank: 1, Alpha: 1, Source: l.options.source}
	weights := make([]string, len(l.updates))
	for i, u := range l.updates {
		weights[i] = u.Weight
	}
	updates, err := one.Apply(g, weights)
	if err != nil {
		return err
	}
	const rank = "lora_rank"
	for _, u := range updates {
		for name, dims := range map[string][]ir.DeclaredDim{
			u.A: {{Value: u.In}, {Value: -1, Param: rank}}, u.B: {{Value: -1, Param: rank}, {Value: u.Out}},
		} {
			t := g.Inits[name]
			g.Inits[name] = ir.NewFloat32(name, t.Dims, make([]float32, t.Len()))
			g.Overridable[name] = &ir.ValueInfo{Name: name, DType: ir.Float32, Dims: dims}
		}
	}
	for _, param := range w.Trained.Params() {
		if t := g.Inits[param.Name]; t != nil && l.base.Graph.Inits[param.Name] != nil {
			g.Inits[param.Name] = ir.NewFloat32(param.Name, t.Dims, w.of(param.Name))
		}
	}
	g.Metadata = maps.Clone(metadata)
	return g.Save(filepath.Join(dir, adapterModel))
}
