package runtime

import (
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/ghost"
)

// writeTo writes a sum into a vector of all coordinates.
func (m *microSum) writeTo(v []float32) {
	clear(v)
	for _, p := range m.parts {
		copy(v[p.Start:], p.Data)
	}
}

// written is the sum of the last run as a vector.
func (t *trainer) written() []float32 {
	if t.kept != nil {
		t.kept.writeTo(t.sums.Data())
		t.kept.release()
	}
	return t.sums.Data()
}

// Rows of one id are added into one part, parts ascend, and with a sum of the table
// beside them they are added into that.
func TestAddRows(t *testing.T) {
	p := ghost.Parameter{Name: "e", Shape: []int64{5, 2}}
	values := func() []float32 { return []float32{1, 2, 10, 20, 100, 200, 1000, 2000} }
	ids := []int64{4, 0, 4, 2}
	var m microSum
	if err := m.addRows(p, 2, 7, ids, values(), nil); err != nil {
		t.Fatal(err)
	}
	got := make([]float32, 17)
	m.writeTo(got)
	if want := []float32{0, 0, 0, 0, 0, 0, 0, 10, 20, 0, 0, 1000, 2000, 0, 0, 101, 202}; !slices.Equal(got, want) {
		t.Errorf("parts %v", got)
	}
	if !slices.IsSortedFunc(m.parts, func(a, b dpadam.Part) int { return a.Start - b.Start }) || len(m.parts) != 3 {
		t.Errorf("%d parts, or not ascending: %v", len(m.parts), m.parts)
	}
	whole := slices.Repeat([]float32{1}, 10)
	if err := m.addRows(p, 2, 0, ids, values(), whole); err != nil {
		t.Fatal(err)
	}
	if want := []float32{11, 21, 1, 1, 1001, 2001, 1, 1, 102, 203}; !slices.Equal(whole, want) {
		t.Errorf("table %v", whole)
	}
	for _, bad := range [][]int64{{5, 0, 0, 0}, {-1, 0, 0, 0}, {0, 0, 0}} {
		if m.addRows(p, 2, 0, bad, values(), nil) == nil {
			t.Errorf("ids %v of a table of 5 rows, 4 rows given: no error", bad)
		}
	}
}

// The sum that a run keeps is the one that it writes into a vector: tables that are
// looked up in, tied to a head or not, are given as rows.
func TestKeptSumIsTheSum(t *testing.T) {
	dir := crashDir(t)
	tied := crashOptions(dir)
	tied.Task, tied.Model = "lm", filepath.Join("..", "testdata", "demo", "pretrained")
	for name, o := range map[string]FinetuneOptions{"untied": crashOptions(dir), "tied": tied} {
		o.Out = filepath.Join(t.TempDir(), "out")
		f := prepareRun(t, o)
		run := func(kept *microSum, rowsApart int64) ([]float32, int) {
			tr := *f.trainer
			tr.kept = kept
			spec := tr.steps.spec
			spec.RowsApart = rowsApart
			tr.steps = newStepSet(f.env, f.prepared, spec, f.place)
			defer tr.close()
			if _, err := tr.run(t.Context(), microbatch{[]int{0, 1, 2}, f.data.edge(0), 4}); err != nil {
				t.Fatal(err)
			}
			apart := 0
			for _, st := range tr.steps.byHash {
				apart += len(st.program.Rows)
			}
			return slices.Clone(tr.written()), apart
		}
		want, none := run(nil, 0)
		got, apart := run(&microSum{}, 1)
		norm := math.Sqrt(squares(want))
		if norm == 0 || none != 0 || apart == 0 {
			t.Fatalf("%s: norm %g, tables left apart %d and %d: the test shows nothing", name, norm, none, apart)
		}
		for i, w := range want {
			if math.Abs(float64(got[i]-w)) > 1e-6*norm {
				t.Fatalf("%s: coordinate %d is %g, in the vector %g", name, i, got[i], w)
			}
		}
	}
}
