// Package experiments holds the files of studies: sweeps with named cells.
package experiments

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// Every study can be run: its options are known and go together. The files of those at toy size are there; the others name
// what docs/experiments.md says how to make, in out/study.
func TestStudiesCanBeRun(t *testing.T) {
	for pattern, least := range map[string]int{"*.yaml": 2, "study/*.yaml": 5} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) < least {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			for _, path := range checkStudy(t, file) {
				if strings.HasPrefix(path, "@") || strings.HasPrefix(path, "out/study/") {
					continue
				}
				if _, err := os.Stat(filepath.Join("..", "..", path)); err != nil {
					t.Errorf("%s: %v", file, err)
				}
			}
		}
	}
}

// checkStudy reads a study as sweep does, and gives the files that its cells name.
func checkStudy(t *testing.T, file string) (paths []string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	o, err := runtime.ParseSweep(data)
	if err != nil {
		t.Errorf("%s: %v", file, err)
		return nil
	}
	o.Out = t.TempDir()
	for i := range o.Cells {
		c := &o.Cells[i]
		if _, err := o.Cell(c.Name); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		paths = append(paths, c.Options.Model, c.Options.Train)
		if c.Options.Valid != "" {
			paths = append(paths, c.Options.Valid)
		}
		if c.Evaluate != nil {
			paths = append(paths, c.Evaluate.Data)
		}
	}
	return paths
}
