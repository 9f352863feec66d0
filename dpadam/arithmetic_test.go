package dpadam

import (
	"errors"
	"strings"
	"testing"
)

// What computed the sums is part of the plan and of its statement; a plan without keeps its hash and its words.
func TestArithmetic(t *testing.T) {
	c := Config{Records: 1000, ExpectedBatch: 50, Steps: 10, NoiseMultiplier: 1, ClipNorm: 0.1, Rho: 1e-3, Dim: 10, Microbatch: 8, Optimizer: Adam(1e-3)}
	plain, err := NewPlan(c)
	if err != nil {
		t.Fatal(err)
	}
	c.Arithmetic = "a CUDA device, products in bf16"
	p, err := NewPlan(c)
	if err != nil {
		t.Fatal(err)
	}
	if p.Hash() == plain.Hash() || !strings.Contains(p.String(), c.Arithmetic) {
		t.Errorf("plan %s", p)
	}
	for _, of := range []*Plan{plain, p} {
		l, err := CreateLedger(t.Context(), t.TempDir()+"/ledger", of, LedgerOptions{})
		if err != nil {
			t.Fatal(err)
		}
		record, err := ReadLedger(l.path)
		if err != nil {
			t.Fatal(err)
		}
		st, err := NewStatement(record)
		if err != nil {
			t.Fatal(err)
		}
		said := strings.Contains(strings.Join(strings.Fields(st.Text()), " "), "measured on the processor in single precision; this run computed with "+c.Arithmetic)
		if said != (of == p) {
			t.Errorf("the statement of %s:\n%s", of, st.Text())
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"a\nline", "<b>", strings.Repeat("x", 201)} {
		c.Arithmetic = bad
		if _, err := NewPlan(c); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
