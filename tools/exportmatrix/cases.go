package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// A caseFile is case.json of one exported model, as testdata/gen/matrix_store.py
// writes it. Error says why the exporter made no model, Forward what is wrong
// with the forward pass of the model that it made; Half that its weights are in
// half precision.
type caseFile struct {
	Arch, Exporter, Error, Forward string
	Loss, Output                   string
	Half                           bool
	Freeze                         []string // what PyTorch does not train
	Batch                          json.RawMessage
	Golden                         golden
}

// A golden is what PyTorch gives: losses and norms by record, and how many numbers
// have a gradient.
type golden struct {
	Loss, Norm []float64
	Numbers    int64
}

// list names the folders of dir that hold a case and match one of the patterns.
func list(dir string, patterns []string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*", "case.json"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, path := range paths {
		name := filepath.Base(filepath.Dir(path))
		ok, err := matches(name, patterns)
		if err != nil {
			return nil, err
		}
		if ok && !strings.HasPrefix(name, ".") {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s holds no case.json that is wanted; testdata/gen/matrix.py makes them", dir)
	}
	return names, nil
}

func matches(name string, patterns []string) (bool, error) {
	for _, p := range patterns {
		if ok, err := filepath.Match(p, name); ok || err != nil {
			return ok, err
		}
	}
	return len(patterns) == 0, nil
}

// readCase reads a folder's case.
func readCase(folder string) (*caseFile, error) {
	data, err := os.ReadFile(filepath.Join(folder, "case.json"))
	if err != nil {
		return nil, err
	}
	c := &caseFile{}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("%s: case.json: %w", folder, err)
	}
	return c, nil
}

// batch parses the case's batch anew, so that it may be changed.
func (c *caseFile) batch() (*runtime.Batch, error) { return runtime.ParseBatch(c.Batch) }
