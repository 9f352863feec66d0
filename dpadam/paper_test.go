package dpadam

import (
	"fmt"
	"math"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/dpadam/audit/evidence"
)

// The settings of Li et al. 2022, Table 1 and Appendix (records, expected batch, epochs; delta = 1/2N): for a target epsilon the noise
// multiplier by RDP, as the authors chose it, what that noise costs by every accountant, and the noise that the tight one asks for. DART
// has two sizes, by release. docs/accounting.md has the table; GHOSTWRITER_UPDATE_DOCS=1 rewrites it.
func TestTableOfThePaper(t *testing.T) {
	if testing.Short() {
		t.Skip("twenty lattices of prv take seconds")
	}
	t.Parallel()
	rdp, prv, tight := NewRDP(), NewPRV(), NewPLD()
	var rows [][]string
	for _, s := range []struct {
		name          string
		records       float64
		batch, epochs float64
	}{
		{"SST-2", 67349, 1000, 3}, {"QNLI", 104743, 2000, 6}, {"QQP", 363846, 6000, 18}, {"MNLI", 392702, 6000, 18},
		{"E2E", 42061, 1024, 10}, {"DART", 62659, 1024, 10}, {"DART", 93187, 1024, 10},
	} {
		q, delta := s.batch/s.records, 1/(2*s.records)
		steps := int64(math.Ceil(s.epochs / q * (1 - 1e-12)))
		for _, target := range []float64{3, 8} {
			sigma, byRDP, err := CalibrateNoise(t.Context(), rdp, AddRemove, q, steps, delta, target)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Compose(AddRemove, Phase{q, sigma, steps})
			if err != nil {
				t.Fatal(err)
			}
			byPRV, err := prv.Epsilon(c, delta)
			if err != nil {
				t.Fatal(err)
			}
			byPLD, err := tight.Epsilon(c, delta)
			if err != nil {
				t.Fatal(err)
			}
			if byPLD.Estimate < byPRV.Lower || byPLD.Estimate > byPRV.Epsilon {
				t.Errorf("%s: pld says %v, prv [%v, %v]", s.name, byPLD.Estimate, byPRV.Lower, byPRV.Epsilon)
			}
			clt, err := CLT(c, delta)
			if err != nil {
				t.Fatal(err)
			}
			least, _, err := CalibrateNoise(t.Context(), tight, AddRemove, q, steps, delta, target)
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, []string{
				s.name, fmt.Sprint(s.records), fmt.Sprint(s.batch), fmt.Sprint(steps), fmt.Sprint(target), fmt.Sprintf("%.4f", sigma),
				fmt.Sprintf("%.3f", byRDP.Epsilon), fmt.Sprintf("%.3f", byPRV.Estimate), fmt.Sprintf("%.3f", byPLD.Epsilon), fmt.Sprintf("(%.2f)", clt),
				fmt.Sprintf("%.4f", least), fmt.Sprintf("%.1f %%", 100*(1-least/sigma)),
			})
		}
	}
	evidence.Table(t, "../docs/accounting.md", "paper", []string{"task", "N", "B", "T", "target ε", "σ by rdp", "ε by rdp", "ε by prv", "ε by pld", "(CLT)", "σ by pld", "noise saved"}, rows)
}
