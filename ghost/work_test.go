package ghost_test

import (
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
)

// The products of the step without privacy are those of the forward pass, of its
// gradients and of the weights'; that of the first product's input is not made.
func TestWork(t *testing.T) {
	const width, classes, records, length = 64, 8, 4, 10
	g := irtest.New(18).Input("x", ir.Float32, "batch", "frames", width).Output("logits").Fill("w", width, width).Fill("v", width, classes).
		Node("h = MatMul(x,w)").Node("a = Tanh(h)").Node("m = ReduceMean(a,one)", ir.Attrs{"keepdims": int64(0)}).Ints("one", nil, 1).Node("logits = MatMul(m,v)")
	prepared := preparedGraph(t, g)
	work := func(pass ghost.Pass, records int64) ghost.Work {
		p, err := prepared.Compile(ghost.Spec{Loss: "classify", Pass: pass, ClipNorm: 1, Length: length})
		if err != nil {
			t.Fatal(err)
		}
		return p.Work(records, length)
	}
	const first, second = 2 * records * length * width * width, 2 * records * width * classes
	plain := work(ghost.Weighted, records)
	if want := 2*first + 3*second; plain.Operations != float64(want) {
		t.Errorf("%g operations, want %d", plain.Operations, want)
	}
	if least := float64(2 * 4 * records * length * width); plain.Bytes < least {
		t.Errorf("%g bytes; a tanh alone reads and writes %g", plain.Bytes, least)
	}
	if private := work(ghost.Clipped, records); private.Operations <= plain.Operations {
		t.Errorf("norms cost nothing: %g operations, %g without", private.Operations, plain.Operations)
	}
	if twice := work(ghost.Weighted, 2*records); twice.Operations != 2*plain.Operations {
		t.Errorf("twice the records: %g operations of %g", twice.Operations, plain.Operations)
	}
}
