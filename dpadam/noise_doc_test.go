package dpadam

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/dpadam/audit/evidence"
)

const noiseDocument = "../docs/noise.md"

// statistics are the tests of this package that a perfect implementation fails by chance, with what they look at and the
// probability of that.
var statistics = []struct{ name, what, rate string }{
	{"TestGaussianMoments", "moments 1 to 6 of Z, as z-scores", "1.2e-8"},
	{"TestGaussianBins", "1024 bins of equal probability, χ²", "1e-9"},
	{"TestGaussianTails", "counts beyond 4, 5 and 6σ on each side, Poisson", "1.2e-8"},
	{"TestGaussianLowBits", "low byte of Z, χ²; balance of the lowest 24 bits", "4e-9"},
	{"TestGaussianCorrelation", "lags 1 to 16 of samples, squares and low bits; next chunk, next charge", "5e-9"},
	{"TestGaussianPMF", "every lattice point at σ = 1, 2, 8, 16, 64 against differences of erfc, χ²; no holes", "5e-9"},
	{"TestExactAgreesWithFloat", "float64's decisions against 768 bits", "0"},
	{"TestFillIsSequential", "filling in pieces gives the same samples", "0"},
	{"TestNoiseAcrossWorkers", "what Release gives with 8 workers: lags within and across blocks, refills, chunks and charges", "6e-10"},
	{"TestNoiseIsIndependentOfWorkers", "1, 2, 3 and 16 workers give the same; chunks and charges share no noise", "below 1e-100"},
	{"TestReleasedNoiseHasThePlansVariance", "mean and variance of what Release gives, every coordinate noised", "2e-10"},
	{"TestNoiseOfRanks", "variance of every coordinate at 1 to 4 ranks, and that ranks share no noise", "2e-10"},
	{"TestNoiseOfRanksCatches", "the same test against four planted faults", "1e-9"},
	{"TestRanksTakeTheStepsOfOne", "any number of ranks takes the steps of one, to the last bit", "0"},
	{"TestEmptyBatchIsNoised", "variance of the release of an empty batch", "1e-10"},
	{"TestAdaptiveNoise", "variances of sum and count under adaptive clipping, and their correlation", "4e-10"},
	{"TestSamplingIsPoisson", "mean and variance of the batch size, rates of records, neighbours, successive steps", "1.4e-9"},
	{"TestBatchSizesAreBinomial", "distribution of the batch size at three sizes and rates, χ²; many empty batches", "3e-9"},
	{"TestSamplingIsPairwiseIndependent", "all pairs of 64 records, within a step and from one to the next", "5e-10"},
	{"TestRecordsAreChosenUniformly", "subsets of a user's records, and pairs of successive ones, χ²", "2e-9"},
	{"TestBelowIsUniform", "bounded random numbers, χ²", "1e-9"},
}

// docs/noise.md has the table of statistical tests, all of them, and names no test that does not exist.
func TestDocumentOfTheNoise(t *testing.T) {
	rows := make([][]string, len(statistics))
	listed := map[string]bool{}
	for i, s := range statistics {
		rows[i] = []string{"`" + s.name + "`", s.what, s.rate}
		listed[s.name] = true
	}
	evidence.Table(t, noiseDocument, "statistics dpadam", []string{"test", "looks at", "false-reject rate"}, rows)
	have := map[string]bool{}
	for _, dir := range []string{".", "../runtime", "../tools/ghostwriter"} {
		tests, err := evidence.Tests(dir)
		if err != nil || len(tests) == 0 {
			t.Fatalf("%s: %d tests, %v", dir, len(tests), err)
		}
		for name := range tests {
			have[name] = true
		}
	}
	text, err := os.ReadFile(noiseDocument)
	if err != nil {
		t.Fatal(err)
	}
	cited := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(text), -1)
	if len(cited) < len(statistics) {
		t.Errorf("the document cites %d tests", len(cited))
	}
	for _, c := range cited {
		if !have[c[1]] {
			t.Errorf("the document cites %s, which does not exist", c[1])
		}
	}
	for _, name := range seededTests(t) {
		if !listed[name] {
			t.Errorf("%s draws a fresh seed but is not in the table of statistical tests", name)
		}
	}
}

// seededTests lists the tests of this package that call testSeed.
func seededTests(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil || len(f.Name.Name) < 4 || f.Name.Name[:4] != "Test" {
				continue
			}
			ast.Inspect(f.Body, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					if id, ok := call.Fun.(*ast.Ident); ok && id.Name == "testSeed" {
						names = append(names, f.Name.Name)
						return false
					}
				}
				return true
			})
		}
	}
	if len(names) < 10 {
		t.Fatalf("found %d tests that draw a seed", len(names))
	}
	return names
}
