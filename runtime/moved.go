package runtime

import (
	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/adapt"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// A moved are the weights that the optimizer moves where they are not those that are clipped and noised. Of RGP
// (Yu et al. 2021, Algorithm 1) these are the weights behind the carriers A and B:
//
//	∂A, ∂B   noised sums
//	∂W     = ∂A·B + A·∂B − A·Aᵀ·∂A·B
//	W      ← optimizer(W, ∂W)
//	A, B   ← carriers of W − W₀, the update so far
//
// Everything behind the noised sums is a function of these and of public numbers: post-processing, which ε covers.
type moved struct {
	method   *rgp
	weights  *ort.Arena // W, and behind them what is trained beside the carriers
	gradient *ort.Arena // of the same
	beside   []string   // names of the latter
}

// newMoved begins with the model's own weights.
func newMoved(r *rgp, w *Weights) (*moved, error) {
	m := &moved{method: r}
	carriers := map[string]bool{}
	var params []ort.Param
	for _, u := range r.updates {
		carriers[u.A], carriers[u.B] = true, true
		params = append(params, ort.Param{Name: u.Weight, Shape: r.base.Graph.Inits[u.Weight].Dims})
	}
	for _, p := range w.Trained.Params() {
		if !carriers[p.Name] {
			params = append(params, p)
			m.beside = append(m.beside, p.Name)
		}
	}
	var err error
	if m.weights, err = ort.NewArena(params); err != nil {
		return nil, err
	}
	m.gradient = m.weights.Like()
	for _, u := range r.updates {
		if err := r.base.Graph.Inits[u.Weight].ReadFloat32(m.weights.Slice(u.Weight)); err != nil {
			return nil, err
		}
	}
	for _, name := range m.beside {
		copy(m.weights.Slice(name), w.Trained.Slice(name))
	}
	r.moved = m
	return m, nil
}

// optimizer is the plan's for these weights.
func (m *moved) optimizer(plan *dpadam.Plan, base []ghost.Parameter) (dpadam.Optimizer, error) {
	return dpadam.NewOptimizerOf(plan, len(m.weights.Data()), undecayed(base, m.weights))
}

// step moves the weights by step n's noised sum and puts new carriers into what is trained.
func (m *moved) step(w *Weights, sums *ort.Arena, o dpadam.Optimizer, rate float64, n int64) error {
	for _, u := range m.method.updates {
		u.Project(sums.Slice(u.A), sums.Slice(u.B), w.Trained.Slice(u.A), w.Trained.Slice(u.B), m.gradient.Slice(u.Weight))
	}
	for _, name := range m.beside {
		copy(m.gradient.Slice(name), sums.Slice(name))
	}
	if err := o.Update(m.weights.Data(), m.gradient.Data(), rate); err != nil {
		return err
	}
	return m.place(w, n)
}

// place makes the run's weights those that compute the same as the moved ones after step n.
func (m *moved) place(w *Weights, n int64) error {
	w.changed()
	for _, u := range m.method.updates {
		own, a, b, rest := m.weights.Slice(u.Weight), w.Trained.Slice(u.A), w.Trained.Slice(u.B), w.Frozen.Slice(u.Weight)
		direction, err := m.direction(u, own, rest)
		if err != nil {
			return err
		}
		u.Carry(direction, m.method.carrierSource(u.Weight, n), a, b)
		u.Residual(own, a, b, rest)
	}
	for _, name := range m.beside {
		copy(w.Trained.Slice(name), m.weights.Slice(name))
	}
	return nil
}

// direction is what carriers are made of, W − W₀, in scratch; while nothing has moved, W itself.
func (m *moved) direction(u adapt.LowRank, w, scratch []float32) ([]float32, error) {
	if err := m.method.base.Graph.Inits[u.Weight].ReadFloat32(scratch); err != nil {
		return nil, err
	}
	still := true
	for i, first := range scratch {
		scratch[i] = w[i] - first
		still = still && scratch[i] == 0
	}
	if still {
		return w, nil
	}
	return scratch, nil
}

// startMoved begins with the given model where the method moves other weights than it trains, else does nothing.
func (f *finetune) startMoved() (err error) {
	t := f.trainer
	r, ok := f.model.method.(*rgp)
	if !ok {
		return nil
	}
	if err := r.check(f.options, f.ranks, f.memory != nil); err != nil {
		return err
	}
	if t.moved, err = newMoved(r, t.weights); err != nil {
		return err
	}
	t.optimizer, err = t.moved.optimizer(f.plan, r.base.Parameters)
	return err
}

// placeMoved puts what a checkpoint gave into the run's weights.
func (f *finetune) placeMoved() error {
	if f.trainer.moved == nil {
		return nil
	}
	return f.trainer.moved.place(f.trainer.weights, f.taken)
}

// movedNumbers is how many weights the method moves beside those that it trains, 0 for most.
func (f *finetune) movedNumbers() int64 {
	r, ok := f.model.method.(*rgp)
	if !ok {
		return 0
	}
	n := elements(f.program.Trained)
	for _, u := range r.updates {
		rank := int64(r.options.RGPRank)
		n += u.In*u.Out - rank*(u.In+u.Out)
	}
	return n
}

// lasting are the weights that a checkpoint keeps.
func (t *trainer) lasting() *ort.Arena {
	if t.moved != nil {
		return t.moved.weights
	}
	return t.weights.Trained
}

// outcome are the weights that are kept as the best, or written: the last, or their average over the steps.
func (t *trainer) outcome() *ort.Arena {
	if t.averaged != nil {
		return t.averaged
	}
	return t.lasting()
}
