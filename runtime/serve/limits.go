package serve

import "time"

// Limits bound what requests may cost. Zero values take the defaults.
type Limits struct {
	Body       int64 // bytes of a request's body; 2 MB
	Concurrent int   // requests in work at once, over all models; 512
	Inputs     int   // texts, or rows of a batch, of one request; 32
	Queue      int   // requests that wait for one model; 512

	Header time.Duration // to send a request's headers; 10 s
	Read   time.Duration // to send its body; 30 s
	Write  time.Duration // to take each part of the answer; 30 s
	Idle   time.Duration // between two requests of a connection; 2 min

	DrainDelay time.Duration // not ready but still answering, before a shutdown begins; 0
	Drain      time.Duration // for requests in work to end at shutdown; 30 s
}

// The defaults of Limits.
const (
	defaultBody       = 2_000_000
	defaultConcurrent = 512
	defaultInputs     = 32
	defaultQueue      = 512
)

// WithDefaults fills in the defaults.
func (l Limits) WithDefaults() Limits {
	setDefault(&l.Body, defaultBody)
	setDefault(&l.Concurrent, defaultConcurrent)
	setDefault(&l.Inputs, defaultInputs)
	setDefault(&l.Queue, defaultQueue)
	setDefault(&l.Header, 10*time.Second)
	setDefault(&l.Read, 30*time.Second)
	setDefault(&l.Write, 30*time.Second)
	setDefault(&l.Idle, 2*time.Minute)
	setDefault(&l.Drain, 30*time.Second)
	return l
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
