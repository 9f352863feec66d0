package metrics

import "math"

// A Likelihood adds up negative log-likelihoods of target tokens, in nats.
type Likelihood struct {
	NLL    float64
	Tokens int
}

// Add adds a text's negative log-likelihood and how many of its tokens it is over.
func (l *Likelihood) Add(nll float64, tokens int) {
	l.NLL += nll
	l.Tokens += tokens
}

// Perplexity is exp(total NLL / target tokens), of a corpus as of one long text; NaN without tokens.
func (l Likelihood) Perplexity() float64 { return math.Exp(l.NLL / float64(l.Tokens)) }
