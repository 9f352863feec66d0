package ghost

import (
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// What is drawn at random is never computed again: the backward pass would be that of
// another draw.
func TestRandomOperatorsAreNotRepeated(t *testing.T) {
	for _, n := range []*ir.Node{
		{Op: "RandomNormalLike", Inputs: []string{"x"}}, {Op: "RandomUniform"}, {Op: "Bernoulli", Inputs: []string{"x"}},
		{Op: "Dropout", Inputs: []string{"x", "ratio", "training"}},
	} {
		if repeatable(n) {
			t.Errorf("%s is repeated", n.Op)
		}
	}
	for _, n := range []*ir.Node{{Op: "MatMul", Inputs: []string{"x", "w"}}, {Op: "Dropout", Inputs: []string{"x", "ratio"}}} {
		if !repeatable(n) {
			t.Errorf("%s %v is not repeated", n.Op, n.Inputs)
		}
	}
}
