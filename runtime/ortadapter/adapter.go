// Package ortadapter writes onnxruntime's adapter files (.onnx_adapter): values for inputs
// of a model that a session takes from a run's options (LoraAdapter in its APIs) instead of
// from the feeds.
//
// The format is a FlatBuffer, by the schema onnxruntime/lora/adapter_format/adapter_schema.fbs
// of onnxruntime:
//
//	table Parameter { name:string; dims:[int64]; data_type:int32; raw_data:[uint8] (align 8); }
//	table Adapter   { format_version:int; adapter_version:int; model_version:int; parameters:[Parameter]; }
//
// with the file identifier TORT. Fields are numbered in that order.
package ortadapter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	flatbuffers "github.com/google/flatbuffers/go"
)

// An Adapter is what a file holds.
type Adapter struct {
	Version      int32 // of the adapter, the caller's
	ModelVersion int32 // of the model that it fits, the caller's
	Parameters   []Parameter
	// Note lies in the file for people and strings(1): the format has no field for it.
	Note string
}

// A Parameter is the value of one input.
type Parameter struct {
	Name   string
	Dims   []int64
	Floats []float32
}

const (
	formatVersion = 1
	identifier    = "TORT"
	float32Type   = 1       // TensorDataType.FLOAT
	limit         = 1 << 31 // of a FlatBuffer
)

// Slots of the tables' fields.
const (
	slotName, slotDims, slotType, slotData      = 0, 1, 2, 3
	slotFormat, slotVersion, slotModel, slotAll = 0, 1, 2, 3
)

// Marshal returns the file. An error says that a parameter's dims do not fit its values, or
// that all together are more than a FlatBuffer holds.
func Marshal(a Adapter) ([]byte, error) {
	size := len(a.Note)
	for _, p := range a.Parameters {
		n := int64(1)
		for _, d := range p.Dims {
			n *= d
		}
		if n != int64(len(p.Floats)) {
			return nil, fmt.Errorf("adapter parameter %q: %d values for dims %v", p.Name, len(p.Floats), p.Dims)
		}
		size += 4*len(p.Floats) + len(p.Name) + 256
	}
	if size >= limit {
		return nil, errors.New("the adapter has more than 2 GiB, which onnxruntime's format does not hold")
	}
	b := flatbuffers.NewBuilder(size)
	if a.Note != "" {
		b.CreateString(a.Note)
	}
	offsets := make([]flatbuffers.UOffsetT, len(a.Parameters))
	for i, p := range a.Parameters {
		offsets[i] = parameter(b, p)
	}
	b.StartVector(flatbuffers.SizeUOffsetT, len(offsets), flatbuffers.SizeUOffsetT)
	for i := len(offsets) - 1; i >= 0; i-- {
		b.PrependUOffsetT(offsets[i])
	}
	all := b.EndVector(len(offsets))
	b.StartObject(4)
	b.PrependInt32Slot(slotFormat, formatVersion, 0)
	b.PrependInt32Slot(slotVersion, a.Version, 0)
	b.PrependInt32Slot(slotModel, a.ModelVersion, 0)
	b.PrependUOffsetTSlot(slotAll, all, 0)
	b.FinishWithFileIdentifier(b.EndObject(), []byte(identifier))
	return b.FinishedBytes(), nil
}

func parameter(b *flatbuffers.Builder, p Parameter) flatbuffers.UOffsetT {
	raw := make([]byte, 0, 4*len(p.Floats))
	for _, v := range p.Floats {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	b.StartVector(1, len(raw), 8)
	data := appendBytes(b, raw)
	b.StartVector(flatbuffers.SizeInt64, len(p.Dims), flatbuffers.SizeInt64)
	for i := len(p.Dims) - 1; i >= 0; i-- {
		b.PrependInt64(p.Dims[i])
	}
	dims := b.EndVector(len(p.Dims))
	name := b.CreateString(p.Name)
	b.StartObject(4)
	b.PrependUOffsetTSlot(slotName, name, 0)
	b.PrependUOffsetTSlot(slotDims, dims, 0)
	b.PrependInt32Slot(slotType, float32Type, 0)
	b.PrependUOffsetTSlot(slotData, data, 0)
	return b.EndObject()
}

// appendBytes fills a vector of bytes that has been started.
func appendBytes(b *flatbuffers.Builder, raw []byte) flatbuffers.UOffsetT {
	for i := len(raw) - 1; i >= 0; i-- {
		b.PlaceByte(raw[i])
	}
	return b.EndVector(len(raw))
}
