package convert

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// QuantizeOptions of a model for serving.
type QuantizeOptions struct {
	Bits int64 // 4 or 8
	// Block is how many weights share a scale: a power of two from 16; 0 is 32.
	Block int64
	// Symmetric codes have no zero points: a little smaller, a little worse.
	Symmetric bool
	// Head quantises the layers that make the outputs too.
	Head bool
	// Library is the onnxruntime library, with which the accuracy is measured.
	Library string
}

// QuantizationKey is the key of metadata_props under which a Quantization stands.
const QuantizationKey = "ghostwriter.quantization"

// A Quantization says what became of a model, and what it costs.
type Quantization struct {
	Bits      int64 `json:"bits"`
	Block     int64 `json:"block_size"`
	Symmetric bool  `json:"symmetric"`
	Layers    int   `json:"layers"` // linear layers that were quantised
	// Bytes of all initializers before and after.
	BytesBefore int64 `json:"bytes_before"`
	BytesAfter  int64 `json:"bytes_after"`
	// Accuracy on a seeded batch of random token ids.
	Accuracy *Accuracy `json:"accuracy"`
}

// An Accuracy compares the outputs of a quantised model with those of the original.
type Accuracy struct {
	Output         string  `json:"output"`
	Rows           int64   `json:"rows"` // predictions that were compared
	MaxDifference  float64 `json:"max_difference"`
	MeanDifference float64 `json:"mean_difference"`
	MeanValue      float64 `json:"mean_value"` // mean magnitude of the original's outputs
	// Top1 is the share of predictions whose largest logit is the same.
	Top1 float64 `json:"top1_agreement"`
}

// A QuantizeReport says what was written.
type QuantizeReport struct {
	Out   string `json:"out"`
	Bytes int64  `json:"bytes"`
	Quantization
}

// inOneFile refuses one of a model's several files.
func inOneFile(file string) error {
	if partOf(file) == "" || !isFile(filepath.Join(filepath.Dir(file), "encoder_model.onnx")) {
		return nil
	}
	return bad("%s is one of a model's several files; a model in one file is what is taken here: convert it without --cache", file)
}

func (o QuantizeOptions) check() (QuantizeOptions, error) {
	if o.Bits != 4 && o.Bits != 8 {
		return o, bad("weights of %d bits; 4 and 8 are written", o.Bits)
	}
	if o.Block == 0 {
		o.Block = 32
	}
	if o.Block < 16 || o.Block > 256 || o.Block&(o.Block-1) != 0 {
		return o, bad("blocks of %d weights; 16, 32, 64, 128 and 256 are possible", o.Block)
	}
	return o, nil
}

// Quantize writes the model at src, a directory or a file, to the directory dst
// with the weights of its linear layers in 4 or 8 bits (MatMulNBits of
// onnxruntime), for serving: embeddings, norms, biases and, unless asked for, the
// layers that make the outputs keep theirs. Activations stay floating, so that no
// record's answer depends on the records beside it. It measures what that costs.
func Quantize(ctx context.Context, src, dst string, o QuantizeOptions) (*QuantizeReport, error) {
	o, err := o.check()
	if err != nil {
		return nil, err
	}
	file, err := ir.Locate(src)
	if err != nil {
		return nil, err
	}
	m, err := ir.Open(file)
	if err != nil {
		return nil, err
	}
	if err := inOneFile(file); err != nil {
		return nil, err
	}
	g := m.Graph()
	if err := unquantised(g); err != nil {
		return nil, err
	}
	r := &QuantizeReport{Out: dst, Quantization: Quantization{Bits: o.Bits, Block: o.Block, Symmetric: o.Symmetric, BytesBefore: g.WeightBytes()}}
	q := &quantizer{g: g, options: o, coded: map[string][]*ir.Tensor{}}
	if r.Layers, err = q.run(); err != nil {
		return nil, err
	}
	if r.Layers == 0 {
		return nil, bad("%s: no linear layer has a weight of its own to quantise", file)
	}
	r.BytesAfter = g.WeightBytes()
	dir := filepath.Dir(file)
	return r, Directory(ctx, dst, func(tmp string) error {
		path := filepath.Join(tmp, "model.onnx")
		g.Metadata = m.Metadata()
		if err := g.SaveAs(path, ir.SaveOptions{}); err != nil {
			return err
		}
		if r.Accuracy, err = measure(ctx, o.Library, m, path, configOrNone(dir)); err != nil {
			return err
		}
		text, err := json.Marshal(r.Quantization)
		if err != nil {
			return err
		}
		g.Metadata[QuantizationKey] = string(text)
		if err := g.SaveAs(path, ir.SaveOptions{}); err != nil {
			return err
		}
		if err := carryFiles(ctx, dir, tmp, append([]string{"config.json"}, carried...)); err != nil {
			return err
		}
		r.Bytes, err = treeBytes(tmp)
		return err
	})
}

// A quantizer rewrites a graph's products.
type quantizer struct {
	g       *ir.Graph
	options QuantizeOptions
	coded   map[string][]*ir.Tensor // by weight and its orientation
	layers  int
}

func (q *quantizer) run() (int, error) {
	f := &useFinder{g: q.g, producer: q.g.Index().Producer, linear: map[string]*paramUse{}}
	heads := q.outputLayers(f.producer)
	var nodes []*ir.Node
	for _, n := range q.g.Nodes {
		var u *paramUse
		if n.Is("MatMul") || n.Is("Gemm") && n.Int("transA", 0) == 0 && n.Float("alpha", 1) == 1 && n.Float("beta", 1) == 1 {
			u = f.product(n, n.Is("Gemm") && n.Int("transB", 0) != 0)
		}
		if u == nil || heads[n] && !q.options.Head || u.offset != 0 || u.shape()[0] < 16 {
			nodes = append(nodes, n)
			continue
		}
		replaced, err := q.replace(n, u, f)
		if err != nil {
			return 0, fmt.Errorf("%v: %w", n, err)
		}
		nodes = append(nodes, replaced...)
		q.layers++
	}
	q.g.Nodes = nodes
	if q.layers > 0 {
		q.g.Opset["com.microsoft"] = 1
	}
	q.g.Prune()
	return q.layers, q.g.Sort()
}

// outputLayers are the products that make a graph output, up to what keeps a row's
// elements together.
func (q *quantizer) outputLayers(producer map[string]*ir.Node) map[*ir.Node]bool {
	out := map[*ir.Node]bool{}
	for _, o := range q.g.Outputs {
		value := o.Name
		for range 8 {
			n := producer[value]
			if n == nil {
				break
			}
			if n.Is("MatMul") || n.Is("Gemm") {
				out[n] = true
				break
			}
			if !slices.Contains([]string{"Add", "Identity", "Cast", "Reshape", "Mul", "Squeeze"}, n.Op) {
				break
			}
			value = n.Input(0)
			if _, constant := q.g.Inits[value]; constant {
				value = n.Input(1)
			}
		}
	}
	return out
}

// replace writes MatMulNBits, and the addition of a Gemm, instead of a product.
func (q *quantizer) replace(n *ir.Node, u *paramUse, f *useFinder) ([]*ir.Node, error) {
	key := fmt.Sprint(u.tensor.Name, u.flipped)
	shape := u.shape()
	if q.coded[key] == nil {
		tensors, err := q.code(u, shape, q.computedIn(n, f.producer))
		if err != nil {
			return nil, err
		}
		for _, t := range tensors {
			q.g.AddInit(t)
		}
		q.coded[key] = tensors
	}
	product := &ir.Node{
		Name: n.Name + "_nbits", Op: "MatMulNBits", Domain: "com.microsoft", Scope: n.Scope,
		Inputs: []string{n.Input(0)}, Outputs: []string{n.Output(0)},
		Attrs: ir.Attrs{"K": shape[0], "N": shape[1], "bits": q.options.Bits, "block_size": q.options.Block},
	}
	for _, t := range q.coded[key] {
		product.Inputs = append(product.Inputs, t.Name)
	}
	if n.Input(2) == "" {
		return []*ir.Node{product}, nil
	}
	product.Outputs = []string{q.g.FreshName(n.Output(0) + "_product")}
	add := &ir.Node{Name: n.Name + "_bias", Op: "Add", Scope: n.Scope, Inputs: []string{product.Outputs[0], n.Input(2)}, Outputs: n.Outputs, Attrs: ir.Attrs{}}
	return []*ir.Node{product, add}, nil
}

// code reads a weight as [in,out] and encodes it.
func (q *quantizer) code(u *paramUse, shape []int64, of ir.DType) ([]*ir.Tensor, error) {
	w, err := u.tensor.Float32s()
	if err != nil {
		return nil, err
	}
	for _, v := range w {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, bad("weight %q holds %g, which has no code", u.tensor.Name, v)
		}
	}
	if u.flipped {
		w = transposedFloats(w, shape[1], shape[0])
	}
	name := u.tensor.Name
	if q.coded[fmt.Sprint(name, !u.flipped)] != nil {
		name += "_transposed"
	}
	return encodeBlocks(w, shape[0], shape[1], q.options.Bits, q.options.Block, q.options.Symmetric).tensors(q.g.FreshName(name+"_nbits"), of)
}

// computedIn is the type in which a product is computed: its weight's, behind the
// casts.
func (q *quantizer) computedIn(n *ir.Node, producer map[string]*ir.Node) ir.DType {
	value := n.Input(1)
	for {
		if t, ok := q.g.Inits[value]; ok {
			return t.DType
		}
		p := producer[value]
		if p.Is("Cast") {
			return ir.DType(p.Int("to", int64(ir.Float32)))
		}
		value = p.Input(0)
	}
}

// transposedFloats returns rows×columns numbers as columns×rows.
func transposedFloats(v []float32, rows, columns int64) []float32 {
	out := make([]float32, len(v))
	for i := range rows {
		for j := range columns {
			out[j*rows+i] = v[i*columns+j]
		}
	}
	return out
}

// configOrNone reads a directory's config.json; nil where there is none that says
// how long the vocabulary is.
func configOrNone(dir string) *Config {
	c, err := readConfig(filepath.Join(dir, "config.json"))
	if err != nil || !c.Has("vocab_size") {
		return nil
	}
	return c
}

// measure runs both models on a seeded batch of random token ids.
func measure(ctx context.Context, library string, m *ir.Model, path string, c *Config) (*Accuracy, error) {
	env, err := ort.Load(library)
	if err != nil {
		return nil, err
	}
	if c == nil {
		if c, err = configFromGraph(m.Graph()); err != nil {
			return nil, err
		}
	}
	p := newProbe(c, 4, 64, 1)
	want, err := p.runFiles(ctx, env, m.Path)
	if err != nil {
		return nil, bad("the accuracy of a quantised model is measured, but the model can't be run on token ids: %w", err)
	}
	got, err := p.runFiles(ctx, env, path)
	if err != nil {
		return nil, err
	}
	name, a, ok := mainOutput(want)
	if !ok {
		return nil, bad("the model has outputs %v, none of them logits or last_hidden_state", sortedKeys(want))
	}
	return accuracyOf(name, a, got[name]), nil
}

// accuracyOf compares outputs row by row along the last axis.
func accuracyOf(name string, want, got floatTensor) *Accuracy {
	r := &Accuracy{Output: name}
	width := max(1, want.shape[len(want.shape)-1])
	r.Rows = int64(len(want.values)) / width
	same := int64(0)
	for i := range r.Rows {
		a, b := want.values[i*width:(i+1)*width], got.values[i*width:(i+1)*width]
		if largest(a) == largest(b) {
			same++
		}
		for k := range a {
			d := math.Abs(float64(a[k]) - float64(b[k]))
			r.MaxDifference = max(r.MaxDifference, d)
			r.MeanDifference += d / float64(len(want.values))
			r.MeanValue += math.Abs(float64(a[k])) / float64(len(want.values))
		}
	}
	r.Top1 = float64(same) / float64(max(1, r.Rows))
	return r
}

func largest(v []float32) int {
	best := 0
	for i, x := range v {
		if x > v[best] {
			best = i
		}
	}
	return best
}

// configFromGraph finds the vocabulary of a model without config.json: the rows of
// the table that input_ids look up.
func configFromGraph(g *ir.Graph) (*Config, error) {
	for _, n := range g.Nodes {
		if t, ok := g.Inits[n.Input(0)]; ok && n.Is("Gather") && n.Input(1) == "input_ids" && len(t.Dims) == 2 {
			return ParseConfig(fmt.Appendf(nil, `{"model_type": "unknown", "vocab_size": %d}`, t.Dims[0]))
		}
	}
	return nil, bad("the accuracy of a quantised model is measured on token ids, but neither config.json nor the graph says how many there are")
}
