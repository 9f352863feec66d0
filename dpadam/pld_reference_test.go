package dpadam

import (
	"encoding/json"
	"math"
	"os"
	"testing"
	"time"
)

// Every row of the reference table: the estimate is the true epsilon within 1e-6 where that was
// evaluated exactly, else within the reference's own error and 1e-5; the bound is never below
// the true epsilon (less the reference's error) and at most 1e-4 of itself above.
func TestPLDAgainstReference(t *testing.T) {
	if testing.Short() {
		t.Skip("arithmetic alone: slow under the race detector, which finds nothing in it")
	}
	t.Parallel()
	rows := readTable(t, sharedData(t, "accounting", "reference.csv"))
	if len(rows) < 40 {
		t.Fatalf("only %d rows", len(rows))
	}
	for _, row := range rows {
		c, err := Compose(AddRemove, Phase{number(t, row, "q"), number(t, row, "sigma"), int64(number(t, row, "steps"))})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		r, err := NewPLD().Epsilon(c, number(t, row, "delta"))
		took := time.Since(begin)
		if err != nil {
			t.Fatalf("row %s: %v", row["id"], err)
		}
		truth, own, within := number(t, row, "eps_best"), 0.0, 1e-6
		if row["eps_best_kind"] != "exact_mpmath" {
			own = number(t, row, "gold_err")
			within = own/truth + 1e-5
		}
		t.Logf("row %-3s %-14s true %.9f estimate %+.1e bound %+.1e lower %+.1e in %v (peers: %s s)",
			row["id"], row["tag"], truth, r.Estimate/truth-1, r.Epsilon/truth-1, r.Lower/truth-1, took.Round(time.Millisecond), row["pld_ctd_1e4_s"])
		if math.Abs(r.Estimate/truth-1) > within {
			t.Errorf("row %s: estimate %.12f, true %.12f", row["id"], r.Estimate, truth)
		}
		if r.Epsilon < truth-own || r.Epsilon > truth*(1+1e-4) {
			t.Errorf("row %s: bound %.12f, true %.12f ± %.1e", row["id"], r.Epsilon, truth, own)
		}
		if r.Lower > r.Estimate || r.Estimate > r.Epsilon || r.Lower > truth+own {
			t.Errorf("row %s: %v is not ordered, or does not hold the true %v", row["id"], r, truth)
		}
	}
}

// referenceMode is an entry of modes.json.
type referenceMode struct {
	Mode, Name     string
	Phases         [][3]float64
	Delta, Q       float64
	Sigma          float64
	Steps          int64
	N, B           int64
	ExpectedBatch  float64 `json:"expected_batch"`
	MaxBatch       int64   `json:"max_batch"`
	GoldEps        float64 `json:"gold_eps"`
	GoldErr        float64 `json:"gold_err"`
	PLD            float64 `json:"pld_ctd_1e4"`
	Untruncated    float64
	RDPOfSigmaHalf float64 `json:"rdp_google_sigma_half"`
}

func referenceModes(t *testing.T) []referenceMode {
	data, err := os.ReadFile(sharedData(t, "accounting", "modes.json"))
	if err != nil {
		t.Fatal(err)
	}
	var modes []referenceMode
	if err := json.Unmarshal(data, &modes); err != nil {
		t.Fatal(err)
	}
	if len(modes) < 16 {
		t.Fatalf("only %d modes", len(modes))
	}
	return modes
}

// Several phases, replace-one, truncated batches. The peer prices a truncated batch by a pair that is wider
// than needed (replace-one for a shift to one side): ours lies between no truncation and that.
func TestPLDModes(t *testing.T) {
	if testing.Short() {
		t.Skip("arithmetic alone: slow under the race detector, which finds nothing in it")
	}
	for _, m := range referenceModes(t) {
		c := Composition{Relation: AddRemove}
		low, high := m.GoldEps-m.GoldErr, m.GoldEps*(1+1e-4)
		switch m.Mode {
		case "heterogeneous":
			for _, p := range m.Phases {
				c.Events = append(c.Events, Event{PoissonSubsampledGaussian{p[0], p[1]}, int64(p[2])})
			}
		case "replace_one_poisson":
			c = Composition{ReplaceOne, []Event{{PoissonSubsampledGaussian{m.Q, m.Sigma}, m.Steps}}}
		case "truncated_poisson":
			c.Events = []Event{{TruncatedPoissonGaussian{m.N, m.ExpectedBatch / float64(m.N), m.MaxBatch, m.Sigma}, m.Steps}}
			low, high = m.Untruncated*(1-1e-5), m.PLD*(1+1e-4)
		default:
			continue
		}
		r, err := NewPLD().Epsilon(c, m.Delta)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s %s: estimate %.9f bound %.9f, reference %.9f %.9f", m.Mode, m.Name, r.Estimate, r.Epsilon, m.GoldEps, m.PLD)
		if m.Mode == "truncated_poisson" && r.Lower != 0 {
			t.Errorf("%s: a lower bound of %v, though the pair is not one of data sets", m.Mode, r.Lower)
		}
		if r.Epsilon < low || r.Epsilon > high {
			t.Errorf("%s %s: bound %.9f not in [%.9f, %.9f]", m.Mode, m.Name, r.Epsilon, low, high)
		}
		if m.GoldEps > 0 && math.Abs(r.Estimate/m.GoldEps-1) > m.GoldErr/m.GoldEps+1e-5 {
			t.Errorf("%s %s: estimate %.9f, reference %.9f", m.Mode, m.Name, r.Estimate, m.GoldEps)
		}
	}
}

// Batches of fixed size have a bound by RDP alone: the peer's, at the sensitivity 2C that
// replacing a record has.
func TestWithoutReplacement(t *testing.T) {
	for _, m := range referenceModes(t) {
		if m.Mode != "wor_replace_one_rdp" {
			continue
		}
		c := Composition{ReplaceOne, []Event{{WithoutReplacementGaussian{m.N, m.B, m.Sigma}, m.Steps}}}
		r, err := NewRDP().Epsilon(c, m.Delta)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("N %d B %d sigma %g T %d: %.9f (order %g), reference %.9f", m.N, m.B, m.Sigma, m.Steps, r.Epsilon, r.Order, m.RDPOfSigmaHalf)
		if r.Epsilon > m.RDPOfSigmaHalf*(1+1e-6) {
			t.Errorf("%.9f above the peer's %.9f", r.Epsilon, m.RDPOfSigmaHalf)
		}
		if r.Epsilon < m.RDPOfSigmaHalf*0.97 { // finer orders may gain a little
			t.Errorf("%.9f far below the peer's %.9f", r.Epsilon, m.RDPOfSigmaHalf)
		}
	}
}

// PRV lies within the peer's bounds wherever those hold: row 46's upper bound is below the truth. The peer's own error
// shows in single digits of 1e-9.
func TestPRVAgainstReference(t *testing.T) {
	if testing.Short() {
		t.Skip("arithmetic alone: slow under the race detector, which finds nothing in it")
	}
	t.Parallel()
	for _, row := range readTable(t, sharedData(t, "accounting", "reference.csv")) {
		if row["prv_lo"] == "" || row["id"] == "46" || slowSamples == 0 && number(t, row, "steps") > 600 {
			continue // the lattices of long runs take minutes together
		}
		c, err := Compose(AddRemove, Phase{number(t, row, "q"), number(t, row, "sigma"), int64(number(t, row, "steps"))})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		r, err := NewPRV().Epsilon(c, number(t, row, "delta"))
		if err != nil {
			t.Errorf("row %s: %v", row["id"], err)
			continue
		}
		lo, hi, truth := number(t, row, "prv_lo"), number(t, row, "prv_hi"), number(t, row, "eps_best")
		t.Logf("row %-3s %-14s [%.6f, %.6f] estimate %.6f %+.1e, peer [%.6f, %.6f] true %.6f in %v (peer: %s s)", row["id"], row["tag"],
			r.Lower, r.Epsilon, r.Estimate, r.Estimate/truth-1, lo, hi, truth, time.Since(begin).Round(time.Millisecond), row["prv_s"])
		if r.Estimate < lo || r.Estimate > hi {
			t.Errorf("row %s: estimate %.9f not in the peer's [%.9f, %.9f]", row["id"], r.Estimate, lo, hi)
		}
		if own := 1e-9; r.Lower > truth*(1+own) || r.Epsilon < truth*(1-own) {
			t.Errorf("row %s: [%v, %v] does not hold the true %v", row["id"], r.Lower, r.Epsilon, truth)
		}
	}
}
