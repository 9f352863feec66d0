// Package experiments holds the files of studies: sweeps with named cells.
package experiments

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// Every study in this folder can be run: its options are known and go together, and its files are there.
func TestStudiesCanBeRun(t *testing.T) {
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		o, err := runtime.ParseSweep(data)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		o.Out = t.TempDir()
		for i := range o.Cells {
			c := &o.Cells[i]
			if _, err := o.Cell(c.Name); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			for _, path := range []string{c.Options.Model, c.Options.Train, c.Options.Valid} {
				if _, err := os.Stat(filepath.Join("..", "..", path)); err != nil && path[0] != '@' {
					t.Errorf("%s: cell %s: %v", file, c.Name, err)
				}
			}
		}
	}
}
