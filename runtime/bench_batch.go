package runtime

import (
	"math/rand/v2"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/separate"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// syntheticBatch makes full-length records for every input of a program: random
// ids below the smallest table that they index, masks of ones, positions counted
// up, zeros for other integers, normal numbers for floats. The same seed every
// time.
func syntheticBatch(prepared *ghost.Prepared, p *ghost.Program, records, length int64) (*Batch, error) {
	s := &synthesis{rng: rand.New(rand.NewPCG(1, 2)), limits: prepared.IndexLimit(), records: records, length: length}
	if limit, ok := s.limits["input_ids"]; ok {
		s.words = limit.Rows
	}
	out := &Batch{Inputs: map[string]*ort.Tensor{}, Loss: map[string]*ort.Tensor{}}
	for _, port := range p.Data {
		t, err := s.tensor(port)
		if err != nil {
			return nil, usage("input %q: %w", port.Name, err)
		}
		out.Inputs[port.Name] = t
	}
	shape := prepared.Values.Of(prepared.Output).Shape
	for _, port := range p.Labels {
		if port.Name == "labels" && port.DType == ir.Int64 && len(shape) == len(port.Dims)+1 {
			if k, ok := shape[len(shape)-1].Const(); ok {
				s.limits["labels"] = ghost.IndexLimit{Rows: k} // every record, or token, is scored
			}
		}
		t, err := s.tensor(port)
		if err != nil {
			return nil, usage("loss tensor %q: %w", port.Name, err)
		}
		out.Loss[port.Name] = t
	}
	return out, nil
}

// A synthesis draws tensors.
type synthesis struct {
	rng             *rand.Rand
	limits          map[string]ghost.IndexLimit
	words           int64 // of the vocabulary, 0 where unknown
	records, length int64
}

// counted are integer inputs whose every element is 1, and rising those that count
// up along the sequence.
var (
	counted = map[string]bool{"attention_mask": true, "input_mask": true, "decoder_attention_mask": true, "encoder_attention_mask": true}
	rising  = map[string]bool{"position_ids": true, "label_words": true}
)

func (s *synthesis) tensor(port *ir.ValueInfo) (*ort.Tensor, error) {
	shape := s.shape(port)
	n := int64(1)
	for _, e := range shape {
		n *= e
	}
	switch port.DType {
	case ir.Float32, ir.Float16, ir.BFloat16, ir.Float64:
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(s.rng.NormFloat64())
		}
		t, err := ort.NewTensor(shape, v)
		if err != nil {
			return nil, err
		}
		return convert(t, ort.DType(port.DType))
	}
	v := make([]int64, n)
	limit, indexes := s.limits[port.Name]
	for i := range v {
		switch {
		case counted[port.Name]:
			v[i] = 1
		case rising[port.Name]:
			v[i] = int64(i) % shape[len(shape)-1]
		case indexes && port.Name != "token_type_ids" && port.Name != "segment_ids":
			v[i] = s.id(limit.Rows)
		case port.Name == "decoder_input_ids" && s.words > 0:
			v[i] = s.id(s.words)
		}
	}
	t, err := ort.NewTensor(shape, v)
	if err != nil {
		return nil, err
	}
	return convert(t, ort.DType(port.DType))
}

// special are ids that models read as padding or marks of begin and end: they are
// left out where the table is large enough.
const special = 8

func (s *synthesis) id(rows int64) int64 {
	if rows <= 2*special {
		return s.rng.Int64N(rows)
	}
	return special + s.rng.Int64N(rows-special)
}

// labelWords is the number of label words of a synthetic infilling record.
const labelWords = 2

func (s *synthesis) shape(port *ir.ValueInfo) []int64 {
	out := make([]int64, len(port.Dims))
	for i, d := range port.Dims {
		switch {
		case d.Param == "":
			out[i] = max(d.Value, 1)
		case d.Param == separate.BatchSymbol:
			out[i] = s.records
		case d.Param == "label_words":
			out[i] = labelWords
		default:
			out[i] = s.length
		}
	}
	return out
}
