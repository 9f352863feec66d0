package audit

import (
	"encoding/csv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// sharedData returns the path of a file of the reference data that lie beside the
// repository, or skips, naming the folder.
func sharedData(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "data", "audit", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("reference data not found: ../shared/data/audit/%s", name)
	}
	return path
}

// readTable reads a CSV file with a header into one map a row.
func readTable(t testing.TB, path string) []map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]string
	for _, r := range rows[1:] {
		m := map[string]string{}
		for i, h := range rows[0] {
			m[h] = r[i]
		}
		out = append(out, m)
	}
	return out
}

func number(t testing.TB, row map[string]string, key string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(row[key], 64)
	if err != nil {
		t.Fatalf("column %s = %q: %v", key, row[key], err)
	}
	return v
}

func count(t testing.TB, row map[string]string, key string) int {
	t.Helper()
	return int(number(t, row, key))
}

// onlyComputes leaves a test out of short runs, as under the race detector: it takes long and has
// no parallelism of its own.
func onlyComputes(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("computes for long and runs nothing in parallel")
	}
}

// testSeed is a fresh seed, printed so that a failure can be repeated with
// AUDIT_TEST_SEED.
func testSeed(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("AUDIT_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("AUDIT_TEST_SEED=%d", seed)
	return seed
}
