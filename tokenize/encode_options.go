package tokenize

import (
	"context"
	"fmt"
	"slices"
)

// Truncation says which text of a pair is cut.
type Truncation string

// The strategies of the reference.
const (
	LongestFirst Truncation = "longest_first" // the longer one, down to the other's length, then both; also ""
	OnlyFirst    Truncation = "only_first"
	OnlySecond   Truncation = "only_second"
)

// EncodeOptions are the options of [Tokenizer.EncodeDetailed]. The zero value adds special tokens and neither truncates
// nor pads.
type EncodeOptions struct {
	NoSpecialTokens bool // leave the post-processor's tokens out

	MaxLength    int        // truncate to so many tokens, special ones included; 0: do not
	Truncation   Truncation // which text of a pair
	TruncateLeft bool       // cut at the start instead of the end
	Stride       int        // so many tokens of one piece come again in the next piece of the overflow

	PadTo       int  // pad to so many tokens (transformers' padding="max_length"); 0: do not
	PadLongest  bool // pad to the longest of the batch
	PadMultiple int  // pad to the next multiple of it; 0: do not
	PadLeft     bool // pad at the start instead of the end
}

func (o EncodeOptions) check() error {
	switch {
	case o.MaxLength < 0 || o.Stride < 0 || o.PadTo < 0 || o.PadMultiple < 0:
		return fmt.Errorf("maximum length %d, stride %d, padded length %d and its multiple %d must not be negative", o.MaxLength, o.Stride, o.PadTo, o.PadMultiple)
	case !slices.Contains([]Truncation{"", LongestFirst, OnlyFirst, OnlySecond}, o.Truncation):
		return fmt.Errorf("truncation %s is not one of %s, %s and %s", shown(string(o.Truncation)), LongestFirst, OnlyFirst, OnlySecond)
	case o.MaxLength == 0 && (o.Stride > 0 || o.Truncation != "" || o.TruncateLeft):
		return fmt.Errorf("stride, truncation strategy and side have no effect without a maximum length")
	}
	return nil
}

// padLength is the length to pad to, where longest is that of the batch.
func (o EncodeOptions) padLength(longest int) int {
	length := o.PadTo
	if length == 0 && (o.PadLongest || o.PadMultiple > 0) {
		length = longest
	}
	if o.PadMultiple > 0 {
		if rest := length % o.PadMultiple; rest > 0 {
			length += o.PadMultiple - rest
		}
	}
	return length
}

// EncodeDetailedBatch is EncodeDetailed for many texts in parallel, workers at a time (0: as many as there are
// processors), in their order. With PadLongest all are padded to the longest of them. An error names the row (from 0).
func (t *Tokenizer) EncodeDetailedBatch(ctx context.Context, texts []Text, o EncodeOptions, workers int) ([]*Detailed, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	out, err := Map(ctx, texts, workers, func(text Text) (*Detailed, error) { return t.detailed(text, o) })
	if err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("text %d: %w", len(out), err)
		}
		return nil, err
	}
	longest := 0
	for _, d := range out {
		longest = max(longest, d.Len())
	}
	for _, d := range out {
		length := o.padLength(longest)
		if !o.PadLongest {
			length = o.padLength(d.Len())
		}
		d.pad(length, t.PadID(), t.padToken(), o.PadLeft)
	}
	return out, nil
}

func (t *Tokenizer) padToken() string {
	token, _ := t.IDToToken(t.PadID())
	return token
}

// pad fills d, and what overflowed of it, up to length tokens.
func (d *Detailed) pad(length int, id int32, token string, left bool) {
	for _, o := range d.Overflow {
		o.pad(length, id, token, left)
	}
	n := length - d.Len()
	if n <= 0 {
		return
	}
	padding := &Detailed{}
	for i := range n {
		padding.add(id, token, span{}, -1, runeIndex{0})
		padding.AttentionMask[i], padding.Special[i], padding.Sequences[i] = 0, true, -1
	}
	first, second := &Detailed{}, padding
	*first = *d
	if left {
		first, second = padding, first
	}
	overflow := d.Overflow
	first.Overflow, second.Overflow = nil, nil
	*d = *first.with(second)
	d.Overflow = overflow
}

// truncate cuts the sequences so that together they have at most room tokens.
func truncate(sequences []*Detailed, room int, o EncodeOptions) error {
	total := 0
	keep := make([]int, len(sequences))
	for i, s := range sequences {
		keep[i] = s.Len()
		total += s.Len()
	}
	if total <= room && room > 0 {
		return nil
	}
	which := map[Truncation]int{OnlyFirst: 0, OnlySecond: 1}
	switch i, only := which[o.Truncation]; {
	case room == 0:
		clear(keep)
	case !only && len(sequences) == 2:
		keep[0], keep[1] = longestFirst(keep[0], keep[1], room)
	case i >= len(sequences):
		return fmt.Errorf("truncation %s needs a second text", o.Truncation)
	default:
		if keep[i] -= total - room; keep[i] <= 0 {
			return fmt.Errorf("truncation %s: the other text leaves it no room", o.Truncation)
		}
	}
	for i, s := range sequences {
		if err := s.truncate(keep[i], o); err != nil {
			return err
		}
	}
	return nil
}

// truncate cuts d into pieces of length tokens, of which the first remains and the others overflow.
func (d *Detailed) truncate(length int, o EncodeOptions) error {
	if length >= d.Len() {
		return nil
	}
	if length == 0 {
		whole := d.part(0, d.Len())
		*d = Detailed{Overflow: []*Detailed{whole}}
		return nil
	}
	if o.Stride >= length {
		return fmt.Errorf("stride %d must be less than the %d tokens that truncation leaves of the text", o.Stride, length)
	}
	var pieces []*Detailed
	for from, n := 0, d.Len(); ; from += length - o.Stride {
		end := min(from+length, n)
		start := from
		if o.TruncateLeft {
			start, end = max(0, n-from-length), n-from
		}
		pieces = append(pieces, d.part(start, end))
		if from+length >= n {
			break
		}
	}
	pieces[0].Overflow = pieces[1:]
	*d = *pieces[0]
	return nil
}
