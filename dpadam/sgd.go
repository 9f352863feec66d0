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

// Update takes one step; see Optimizer. The buffer starts at 0, so that mu*0 + g is the
// first step's rule too.
func (o *sgd) Update(params, sum []float32, lr float64) error {
	if err := o.check(params, sum, lr); err != nil {
		return err
	}
	o.step++
	rate, mu := float32(lr), float32(o.spec.Momentum)
	o.forEach(func(a, b int, decay bool) {
		w := float32(0)
		if decay {
			w = float32(o.spec.WeightDecay)
		}
		p, s := params[a:b], sum[a:b]
		for i, x := range p {
			g := s[i]/o.denominator + float32(w*x)
			if o.momentum != nil {
				g += float32(mu * o.momentum[a+i])
				o.momentum[a+i] = g
			}
			p[i] = x - float32(rate*g)
		}
	})
	return nil
}
