package runtime

import (
	"encoding/binary"
	"math"
	"slices"
)

// normQuantiles are the quantiles of a step's gradient norms that debug output has.
var normQuantiles = [...]float64{0.1, 0.25, 0.5, 0.75, 0.9}

// addNorm takes the norm of a record's, or a unit's, gradient.
func (s *stepStats) addNorm(norm float64) {
	s.NormMean += norm
	s.NormMax = max(s.NormMax, norm)
	s.norms = append(s.norms, norm)
}

// joinNorms gives every rank the norms of all, at most longest of each; messages are equally long.
func (r *ranks) joinNorms(s *stepStats, longest int) error {
	message := make([]float64, longest+1)
	message[0] = float64(copy(message[1:], s.norms))
	all, err := r.exchange(appendFloats(nil, message...))
	if err != nil {
		return err
	}
	s.norms = s.norms[:0]
	for _, data := range all {
		theirs := floatsOf(data)
		s.norms = append(s.norms, theirs[1:1+int(theirs[0])]...)
	}
	return nil
}

// quantiles fills in NormQuantiles: the smallest norm that at least this share of the
// step's norms does not exceed.
func (s *stepStats) quantiles() {
	n := len(s.norms)
	if n == 0 {
		return
	}
	slices.Sort(s.norms)
	for i, q := range normQuantiles {
		s.NormQuantiles[i] = s.norms[max(0, int(math.Ceil(q*float64(n)))-1)]
	}
}

// appendFloats and floatsOf carry numbers between ranks.
func appendFloats(dst []byte, values ...float64) []byte {
	for _, x := range values {
		dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(x))
	}
	return dst
}

func floatsOf(data []byte) []float64 {
	out := make([]float64, len(data)/8)
	for i := range out {
		out[i] = math.Float64frombits(binary.BigEndian.Uint64(data[8*i:]))
	}
	return out
}
