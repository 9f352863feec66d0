package infer_test

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/canon"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/gradcheck/nodecases"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

const nodeTests = "../../../../shared/data/onnx-node"

// Shapes inferred for ONNX's own operator tests, with constant and with symbolic
// extents, are those that the runtime makes.
func TestInferredShapesAreTheRuntimes(t *testing.T) {
	if _, err := os.Stat(nodeTests); err != nil {
		t.Skipf("skipped: the folder %s is absent", nodeTests)
	}
	if testing.Short() {
		t.Skip("skipped: -short")
	}
	env, err := ort.Load("")
	if err != nil {
		t.Fatal(err)
	}
	names, err := nodecases.Names(nodeTests)
	if err != nil {
		t.Fatal(err)
	}
	var total counts
	for _, name := range names {
		c, err := nodecases.Read(nodeTests, name)
		if err != nil {
			t.Fatal(err)
		}
		if c.Feeds != nil {
			compareShapes(t, env, c, &total)
		}
	}
	t.Logf("%d cases run; of %d values with constant extents %d shapes are known, of %d with symbolic ones %d",
		total.cases, total.values[0], total.known[0], total.values[1], total.known[1])
	if total.known[0] < knownShapes || total.known[1] < knownSymbolic {
		t.Errorf("fewer shapes are known than the %d and %d there were", knownShapes, knownSymbolic)
	}
}

// How many shapes inference knew when this was last changed. They may only grow.
const knownShapes, knownSymbolic = 4583, 4068

type counts struct {
	cases         int
	values, known [2]int // with constant and with symbolic extents
}

func compareShapes(t *testing.T, env *ort.Env, c *nodecases.Case, total *counts) {
	m, err := ir.Parse(c.Model)
	if err != nil {
		return // an opset that is not read
	}
	g, real, err := runAll(t, env, m.Graph(), c.Feeds)
	if err != nil {
		return // the runtime can't run it, or an output is no tensor
	}
	total.cases++
	for k, symbolic := range []bool{false, true} {
		var bound map[string]int64
		if symbolic {
			bound = symbols(g, c.Feeds)
		}
		values, err := infer.Graph(g, nil)
		if err != nil {
			t.Errorf("%s (symbolic: %v): %v", c.Name, symbolic, err)
			continue
		}
		for name, x := range real {
			total.values[k]++
			if compareValue(t, c.Name, name, values.Of(name), x, bound) {
				total.known[k]++
			}
		}
	}
}

// compareValue reports whether all of a value's shape is known, and fails where
// what is known is wrong.
func compareValue(t *testing.T, test, name string, info infer.Info, x *ort.Tensor, bound map[string]int64) bool {
	t.Helper()
	if info.DType != ir.Undefined && info.DType != ir.DType(x.DType()) {
		t.Errorf("%s: value %q has type %v, inferred %v", test, name, x.DType(), info.DType)
	}
	if !info.Ranked {
		return false
	}
	if len(info.Shape) != len(x.Shape()) {
		t.Errorf("%s: value %q has shape %v, inferred %v", test, name, x.Shape(), info.Shape)
		return false
	}
	known := true
	for i, d := range info.Shape {
		n, ok := d.Eval(bound)
		if ok && n != x.Shape()[i] {
			t.Errorf("%s: value %q has shape %v, inferred %v with %v", test, name, x.Shape(), info.Shape, bound)
			return false
		}
		known = known && ok
	}
	compareContent(t, test, name, info.Content, x, bound)
	return known
}

// compareContent checks the elements that inference computed.
func compareContent(t *testing.T, test, name string, content []sym.Dim, x *ort.Tensor, bound map[string]int64) {
	t.Helper()
	ints, err := ir.NewRaw(name, ir.DType(x.DType()), x.Shape(), x.Bytes()).Ints()
	if content == nil || err != nil {
		return
	}
	if len(content) != len(ints) {
		t.Errorf("%s: value %q holds %v, inferred %v", test, name, ints, content)
		return
	}
	for i, d := range content {
		if n, ok := d.Eval(bound); ok && n != ints[i] {
			t.Errorf("%s: value %q holds %v, inferred %v with %v", test, name, ints, content, bound)
		}
	}
}

// symbols declares every input extent other than 0 and 1 as a symbol, equal ones
// as one, and returns the symbols' values.
func symbols(g *ir.Graph, feeds map[string]*ort.Tensor) map[string]int64 {
	bound := map[string]int64{}
	for i, in := range g.Inputs {
		v := *in
		v.Dims = []ir.DeclaredDim{}
		for _, n := range feeds[in.Name].Shape() {
			d := ir.DeclaredDim{Value: n}
			if n > 1 {
				d = ir.DeclaredDim{Value: -1, Param: fmt.Sprintf("n%d", n)}
				bound[d.Param] = n
			}
			v.Dims = append(v.Dims, d)
		}
		g.Inputs[i] = &v
	}
	return bound
}

// runAll makes small integer inputs constants (as exporters write axes and
// shapes) and returns the canonical graph with all values that its nodes make.
func runAll(t *testing.T, env *ort.Env, g *ir.Graph, feeds map[string]*ort.Tensor) (*ir.Graph, map[string]*ort.Tensor, error) {
	t.Helper()
	given := map[string]*ort.Tensor{}
	g.Inputs = slices.DeleteFunc(g.Inputs, func(in *ir.ValueInfo) bool {
		x := feeds[in.Name]
		if d := ir.DType(x.DType()); !d.IsInt() && d != ir.Bool || len(x.Shape()) > 1 {
			given[in.Name] = x
			return false
		}
		g.AddInit(ir.NewRaw(in.Name, ir.DType(x.DType()), x.Shape(), x.Bytes()))
		return true
	})
	c, err := canon.Canonical(g)
	if err != nil {
		return nil, nil, err
	}
	for name, x := range given {
		if given[name], err = nodecases.Widened(x); err != nil {
			return nil, nil, err
		}
	}
	model, names, err := allOutputs(c.Clone())
	if err != nil {
		return nil, nil, err
	}
	s, err := env.NewSession(model, ort.Options{Name: g.Name, Threads: 1})
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	real, err := s.Run(t.Context(), given, ort.Outputs(names...)...)
	return c.Graph, real, err
}

// allOutputs makes every value an output, of a type and shape that the runtime
// finds.
func allOutputs(g *ir.Graph) (model []byte, names []string, err error) {
	g.Outputs = nil
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			if o != "" {
				names = append(names, o)
				g.Outputs = append(g.Outputs, &ir.ValueInfo{Name: o})
			}
		}
	}
	data, err := g.Marshal()
	if err != nil {
		return nil, nil, err
	}
	pb := &onnxpb.ModelProto{}
	if err := proto.Unmarshal(data, pb); err != nil {
		return nil, nil, err
	}
	for _, o := range pb.GetGraph().GetOutput() {
		o.Type = nil
	}
	model, err = proto.Marshal(pb)
	return model, names, err
}
