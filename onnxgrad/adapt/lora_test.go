package adapt_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/adapt"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
)

func source(string) *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// A product's update is four nodes, A is within ±1/√in, and B is 0.
func TestLoRARewritesProducts(t *testing.T) {
	g := irtest.New(18).Input("x", ir.Float32, "B", 3).
		Floats("w", []int64{3, 4}, make([]float32, 12)...).Floats("layer.weight", []int64{5, 4}, make([]float32, 20)...).
		Node("h = MatMul(x, w)").
		Node("y = Gemm(h, layer.weight)", ir.Attrs{"transB": int64(1), "alpha": float32(0.5)}).
		Output("y").Graph()
	updates, err := adapt.LoRA{Rank: 2, Alpha: 6, Source: source}.Apply(g, []string{"w", "layer.weight"})
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Nodes) != 10 || updates[0].Transposed || !updates[1].Transposed || updates[1].In != 4 || updates[1].Out != 5 {
		t.Errorf("%d nodes, updates %+v", len(g.Nodes), updates)
	}
	if updates[0].Scale != 3 || updates[1].Scale != 6 || updates[1].A != "layer.lora_A.weight" || updates[0].B != "w.lora_B" {
		t.Errorf("updates %+v", updates)
	}
	a, err := g.Inits["w.lora_A"].Float32s()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range a {
		if v == 0 || math.Abs(float64(v)) > 1/math.Sqrt(3) {
			t.Errorf("A holds %g", v)
		}
	}
	b, err := g.Inits["w.lora_B"].Float32s()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range b {
		if v != 0 {
			t.Errorf("B holds %g", v)
		}
	}
}

func TestLoRAMerges(t *testing.T) {
	u := adapt.LowRank{In: 2, Out: 3, Scale: 2}
	a, b := []float32{1, -1}, []float32{1, 2, 3} // rank 1
	w := []float32{0, 0, 0, 10, 10, 10}
	u.Merge(w, a, b)
	for i, want := range []float32{2, 4, 6, 8, 6, 4} {
		if w[i] != want {
			t.Errorf("w[%d] = %g, want %g", i, w[i], want)
		}
	}
	u.Transposed = true
	w = []float32{0, 10, 0, 10, 0, 10}
	u.Merge(w, a, b)
	for i, want := range []float32{2, 8, 4, 6, 6, 4} {
		if w[i] != want {
			t.Errorf("transposed: w[%d] = %g, want %g", i, w[i], want)
		}
	}
}

func TestLoRARefusesWhatItCantMerge(t *testing.T) {
	base := func() *irtest.Builder {
		return irtest.New(18).Input("x", ir.Float32, "B", 3).Input("ids", ir.Int64, "B").Floats("w", []int64{3, 3}, make([]float32, 9)...).
			Node("h = MatMul(x, w)")
	}
	for says, g := range map[string]*ir.Graph{
		"table":        base().Node("y = Gather(w, ids)").Output("h", "y").Graph(),
		"otherwise":    base().Node("y = Add(h, w)").Output("y").Graph(),
		"different":    base().Node("y = Gemm(h, w)", ir.Attrs{"transB": int64(1)}).Output("y").Graph(),
		"rank 4":       base().Output("h").Graph(),
		"is no matrix": irtest.New(18).Input("x", ir.Float32, "B", 3).Floats("w", []int64{3}, 1, 2, 3).Node("y = Add(x, w)").Output("y").Graph(),
	} {
		rank := 1
		if says == "rank 4" {
			rank = 4
		}
		_, err := adapt.LoRA{Rank: rank, Alpha: 1, Source: source}.Apply(g, []string{"w"})
		if !errors.Is(err, ir.ErrUnsupported) && !errors.Is(err, ir.ErrInvalid) || err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}
