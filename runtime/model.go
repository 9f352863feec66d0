package runtime

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/canon"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// Options say how a model is opened.
type Options struct {
	// Library is the onnxruntime library; "" looks where ort.FindLibrary says.
	Library string
	// Threads for one operator; 0 takes all cores.
	Threads int
	// Device is where the model runs: "cpu" (the default), "cuda" or "cuda:N".
	Device string
	// Output is the output that a loss reads; "" takes "logits" or the only
	// one. Head "tied" gives a base model a head tied to its token embedding.
	Output, Head string
	// Tokenizer is a tokenizer file or directory; "" takes the model's own.
	Tokenizer string
	// NoCache makes generation recompute the whole text at each token: slow, and
	// what a cache of keys and values is held against.
	NoCache bool
}

// A Model is an opened ONNX model. It is safe for concurrent use, except that
// training changes its weights.
type Model struct {
	file    *ir.Model
	options Options
	runner  Runner // nil: the session itself

	mu       sync.Mutex
	env      *ort.Env
	forward  *ort.Session
	prepared *ghost.Prepared
	method   method // how it is trained; nil before Adapt

	described sync.Mutex
	config    *modelConfig // nil until it is first read
	labels    *labelConfig

	text       sync.Mutex
	tokenizer  *tokenize.Tokenizer
	generating sync.Mutex // held while it is found out how the model generates
	generates  *generation
}

// Open reads and checks the model at path, a file or a model directory. The
// runtime library is looked for when it is first needed.
func Open(path string, o Options) (*Model, error) {
	file, err := ir.Open(path)
	if err != nil {
		return nil, usageUnless(err)
	}
	return &Model{file: file, options: o}, nil
}

// usageUnless marks an error as the caller's, keeping what it is already.
func usageUnless(err error) error {
	if ExitCode(err) != ExitFailed {
		return err
	}
	return usage("%w", err)
}

// Close frees the model's sessions.
func (m *Model) Close() error {
	m.generating.Lock()
	defer m.generating.Unlock()
	if m.generates != nil {
		if err := m.generates.close(); err != nil {
			return err
		}
		m.generates = nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.forward == nil {
		return nil
	}
	err := m.forward.Close()
	m.forward = nil
	return err
}

// File returns the model as it was read.
func (m *Model) File() *ir.Model { return m.file }

// Env returns the runtime library, opened on first use.
func (m *Model) Env() (*ort.Env, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.loadEnv()
}

func (m *Model) loadEnv() (*ort.Env, error) {
	if m.env == nil {
		at, err := m.workplace()
		if err != nil {
			return nil, err
		}
		env, err := ort.LoadFor(at.device, m.options.Library)
		if err != nil {
			return nil, err
		}
		m.env = env
	}
	return m.env, nil
}

// Prepared returns the model's analysis for training, made on first use.
func (m *Model) Prepared() (*ghost.Prepared, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.prepared == nil {
		p, err := ghost.Prepare(m.file, m.options.Output, m.options.Head)
		if err != nil {
			return nil, usageUnless(err)
		}
		m.prepared = p
	}
	return m.prepared, nil
}

// session returns the forward pass of the file as it is. Only a file that the
// runtime would refuse for a known fault is repaired first.
func (m *Model) session() (*ort.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.forward != nil {
		return m.forward, nil
	}
	env, err := m.loadEnv()
	if err != nil {
		return nil, err
	}
	o, err := m.sessionOptions(m.file.Path)
	if err != nil {
		return nil, err
	}
	graph, repairs, err := canon.Repaired(m.file.Graph())
	if err != nil {
		return nil, usageUnless(err)
	}
	if len(repairs) > 0 {
		data, err := canon.Encode(graph)
		if err != nil {
			return nil, err
		}
		m.forward, err = env.NewSession(data, o)
		return m.forward, err
	}
	m.forward, err = env.NewSessionFromFile(m.file.Path, o)
	return m.forward, err
}

// Run runs the forward pass and returns the named outputs, or all. Integer
// inputs are converted to the width that the model declares.
func (m *Model) Run(ctx context.Context, inputs map[string]*ort.Tensor, outputs ...string) (map[string]*ort.Tensor, error) {
	s, err := m.session()
	if err != nil {
		return nil, err
	}
	feeds := map[string]*ort.Tensor{}
	for _, in := range slices.Concat(s.Inputs(), s.Overridable()) {
		t, ok := inputs[in.Name]
		if !ok {
			continue
		}
		if feeds[in.Name], err = convert(t, in.DType); err != nil {
			return nil, usage("input %q: %w", in.Name, err)
		}
	}
	for name := range inputs {
		if feeds[name] == nil {
			return nil, usage("the model has no input %q; it has %s", name, infoNames(s.Inputs()))
		}
	}
	for _, in := range s.Inputs() {
		if feeds[in.Name] == nil {
			return nil, usage("input %q is missing; the model reads %s", in.Name, infoNames(s.Inputs()))
		}
	}
	for _, o := range outputs {
		if !slices.ContainsFunc(s.Outputs(), func(i ort.Info) bool { return i.Name == o }) {
			return nil, usage("the model has no output %q; it has %s", o, infoNames(s.Outputs()))
		}
	}
	if m.runner != nil {
		return m.runner(ctx, feeds, outputs)
	}
	return s.Run(ctx, feeds, ort.Outputs(outputs...)...)
}

func infoNames(infos []ort.Info) string {
	names := make([]string, len(infos))
	for i, in := range infos {
		names[i] = in.Name
	}
	return fmt.Sprint(names)
}

// convert changes the width of an integer or floating tensor when nothing is
// lost by it.
func convert(t *ort.Tensor, want ort.DType) (*ort.Tensor, error) {
	if t.DType() == want {
		return t, nil
	}
	switch {
	case t.DType() == ort.Int64 && want == ort.Int32:
		return castTensor(t, func(v int64) (int32, bool) { return int32(v), int64(int32(v)) == v })
	case t.DType() == ort.Int32 && want == ort.Int64:
		return castTensor(t, func(v int32) (int64, bool) { return int64(v), true })
	case t.DType() == ort.Float64 && want == ort.Float32:
		return castTensor(t, func(v float64) (float32, bool) { return float32(v), true })
	case t.DType() == ort.Float32 && want == ort.Float64:
		return castTensor(t, func(v float32) (float64, bool) { return float64(v), true })
	case t.DType() == ort.Int64 && want == ort.Float32:
		return castTensor(t, func(v int64) (float32, bool) { return float32(v), int64(float32(v)) == v })
	case t.DType() == ort.Int64 && want == ort.Bool:
		return castTensor(t, func(v int64) (bool, bool) { return v != 0, true })
	}
	return nil, fmt.Errorf("is %v, the model reads %v", t.DType(), want)
}

func castTensor[S, D ort.Element](t *ort.Tensor, f func(S) (D, bool)) (*ort.Tensor, error) {
	src, err := ort.Data[S](t)
	if err != nil {
		return nil, err
	}
	dst := make([]D, len(src))
	for i, v := range src {
		var ok bool
		if dst[i], ok = f(v); !ok {
			return nil, fmt.Errorf("element %d does not fit the type the model reads", i)
		}
	}
	return ort.NewTensor(t.Shape(), dst)
}
