package tokenize

// sequenceToSequence is the format of encoder–decoder models; see NewSequenceToSequence.
type sequenceToSequence struct {
	t         *Tokenizer
	table     bool // the source is E2E's
	eos       int32
	maxLength int
}

// NewSequenceToSequence makes the format of models with an encoder and a decoder, such as BART and T5, as transformers'
// tokenizer(source, text_target=target): the encoder reads the source and the decoder is scored on the target, each with
// what the post-processor puts around a text, and each with the end-of-text token at its end. The source of a table is
// [E2ESource] of its mr, that of an instruction its prompt. A record of which either is longer than maxLength tokens is
// dropped: it stays in N and contributes zero.
func NewSequenceToSequence(t *Tokenizer, table bool, maxLength int) (Prompter, error) {
	eos, err := roleID(t.special.EOS, "end-of-text (eos)")
	if err != nil {
		return nil, err
	}
	if err := checkLength(maxLength, 2); err != nil {
		return nil, err
	}
	return &sequenceToSequence{t: t, table: table, eos: eos, maxLength: maxLength}, nil
}

func (f *sequenceToSequence) MaxLength() int { return f.maxLength }

// Prompt gives the ids that the encoder reads.
func (f *sequenceToSequence) Prompt(rec Record) ([]int32, error) {
	field, source := "prompt", rec.Source
	if f.table {
		field = "mr"
		var err error
		if source, err = E2ESource(rec.Source); err != nil {
			return nil, err
		}
	}
	return f.encode(field, source)
}

func (f *sequenceToSequence) encode(field, text string) ([]int32, error) {
	ids, err := f.t.Encode(text)
	if err != nil {
		return nil, &RowError{Field: field, Problem: err.Error()}
	}
	if n := len(ids); n == 0 || ids[n-1] != f.eos {
		ids = append(ids, f.eos)
	}
	return ids, nil
}

func (f *sequenceToSequence) Format(rec Record) (Example, error) {
	source, err := f.Prompt(rec)
	if err != nil {
		return Example{}, err
	}
	field := "completion"
	if f.table {
		field = "ref"
	}
	target, err := f.encode(field, rec.Target)
	if err != nil {
		return Example{}, err
	}
	if max(len(source), len(target)) > f.maxLength {
		return drop(rec, DropTooLong), nil
	}
	return Example{Row: rec.Row, IDs: source, Target: target, Label: -1, MaskPosition: -1}, nil
}
