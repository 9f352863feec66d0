// Package nodecases reads ONNX's own operator tests: a folder per case with
// model.onnx and test_data_set_0/input_N.pb.
package nodecases

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// maxOpset is the newest opset that the reader takes. A newer case is tried
// under it: either its operator did not change since, or the runtime refuses.
const maxOpset = 23

// A Case is one operator test.
type Case struct {
	Name  string
	Model []byte
	// Feeds holds the inputs' numbers by name. It is nil where an input is no
	// tensor or of a type that the runtime package does not carry; Why says.
	Feeds map[string]*ort.Tensor
	Why   string
}

// Names lists the cases of a folder, sorted; an error where it is absent.
func Names(folder string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*", "model.onnx"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("the folder %s holds no operator tests", folder)
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = filepath.Base(filepath.Dir(f))
	}
	slices.Sort(names)
	return names, nil
}

// Read reads one case.
func Read(folder, name string) (*Case, error) {
	dir := filepath.Join(folder, name)
	data, err := os.ReadFile(filepath.Join(dir, "model.onnx"))
	if err != nil {
		return nil, err
	}
	pb := &onnxpb.ModelProto{}
	if err := proto.Unmarshal(data, pb); err != nil {
		return nil, err
	}
	for _, o := range pb.GetOpsetImport() {
		if o.GetDomain() == "" && o.GetVersion() > maxOpset {
			v := int64(maxOpset)
			o.Version = &v
		}
	}
	c := &Case{Name: name}
	if c.Model, err = proto.Marshal(pb); err != nil {
		return nil, err
	}
	c.Feeds = map[string]*ort.Tensor{}
	for i, in := range pb.GetGraph().GetInput() {
		if in.GetType().GetTensorType() == nil {
			c.Feeds, c.Why = nil, fmt.Sprintf("input %q is no tensor", in.GetName())
			return c, nil
		}
		t, err := readTensor(filepath.Join(dir, "test_data_set_0", fmt.Sprintf("input_%d.pb", i)))
		if err != nil {
			c.Feeds, c.Why = nil, fmt.Sprintf("input %q: %v", in.GetName(), err)
			return c, nil
		}
		c.Feeds[in.GetName()] = t
	}
	return c, nil
}

func readTensor(file string) (*ort.Tensor, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pb := &onnxpb.TensorProto{}
	if err := proto.Unmarshal(data, pb); err != nil {
		return nil, err
	}
	t, err := ir.ParseTensor(pb)
	if err != nil {
		return nil, err
	}
	raw, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	if ort.DType(t.DType).Size() == 0 {
		return nil, fmt.Errorf("element type %v is not carried", t.DType)
	}
	out, err := ort.NewZeros(ort.DType(t.DType), t.Dims)
	if err != nil {
		return nil, err
	}
	copy(out.Bytes(), raw)
	return out, nil
}

// Widened returns a floating tensor as float32, and others as they are.
func Widened(x *ort.Tensor) (*ort.Tensor, error) {
	if d := ir.DType(x.DType()); !d.IsFloat() {
		return x, nil
	}
	f, err := ir.NewRaw("", ir.DType(x.DType()), x.Shape(), x.Bytes()).Float32s()
	if err != nil {
		return nil, err
	}
	return ort.NewTensor(x.Shape(), f)
}
