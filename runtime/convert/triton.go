package convert

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
)

// TritonOptions of a conversion to a Triton model repository.
type TritonOptions struct {
	// Name of the model in the repository; "" is the model directory's.
	Name string
	// MaxBatch is the largest batch that Triton sends; 0 is 64.
	MaxBatch int64
}

// A TritonReport says what was written.
type TritonReport struct {
	Out      string `json:"out"` // REPOSITORY/NAME
	Name     string `json:"name"`
	Config   string `json:"config"` // the text of config.pbtxt
	MaxBatch int64  `json:"max_batch_size"`
	// Joined says that Triton joins requests into batches; WhyNot says why not.
	Joined bool   `json:"dynamic_batching"`
	WhyNot string `json:"not_joined,omitempty"`
	Bytes  int64  `json:"bytes"`
}

var tritonName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// ToTriton writes the model at src, a directory or a file, as
// REPOSITORY/NAME/{config.pbtxt,1/model.onnx} for Triton's onnxruntime backend, with
// the tokenizer and the privacy statement beside them, which Triton leaves alone.
// REPOSITORY may hold other models; NAME must not exist there or be empty.
func ToTriton(ctx context.Context, src, repository string, o TritonOptions) (*TritonReport, error) {
	file, err := locate(src)
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
	dir := filepath.Dir(file)
	if filepath.Base(dir) == "onnx" && !isFile(filepath.Join(dir, "config.json")) {
		dir = filepath.Dir(dir)
	}
	if o.Name == "" {
		if o.Name, err = nameOf(dir); err != nil {
			return nil, err
		}
	}
	if !tritonName.MatchString(o.Name) {
		return nil, bad("%q is no name of a Triton model: letters, digits, '_', '-' and '.' make one; choose one with --name", o.Name)
	}
	if o.MaxBatch == 0 {
		o.MaxBatch = 64
	}
	if o.MaxBatch < 0 || o.MaxBatch > 1<<20 {
		return nil, bad("a batch of %d; 1 to %d are possible", o.MaxBatch, 1<<20)
	}
	r := &TritonReport{Name: o.Name, Out: filepath.Join(repository, o.Name)}
	t := &tritonConfig{name: o.Name}
	if err := t.describe(m.Graph(), o.MaxBatch); err != nil {
		return nil, err
	}
	if t.maxBatch > 0 {
		r.WhyNot = t.join(m)
	} else {
		r.WhyNot = "an input or an output has no free first axis"
	}
	t.labels = labelNames(dir)
	r.Config, r.MaxBatch, r.Joined = t.text(), t.maxBatch, t.joined
	return r, Directory(ctx, r.Out, func(tmp string) error { return t.write(ctx, m, dir, tmp, r) })
}

// nameOf is the name of a directory.
func nameOf(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	return filepath.Base(abs), err
}

// A tritonConfig becomes config.pbtxt.
type tritonConfig struct {
	name            string
	maxBatch        int64
	inputs, outputs []tritonTensor
	joined          bool
	labels          []string // of the classes, nil for none
}

// A tritonTensor is an input or an output, without the batch axis where there is
// one.
type tritonTensor struct {
	name  string
	dtype string
	dims  []int64 // −1 for free ones
}

// tritonTypes by ONNX element type.
var tritonTypes = map[ir.DType]string{
	ir.Bool: "TYPE_BOOL", ir.Uint8: "TYPE_UINT8", 4: "TYPE_UINT16", 12: "TYPE_UINT32", ir.Uint64: "TYPE_UINT64",
	ir.Int8: "TYPE_INT8", 5: "TYPE_INT16", ir.Int32: "TYPE_INT32", ir.Int64: "TYPE_INT64",
	ir.Float16: "TYPE_FP16", ir.Float32: "TYPE_FP32", ir.Float64: "TYPE_FP64", ir.BFloat16: "TYPE_BF16", ir.String: "TYPE_STRING",
}

// describe reads the model's inputs and outputs. Their first axis is the batch
// where it is free in all of them.
func (t *tritonConfig) describe(g *ir.Graph, maxBatch int64) error {
	outputs, err := outputShapes(g)
	if err != nil {
		return err
	}
	batched := true
	for _, v := range append(append([]*ir.ValueInfo{}, g.Inputs...), outputs...) {
		if v.Dims == nil {
			return bad("the model declares no shape for %q, which Triton asks for", v.Name)
		}
		batched = batched && len(v.Dims) > 0 && free(v.Dims[0])
	}
	for _, v := range g.Inputs { // an axis of another name is no batch
		batched = batched && (v.Dims[0].Param == "" || g.Inputs[0].Dims[0].Param == "" || v.Dims[0].Param == g.Inputs[0].Dims[0].Param)
	}
	if batched {
		t.maxBatch = maxBatch
	}
	for _, group := range []struct {
		from []*ir.ValueInfo
		to   *[]tritonTensor
	}{{g.Inputs, &t.inputs}, {outputs, &t.outputs}} {
		for _, v := range group.from {
			dtype, ok := tritonTypes[v.DType]
			if !ok {
				return bad("%q holds %v, which Triton does not carry", v.Name, v.DType)
			}
			x := tritonTensor{name: v.Name, dtype: dtype}
			for i, d := range v.Dims {
				switch {
				case i == 0 && batched:
				case free(d):
					x.dims = append(x.dims, -1)
				default:
					x.dims = append(x.dims, d.Value)
				}
			}
			*group.to = append(*group.to, x)
		}
	}
	return nil
}

func free(d ir.DeclaredDim) bool { return d.Param != "" || d.Value < 0 }

// outputShapes are the declared outputs, their shapes inferred where they are not
// declared.
func outputShapes(g *ir.Graph) ([]*ir.ValueInfo, error) {
	var out []*ir.ValueInfo
	var values *infer.Values
	for _, v := range g.Outputs {
		if v.Dims == nil {
			if values == nil {
				var err error
				if values, err = infer.Graph(g, nil); err != nil {
					return nil, err
				}
			}
			if info := values.Of(v.Name); info.Ranked {
				c := *v
				c.Dims = []ir.DeclaredDim{}
				for _, d := range info.Shape {
					if n, ok := d.Const(); ok {
						c.Dims = append(c.Dims, ir.DeclaredDim{Value: n})
					} else {
						c.Dims = append(c.Dims, ir.DeclaredDim{Value: -1})
					}
				}
				v = &c
			}
		}
		out = append(out, v)
	}
	return out, nil
}

// join lets Triton join requests where every output is proven to keep rows apart;
// otherwise it says why not.
func (t *tritonConfig) join(m *ir.Model) string {
	p, err := ghost.Prepare(m, "", "")
	if err != nil {
		return fmt.Sprintf("the graph could not be analysed: %v", err)
	}
	if len(p.Left) > 0 {
		return fmt.Sprintf("input %q is a cache or a switch", p.Left[0])
	}
	for _, o := range t.outputs {
		if err := p.Proof.Check(o.name); err != nil {
			return err.Error()
		}
	}
	t.joined = true
	return ""
}

// labelNames are the names of the classes in a directory's config.json, nil where
// it has none or is no classifier.
func labelNames(dir string) []string {
	c, err := readConfig(filepath.Join(dir, "config.json"))
	if err != nil {
		return nil
	}
	classifier := false
	for _, a := range c.Strs("architectures") {
		classifier = classifier || strings.HasSuffix(a, "ForSequenceClassification")
	}
	names := map[string]string{}
	if _, ok := c.value(&names, "an object of texts", []string{"id2label"}); !ok || !classifier {
		return nil
	}
	out := make([]string, len(names))
	for i := range out {
		if out[i] = names[strconv.Itoa(i)]; out[i] == "" || strings.ContainsAny(out[i], "\r\n") {
			return nil
		}
	}
	return out
}

// write fills the model's directory.
func (t *tritonConfig) write(ctx context.Context, m *ir.Model, dir, tmp string, r *TritonReport) error {
	if err := os.Mkdir(filepath.Join(tmp, "1"), 0o755); err != nil {
		return err
	}
	if err := m.WriteBack(filepath.Join(tmp, "1", "model.onnx"), ir.Patch{}); err != nil {
		return err
	}
	if err := durable.WriteBytes(filepath.Join(tmp, "config.pbtxt"), 0o644, []byte(r.Config)); err != nil {
		return err
	}
	if strings.Contains(r.Config, "labels.txt") {
		if err := durable.WriteBytes(filepath.Join(tmp, "labels.txt"), 0o644, []byte(strings.Join(t.labels, "\n")+"\n")); err != nil {
			return err
		}
	}
	if err := carry(ctx, dir, tmp); err != nil {
		return err
	}
	if err := carryFiles(ctx, dir, tmp, []string{"config.json"}); err != nil {
		return err
	}
	var err error
	r.Bytes, err = treeBytes(tmp)
	return err
}
