package ghost_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
)

// residual is a classifier over a stack of blocks h + tanh(h·U)·V with a wide inside.
func residual(t *testing.T, layers int) *ghost.Prepared {
	t.Helper()
	const width, inside = 16, 64
	g := irtest.New(18).Input("h0", ir.Float32, "batch", "frames", width).Output("logits").Fill("v", width, 2)
	for i := range layers {
		g.Fill(fmt.Sprintf("u%d", i), width, inside).Fill(fmt.Sprintf("w%d", i), inside, width)
		g.Node(fmt.Sprintf("p%d = MatMul(h%d,u%d)", i, i, i)).Node(fmt.Sprintf("t%d = Tanh(p%d)", i, i))
		g.Node(fmt.Sprintf("o%d = MatMul(t%d,w%d)", i, i, i)).Node(fmt.Sprintf("h%d = Add(h%d,o%d)", i+1, i, i))
	}
	g.Node(fmt.Sprintf("m = ReduceMean(h%d,one)", layers), ir.Attrs{"keepdims": int64(0)}).Ints("one", nil, 1).Node("logits = MatMul(m,v)")
	return preparedGraph(t, g)
}

// In low memory a program holds the residual stream and one block at a time, and the
// peak grows with the depth by little more than the stream and, where sums wait for the
// factors, its gradient.
func TestLowMemoryKeepsTheResidualStream(t *testing.T) {
	const records, length, width = 8, 32, 16
	for pass, kept := range map[ghost.Pass]int64{ghost.Norms: 1, ghost.Weighted: 1, ghost.Clipped: 2} {
		peak := func(layers int, m ghost.Memory) int64 {
			program, err := residual(t, layers).Compile(ghost.Spec{Loss: "classify", Pass: pass, ClipNorm: 1, Length: length, Memory: m})
			if err != nil {
				t.Fatal(err)
			}
			return program.PeakBytes(records, length)
		}
		const stream = 4 * records * length * width // also 4 KB of header and page
		low := (peak(20, ghost.LowMemory) - peak(12, ghost.LowMemory)) / 8
		normal := (peak(20, ghost.NormalMemory) - peak(12, ghost.NormalMemory)) / 8
		if low > kept*(stream+4096)+2048 || normal < 3*stream {
			t.Errorf("pass %d: a block adds %d bytes in low memory, %d in normal; the stream has %d", pass, low, normal, stream)
		}
	}
}

// Nothing that a runtime may take for one value is computed twice: no copy applies the
// same operator to the same inputs as another node.
func TestCopiesAreNotEqual(t *testing.T) {
	for _, name := range []string{"gpt2-dyn18", "bert-ts17"} {
		loss := map[bool]string{true: "causal-lm", false: "classify"}[strings.HasPrefix(name, "gpt2")]
		program, err := prepared(t, name).Compile(ghost.Spec{Loss: loss, ClipNorm: 1, Length: 32, Memory: ghost.LowMemory})
		if err != nil {
			t.Fatal(err)
		}
		first, copies := map[string]string{}, 0
		for _, n := range program.Graph.Nodes {
			key := fmt.Sprint(n.Domain, n.Op, n.Inputs, n.Attrs)
			isCopy := strings.HasPrefix(n.Name, "again/")
			if isCopy {
				copies++
			}
			if other, twice := first[key]; twice && isCopy {
				t.Errorf("%s: %s and %s are the same", name, n.Name, other)
			}
			first[key] = n.Name
		}
		if copies < 50 {
			t.Errorf("%s: only %d nodes belong to copies", name, copies)
		}
	}
}
