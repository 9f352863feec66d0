package dpadam

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// mistakes lists the mistakes of other implementations that this package could repeat, by the
// numbers of the project's notes on privacy, and the tests that hold us to it. (6, 8, 9 and 14
// concern logs, parameter selection, ghost norms and prompts: other packages.)
var mistakes = []struct {
	number int
	what   string
	tests  []string
}{
	{1, "shuffled batches accounted as Poisson", []string{"TestSamplingIsPoisson", "TestInclusionThreshold"}},
	{2, "normaliser or sampling rate derived from data", []string{"TestDenominatorIsPublic", "TestPlanResolves", "TestSampleIsPure"}},
	{3, "partial batches, gradients carried over", []string{"TestStepMisuse", "TestNoiseIsIndependentOfWorkers"}},
	{4, "floating-point noise", []string{"TestGaussianPMF", "TestGaussianLowBits", "TestZigguratCovers", "TestExactAgreesWithFloat", "TestSensitivityOfRounding"}},
	{5, "fixed seeds, shared generators, noise scaled by a flag", []string{"TestFreshKeys", "TestNoiseKeysAreFresh", "TestReleasedNoiseHasThePlansVariance", "TestPlanStamps"}},
	{7, "noise per microbatch or before clipping", []string{"TestReleaseRefuses", "TestStepMisuse", "TestAccumulatorRefuses"}},
	{10, "wrong sensitivity", []string{"TestReleasedNoiseHasThePlansVariance", "TestSensitivityOfRounding", "TestSensitivityOfUnits", "TestAddUnitRefuses", "TestRDPModes"}},
	{11, "NaN or an empty batch crashing a step", []string{"TestEmptyBatchIsNoised", "TestAccumulatorRefuses", "TestStepOrder"}},
	{12, "reading epsilon changes it, resuming resets it", []string{"TestLedgerLife", "TestBudgetIsRefusedBefore", "TestEpsilonProperties"}},
	{13, "absurd sigma, negative epsilon, failures at large epsilon", []string{"TestSmallEpsilonHasReasonableSigma", "TestEpsilonEdges", "TestEpsilonProperties"}},
	{15, "noise only on touched rows", []string{"TestReleasedNoiseHasThePlansVariance", "TestEmptyBatchIsNoised", "TestPrivateTrainingLoop"}},
}

// Every test named in the table exists.
func TestMistakesHaveTests(t *testing.T) {
	have := map[string]bool{}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				have[fn.Name.Name] = true
			}
		}
	}
	for _, m := range mistakes {
		for _, name := range m.tests {
			if !have[name] {
				t.Errorf("mistake %d (%s): no test %s", m.number, m.what, name)
			}
		}
	}
}
