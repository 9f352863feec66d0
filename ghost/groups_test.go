package ghost

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/canon"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// The shares' squares never add up to more than 1, in exact arithmetic, and use almost all of it;
// they are numbers of single precision, as the graph has them.
func TestShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		groups := make([]Group, rapid.IntRange(1, 400).Draw(t, "groups"))
		total := 0.0
		for k := range groups {
			groups[k].Coordinates = rapid.Int64Range(1, 1<<30).Draw(t, "coordinates")
			total += float64(groups[k].Coordinates)
		}
		for _, by := range []Sharing{EqualShares, SizeShares} {
			share(groups, by)
			squares := 0.0
			for _, g := range groups {
				want := 1 / math.Sqrt(float64(len(groups)))
				if by == SizeShares {
					want = math.Sqrt(float64(g.Coordinates) / total)
				}
				if g.Share > want || g.Share < want*(1-1e-6) || float64(float32(g.Share)) != g.Share {
					t.Fatalf("%s: share %v of %v", by, g.Share, want)
				}
				squares += g.Share * g.Share
			}
			if squares > 1 || squares < 1-1e-5 {
				t.Fatalf("%s: squares add up to %v", by, squares)
			}
		}
	})
}

// Layers go by their numbers; what belongs to none goes by its place: before, between or after them,
// and after them by whether a product came first.
func TestLayerGroups(t *testing.T) {
	uses := []struct {
		name  string
		layer int
		kind  Kind
	}{
		{"tokens", NoLayer, Embedding}, {"positions", NoLayer, Embedding}, {"first.norm", NoLayer, Scale},
		{"h.0.w", 0, Linear}, {"h.0.b", 0, Bias}, {"encoder.norm", NoLayer, Scale}, {"h.1.w", 1, Linear}, {"h.10.w", 10, Linear}, {"h.2.w", 2, Linear},
		{"last.scale", NoLayer, Scale}, {"last.shift", NoLayer, Bias}, {"pooler.w", NoLayer, Linear}, {"pooler.b", NoLayer, Bias}, {"classifier", NoLayer, Linear},
	}
	g := &ir.Graph{}
	p := &Prepared{Graph: &canon.Graph{Graph: g}}
	for _, u := range uses {
		node := "node of " + u.name
		g.Nodes = append(g.Nodes, &ir.Node{Name: node, Op: "MatMul"})
		p.Parameters = append(p.Parameters, Parameter{Name: u.name, Shape: []int64{2, 3}, Layer: u.layer, Uses: []ParameterUse{{Node: node, Kind: u.kind}}})
	}
	// The token table is the head too: one parameter, by its first use.
	g.Nodes = append(g.Nodes, &ir.Node{Name: "head", Op: "MatMul"})
	p.Parameters[0].Uses = slices.Insert(p.Parameters[0].Uses, 0, ParameterUse{Node: "head", Kind: Linear})
	groups, err := p.groups(PerLayer, EqualShares, p.Parameters)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"embeddings", "tokens", "positions", "first.norm"}, {"layer.0", "h.0.w", "h.0.b"}, {"layer.1", "h.1.w"}, {"layer.2", "h.2.w"}, {"layer.10", "h.10.w"},
		{"between", "encoder.norm"}, {"final_norm", "last.scale", "last.shift"}, {"head", "pooler.w", "pooler.b", "classifier"},
	}
	if len(groups) != len(want) {
		t.Fatalf("%+v", groups)
	}
	for k, g := range groups {
		if g.Name != want[k][0] || !slices.Equal(g.Parameters, want[k][1:]) || g.Coordinates != int64(6*len(g.Parameters)) {
			t.Errorf("group %d is %+v, want %v", k, g, want[k])
		}
	}
	// Only what is trained has a group, and a name is the same whatever is frozen.
	some, err := p.groups(PerLayer, EqualShares, []Parameter{p.Parameters[13], p.Parameters[4]})
	if err != nil || len(some) != 2 || some[0].Name != "layer.0" || some[1].Name != "head" || some[0].Share != some[1].Share {
		t.Errorf("%+v, %v", some, err)
	}
	each, err := p.groups(PerParameter, SizeShares, p.Parameters)
	if err != nil || len(each) != len(uses) || each[3].Name != "h.0.w" {
		t.Errorf("%+v, %v", each, err)
	}
	for i := range p.Parameters {
		p.Parameters[i].Layer = NoLayer
	}
	if _, err := p.groups(PerLayer, EqualShares, p.Parameters); err == nil {
		t.Error("a model without layers was divided into them")
	}
}
