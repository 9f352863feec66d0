package dpadam

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/dpadam/audit/evidence"
)

// A mistake of another implementation, by the numbers of the project's notes on privacy, and
// the tests of this project that hold it to doing better: "package: Test, Test".
type mistake struct {
	number int
	what   string // the mistake
	who    string // where it was found
	tests  []string
}

// mistakes is the table of docs/mistakes.md. It lies here because most of them are made in what
// this package does.
var mistakes = []mistake{
	{1, "Batches cut from a shuffle, accounted as Poisson samples", "private-transformers #7, dp-transformers, TF-Privacy #483", []string{
		"dpadam: TestSamplingIsPoisson, TestInclusionThreshold",
		"dpadam/audit: TestCheckPoissonLevel, TestPlantedBugs",
	}},
	{2, "Denominator or sampling rate taken from the data, or from a loader's length", "Opacus #571, #819, #814", []string{
		"dpadam: TestDenominatorIsPublic, TestPlanResolves, TestSampleIsPure",
		"dpadam/audit: TestPlantedBugs",
	}},
	{3, "Partial batches; gradients carried over", "", []string{
		"dpadam: TestStepMisuse, TestNoiseIsIndependentOfWorkers",
		"dpadam/audit: TestPlantedBugs",
	}},
	{4, "Floating-point noise", "Opacus #616, #731", []string{
		"dpadam: TestGaussianPMF, TestGaussianLowBits, TestZigguratCovers, TestExactAgreesWithFloat, TestSensitivityOfRounding",
	}},
	{5, "Fixed seeds; noise of the global generator; noise scaled wrongly by a flag", "fastDP", []string{
		"dpadam: TestFreshKeys, TestNoiseKeysAreFresh, TestReleasedNoiseHasThePlansVariance, TestPlanStamps",
		"dpadam/audit: TestPlantedBugs, TestAuditSeeds",
	}},
	{6, "Exact metrics in the logs: losses, clipping quantiles, the best checkpoint by private data", "", []string{
		"runtime: TestDebugIsSeparateAndPrivate, TestReleaseIsAFunctionOfThePlan",
		"tools/ghostwriter: TestTrainPrintsItsResult",
	}},
	{7, "Noise per microbatch, or added before clipping", "", []string{
		"dpadam: TestReleaseRefuses, TestStepMisuse, TestAccumulatorRefuses",
		"dpadam/audit: TestPlantedBugs",
	}},
	{8, "Parameters dropped from training in silence", "fastDP", []string{
		"runtime: TestNoParameterIsDropped",
		"ghost: TestPatternsThatAreRefused, TestQuantisedWeights",
		"tools/ghostwriter: TestBadInput",
	}},
	{9, "Ghost norms that count padding tokens; wrong bias norms in ghost mode", "Opacus #751, #692", []string{
		"runtime: TestGradNormsAgainstLoopAndPyTorch, TestSharedModelsGhostAgainstLoop, TestPaddingLengthDoesNotCount, TestPlantedBugsInTheGraph",
		"tokenize: TestPaddedLengthIsTheExamplesOwn",
	}},
	{10, "Wrong sensitivity: a factor of the batch, replace-one priced as add-remove", "", []string{
		"dpadam: TestReleasedNoiseHasThePlansVariance, TestSensitivityOfRounding, TestSensitivityOfUnits, TestAddUnitRefuses, TestRDPModes, TestPLDModes",
		"dpadam/audit: TestCorrectRunIsNotRefuted, TestPlantedBugs",
		"runtime: TestClippedSums, TestAuditWithGradients, TestPlantedBugsInTheGraph",
	}},
	{11, "NaN or an empty batch that stops a step, and so tells of a record", "", []string{
		"dpadam: TestEmptyBatchIsNoised, TestAccumulatorRefuses, TestStepOrder",
		"runtime: TestNonFiniteRecordsLeaveNoTrace, TestPlantedBugsInTheGraph",
	}},
	{12, "Reading epsilon changes it; resuming resets it", "Opacus #535, private-transformers", []string{
		"dpadam: TestLedgerLife, TestBudgetIsRefusedBefore, TestEpsilonProperties, TestPLDIsDeterministic",
		"runtime: TestStopAndResume, TestResumeWithNothingLeftToPay, TestResumeRefusesAnotherLedger, TestKilledAtEveryFaultPoint",
	}},
	{13, "Absurd noise at small epsilon, a negative epsilon, failures at a large one", "private-transformers #15, Opacus #585, #601, #604", []string{
		"dpadam: TestSmallEpsilonHasReasonableSigma, TestEpsilonEdges, TestEpsilonProperties, TestPLDEdges, TestPLDProperties",
	}},
	{14, "Demonstrations at inference taken from private training data", "", []string{
		"runtime: TestNothingHoldsTrainingText",
	}},
	{15, "Noise on touched embedding rows only", "", []string{
		"dpadam: TestReleasedNoiseHasThePlansVariance, TestEmptyBatchIsNoised, TestPrivateTrainingLoop",
		"dpadam/audit: TestPlantedBugs",
		"runtime: TestUntouchedRowsGetTheRightNoise, TestAuditWithGradients",
	}},
}

// Every mistake has tests, every test exists in its package, and docs/mistakes.md is this table.
func TestMistakesHaveTests(t *testing.T) {
	var rows [][]string
	for i, m := range mistakes {
		if m.number != i+1 || len(m.tests) == 0 {
			t.Errorf("mistake %d stands at %d with %d packages of tests", m.number, i+1, len(m.tests))
		}
		var cells []string
		for _, line := range m.tests {
			folder, list, _ := strings.Cut(line, ": ")
			have, err := evidence.Tests(filepath.Join("..", filepath.FromSlash(folder)))
			if err != nil {
				t.Fatal(err)
			}
			names := strings.Split(list, ", ")
			for _, name := range names {
				if !have[name] {
					t.Errorf("mistake %d (%s): package %s has no test %s", m.number, m.what, folder, name)
				}
			}
			cells = append(cells, fmt.Sprintf("`%s`: %s", folder, strings.Join(names, ", ")))
		}
		rows = append(rows, []string{fmt.Sprint(m.number), m.what, m.who, strings.Join(cells, "<br>")})
	}
	if len(mistakes) != 15 {
		t.Errorf("%d mistakes; the notes have 15", len(mistakes))
	}
	evidence.Table(t, filepath.Join("..", "docs", "mistakes.md"), "mistakes", []string{"", "mistake", "seen in", "tests"}, rows)
}
