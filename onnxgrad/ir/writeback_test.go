package ir_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

func names(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob(models + "/*/model.onnx")
	if err != nil || len(dirs) < 20 {
		t.Fatalf("%d models, %v", len(dirs), err)
	}
	for i, d := range dirs {
		dirs[i] = filepath.Base(filepath.Dir(d))
	}
	return dirs
}

func read(t *testing.T, path string) *onnxpb.ModelProto {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := &onnxpb.ModelProto{}
	if err := proto.Unmarshal(data, m); err != nil {
		t.Fatal(err)
	}
	return m
}

func open(t *testing.T, path string) *ir.Model {
	t.Helper()
	m, err := ir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// An empty patch writes the same model, unknown fields included.
func TestWriteBackChangesNothing(t *testing.T) {
	for _, name := range names(t) {
		m := message(t, name)
		unknown := protowire.AppendTag(nil, 4001, protowire.BytesType)
		unknown = protowire.AppendBytes(unknown, []byte("from a newer exporter"))
		m.ProtoReflect().SetUnknown(unknown)
		m.Graph.Node[0].ProtoReflect().SetUnknown(unknown)
		path := write(t, m)
		out := filepath.Join(t.TempDir(), "model.onnx")
		if err := open(t, path).WriteBack(out, ir.Patch{}); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(m, read(t, out)) {
			t.Errorf("%s changed", name)
		}
	}
}

// A patch changes the tensors that it names and its metadata, nothing else.
func TestWriteBackChangesWhatItNames(t *testing.T) {
	for _, name := range names(t) {
		m := message(t, name)
		m.MetadataProps = append(m.MetadataProps, &onnxpb.StringStringEntryProto{Key: proto.String("kept"), Value: proto.String("yes")})
		var target *onnxpb.TensorProto
		for _, x := range m.Graph.Initializer {
			if x.GetDataType() == 1 && len(x.Dims) == 2 {
				target = x
			}
		}
		values := make([]float32, target.Dims[0]*target.Dims[1])
		for i := range values {
			values[i] = float32(i) / 7
		}
		out := filepath.Join(t.TempDir(), "model.onnx")
		patch := ir.Patch{Weights: map[string][]float32{target.GetName(): values}, Metadata: map[string]string{"ghostwriter.privacy": "test"}}
		if err := open(t, write(t, m)).WriteBack(out, patch); err != nil {
			t.Fatal(err)
		}
		got := open(t, out)
		v, err := got.Graph().Inits[target.GetName()].Float32s()
		if err != nil || len(v) != len(values) || v[1] != values[1] || v[len(v)-1] != values[len(v)-1] {
			t.Errorf("%s: the values read back are others: %v", name, err)
		}
		after := read(t, out)
		if len(after.MetadataProps) != len(m.MetadataProps)+1 {
			t.Errorf("%s: metadata %v", name, after.MetadataProps)
		}
		after.MetadataProps = m.MetadataProps
		for i, x := range after.Graph.Initializer {
			if x.GetName() == target.GetName() {
				after.Graph.Initializer[i] = target
			}
		}
		if !proto.Equal(m, after) {
			t.Errorf("%s: something else changed", name)
		}
	}
}

// Half precision is rounded to nearest, ties to even; what does not fit is an
// error and writes nothing.
func TestWriteBackRounds(t *testing.T) {
	for dtype, want := range map[int32]float32{10: 1.0009766, 16: 1.0078125, 11: 1.001, 1: 1.001} {
		m := message(t, "gpt2-ts17")
		x := &onnxpb.TensorProto{Name: proto.String("half"), DataType: proto.Int32(dtype), Dims: []int64{2}, RawData: make([]byte, 2*map[int32]int{10: 2, 16: 2, 11: 8, 1: 4}[dtype])}
		m.Graph.Initializer = append(m.Graph.Initializer, x)
		out := filepath.Join(t.TempDir(), "model.onnx")
		in := float32(1.001)
		if dtype == 16 {
			in = 1.006
		}
		file := open(t, write(t, m))
		if err := file.WriteBack(out, ir.Patch{Weights: map[string][]float32{"half": {in, -2}}}); err != nil {
			t.Fatal(err)
		}
		v, err := open(t, out).Graph().Inits["half"].Float32s()
		if err != nil || math.Abs(float64(v[0]-want)) > 1e-6 || v[1] != -2 {
			t.Errorf("type %d: %v, want %g: %v", dtype, v, want, err)
		}
		if dtype != 10 {
			continue
		}
		lost := filepath.Join(t.TempDir(), "model.onnx")
		if err := file.WriteBack(lost, ir.Patch{Weights: map[string][]float32{"half": {1e6, 0}}}); err == nil || !strings.Contains(err.Error(), "half") {
			t.Errorf("1e6 as float16: %v", err)
		}
		if _, err := os.Stat(lost); err == nil {
			t.Error("a model was written all the same")
		}
	}
}

// Weights outside the file are replaced there, and the model still finds them.
func TestWriteBackOfExternalData(t *testing.T) {
	m := message(t, "bert-dyn18")
	path := write(t, m)
	var data bytes.Buffer
	var target *onnxpb.TensorProto
	for _, x := range m.Graph.Initializer {
		if x.GetDataType() != 1 || len(x.RawData) < 256 {
			continue
		}
		offset := data.Len()
		data.Write(x.RawData)
		x.ExternalData = []*onnxpb.StringStringEntryProto{
			{Key: proto.String("location"), Value: proto.String("weights.bin")},
			{Key: proto.String("offset"), Value: proto.String(strconv.Itoa(offset))}, {Key: proto.String("length"), Value: proto.String(strconv.Itoa(len(x.RawData)))},
		}
		x.RawData, x.DataLocation, target = nil, onnxpb.TensorProto_EXTERNAL.Enum(), x
	}
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "weights.bin"), data.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	n := int64(1)
	for _, d := range target.Dims {
		n *= d
	}
	values := make([]float32, n)
	for i := range values {
		values[i] = 3
	}
	out := filepath.Join(t.TempDir(), "model.onnx")
	if err := open(t, path).WriteBack(out, ir.Patch{Weights: map[string][]float32{target.GetName(): values}}); err != nil {
		t.Fatal(err)
	}
	before, after := open(t, path).Graph(), open(t, out).Graph()
	changed := 0
	for name, x := range after.Inits {
		if !x.DType.IsFloat() {
			continue
		}
		a, err := x.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		b, err := before.Inits[name].Float32s()
		if err != nil {
			t.Fatal(err)
		}
		for i := range a {
			if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
				changed++
				if name != target.GetName() || a[i] != 3 {
					t.Fatalf("%s[%d] changed to %g", name, i, a[i])
				}
			}
		}
	}
	if changed == 0 {
		t.Error("nothing changed")
	}
}

// A patch that fits nothing is refused before anything is written.
func TestWriteBackRefuses(t *testing.T) {
	m := message(t, "gpt2-ts17")
	for what, patch := range map[string]ir.Patch{
		"an unknown name": {Weights: map[string][]float32{"nobody": {1}}},
		"a wrong size":    {Weights: map[string][]float32{m.Graph.Initializer[0].GetName(): {1}}},
	} {
		out := filepath.Join(t.TempDir(), "model.onnx")
		if err := open(t, write(t, m)).WriteBack(out, patch); err == nil {
			t.Errorf("%s was taken", what)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: a file was written", what)
		}
	}
}
