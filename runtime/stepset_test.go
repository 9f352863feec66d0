package runtime

import (
	"bytes"
	"slices"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// Planning for all lengths at once finds the programs of planning for each.
func TestPlanAllFindsEveryProgram(t *testing.T) {
	buckets, err := tokenize.DefaultBuckets(100)
	if err != nil {
		t.Fatal(err)
	}
	lengths := buckets.Edges()
	for name, loss := range map[string]string{"gpt2-ts17": "causal-lm", "bert-ts17": "classify", "distilbert-dyn18": "classify"} {
		m, err := Open(models+"/"+name, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		p, err := m.Prepared()
		if err != nil {
			t.Fatal(err)
		}
		spec := ghost.Spec{Loss: loss, Pass: ghost.Clipped, ClipNorm: 0.1}
		together, apart := newStepSet(nil, p, spec, workplace{}), newStepSet(nil, p, spec, workplace{})
		if err := together.planAll(t.Context(), lengths); err != nil {
			t.Fatal(err)
		}
		for _, length := range lengths {
			want, err := apart.plan(length)
			if err != nil {
				t.Fatal(err)
			}
			if got := together.byLength[length]; got == nil || !bytes.Equal(got.model, want.model) {
				t.Errorf("%s: another program for %d tokens", name, length)
			}
		}
		if len(apart.byHash) < 2 {
			t.Errorf("%s: one program for all lengths %v: nothing to find", name, lengths)
		}
		if len(together.byHash) != len(apart.byHash) {
			t.Errorf("%s: %d programs, want %d", name, len(together.byHash), len(apart.byHash))
		}
		for hash, st := range apart.byHash {
			if other := together.byHash[hash]; other == nil || other.longest != st.longest {
				t.Errorf("%s: longest of a program is not %d", name, st.longest)
			}
		}
	}
}

// A part-filled microbatch has a row for each record, or all where the model has a fixed number; no row is twice.
func TestPackLength(t *testing.T) {
	list := []int{4, 7, 9, 11, 13, 20, 21}
	for _, c := range []struct {
		fixed bool
		rows  []int
	}{{false, []int{3, 3, 1}}, {true, []int{3, 3, 3}}} {
		var rows, records []int
		for _, m := range packLength(list, 16, 3, c.fixed) {
			if m.edge != 16 || len(m.records) > m.rows {
				t.Errorf("%+v", m)
			}
			rows, records = append(rows, m.rows), append(records, m.records...)
		}
		if !slices.Equal(rows, c.rows) || !slices.Equal(records, list) {
			t.Errorf("fixed %t: rows %v, records %v", c.fixed, rows, records)
		}
	}
}

// A set plans for the records of a run: where their logits are too large to hold, its programs compute them in
// chunks, and where they no longer are, whole again.
func TestPlanForRecords(t *testing.T) {
	m, err := Open(models+"/gpt2-ts17", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	p, err := m.Prepared()
	if err != nil {
		t.Fatal(err)
	}
	set := newStepSet(nil, p, ghost.Spec{Loss: "causal-lm", ClipNorm: 0.1}, workplace{})
	if err := set.planAll(t.Context(), []int{16, 64}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		records     int
		short, long bool
	}{{8, false, false}, {1 << 17, false, true}, {1 << 20, true, true}, {8, false, false}} {
		if err := set.planFor(t.Context(), c.records); err != nil {
			t.Fatal(err)
		}
		short, long := set.byLength[16].program, set.byLength[64].program
		if (short.HeadChunks != nil) != c.short || (long.HeadChunks != nil) != c.long {
			t.Errorf("%d records: chunks %v of 16 tokens, %v of 64", c.records, short.HeadChunks, long.HeadChunks)
		}
	}
}
