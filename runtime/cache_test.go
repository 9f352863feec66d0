package runtime

import (
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
)

// A batch may hold what the file declares and training has no use for: an empty
// cache, and a merged decoder's switch turned off. Anything else in them is refused.
func TestCachesInABatch(t *testing.T) {
	m := modelOf(t, irtest.New(18).Input("x", ir.Float32, "batch", 1, 3).Input("past_key", ir.Float32, "batch", "past", 3).
		Input("use_cache_branch", ir.Bool, 1).Output("logits").Fill("w", 3, 3).Node("all = Concat(past_key,x)", ir.Attrs{"axis": int64(1)}).
		Ints("one", nil, 1).Node("s = ReduceSum(all,one)", ir.Attrs{"keepdims": int64(0)}).Node("h = MatMul(s,w)").
		Node("none = Where(use_cache_branch,h,h)").Node("logits = Identity(none)"))
	const x = `"x":{"dtype":"float32","shape":[2,1,3],"data":[1,2,3,4,5,6]}`
	var want float64
	for _, c := range []struct{ inputs, says string }{
		{"", ""},
		{`,"past_key":{"dtype":"float32","shape":[2,0,3],"data":[]}`, ""},
		{`,"use_cache_branch":{"dtype":"bool","shape":[1],"data":[false]}`, ""},
		{`,"use_cache_branch":{"dtype":"bool","shape":[1],"data":[0]}`, ""},
		{`,"use_cache_branch":{"dtype":"bool","shape":[1],"data":[1]}`, "switch"},
		{`,"past_key":{"dtype":"float32","shape":[2,1,3],"data":[1,1,1,1,1,1]}`, "length 0"},
		{`,"future":{"dtype":"float32","shape":[0],"data":[]}`, "no input"},
	} {
		b, err := ParseBatch([]byte(`{"inputs":{` + x + c.inputs + `},"labels":{"dtype":"int64","shape":[2],"data":[0,1]}}`))
		if err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"ghost", "loop"} {
			r, err := m.GradNorms(t.Context(), b, GradNormsOptions{Loss: "classify", Method: method})
			switch {
			case c.says != "":
				if ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: %v, want one with %q", c.inputs, err, c.says)
				}
			case err != nil:
				t.Errorf("%s: %v", c.inputs, err)
			case want == 0:
				want = r.Norm[0]
			case !within(r.Norm[0], want, 1e-5, 0):
				t.Errorf("%s, %s: norm %g, want %g", c.inputs, method, r.Norm[0], want)
			}
		}
	}
}
