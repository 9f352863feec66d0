package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// Verdicts on a model.
const (
	pass    = "pass"
	refused = "refused"         // Ghostwriter said that it can't train it
	wrong   = "wrong"           // numbers that differ, or an error that is no refusal
	failed  = "exporter failed" // there is no model, or one whose own forward pass is broken
)

// A row is what came of one model.
type row struct {
	Arch     string `json:"arch"`
	Exporter string `json:"exporter"`
	Verdict  string `json:"verdict"`
	Why      string `json:"why,omitempty"`
}

// examine runs one case and never fails: a panic is a wrong row too.
func examine(ctx context.Context, dir, name string, write bool) (r row) {
	r = row{Arch: name, Exporter: "?"}
	defer func() {
		if p := recover(); p != nil {
			r.Verdict, r.Why = wrong, fmt.Sprintf("panic: %v", p)
		}
	}()
	folder := filepath.Join(dir, name)
	c, err := readCase(folder)
	if err != nil {
		r.Verdict, r.Why = wrong, err.Error()
		return r
	}
	r.Arch, r.Exporter = c.Arch, c.Exporter
	if c.Error != "" {
		r.Verdict, r.Why = failed, c.Error
		return r
	}
	r.Verdict, r.Why = verdict(examineModel(ctx, folder, c, write))
	if r.Verdict != pass && c.Forward != "" {
		r.Verdict, r.Why = failed, fmt.Sprintf("%s (here: %s)", c.Forward, r.Why)
	}
	return r
}

// verdict sorts what Ghostwriter answered.
func verdict(err error) (verdict, why string) {
	if err == nil {
		return pass, ""
	}
	why = strings.Join(strings.Fields(err.Error()), " ")
	if runtime.ExitCode(err) == runtime.ExitUntrainable || errors.Is(err, ir.ErrInvalid) {
		return refused, why
	}
	return wrong, why
}

// examineModel makes all the comparisons and returns the first that fails.
func examineModel(ctx context.Context, folder string, c *caseFile, write bool) error {
	m, err := runtime.Open(folder, runtime.Options{Threads: 1, Output: c.Output})
	if err != nil {
		return err
	}
	defer m.Close()
	b, err := c.batch()
	if err != nil {
		return err
	}
	s := &subject{model: m, loss: c.Loss}
	ghost, err := s.gradNorms(ctx, b, "ghost")
	if err != nil {
		return err
	}
	loop, err := s.gradNorms(ctx, b, "loop")
	if err != nil {
		return fmt.Errorf("loop: %w", err)
	}
	if err := errors.Join(compareLoop(ghost, loop), compareGolden(ghost, c)); err != nil {
		return err
	}
	if err := s.falsify(ctx, c, ghost); err != nil {
		return err
	}
	if write {
		return s.writeBack(ctx, c)
	}
	return nil
}

// A subject is an opened model with the loss that it is examined with.
type subject struct {
	model *runtime.Model
	loss  string
}

func (s *subject) gradNorms(ctx context.Context, b *runtime.Batch, method string) (*runtime.GradNorms, error) {
	return s.model.GradNorms(ctx, b, runtime.GradNormsOptions{Loss: s.loss, Method: method, PerParameter: true})
}
