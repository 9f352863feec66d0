package dpadam

// sgd is DP-SGD, with momentum mu (torch.optim.SGD, dampening 0, no Nesterov): with g the
// released sum over the public denominator plus w*p,
//
//	b = mu b + g (b = g at the first step),  p = p - lr b
type sgd struct {
	optimizerBase
	momentum []float32 // nil without momentum
}

func newSGD(b optimizerBase) *sgd {
	o := &sgd{optimizerBase: b}
	if b.spec.Momentum != 0 {
		o.momentum = make([]float32, b.dim)
	}
	return o
}

// State returns the momentum buffer, if there is momentum.
func (o *sgd) State() []Slot {
	if o.momentum == nil {
		return nil
	}
	return []Slot{{"momentum_buffer", o.momentum}}
}

// sgdStep holds the scalars of one update in single precision.
type sgdStep struct {
	denominator, rate, mu, decay float32
}

// Update takes one step; see Optimizer. The buffer starts at 0, so that mu*0 + g is the
// first step's rule too.
func (o *sgd) Update(params, sum []float32, lr float64) error {
	if err := o.check(params, sum, lr); err != nil {
		return err
	}
	o.step++
	o.forEach(func(a, b int, decay bool) {
		s := sgdStep{denominator: o.denominator, rate: float32(lr), mu: float32(o.spec.Momentum)}
		if decay {
			s.decay = float32(o.spec.WeightDecay)
		}
		var momentum []float32
		if o.momentum != nil {
			momentum = o.momentum[a:b]
		}
		o.level.sgd(&s, params[a:b], sum[a:b], momentum)
	})
	return nil
}

// apply updates one stretch; momentum is nil for none.
func (s *sgdStep) apply(p, sum, momentum []float32) {
	for i, x := range p {
		g := sum[i]/s.denominator + float32(s.decay*x)
		if momentum != nil {
			g += float32(s.mu * momentum[i])
			momentum[i] = g
		}
		p[i] = x - float32(s.rate*g)
	}
}
