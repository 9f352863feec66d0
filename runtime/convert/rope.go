package convert

import (
	"math"
	"slices"
)

// A Rope says how rotary positions turn: frequency i rotates the pair (i,
// i+width/2) of a head by position·Frequencies[i], and cosines and sines are
// multiplied by Scale (YaRN's attention factor, else 1).
type Rope struct {
	Frequencies []float32
	Scale       float32
}

// ropeKinds by rope_type; each changes the default frequencies.
var ropeKinds = map[string]func(r *ropeReader) Rope{
	"default": func(r *ropeReader) Rope { return Rope{r.frequencies(), 1} },
	"linear":  (*ropeReader).linear,
	"llama3":  (*ropeReader).llama3,
	"yarn":    (*ropeReader).yarn,
}

// A ropeReader reads rope_parameters (transformers 5) or rope_scaling and
// rope_theta (4).
type ropeReader struct {
	config *Config
	scaled *Config // where factor and the rest stand; c itself when nowhere
	theta  float64
	width  int64
}

// Rope reads the rotary positions of heads of that width.
func (c *Config) Rope(width int64) Rope {
	field := "rope_parameters"
	if !c.Has(field) {
		field = "rope_scaling"
	}
	r := &ropeReader{config: c, scaled: c.Object(field), width: width}
	r.theta = c.Positive(10000, "rope_theta")
	kind := "default"
	if r.scaled == nil {
		r.scaled = c
	} else {
		r.theta = r.scaled.Positive(r.theta, "rope_theta")
		kind = r.scaled.Str("default", "rope_type", "type")
		r.scaled.Only("partial_rotary_factor", 1.0, "rotating a part of each head is another architecture")
	}
	c.Only("partial_rotary_factor", 1.0, "rotating a part of each head is another architecture")
	compute, ok := ropeKinds[kind]
	if !ok {
		c.Fail(field, "rope type %q depends on the length or is not known; converted are %v", kind, sortedKeys(ropeKinds))
		compute = ropeKinds["default"]
	}
	if width%2 != 0 || width > 1<<16 {
		*c.errs = append(*c.errs, bad("%s: heads are %d wide; rotary positions need an even width of at most 65536", c.within, width))
		return Rope{[]float32{1}, 1}
	}
	return compute(r)
}

// frequencies are θ^(−2i/width).
func (r *ropeReader) frequencies() []float32 {
	out := make([]float32, r.width/2)
	for i := range out {
		out[i] = float32(1 / math.Pow(r.theta, float64(2*i)/float64(r.width)))
	}
	return out
}

func (r *ropeReader) factor() float64 {
	if !r.scaled.Has("factor") {
		r.scaled.Fail("factor", "the rope type needs it")
	}
	return r.scaled.Positive(1, "factor")
}

// linear stretches positions by a factor (kaiokendev).
func (r *ropeReader) linear() Rope {
	factor, f := float32(r.factor()), r.frequencies()
	for i := range f {
		f[i] /= factor
	}
	return Rope{f, 1}
}

// llama3 stretches waves longer than the old context and blends between.
func (r *ropeReader) llama3() Rope {
	factor := r.factor()
	low, high := r.scaled.Positive(1, "low_freq_factor"), r.scaled.Positive(4, "high_freq_factor")
	context := float64(r.scaled.Size(8192, "original_max_position_embeddings"))
	if low == high {
		r.scaled.Fail("high_freq_factor", "it must differ from low_freq_factor")
	}
	f := r.frequencies()
	for i, v := range f {
		wave := 2 * math.Pi / float64(v)
		switch {
		case wave > context/low:
			f[i] = float32(float64(v) / factor)
		case wave >= context/high:
			smooth := (context/wave - low) / (high - low)
			f[i] = float32((1-smooth)*float64(v)/factor + smooth*float64(v))
		}
	}
	return Rope{f, 1}
}

// yarn (Peng et al. 2023): long waves stretched, short ones kept, a ramp between,
// and attention scaled.
func (r *ropeReader) yarn() Rope {
	s, factor := r.scaled, r.factor()
	context := float64(s.Size(r.config.Size(2048, "max_position_embeddings"), "original_max_position_embeddings"))
	mscale := func(m float64) float64 {
		if factor <= 1 {
			return 1
		}
		return 0.1*m*math.Log(factor) + 1
	}
	scale := mscale(1)
	if a, b := s.Float(0, "mscale"), s.Float(0, "mscale_all_dim"); a != 0 && b != 0 {
		scale = mscale(a) / mscale(b)
	}
	scale = s.Positive(scale, "attention_factor")
	width := float64(r.width)
	turns := func(n float64) float64 {
		return width * math.Log(context/(n*2*math.Pi)) / (2 * math.Log(r.theta))
	}
	low, high := turns(s.Positive(32, "beta_fast")), turns(s.Positive(1, "beta_slow"))
	if s.Bool(true, "truncate") {
		low, high = math.Floor(low), math.Ceil(high)
	}
	low, high = max(low, 0), min(high, width-1)
	if low == high {
		high += 0.001
	}
	f := r.frequencies()
	for i, v := range f {
		stretched := min(max((float64(i)-low)/(high-low), 0), 1)
		f[i] = float32(float64(v)/factor*stretched + float64(v)*(1-stretched))
	}
	return Rope{f, float32(scale)}
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
