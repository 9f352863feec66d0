package dpadam

import "math"

// adam is DP-Adam and DP-AdamW. With g the released sum over the public denominator,
// t = 1, 2, ... and b1, b2 the betas,
//
//	m = b1 m + (1-b1) g,  v = b2 v + (1-b2) g^2
//	p = p - lr/(1-b1^t) * m / (sqrt(v)/sqrt(1-b2^t) + eps)
//
// (Kingma, Ba 2015, Algorithm 1), in the order of operations and in the single precision of
// torch.optim.Adam. Weight decay w: adam adds w*p to g; adamw first multiplies p by
// 1 - lr*w (Loshchilov, Hutter 2019); the style of transformers uses
// lr*sqrt(1-b2^t)/(1-b1^t) * m/(sqrt(v)+eps) and then subtracts lr*w*p.
type adam struct {
	optimizerBase
	m, v []float32
}

func newAdam(b optimizerBase) *adam {
	return &adam{optimizerBase: b, m: make([]float32, b.dim), v: make([]float32, b.dim)}
}

// State returns the first and the second moment.
func (o *adam) State() []Slot { return []Slot{{"exp_avg", o.m}, {"exp_avg_sq", o.v}} }

// adamStep holds the scalars of one update in single precision.
type adamStep struct {
	c1, b2, c2        float32 // 1-b1, b2, 1-b2
	size, root, eps   float32 // step size, sqrt(1-b2^t), eps
	l2, shrink, after float32 // decay added to g, factor before, share after
	denominator       float32
}

func (o *adam) scalars(lr float64, decay bool) adamStep {
	s, t := o.spec, float64(o.step)
	correction1, correction2 := 1-math.Pow(s.Beta1, t), 1-math.Pow(s.Beta2, t)
	a := adamStep{c1: float32(1 - s.Beta1), b2: float32(s.Beta2), c2: float32(1 - s.Beta2),
		size: float32(lr / correction1), root: float32(math.Sqrt(correction2)), eps: float32(s.Epsilon), shrink: 1,
		denominator: o.denominator}
	if s.Style == "transformers" {
		a.size, a.root = float32(lr*math.Sqrt(correction2)/correction1), 1
	}
	if !decay {
		return a
	}
	switch {
	case s.Name == "adam":
		a.l2 = float32(s.WeightDecay)
	case s.Style == "transformers":
		a.after = float32(lr * s.WeightDecay)
	default:
		a.shrink = float32(1 - lr*s.WeightDecay)
	}
	return a
}

// Update takes one step; see Optimizer.
func (o *adam) Update(params, sum []float32, lr float64) error {
	if err := o.check(params, sum, lr); err != nil {
		return err
	}
	o.step++
	o.forEach(func(a, b int, decay bool) {
		s := o.scalars(lr, decay)
		o.level.adam(&s, params[a:b], sum[a:b], o.m[a:b], o.v[a:b])
	})
	return nil
}

// apply updates one stretch. Every product is converted before it is added, so that no
// machine fuses the two and all give the same bits.
func (s *adamStep) apply(p, sum, m, v []float32) {
	sum, m, v = sum[:len(p)], m[:len(p)], v[:len(p)]
	for i, x := range p {
		g := sum[i] / s.denominator
		if s.l2 != 0 {
			g += float32(s.l2 * x)
		}
		mi := m[i] + float32(s.c1*(g-m[i]))
		vi := float32(s.b2*v[i]) + float32(float32(s.c2*g)*g)
		m[i], v[i] = mi, vi
		x = float32(x * s.shrink)
		d := float32(math.Sqrt(float64(vi)))/s.root + s.eps
		x -= float32(s.size * mi / d)
		p[i] = x - float32(s.after*x)
	}
}
