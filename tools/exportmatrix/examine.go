package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// Verdicts on a model.
const (
	pass    = "pass"
	noted   = "pass, but"       // all that can be compared agrees; Why says what can't
	refused = "refused"         // Ghostwriter said that it can't train it
	wrong   = "wrong"           // numbers that differ, or an error that is no refusal
	failed  = "exporter failed" // there is no model, or one whose own forward pass is broken
)

// options say what is done with a model beside comparing numbers.
type options struct {
	write bool // it back, with changed weights
	keep  bool // the written file
}

// A row is what came of one model.
type row struct {
	Arch     string `json:"arch"`
	Exporter string `json:"exporter"`
	Verdict  string `json:"verdict"`
	Why      string `json:"why,omitempty"`
}

// examine runs one case and never fails: a panic is a wrong row too.
func examine(ctx context.Context, dir, name string, o options) (r row) {
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
	note, err := examineModel(ctx, folder, c, o)
	r.Verdict, r.Why = verdict(err)
	switch {
	case r.Verdict != pass && c.Forward != "":
		r.Verdict, r.Why = failed, fmt.Sprintf("%s (here: %s)", c.Forward, r.Why)
	case r.Verdict == pass && c.Forward != "":
		note = "the file as it was exported: " + c.Forward
		fallthrough
	case r.Verdict == pass && note != "":
		r.Verdict, r.Why = noted, note
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

// examineModel makes all the comparisons and returns the first that fails, and
// what could not be compared.
func examineModel(ctx context.Context, folder string, c *caseFile, o options) (note string, err error) {
	m, err := runtime.Open(folder, runtime.Options{Threads: 1, Output: c.Output})
	if err != nil {
		return "", err
	}
	defer m.Close()
	b, err := c.batch()
	if err != nil {
		return "", err
	}
	s := &subject{model: m, loss: c.Loss, freeze: matching(m, c.Freeze)}
	ghost, err := s.gradNorms(ctx, b, "ghost")
	if err != nil {
		return "", err
	}
	loop, err := s.gradNorms(ctx, b, "loop")
	if err != nil {
		return "", fmt.Errorf("loop: %w", err)
	}
	if err := errors.Join(compareLoop(ghost, loop), compareLosses(ghost, c)); err != nil {
		return "", err
	}
	if len(c.Golden.Norm) == 0 {
		note = "its quantised weights are no model of PyTorch's: losses are compared with onnxruntime's, norms with the loop's alone"
	} else if err := compareGolden(ghost, c); err != nil {
		if note, err = s.otherParameters(c, ghost, err); err != nil {
			return "", err
		}
	}
	if err := s.falsify(ctx, c, ghost); err != nil {
		return "", err
	}
	switch {
	case !o.write:
		return note, nil
	case o.keep:
		return note, s.writeBack(ctx, c, folder)
	}
	dir, err := os.MkdirTemp("", "exportmatrix-")
	if err != nil {
		return "", err
	}
	return note, errors.Join(s.writeBack(ctx, c, dir), os.RemoveAll(dir))
}

// optimizers are the exporters that fold parameters: they compute what depends on
// parameters alone once, or pack copies of a shared weight.
var optimizers = []string{"optimum-o2", "ts17-ortopt", "dyn18-ortopt"}

// otherParameters excuses norms that differ from PyTorch's where an optimizer left
// more numbers to train than PyTorch has: the file is another parametrisation of
// the same function. The loop, the poisoned record and the written file's slope
// still check it.
func (s *subject) otherParameters(c *caseFile, g *runtime.GradNorms, differs error) (string, error) {
	p, err := s.model.Prepared()
	if err != nil {
		return "", err
	}
	numbers := int64(0)
	for _, q := range p.Parameters {
		if _, trained := g.Norms[q.Name]; trained {
			numbers += q.Elements()
		}
	}
	if numbers <= c.Golden.Numbers || !slices.Contains(optimizers, c.Exporter) {
		return "", differs
	}
	return fmt.Sprintf("the optimizer left %d numbers to train where PyTorch has %d, so that norms are not PyTorch's (%v)", numbers, c.Golden.Numbers, differs), nil
}

// A subject is an opened model with the loss that it is examined with.
type subject struct {
	model  *runtime.Model
	loss   string
	freeze []string
}

// matching leaves out patterns of parameters that this file has none of: an
// exporter may have written a table as a constant.
func matching(m *runtime.Model, patterns []string) []string {
	return slices.DeleteFunc(slices.Clone(patterns), func(p string) bool {
		_, err := m.Inspect(nil, []string{p})
		return err != nil
	})
}

func (s *subject) gradNorms(ctx context.Context, b *runtime.Batch, method string) (*runtime.GradNorms, error) {
	return s.model.GradNorms(ctx, b, runtime.GradNormsOptions{Loss: s.loss, Method: method, PerParameter: true, Freeze: s.freeze})
}
