package runtime

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// A cacheLayout says by which inputs and outputs a decoder is given the keys and
// values of earlier tokens and returns them with those of the new ones.
type cacheLayout struct {
	slots  []cacheSlot
	output string // logits
	// vocabulary is how many logits a token has, 0 where it is not declared.
	vocabulary int64
	// tokens is the input of the new tokens' ids, mask that of which positions of
	// past and new tokens are seen, positions that of the new tokens' positions;
	// "" where the model has none.
	tokens, mask, positions, types string
	branch                         string // switches a merged decoder to the branch with a cache
	dtypes                         map[string]ort.DType
	onePosition                    bool // positions are [1, new] for all rows
	seq2seq                        bool // rows have a source that an encoder has read
	encoderMask                    string
}

// A cacheSlot is one cache tensor: input, output, and which axes count rows and
// tokens.
type cacheSlot struct {
	in, out     string
	dtype       ort.DType
	dims        []int64 // −1 where not fixed
	batch, time int
	cross       bool // of the source's tokens, which do not grow: keys and values, or the encoder's states
}

// encoderStates is the input by which a decoder reads its encoder's output.
const encoderStates = "encoder_hidden_states"

// pastToPresent are the exporters' names of a cache's input and output: the
// first that the model has an output for counts.
var pastToPresent = [][2]string{
	{"past_key_values", "present"}, {"past_key_values", "present_key_values"}, {"past_key_values", "new_key_values"},
	{"past_key_self", "present_key_self"}, {"past", "present"}, {"past", "new"}, {"past", "out_past"}, {"past", "updated"},
}

// presentOf finds the output that a cache input is continued by, "" for none.
func presentOf(past string, outputs []ort.Info) string {
	for _, names := range pastToPresent {
		name := strings.Replace(past, names[0], names[1], 1)
		if name != past && slices.ContainsFunc(outputs, func(o ort.Info) bool { return o.Name == name }) {
			return name
		}
	}
	return ""
}

// isCacheInput reports whether an input's name is that of a cache.
func isCacheInput(name string) bool { return strings.HasPrefix(name, "past") }

// newCacheLayout reads a session's inputs and outputs. It returns nil where the
// model has no cache, and an error naming what is not understood.
func newCacheLayout(s *ort.Session, chosen string) (*cacheLayout, error) {
	l, err := readLayout(s, chosen)
	if err != nil || !slices.ContainsFunc(l.slots, func(c cacheSlot) bool { return !c.cross }) {
		return nil, err
	}
	return l, nil
}

// readLayout reads a session's inputs and outputs, with or without a cache.
func readLayout(s *ort.Session, chosen string) (*cacheLayout, error) {
	l := &cacheLayout{dtypes: map[string]ort.DType{}}
	var batch string
	for _, in := range s.Inputs() {
		l.dtypes[in.Name] = in.DType
		if in.Name == "input_ids" {
			l.tokens = in.Name
			if len(in.Symbols) == 2 {
				batch = in.Symbols[0]
			}
		}
	}
	for _, in := range s.Inputs() {
		var slot cacheSlot
		var err error
		switch {
		case in.Name == encoderStates:
			l.seq2seq = true
			slot, err = newStatesSlot(in)
		case isCacheInput(in.Name) && in.Kind == "tensor":
			slot, err = newCacheSlot(in, batch, s.Outputs())
		default:
			if err := l.other(in); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", in.Name, err)
		}
		l.slots = append(l.slots, slot)
	}
	if l.tokens == "" {
		return nil, fmt.Errorf("there is no input input_ids")
	}
	var err error
	if l.output, err = logitsOutput(s.Outputs(), chosen); err != nil {
		return nil, err
	}
	for _, out := range s.Outputs() {
		if out.Name == l.output && len(out.Dims) == 3 {
			l.vocabulary = max(0, out.Dims[2])
		}
	}
	return l, nil
}

func newStatesSlot(in ort.Info) (cacheSlot, error) {
	if len(in.Dims) != 3 || in.Dims[0] > 0 || in.Dims[1] > 0 || in.Dims[2] < 0 {
		return cacheSlot{}, fmt.Errorf("it is %v; an encoder's states are [batch, tokens, width] of a fixed width", in)
	}
	return cacheSlot{in: in.Name, dtype: in.DType, dims: in.Dims, time: 1, cross: true}, nil
}

// other sorts an input that is no cache.
func (l *cacheLayout) other(in ort.Info) error {
	switch in.Name {
	case l.tokens:
		if len(in.Dims) != 2 || in.Dims[1] > 0 {
			return fmt.Errorf("input %q is %v; its length is fixed", in.Name, in)
		}
	case "attention_mask", "decoder_attention_mask":
		l.mask = in.Name
	case "position_ids", "decoder_position_ids":
		l.positions, l.onePosition = in.Name, len(in.Dims) == 2 && in.Dims[0] == 1
	case "token_type_ids":
		l.types = in.Name
	case "use_cache_branch":
		l.branch = in.Name
	case "encoder_attention_mask":
		l.encoderMask = in.Name
	default:
		return fmt.Errorf("input %q (%v) is not one that a text has", in.Name, in)
	}
	return nil
}

func newCacheSlot(in ort.Info, batch string, outputs []ort.Info) (cacheSlot, error) {
	slot := cacheSlot{in: in.Name, dtype: in.DType, dims: in.Dims, cross: strings.Contains(in.Name, ".encoder.") || strings.Contains(in.Name, "_cross_")}
	slot.out = presentOf(in.Name, outputs)
	if slot.out == "" && !slot.cross {
		return slot, fmt.Errorf("no output gives what comes after it")
	}
	switch len(in.Dims) {
	case 4: // [batch, heads, tokens, width] or [batch, tokens, heads, width]
		slot.batch, slot.time = 0, 2
	case 5: // [2, batch, heads, tokens, width]
		slot.batch, slot.time = 1, 3
	default:
		return slot, fmt.Errorf("it is %v; keys and values are [batch, heads, tokens, width], or both in one tensor [2, batch, heads, tokens, width]", in)
	}
	if at := slices.Index(in.Symbols, batch); batch != "" && at >= 0 {
		slot.batch = at
	}
	for i, name := range in.Symbols {
		if i != slot.batch && in.Dims[i] < 0 && (strings.Contains(name, "past") || strings.Contains(name, "seq")) {
			slot.time = i
		}
	}
	for i, d := range in.Dims {
		if d < 0 && i != slot.batch && i != slot.time || d >= 0 && i == slot.time {
			return slot, fmt.Errorf("it is %v; of which axes are rows and tokens and which are fixed is not clear", in)
		}
	}
	if slot.batch > slot.time {
		return slot, fmt.Errorf("it is %v; rows come after tokens", in)
	}
	return slot, nil
}

// shape is the cache's for rows and tokens, or tokens of the source.
func (c cacheSlot) shape(rows, tokens, source int) []int64 {
	s := slices.Clone(c.dims)
	s[c.batch], s[c.time] = int64(rows), int64(tokens)
	if c.cross {
		s[c.time] = int64(source)
	}
	return s
}
