package tokenize

// classify is the format of the head mode; see NewClassify.
type classify struct {
	t         *Tokenizer
	pairs     bool
	maxLength int
}

// NewClassify makes the format of classification by a head: the text, or for pairs the two texts, with the
// post-processor's special tokens; cut to maxLength tokens, special ones included, at the end of the text (for pairs of
// the longer one first). The label is the record's.
func NewClassify(t *Tokenizer, pairs bool, maxLength int) (Formatter, error) {
	pieces := t.template.single
	if pairs {
		pieces = t.template.pair
	}
	if err := checkLength(maxLength, added(pieces)+1); err != nil {
		return nil, err
	}
	return &classify{t: t, pairs: pairs, maxLength: maxLength}, nil
}

// Pairs says whether a task's records hold two texts.
func (t Task) Pairs() bool { return tsvLayouts[t].pair != nil }

func (f *classify) MaxLength() int { return f.maxLength }

func (f *classify) Format(rec Record) (Example, error) {
	var enc Encoding
	var err error
	if f.pairs {
		enc, err = f.t.EncodePairTruncated(rec.Text, rec.Pair, f.maxLength)
	} else {
		enc, err = f.t.EncodeTruncated(rec.Text, f.maxLength)
	}
	if err != nil {
		return Example{}, &RowError{Field: "text", Problem: err.Error()}
	}
	if len(enc.IDs) == 0 {
		return drop(rec, DropUnscored), nil
	}
	return Example{Row: rec.Row, IDs: enc.IDs, TypeIDs: enc.TypeIDs, Label: int32(rec.Label), MaskPosition: -1}, nil
}
