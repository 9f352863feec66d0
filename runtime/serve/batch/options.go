package batch

import "time"

// Options bound batches and waiting. Zero values take the defaults.
type Options struct {
	Tokens  int           // most longest length × rows of a batch; 2048. One caller alone may need more
	Rows    int           // most rows of a batch; 64; 1 joins nothing
	Waiting int           // most callers that wait; 512
	Workers int           // batches computed at once; 1
	Delay   time.Duration // how long a batch that is not full waits for more; 0
	// Padding is the most made-up tokens of a batch, as a share of all; 0.1.
	// Negative lets only rows of one length together.
	Padding float64
}

// WithDefaults fills in the defaults.
func (o Options) WithDefaults() Options {
	for _, d := range []struct {
		v *int
		d int
	}{{&o.Tokens, 2048}, {&o.Rows, 64}, {&o.Waiting, 512}, {&o.Workers, 1}} {
		if *d.v <= 0 {
			*d.v = d.d
		}
	}
	if o.Padding == 0 {
		o.Padding = 0.1
	}
	return o
}

// A Size is what a caller adds to a batch: rows of at most Length tokens.
type Size struct{ Rows, Length int }

// A total is the size of a batch: rows, padded to longest, of real tokens.
type total struct{ rows, longest, real int }

// with is the total after s joins.
func (t total) with(s Size) total {
	return total{t.rows + s.Rows, max(t.longest, s.Length), t.real + s.Rows*s.Length}
}

// fits reports that a batch of several may have this total.
func (o *Options) fits(t total) bool {
	padded := t.longest * t.rows
	return t.rows <= o.Rows && padded <= o.Tokens && float64(padded-t.real) <= max(0, o.Padding)*float64(padded)
}

// full reports that not even one more row as long as the longest fits.
func (o *Options) full(t total) bool { return !o.fits(t.with(Size{1, t.longest})) }
