package ir

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

// A large tensor stays in the file: the model that was opened goes on reading the
// file that it opened when another takes its place, and refuses one that is
// written over.
func TestLargeTensorsStayInTheFile(t *testing.T) {
	write := func(path string, fill byte) {
		t.Helper()
		init := func(name string, n int64) *onnxpb.TensorProto {
			return &onnxpb.TensorProto{Name: proto.String(name), DataType: proto.Int32(int32(Float32)), Dims: []int64{n}, RawData: bytes.Repeat([]byte{fill}, int(4*n))}
		}
		value := &onnxpb.ValueInfoProto{Name: proto.String("y")}
		data, err := proto.Marshal(&onnxpb.ModelProto{
			IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(17)}},
			Graph: &onnxpb.GraphProto{
				Name: proto.String("g"), Initializer: []*onnxpb.TensorProto{init("small", 3), init("large", largeTensor)}, Output: []*onnxpb.ValueInfoProto{value},
				Node: []*onnxpb.NodeProto{{OpType: proto.String("Add"), Input: []string{"large", "large"}, Output: []string{"y"}}},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "model.onnx")
	write(path, 1)
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if large, small := m.graph.Inits["large"], m.graph.Inits["small"]; large.raw != nil || large.in == nil || small.raw == nil {
		t.Error("the large tensor is held in memory, or the small one is not")
	}
	original, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := path + ".new"
	write(other, 2)
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"small", "large"} {
		got, err := m.graph.Inits[name].Bytes()
		if err != nil || bytes.Count(got, []byte{1}) != len(got) || len(got) != int(4*m.graph.Inits[name].Len()) {
			t.Errorf("%s: %v; it reads the file that took its model's place", name, err)
		}
	}
	back := filepath.Join(t.TempDir(), "back.onnx")
	if err := m.WriteBack(back, Patch{}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, original) {
		t.Errorf("written back without a change it is another file (%v)", err)
	}
	if m, err = Open(path); err != nil {
		t.Fatal(err)
	}
	write(path, 3)
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Second)); err != nil { // whatever the clock's grain
		t.Fatal(err)
	}
	if _, err := m.graph.Inits["large"].Bytes(); !errors.Is(err, ErrInvalid) {
		t.Errorf("a file that was written over is read: %v", err)
	}
	if err := m.WriteBack(back, Patch{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a file that was written over is written back: %v", err)
	}
}
