package canon_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/canon"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// bucketOf is T5's bucket of key − query, after transformers'
// T5Attention._relative_position_bucket.
func bucketOf(r, buckets, distance int, both bool) int {
	bucket := 0
	if both {
		buckets /= 2
		if r > 0 {
			bucket = buckets
		}
		r = max(r, -r)
	} else {
		r = -min(r, 0)
	}
	exact := buckets / 2
	if r < exact {
		return bucket + r
	}
	far := exact + int(math.Log(float64(r)/float64(exact))/math.Log(float64(distance)/float64(exact))*float64(buckets-exact))
	return bucket + min(far, buckets-1)
}

// The processor has no kernel for RelativePositionBias: its expansion is compared
// with the definition.
func TestRelativePositionBias(t *testing.T) {
	env, err := ort.Load("")
	if err != nil {
		t.Fatal(err)
	}
	const buckets, heads = 12, 3
	for _, both := range []bool{false, true} {
		for _, lengths := range [][2]int64{{1, 1}, {7, 7}, {40, 40}, {1, 33}, {5, 0}} {
			t.Run(fmt.Sprintf("%v %v", both, lengths), func(t *testing.T) {
				direction := int64(0)
				if both {
					direction = 1
				}
				g := contrib().Fill("table", buckets, heads).Ints("queries", []int64{}, lengths[0]).Ints("keys", []int64{1}, lengths[1]).
					Input("x", ir.Float32, 1).Node("b = com.microsoft::RelativePositionBias(table,queries,keys)", attrs{"max_distance": int64(20), "is_bidirectional": direction}).
					Node("y = Mul(b,x)").Graph()
				table, err := g.Inits["table"].Float32s()
				if err != nil {
					t.Fatal(err)
				}
				c, err := canon.Canonical(g)
				if err != nil {
					t.Fatal(err)
				}
				one, err := ort.NewTensor([]int64{1}, []float32{1})
				if err != nil {
					t.Fatal(err)
				}
				got := forward(t, env, c.Graph, map[string]*ort.Tensor{"x": one})["y"]
				i := 0
				for head := range heads {
					for q := range int(lengths[0]) {
						for k := range int(lengths[1]) {
							if want := table[head*buckets+bucketOf(k-q, buckets, 20, both)]; i >= len(got) || got[i] != want {
								t.Fatalf("head %d, query %d, key %d: %v, want %g", head, q, k, got[min(i, len(got)):min(i+1, len(got))], want)
							}
							i++
						}
					}
				}
				if i != len(got) {
					t.Errorf("%d numbers, want %d", len(got), i)
				}
			})
		}
	}
}
