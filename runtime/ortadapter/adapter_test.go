package ortadapter_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ortadapter"
)

// The file says what was put in, read by the schema's slots: field k of a table is at
// offset 4+2k of its vtable.
func TestMarshal(t *testing.T) {
	data, err := ortadapter.Marshal(ortadapter.Adapter{Note: "NOT PRIVATE", Version: 3, ModelVersion: 4, Parameters: []ortadapter.Parameter{
		{Name: "p.A", Dims: []int64{2, 3}, Floats: []float32{0, 1, 2, 3, 4, 5}}, {Name: "p.B", Dims: []int64{3, 1}, Floats: []float32{6, 7, 8}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(data, []byte("NOT PRIVATE")) {
		t.Error("the note is not there")
	}
	if string(data[4:8]) != "TORT" {
		t.Errorf("identifier %q", data[4:8])
	}
	root := table(data, int(flatbuffers.GetUOffsetT(data)))
	for slot, want := range []int32{1, 3, 4} {
		if got := root.GetInt32Slot(flatbuffers.VOffsetT(4+2*slot), 0); got != want {
			t.Errorf("field %d of the adapter is %d, want %d", slot, got, want)
		}
	}
	list := flatbuffers.UOffsetT(root.Offset(10))
	if n := root.VectorLen(list); n != 2 {
		t.Fatalf("%d parameters", n)
	}
	want := []float32{6, 7, 8}
	b := table(data, int(root.Indirect(root.Vector(list)+flatbuffers.SizeUOffsetT)))
	if name := string(b.ByteVector(flatbuffers.UOffsetT(b.Offset(4)) + b.Pos)); name != "p.B" {
		t.Errorf("name %q", name)
	}
	dims := flatbuffers.UOffsetT(b.Offset(6))
	if b.VectorLen(dims) != 2 || b.GetInt64(b.Vector(dims)) != 3 || b.GetInt64(b.Vector(dims)+8) != 1 {
		t.Error("dims are not [3,1]")
	}
	raw := b.Vector(flatbuffers.UOffsetT(b.Offset(10)))
	if raw%8 != 0 {
		t.Errorf("the data begin at byte %d, not a multiple of 8", raw)
	}
	for i, w := range want {
		if v := math.Float32frombits(binary.LittleEndian.Uint32(data[int(raw)+4*i:])); v != w {
			t.Errorf("value %d is %g, want %g", i, v, w)
		}
	}
}

func table(data []byte, pos int) *flatbuffers.Table {
	return &flatbuffers.Table{Bytes: data, Pos: flatbuffers.UOffsetT(pos)}
}

func TestMarshalRefusesWrongDims(t *testing.T) {
	_, err := ortadapter.Marshal(ortadapter.Adapter{Parameters: []ortadapter.Parameter{{Name: "p", Dims: []int64{2}, Floats: []float32{1}}}})
	if err == nil || !strings.Contains(err.Error(), `"p"`) {
		t.Errorf("error %v", err)
	}
}
