package runtime

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// A record whose loss or gradient is not finite leaves no trace: the sums of a
// batch that holds one Inf and one NaN record equal, bit for bit, those of the
// same batch with both marked as padding, and the finite records' sum.
func TestNonFiniteRecordsLeaveNoTrace(t *testing.T) {
	for _, name := range []string{"gpt2-optimum", "bert-dyn18", "bert-ts13", "distilbert-optimum"} {
		t.Run(name, func(t *testing.T) {
			f := openFixture(t, name)
			testNonFinite(t, f, ghost.Spec{})
		})
	}
}

func testNonFinite(t *testing.T, f *fixture, spec ghost.Spec) {
	name := ""
	for _, c := range f.info.Cases {
		if name == "" && containsRows(c, 7) {
			name = c
		}
	}
	if name == "" {
		t.Fatal("no case of seven records")
	}
	c := f.load(t, name)
	env, err := f.model.Env()
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.model.Prepared()
	if err != nil {
		t.Fatal(err)
	}
	spec.Loss, spec.Pass, spec.Clip, spec.ClipNorm, spec.Length = c.Loss, ghost.Clipped, ghost.Abadi, 0.1, 16
	program, err := p.Compile(spec)
	if err != nil {
		t.Fatal(err)
	}
	st, err := newStep(env, program, workplace{threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	b := f.batch(t, c)
	feeds, rows, err := st.feeds(b)
	if err != nil {
		t.Fatal(err)
	}
	w, err := loadWeights(p, program.Trained, append(program.Unreached, program.Frozen...))
	if err != nil {
		t.Fatal(err)
	}
	poisoned := poison(t, p, w, feeds, int(rows))
	valid := make([]bool, rows)
	for i := range valid {
		valid[i] = true
	}
	with := sumsOf(t, st, feeds, w, valid)
	for _, i := range poisoned {
		valid[i] = false
	}
	without := sumsOf(t, st, feeds, w, valid)
	count := 0
	for name, v := range with.sums {
		for i := range v {
			if math.Float32bits(v[i]) != math.Float32bits(without.sums[name][i]) {
				t.Fatalf("%s[%d]: %g with the records, %g without", name, i, v[i], without.sums[name][i])
			}
			if x := float64(v[i]); math.IsNaN(x) || math.IsInf(x, 0) {
				t.Fatalf("%s[%d]: %g", name, i, x)
			}
			if v[i] != 0 {
				count++
			}
		}
	}
	if count == 0 {
		t.Fatal("all sums are zero: nothing was compared")
	}
	for k, i := range poisoned {
		if with.finite[i] {
			t.Errorf("record %d (%d of the poisoned) counts as finite: loss %g", i, k, with.loss[i])
		}
	}
	for i, finite := range with.finite {
		if !finite && i != poisoned[0] && i != poisoned[1] {
			t.Errorf("record %d is not finite", i)
		}
	}
}

func containsRows(name string, rows int) bool {
	return strings.Contains(name, fmt.Sprintf("-b%d-", rows))
}

// poison puts Inf and NaN into two rows of a table that no record reads, and
// makes the first token of the last two records read one of them each. For a
// language model it is the table of positions: its token table is the head too,
// where a bad row spoils every record's logits.
func poison(t *testing.T, p *ghost.Prepared, w *Weights, feeds map[string]*ort.Tensor, rows int) []int {
	t.Helper()
	input := "input_ids"
	if feeds["position_ids"] != nil {
		input = "position_ids"
	}
	limit, ok := p.IndexLimit()[input]
	if !ok {
		t.Fatalf("%s index no table", input)
	}
	ids, err := ort.Data[int64](feeds[input])
	if err != nil {
		t.Fatal(err)
	}
	used := map[int64]bool{}
	for _, id := range ids {
		used[id] = true
	}
	table := w.Trained.Slice(limit.Table)
	width := len(table) / int(limit.Rows)
	free := limit.Rows - 1
	out := []int{rows - 2, rows - 1}
	for k, value := range []float32{float32(math.Inf(1)), float32(math.NaN())} {
		for used[free] {
			free--
		}
		for j := range width {
			table[int(free)*width+j] = value
		}
		ids[out[k]*len(ids)/rows] = free
		used[free] = true
	}
	return out
}

type stepResult struct {
	sums   map[string][]float32
	finite []bool
	loss   []float64
}

func sumsOf(t *testing.T, st *step, feeds map[string]*ort.Tensor, w *Weights, valid []bool) stepResult {
	t.Helper()
	v, err := boolTensor(valid)
	if err != nil {
		t.Fatal(err)
	}
	out, err := st.run(t.Context(), feeds, w, map[string]*ort.Tensor{st.program.Valid: v}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := stepResult{sums: map[string][]float32{}}
	for _, p := range st.program.Trained {
		if r.sums[p.Name], err = ort.Data[float32](out[st.program.Sums[p.Name]]); err != nil {
			t.Fatal(err)
		}
	}
	if r.finite, err = ort.Data[bool](out[st.program.Finite]); err != nil {
		t.Fatal(err)
	}
	if r.loss, err = floats(out[st.program.Loss]); err != nil {
		t.Fatal(err)
	}
	return r
}
