package ir

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
)

// irVersionOf gives the IR version that introduced each opset; a file must not
// claim less.
var irVersionOf = map[int64]int64{
	9: 4, 10: 5, 11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11,
}

// maxInline is the weight size from which Save stores weights beside the model.
const maxInline = 1800 << 20

// Marshal returns the graph as an ONNX file with all weights inside.
func (g *Graph) Marshal() ([]byte, error) {
	r, err := g.encode(nil)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.Grow(r.size)
	if err := r.writeTo(&out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// SaveOptions say where the weights of a saved graph lie.
type SaveOptions struct {
	// External stores them beside the model, whatever their size.
	External bool
	// Data names the file beside the model; "" is the model's name + ".data".
	Data string
	// Interrupt, a context's Err, is asked before each piece of the weights; an
	// error ends the writing.
	Interrupt func() error
}

// guard asks interrupt before each write.
func guard(w io.Writer, interrupt func() error) io.Writer {
	if interrupt == nil {
		return w
	}
	return guardedWriter{w, interrupt}
}

type guardedWriter struct {
	io.Writer
	interrupt func() error
}

func (g guardedWriter) Write(b []byte) (int, error) {
	if err := g.interrupt(); err != nil {
		return 0, err
	}
	return g.Writer.Write(b)
}

// Save writes the graph to path; weights of more than maxInline bytes together
// go to path + ".data". Files are replaced whole or not at all.
func (g *Graph) Save(path string) error { return g.SaveAs(path, SaveOptions{}) }

// SaveAs is Save with a choice of where the weights lie. They are read one
// tensor at a time, as they are written.
func (g *Graph) SaveAs(path string, o SaveOptions) error {
	var layout *dataLayout
	if o.External || g.WeightBytes() > maxInline {
		var err error
		if layout, err = g.layOut(cmp.Or(o.Data, filepath.Base(path)+".data")); err != nil {
			return err
		}
		if err := layout.write(filepath.Join(filepath.Dir(path), layout.location), o.Interrupt); err != nil {
			return err
		}
	}
	r, err := g.encode(layout)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	return durable.WriteFile(path, 0o644, func(w io.Writer) error { return r.writeTo(guard(w, o.Interrupt)) })
}

// WeightBytes is the size of all initializers.
func (g *Graph) WeightBytes() int64 {
	var sum int64
	for _, t := range g.Inits {
		n, _ := t.DType.bytesFor(t.Len())
		sum += n
	}
	return sum
}

// A dataLayout places the large initializers in one external file.
type dataLayout struct {
	location string
	tensors  []*Tensor
	offset   map[string]int64
}

// layOut gives every initializer of 1 KiB or more a place, aligned to 4 KiB so
// that the runtime can map it.
func (g *Graph) layOut(location string) (*dataLayout, error) {
	const alignment, smallest = 4096, 1024
	l := &dataLayout{location: location, offset: map[string]int64{}}
	var end int64
	for _, name := range g.InitOrder {
		t := g.Inits[name]
		n, err := t.DType.bytesFor(t.Len())
		if err != nil || n < smallest {
			continue
		}
		end = (end + alignment - 1) / alignment * alignment
		l.offset[name] = end
		l.tensors = append(l.tensors, t)
		end += n
	}
	return l, nil
}

func (l *dataLayout) write(path string, interrupt func() error) error {
	return durable.WriteFile(path, 0o644, func(w io.Writer) error {
		f, ok := w.(io.WriterAt)
		if !ok {
			return os.ErrInvalid
		}
		for _, t := range l.tensors {
			out := bufio.NewWriterSize(io.NewOffsetWriter(f, l.offset[t.Name]), 1<<20)
			if err := errors.Join(t.writeTo(guard(out, interrupt)), out.Flush()); err != nil {
				return err
			}
		}
		return nil
	})
}

// encode returns the graph as an ONNX file whose weights are still to be read.
func (g *Graph) encode(layout *dataLayout) (*rope, error) {
	gp, err := g.graphProto()
	if err != nil {
		return nil, err
	}
	m, err := g.modelProto()
	if err != nil {
		return nil, err
	}
	deterministic := proto.MarshalOptions{Deterministic: true}
	head, err := deterministic.Marshal(gp)
	if err != nil {
		return nil, err
	}
	graph := &rope{}
	graph.add(head)
	for _, name := range g.InitOrder {
		tensor, err := g.Inits[name].encode(layout)
		if err != nil {
			return nil, err
		}
		graph.addMessage(graphInit, tensor)
	}
	if head, err = deterministic.Marshal(m); err != nil {
		return nil, err
	}
	out := &rope{}
	out.add(head)
	out.addMessage(modelGraph, graph)
	return out, nil
}

// graphProto is the graph without its initializers.
func (g *Graph) graphProto() (*onnxpb.GraphProto, error) {
	gp := &onnxpb.GraphProto{Name: proto.String(g.Name)}
	if g.Doc != "" {
		gp.DocString = proto.String(g.Doc)
	}
	for _, n := range g.Nodes {
		np, err := n.proto()
		if err != nil {
			return nil, err
		}
		gp.Node = append(gp.Node, np)
	}
	for _, name := range g.InitOrder {
		if v := g.Overridable[name]; v != nil {
			gp.Input = append(gp.Input, v.proto())
		}
	}
	for _, v := range slices.Backward(g.Inputs) {
		gp.Input = slices.Insert(gp.Input, 0, v.proto())
	}
	for _, v := range g.Outputs {
		gp.Output = append(gp.Output, v.proto())
	}
	for _, name := range slices.Sorted(maps.Keys(g.ValueInfos)) {
		gp.ValueInfo = append(gp.ValueInfo, g.ValueInfos[name].proto())
	}
	return gp, nil
}

// modelProto is the model without its graph.
func (g *Graph) modelProto() (*onnxpb.ModelProto, error) {
	ir, ok := irVersionOf[g.Opset[""]]
	if !ok {
		return nil, fmt.Errorf("%w: can't write opset %d", ErrUnsupported, g.Opset[""])
	}
	m := &onnxpb.ModelProto{IrVersion: proto.Int64(ir), ProducerName: proto.String("ghostwriter"), Functions: g.appliedFunctions()}
	for _, d := range slices.Sorted(maps.Keys(g.Opset)) {
		m.OpsetImport = append(m.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: proto.String(d), Version: proto.Int64(g.Opset[d])})
	}
	for _, k := range slices.Sorted(maps.Keys(g.Metadata)) {
		m.MetadataProps = append(m.MetadataProps, &onnxpb.StringStringEntryProto{Key: proto.String(k), Value: proto.String(g.Metadata[k])})
	}
	return m, nil
}

// encode writes an initializer: its data inside, to be read when written, or a
// reference to their place in layout.
func (t *Tensor) encode(layout *dataLayout) (*rope, error) {
	out := &rope{}
	if t.DType == String {
		b, err := proto.Marshal(t.pb)
		out.add(b)
		return out, err
	}
	pb := &onnxpb.TensorProto{Name: proto.String(t.Name), DataType: proto.Int32(int32(t.DType)), Dims: t.Dims}
	placed := layout != nil && layout.place(t, pb)
	head, err := proto.Marshal(pb)
	if err != nil {
		return nil, err
	}
	out.add(head)
	if placed {
		return out, nil
	}
	return out, out.addTensor(tensorRaw, t)
}

// place makes pb refer to where t lies in the layout's file, if it does.
func (l *dataLayout) place(t *Tensor, pb *onnxpb.TensorProto) bool {
	offset, placed := l.offset[t.Name]
	n, err := t.DType.bytesFor(t.Len())
	if !placed || err != nil {
		return false
	}
	entry := func(k, v string) *onnxpb.StringStringEntryProto {
		return &onnxpb.StringStringEntryProto{Key: proto.String(k), Value: proto.String(v)}
	}
	pb.DataLocation = onnxpb.TensorProto_EXTERNAL.Enum()
	pb.ExternalData = []*onnxpb.StringStringEntryProto{
		entry("location", l.location), entry("offset", strconv.FormatInt(offset, 10)), entry("length", strconv.FormatInt(n, 10)),
	}
	return true
}

// Info declares an input of the tensor's type and shape.
func (t *Tensor) Info() *ValueInfo {
	v := &ValueInfo{Name: t.Name, DType: t.DType, Dims: []DeclaredDim{}}
	for _, d := range t.Dims {
		v.Dims = append(v.Dims, DeclaredDim{Value: d})
	}
	return v
}

func (v *ValueInfo) proto() *onnxpb.ValueInfoProto {
	tt := &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(v.DType))}
	if v.Dims != nil {
		tt.Shape = &onnxpb.TensorShapeProto{}
		for _, d := range v.Dims {
			dim := &onnxpb.TensorShapeProto_Dimension{}
			switch {
			case d.Param != "":
				dim.Value = &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: d.Param}
			case d.Value >= 0:
				dim.Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: d.Value}
			}
			tt.Shape.Dim = append(tt.Shape.Dim, dim)
		}
	}
	return &onnxpb.ValueInfoProto{Name: proto.String(v.Name), Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: tt}}}
}
