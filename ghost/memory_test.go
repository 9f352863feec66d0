package ghost_test

import (
	"fmt"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
)

// The estimate of a run leaves out the sums, which lie where the caller says, and
// grows with records and with every sequence that they have.
func TestPeakBytes(t *testing.T) {
	const width, layers = 512, 6
	g := irtest.New(18).Input("h0", ir.Float32, "batch", "frames", width).Output("logits").Fill("v", width, 2)
	for i := range layers {
		g.Fill(fmt.Sprintf("w%d", i), width, width).Node(fmt.Sprintf("p%d = MatMul(h%d,w%d)", i, i, i)).Node(fmt.Sprintf("h%d = Tanh(p%d)", i+1, i))
	}
	g.Node(fmt.Sprintf("m = ReduceMean(h%d,one)", layers), ir.Attrs{"keepdims": int64(0)}).Ints("one", nil, 1).Node("logits = MatMul(m,v)")
	program, err := preparedGraph(t, g).Compile(ghost.Spec{Loss: "classify", ClipNorm: 1, Length: 4})
	if err != nil {
		t.Fatal(err)
	}
	one := program.PeakBytes(1, 4)
	// One gradient at a time may stand beside the sums.
	if sums := int64(4 * width * width * layers); one <= 4*4*width*layers || one >= sums/2 {
		t.Errorf("one record: %d bytes; its activations are %d, all sums %d", one, 4*4*width*layers, sums)
	}
	if more := program.PeakBytes(100, 4); more-one < 99*4*4*width*layers {
		t.Errorf("one record: %d bytes, a hundred: %d", one, more)
	}
	if longer := program.PeakBytes(1, 400); longer-one < 396*4*width*layers {
		t.Errorf("one record: %d bytes, a hundred times as long: %d", one, longer)
	}
}

// Sums that stay where the run left them are part of its peak, and all of them are
// there at its end.
func TestPeakBytesOfKeptSums(t *testing.T) {
	const width, layers = 512, 6
	g := irtest.New(18).Input("h0", ir.Float32, "batch", "frames", width).Output("logits").Fill("v", width, 2)
	for i := range layers {
		g.Fill(fmt.Sprintf("w%d", i), width, width).Node(fmt.Sprintf("p%d = MatMul(h%d,w%d)", i, i, i)).Node(fmt.Sprintf("h%d = Tanh(p%d)", i+1, i))
	}
	g.Node(fmt.Sprintf("m = ReduceMean(h%d,one)", layers), ir.Attrs{"keepdims": int64(0)}).Ints("one", nil, 1).Node("logits = MatMul(m,v)")
	prepared := preparedGraph(t, g)
	peak := func(kept bool) int64 {
		program, err := prepared.Compile(ghost.Spec{Loss: "classify", ClipNorm: 1, Length: 4, SumsKept: kept})
		if err != nil {
			t.Fatal(err)
		}
		return program.PeakBytes(1, 4)
	}
	const sums = 4 * width * width * layers
	if kept, apart := peak(true), peak(false); kept < sums || kept > sums+apart || apart > sums/2 {
		t.Errorf("sums of %d bytes: peak %d with them, %d without", sums, kept, apart)
	}
}
