package onnxgrad

import (
	"fmt"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// AttachTiedHead gives a base model the language-model head that shares its
// token embedding: logits = hidden · Eᵀ, where E [V,d] is the table that
// input_ids reads and hidden is the output [B,T,d]. It returns the new output's
// name.
func AttachTiedHead(g *ir.Graph, hidden string) (string, error) {
	table, err := tokenEmbedding(g)
	if err != nil {
		return "", err
	}
	view, logits := g.FreshName("head/embedding_transposed"), g.FreshName("logits")
	g.Nodes = append(g.Nodes,
		&ir.Node{Name: view, Op: "Transpose", Inputs: []string{table}, Outputs: []string{view}, Attrs: ir.Attrs{"perm": []int64{1, 0}}},
		&ir.Node{Name: "head/logits", Op: "MatMul", Inputs: []string{hidden, view}, Outputs: []string{logits}, Attrs: ir.Attrs{}})
	g.Outputs = append(g.Outputs, &ir.ValueInfo{Name: logits, DType: ir.Float32})
	return logits, nil
}

// tokenEmbedding finds the matrix that is gathered with input_ids, directly or
// through operators that only reshape or cast them.
func tokenEmbedding(g *ir.Graph) (string, error) {
	ids := map[string]bool{}
	for _, in := range g.Inputs {
		if in.Name == "input_ids" || in.Name == "input" || strings.HasSuffix(in.Name, "_input_ids") {
			ids[in.Name] = true
		}
	}
	if len(ids) == 0 && len(g.Inputs) > 0 {
		ids[g.Inputs[0].Name] = true
	}
	for _, n := range g.Nodes {
		switch n.Op {
		case "Reshape", "Cast", "Identity", "Unsqueeze", "Squeeze":
			if ids[n.Input(0)] {
				ids[n.Output(0)] = true
			}
		case "Gather":
			t, ok := g.Inits[n.Input(0)]
			if ok && ids[n.Input(1)] && len(t.Dims) == 2 && t.DType.IsFloat() {
				return t.Name, nil
			}
		}
	}
	return "", fmt.Errorf("%w: --head tied: no token embedding is gathered with input_ids", ir.ErrUnsupported)
}
