package ghost

import (
	"regexp"
	"slices"
	"strconv"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// NoLayer is the layer of a parameter outside the stack: embeddings, the last
// norm, a head.
const NoLayer = -1

// layerIn finds a layer's number in a parameter's name or a node's module path, as
// exporters write them: h.3.attn, encoder.layer.3, /model/layers.3/mlp,
// decoder.block.3.layer.1 (the first number counts), albert_layer_groups.0,
// layer_._3.
var layerIn = regexp.MustCompile(`(?i)(?:^|[./_])(?:h|[a-z_]*(?:layers?|blocks?|groups?))[._]{1,3}(\d+)(?:[./_]|$)`)

// layerOf reads a layer's number from the first text that has one.
func layerOf(texts ...string) int {
	for _, text := range texts {
		if m := layerIn.FindStringSubmatch(text); m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil {
				return n
			}
		}
	}
	return NoLayer
}

// findLayers gives every parameter its layer: by its own name, by the module path
// or the name of the nodes that read it, and where an exporter has lost both
// (onnx::MatMul_417), by its neighbours: between two parameters of one layer, in
// the order of first use, everything belongs to that layer.
func findLayers(g *ir.Graph, params []Parameter) {
	scope, place := map[string]string{}, map[string]int{}
	for i, n := range g.Nodes {
		scope[n.Name], place[n.Name] = n.Scope, i
	}
	order := make([]*Parameter, len(params))
	for i := range params {
		p := &params[i]
		texts := []string{p.Name}
		for _, u := range p.Uses {
			texts = append(texts, scope[u.Node], u.Node)
		}
		p.Layer, order[i] = layerOf(texts...), p
	}
	slices.SortStableFunc(order, func(a, b *Parameter) int { return place[a.Uses[0].Node] - place[b.Uses[0].Node] })
	before := NoLayer
	for i, p := range order {
		if p.Layer != NoLayer {
			before = p.Layer
			continue
		}
		after := slices.IndexFunc(order[i:], func(q *Parameter) bool { return q.Layer != NoLayer })
		if after >= 0 && order[i+after].Layer == before {
			p.Layer = before
		}
	}
}
