package tokenize

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
)

// Shares of BERT's masking (Devlin et al. 2019, section 3.1): of a text's tokens maskedShare are scored; of these
// maskShare become the mask, randomShare a random token, and the rest stay what they are.
const (
	maskedShare = 0.15
	maskShare   = 0.8
	randomShare = 0.1
)

// MaskedLM is the format of masked language modelling; see NewMaskedLM.
type MaskedLM struct {
	t         *Tokenizer
	mask      int32
	ordinary  []int32 // the ids that a masked token may be replaced with
	maxLength int
}

// NewMaskedLM makes the format that encoders are pretrained on (Devlin et al. 2019): a text with the post-processor's
// special tokens, cut at its end to maxLength tokens, of which max(1, round(0.15·n)) are scored, n the number of tokens
// behind the first that are not special. Of those scored, 80 % in expectation are replaced by the mask, 10 % by a random token and 10 %
// stay. A text without tokens is dropped: it counts and contributes zero. The tokenizer needs a mask token.
//
// What is masked is drawn from the text itself and the number given to [MaskedLM.Draw], never from its place among
// others: so an example stays a function of its record alone, which differential privacy per record rests on.
func NewMaskedLM(t *Tokenizer, maxLength int) (*MaskedLM, error) {
	f := &MaskedLM{t: t, maxLength: maxLength}
	var err error
	if f.mask, err = roleID(t.special.MASK, "mask"); err != nil {
		return nil, err
	}
	if err := checkLength(maxLength, added(t.template.single)+1); err != nil {
		return nil, err
	}
	for id := range int32(t.VocabSize()) {
		if _, used := t.IDToToken(id); used && !t.IsSpecial(id) {
			f.ordinary = append(f.ordinary, id)
		}
	}
	return f, nil
}

// MaxLength is the largest length of an example.
func (f *MaskedLM) MaxLength() int { return f.maxLength }

// Format gives the example of a record, masked by draw 0. Labels are aligned with IDs: the logits at t are scored
// against Labels[t].
func (f *MaskedLM) Format(rec Record) (Example, error) {
	enc, err := f.t.EncodeTruncated(rec.Text, f.maxLength)
	if err != nil {
		return Example{}, &RowError{Field: "text", Problem: err.Error()}
	}
	e := Example{Row: rec.Row, IDs: enc.IDs, TypeIDs: enc.TypeIDs, Label: -1, MaskPosition: -1}
	if len(f.places(e.IDs)) == 0 {
		return drop(rec, DropUnscored), nil
	}
	return f.masked(e, 0), nil
}

// Draw masks an example of Format anew: the same for the same draw, independent between draws (RoBERTa's dynamic
// masking, Liu et al. 2019). The example given is left as it is.
func (f *MaskedLM) Draw(e Example, draw uint64) Example {
	if e.Dropped != Kept {
		return e
	}
	e.IDs = slices.Clone(e.IDs)
	for t, l := range e.Labels {
		if l != Unscored {
			e.IDs[t] = l
		}
	}
	return f.masked(e, draw)
}

// masked chooses what is scored of an example whose ids are the text's, and replaces it in them.
func (f *MaskedLM) masked(e Example, draw uint64) Example {
	rng, places := textRandom(e.IDs, draw), f.places(e.IDs)
	rng.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
	e.Labels = slices.Repeat([]int32{Unscored}, len(e.IDs))
	for _, t := range places[:max(1, int(math.Round(maskedShare*float64(len(places)))))] {
		e.Labels[t] = e.IDs[t]
		switch u := rng.Float64(); {
		case u < maskShare:
			e.IDs[t] = f.mask
		case u < maskShare+randomShare && len(f.ordinary) > 0:
			e.IDs[t] = f.ordinary[rng.IntN(len(f.ordinary))]
		}
	}
	return e
}

// places are the positions of tokens that are not special, but the first, which no loss over tokens counts
// ([Example.Scored]); where a post-processor is at work it is special anyhow.
func (f *MaskedLM) places(ids []int32) []int {
	var out []int
	for t, id := range ids {
		if t > 0 && !f.t.IsSpecial(id) {
			out = append(out, t)
		}
	}
	return out
}

// textRandom is a generator that a text's ids and a number determine.
func textRandom(ids []int32, draw uint64) *rand.Rand {
	buffer := binary.LittleEndian.AppendUint64(nil, draw)
	for _, id := range ids {
		buffer = binary.LittleEndian.AppendUint32(buffer, uint32(id))
	}
	sum := sha256.Sum256(buffer)
	return rand.New(rand.NewPCG(binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])))
}
