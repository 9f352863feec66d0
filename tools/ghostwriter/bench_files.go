package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
)

// writeBench writes bench.json and the figures of a report.
func writeBench(dir string, r *runtime.BenchReport) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("%w: --out: %v", errCommandLine, err)
	}
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := durable.WriteBytes(filepath.Join(dir, "bench.json"), 0o644, append(data, '\n')); err != nil {
		return err
	}
	if err := writeBenchFigure(dir, r); err != nil {
		return err
	}
	return writeScaling(dir, r)
}

// mergeReports joins reports of one machine.
func mergeReports(files []string) (*runtime.BenchReport, error) {
	var reports []*runtime.BenchReport
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("%w: --merge: %v", errCommandLine, err)
		}
		r := &runtime.BenchReport{}
		if err := json.Unmarshal(data, r); err != nil {
			return nil, fmt.Errorf("%w: --merge: %s: %v", errCommandLine, file, err)
		}
		reports = append(reports, r)
	}
	return runtime.MergeBench(reports...)
}
