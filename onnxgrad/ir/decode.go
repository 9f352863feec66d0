package ir

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

// graphFromProto checks versions and structure and builds the working form;
// raw[i] is the raw data of the i-th initializer, nil where it is typed.
func graphFromProto(pb *onnxpb.ModelProto, raw [][]byte, f *folder) (*Graph, error) {
	if v := pb.GetIrVersion(); v < minIR || v > maxIR {
		return nil, fmt.Errorf("%w: IR version %d; %d to %d are read", ErrUnsupported, v, minIR, maxIR)
	}
	if pb.GetGraph() == nil {
		return nil, fmt.Errorf("%w: the file holds no graph", ErrInvalid)
	}
	g := &Graph{
		Name: pb.GetGraph().GetName(), Inits: map[string]*Tensor{}, Lifted: map[string]bool{},
		Overridable: map[string]*ValueInfo{}, Opset: map[string]int64{}, ValueInfos: map[string]*ValueInfo{},
		Metadata: map[string]string{}, functions: map[string]*onnxpb.FunctionProto{}, folder: f,
	}
	for _, fn := range pb.GetFunctions() {
		if fn.GetOverload() != "" {
			return nil, fmt.Errorf("%w: local function %q has the overload %q", ErrUnsupported, fn.GetName(), fn.GetOverload())
		}
		g.functions[functionKey(fn.GetDomain(), fn.GetName())] = fn
	}
	if err := g.readOpsets(pb); err != nil {
		return nil, err
	}
	if err := g.readValues(pb.GetGraph(), raw, f); err != nil {
		return nil, err
	}
	if err := g.readNodes(pb.GetGraph(), f); err != nil {
		return nil, err
	}
	if err := g.Sort(); err != nil {
		return nil, err
	}
	g.liftConstants()
	return g, nil
}

func (g *Graph) readOpsets(pb *onnxpb.ModelProto) error {
	for _, o := range pb.GetOpsetImport() {
		domain := o.GetDomain()
		if domain == "ai.onnx" {
			domain = ""
		}
		g.Opset[domain] = max(g.Opset[domain], o.GetVersion())
	}
	v, ok := g.Opset[""]
	if !ok {
		return fmt.Errorf("%w: the file imports no default operator set", ErrInvalid)
	}
	if v < minOpset || v > maxOpset {
		return fmt.Errorf("%w: opset %d; %d to %d are read (export again with another opset)", ErrUnsupported, v, minOpset, maxOpset)
	}
	return nil
}

func (g *Graph) readValues(pb *onnxpb.GraphProto, raw [][]byte, f *folder) error {
	for i, t := range pb.GetInitializer() {
		tensor, err := tensorFromProto(t, raw[i], f)
		if err != nil {
			return err
		}
		if _, dup := g.Inits[tensor.Name]; dup || tensor.Name == "" {
			return fmt.Errorf("%w: initializer %q occurs twice or has no name", ErrInvalid, tensor.Name)
		}
		g.AddInit(tensor)
	}
	if len(pb.GetSparseInitializer()) > 0 {
		return fmt.Errorf("%w: sparse initializers (%q)", ErrUnsupported, pb.GetSparseInitializer()[0].GetValues().GetName())
	}
	for _, v := range pb.GetInput() {
		info, err := valueFromProto(v)
		if err != nil {
			return err
		}
		// IR < 4 lists every initializer as an input; from 4 on that makes it
		// a default the caller may override. Neither is data.
		if _, ok := g.Inits[info.Name]; ok {
			g.Overridable[info.Name] = info
			continue
		}
		g.Inputs = append(g.Inputs, info)
	}
	for _, v := range pb.GetOutput() {
		info, err := valueFromProto(v)
		if err != nil {
			return err
		}
		g.Outputs = append(g.Outputs, info)
	}
	if len(g.Outputs) == 0 {
		return fmt.Errorf("%w: the graph has no output", ErrInvalid)
	}
	return nil
}

func valueFromProto(v *onnxpb.ValueInfoProto) (*ValueInfo, error) {
	tt := v.GetType().GetTensorType()
	info := &ValueInfo{Name: v.GetName(), DType: DType(tt.GetElemType())}
	if tt == nil || tt.GetShape() == nil {
		return info, nil
	}
	info.Dims = []DeclaredDim{}
	if len(tt.GetShape().GetDim()) > maxRank {
		return nil, fmt.Errorf("%w: value %q has rank %d, limit %d", ErrInvalid, v.GetName(), len(tt.GetShape().GetDim()), maxRank)
	}
	for _, d := range tt.GetShape().GetDim() {
		switch x := d.GetValue().(type) {
		case *onnxpb.TensorShapeProto_Dimension_DimValue:
			if x.DimValue < 0 {
				return nil, fmt.Errorf("%w: value %q has the negative dimension %d", ErrInvalid, v.GetName(), x.DimValue)
			}
			info.Dims = append(info.Dims, DeclaredDim{Value: x.DimValue})
		case *onnxpb.TensorShapeProto_Dimension_DimParam:
			info.Dims = append(info.Dims, DeclaredDim{Value: -1, Param: x.DimParam})
		default:
			info.Dims = append(info.Dims, DeclaredDim{Value: -1})
		}
	}
	return info, nil
}

func (g *Graph) readNodes(pb *onnxpb.GraphProto, f *folder) error {
	names := map[string]bool{}
	for i, np := range pb.GetNode() {
		n, err := nodeFromProto(np, f)
		if err != nil {
			return err
		}
		if n.Op == "" {
			return fmt.Errorf("%w: node %d (%q) has no operator", ErrInvalid, i, n.Name)
		}
		if n.Name == "" || names[n.Name] {
			n.Name = fmt.Sprintf("%s#%d", n.Op, i)
		}
		names[n.Name] = true
		g.Nodes = append(g.Nodes, n)
	}
	return nil
}

// liftConstants turns Constant nodes into initializers marked Lifted.
func (g *Graph) liftConstants() {
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *Node) bool {
		if !n.Is("Constant") || len(n.Outputs) != 1 {
			return false
		}
		t := constantValue(n)
		if t == nil {
			return false
		}
		t.Name = n.Outputs[0]
		g.AddInit(t)
		g.Lifted[t.Name] = true
		return true
	})
}

// constantValue returns a copy of a Constant node's tensor; nil where it holds
// a sparse tensor or strings.
func constantValue(n *Node) *Tensor {
	for _, v := range n.Attrs {
		switch v := v.(type) {
		case *Tensor:
			t := *v
			return &t
		case int64:
			return NewInt64("", nil, []int64{v})
		case float32:
			return NewFloat32("", nil, []float32{v})
		case []int64:
			return NewInt64("", []int64{int64(len(v))}, v)
		case []float32:
			return NewFloat32("", []int64{int64(len(v))}, v)
		}
	}
	return nil
}

// Clone returns a copy whose nodes, maps and lists are its own. Tensors are
// shared; they are immutable.
func (g *Graph) Clone() *Graph {
	c := *g
	c.Inputs, c.Outputs = slices.Clone(g.Inputs), slices.Clone(g.Outputs)
	c.Nodes = make([]*Node, len(g.Nodes))
	for i, n := range g.Nodes {
		c.Nodes[i] = n.Clone()
	}
	c.Inits, c.InitOrder = maps.Clone(g.Inits), slices.Clone(g.InitOrder)
	c.Lifted, c.Overridable, c.Nested = maps.Clone(g.Lifted), maps.Clone(g.Overridable), maps.Clone(g.Nested)
	c.Opset, c.ValueInfos, c.Metadata = maps.Clone(g.Opset), maps.Clone(g.ValueInfos), maps.Clone(g.Metadata)
	return &c
}
