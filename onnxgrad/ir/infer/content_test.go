package infer_test

import (
	"fmt"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
)

// The elements that arithmetic on shapes gives, of a tensor x [batch, sequence, 4].
func TestContent(t *testing.T) {
	x := func() *irtest.Builder {
		return irtest.New(18).Input("x", ir.Float32, "batch", "sequence", 4).Output("y").
			Node("shape = Shape(x)").Ints("one", []int64{}, 1).Ints("four", []int64{}, 4).Ints("two", []int64{}, 2).Node("n = Gather(shape,one)")
	}
	integers := ir.Attrs{"to": int64(ir.Int64)}
	for name, c := range map[string]struct {
		graph *irtest.Builder
		want  string
	}{
		// F.pad(x, (0, 0, 0, 1)) as TorchScript writes it: pairs from the last axis
		// on, turned into all begins and then all ends.
		"pads of TorchScript": {x().Ints("given", nil, 0, 0, 0, 1).Ints("missing", nil, 2).Node("zeros = ConstantOfShape(missing)", ir.Attrs{"value": ir.NewInt64("", []int64{1}, []int64{0})}).
			Node("all = Concat(given,zeros)", ir.Attrs{"axis": int64(0)}).Ints("pairs", nil, -1, 2).Node("table = Reshape(all,pairs)").
			Ints("last", nil, -1).Ints("first", nil, -1<<62).Ints("rows", nil, 0).Node("reversed = Slice(table,last,first,rows,last)").
			Node("columns = Transpose(reversed)", ir.Attrs{"perm": []int64{1, 0}}).Node("flat = Reshape(columns,last)").Node("y = Cast(flat)", integers), "[0 0 0 0 1 0]"},
		"what is missing to a multiple": {x().Node("minus = Neg(n)").Node("pad = Mod(minus,four)").Node("padded = Add(n,pad)").Node("y = Div(padded,four)"), "[-floordiv(-sequence,4)]"},
		"a negative quotient":           {x().Node("minus = Neg(n)").Node("y = Div(minus,four)"), "[-floordiv(sequence,4)]"},
		"a quotient":                    {x().Node("y = Div(n,four)"), "[floordiv(sequence,4)]"},
		"a remainder like C's":          {x().Node("y = Mod(n,four)", ir.Attrs{"fmod": int64(1)}), "[]"},
		"a column":                      {x().Ints("table", []int64{2, 3}, 1, 2, 3, 4, 5, 6).Ints("from", nil, 1).Ints("to", nil, 2).Ints("axis", nil, 1).Node("y = Slice(table,from,to,axis)"), "[2 5]"},
		"a transposed table":            {x().Ints("table", []int64{2, 3}, 1, 2, 3, 4, 5, 6).Node("y = Transpose(table)"), "[1 4 2 5 3 6]"},
		"tables side by side":           {x().Ints("table", []int64{2, 2}, 1, 2, 3, 4).Node("y = Concat(table,table)", ir.Attrs{"axis": int64(1)}), "[]"},
		"tables of equal length":        {x().Ints("row", []int64{1, 2}, 1, 2).Ints("column", []int64{2, 1}, 3, 4).Node("y = Add(row,column)"), "[]"},
		"an empty table":                {x().Ints("table", []int64{0, 1 << 40}).Ints("from", nil, 0).Ints("to", nil, 1).Ints("axis", nil, 1).Node("y = Slice(table,from,to,axis)"), "[]"},
	} {
		values, err := infer.Graph(c.graph.Graph(), infer.Declared)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := fmt.Sprint(values.Of("y").Content); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
