package runtime

import (
	"context"
	"fmt"
	"math"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// GradNormsOptions say what to measure.
type GradNormsOptions struct {
	Loss string
	// Method "ghost" (default) computes all records in one graph; "loop" takes
	// one record at a time by plain reverse mode: the oracle.
	Method            string
	ClipNorm          float64 // C; 0 takes 0.1
	Clip              ghost.ClipRule
	ClipGamma         float64        // γ; 0 takes 0.01
	ClipPer           ghost.Grouping // groups that are clipped by norms of their own
	ClipShares        ghost.Sharing  // how they divide C
	PerParameter      bool
	Sum               bool // also return Σ factor·gradient
	Trainable, Freeze []string
	TwoPass           bool         // ghost by two passes instead of book-keeping
	Memory            ghost.Memory // with method ghost; "" is normal
	// Precision is that of the products, with method ghost on a GPU; "" is fp32.
	Precision ghost.Precision

	onCPU      bool // of tests: any precision on the processor
	headChunks *ghost.HeadChunks
	emulated   bool // of tests: ghost.Spec.Emulated
	// of tests: what the program's graph is changed to before it is run
	rewrite func(*ir.Graph) *ir.Graph
}

// GradNorms holds the losses and gradient norms of a batch's records.
type GradNorms struct {
	Loss   []float64            // [B]
	Norm   []float64            // [B], L2 over all trained parameters
	Norms  map[string][]float64 // by parameter, when asked for
	Factor []float64            // [B] clip factors; nil with groups
	Groups []GroupNorms         // what is clipped together, when asked for
	// Sum is Σ factor·gradient by parameter, when asked for, row-major.
	Sum map[string][]float32
	// Shapes of the parameters.
	Shapes map[string][]int64
	// Selection says what --trainable and --freeze matched.
	Selection *ghost.Selection
}

func (o *GradNormsOptions) defaults() error {
	if o.ClipNorm == 0 {
		o.ClipNorm = 0.1
	}
	if o.ClipGamma == 0 {
		o.ClipGamma = 0.01
	}
	if o.Clip == "" {
		o.Clip = ghost.Abadi
	}
	if o.Method == "" {
		o.Method = "ghost"
	}
	switch {
	case !(o.ClipNorm > 0) || math.IsInf(o.ClipNorm, 0):
		return usage("clipping norm %g must be positive and finite", o.ClipNorm)
	case !(o.ClipGamma > 0) || math.IsInf(o.ClipGamma, 0):
		return usage("clipping gamma %g must be positive and finite", o.ClipGamma)
	case o.Method != "ghost" && o.Method != "loop":
		return usage("unknown method %q; there are ghost and loop", o.Method)
	}
	if o.Precision.IsHalf() && (o.TwoPass || o.Method != "ghost") {
		return usage("precision %s goes with method ghost in one pass", o.Precision)
	}
	if err := o.checkGrouping(); err != nil {
		return err
	}
	if _, err := ghost.ParseClipRule(string(o.Clip)); err != nil {
		return usage("%w", err)
	}
	if _, err := ghost.ParseMemory(string(o.Memory)); err != nil {
		return usage("--memory: %w", err)
	}
	return nil
}

// GradNorms computes per-example losses, gradient norms and clip factors.
func (m *Model) GradNorms(ctx context.Context, b *Batch, o GradNormsOptions) (*GradNorms, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	p, err := m.Prepared()
	if err != nil {
		return nil, err
	}
	env, err := m.Env()
	if err != nil {
		return nil, err
	}
	g := &gradNorms{model: m, prepared: p, env: env, batch: b, options: o}
	if o.Method == "loop" {
		return g.loop(ctx)
	}
	return g.ghost(ctx)
}

type gradNorms struct {
	model    *Model
	prepared *ghost.Prepared
	env      *ort.Env
	batch    *Batch
	options  GradNormsOptions
}

func (g *gradNorms) compile(pass ghost.Pass) (*step, error) {
	o := g.options
	program, err := g.prepared.Compile(ghost.Spec{
		Loss: o.Loss, Pass: pass, Clip: o.Clip, ClipNorm: float32(o.ClipNorm), ClipGamma: float32(o.ClipGamma),
		Precision: o.Precision, Emulated: o.emulated, HeadChunks: o.headChunks, Memory: o.Memory,
		ClipPer: o.ClipPer, ClipShares: o.ClipShares, Length: g.batch.length(), Records: g.batch.records(), Trainable: o.Trainable, Freeze: o.Freeze, PerParameter: o.PerParameter && pass != ghost.Weighted,
	})
	if err != nil {
		return nil, usageUnless(err)
	}
	if o.rewrite != nil {
		program.Graph = o.rewrite(program.Graph)
	}
	at, err := g.model.workplace()
	if err != nil {
		return nil, err
	}
	if err := at.checkPrecision(o.Precision, o.onCPU); err != nil {
		return nil, err
	}
	return newStep(g.env, program, at)
}

// length is the extent of the second axis of the batch's widest input: what the
// forms of the norms are planned for.
func (b *Batch) length() int64 {
	n := int64(1)
	for _, t := range b.Inputs {
		if s := t.Shape(); len(s) > 1 {
			n = max(n, s[1])
		}
	}
	return n
}

// records is the extent of the first axis of the batch's longest input.
func (b *Batch) records() (n int64) {
	for _, t := range b.Inputs {
		if s := t.Shape(); len(s) > 0 {
			n = max(n, s[0])
		}
	}
	return n
}

// ghost runs the batch through the ghost program.
func (g *gradNorms) ghost(ctx context.Context) (*GradNorms, error) {
	pass := ghost.Clipped
	if !g.options.Sum || g.options.TwoPass {
		pass = ghost.Norms
	}
	s, err := g.compile(pass)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	feeds, _, err := s.feeds(g.batch)
	if err != nil {
		return nil, err
	}
	if err := g.prepared.CheckIndices(indexData(feeds)); err != nil {
		return nil, usage("%w", err)
	}
	w, err := loadWeights(g.prepared, s.program.Trained, append(s.program.Unreached, s.program.Frozen...))
	if err != nil {
		return nil, err
	}
	out, err := s.run(ctx, feeds, w, nil, nil)
	if err != nil {
		return nil, err
	}
	r, err := g.report(s.program, out)
	if err != nil {
		return nil, err
	}
	if g.options.Sum {
		if pass == ghost.Norms {
			return r, g.secondPass(ctx, feeds, w, r)
		}
		r.Sum, err = readSums(s.program, out)
	}
	return r, err
}

// report reads losses, norms and factors.
func (g *gradNorms) report(p *ghost.Program, out map[string]*ort.Tensor) (*GradNorms, error) {
	r := &GradNorms{Shapes: shapes(p), Selection: p.Selection}
	var err error
	if r.Loss, err = floats(out[p.Loss]); err != nil {
		return nil, err
	}
	if r.Norm, err = floats(out[p.Norm]); err != nil {
		return nil, err
	}
	finite, err := ort.Data[bool](out[p.Finite])
	if err != nil {
		return nil, err
	}
	if len(p.Groups) > 0 {
		norms, err := columns(out[p.GroupNorm], len(p.Groups))
		if err != nil {
			return nil, err
		}
		r.Groups = g.options.groupNorms(p.Groups, norms, r.Norm, finite)
	} else {
		r.Factor = g.options.factors(r.Norm, finite)
	}
	if g.options.PerParameter {
		r.Norms = map[string][]float64{}
		for name, output := range p.ByParameter {
			if r.Norms[name], err = floats(out[output]); err != nil {
				return nil, err
			}
		}
		for _, param := range p.Unreached {
			r.Norms[param.Name] = make([]float64, len(r.Norm))
		}
	}
	return r, nil
}

// factors are the clip factors of norms, 0 for records that do not count.
func (o GradNormsOptions) factors(norms []float64, counts []bool) []float64 {
	out := make([]float64, len(norms))
	for i, n := range norms {
		if counts[i] {
			out[i] = o.factor(n)
		}
	}
	return out
}

// factor is the clip factor of a norm; see ghost.ClipRule.
func (o GradNormsOptions) factor(norm float64) float64 {
	if o.Clip == ghost.Automatic {
		return o.ClipNorm / (norm + o.ClipGamma)
	}
	return o.ClipNorm / max(norm, o.ClipNorm)
}

func shapes(p *ghost.Program) map[string][]int64 {
	out := map[string][]int64{}
	for _, list := range [][]ghost.Parameter{p.Trained, p.Unreached} {
		for _, param := range list {
			out[param.Name] = param.Shape
		}
	}
	return out
}

// secondPass computes the sum with the factors of the first pass.
func (g *gradNorms) secondPass(ctx context.Context, feeds map[string]*ort.Tensor, w *Weights, r *GradNorms) error {
	s, err := g.compile(ghost.Weighted)
	if err != nil {
		return err
	}
	defer s.Close()
	weights := make([]float32, len(r.Factor))
	for i, f := range r.Factor {
		weights[i] = float32(f)
	}
	t, err := ort.NewTensor([]int64{int64(len(weights))}, weights)
	if err != nil {
		return err
	}
	out, err := s.run(ctx, feeds, w, map[string]*ort.Tensor{s.program.Weight: t}, nil)
	if err != nil {
		return err
	}
	r.Sum, err = readSums(s.program, out)
	return err
}

func readSums(p *ghost.Program, out map[string]*ort.Tensor) (map[string][]float32, error) {
	sums := map[string][]float32{}
	for name, output := range p.Sums {
		v, err := ort.Data[float32](out[output])
		if err != nil {
			return nil, err
		}
		sums[name] = v
	}
	for _, param := range p.Unreached {
		sums[param.Name] = make([]float32, param.Elements())
	}
	return sums, nil
}

func floats(t *ort.Tensor) ([]float64, error) {
	if t == nil {
		return nil, fmt.Errorf("the training step gave no such output")
	}
	v, err := ort.Data[float32](t)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out, nil
}
