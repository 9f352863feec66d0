package tokenize

import (
	"fmt"
	"strings"
)

// sequenceToSequence is the format of encoder–decoder models; see NewSequenceToSequence.
type sequenceToSequence struct {
	t         *Tokenizer
	source    func(rec Record) (string, error)
	names     [2]string // of source and target, for errors
	eos       int32
	maxLength int
}

// NewSequenceToSequence makes the format of models with an encoder and a decoder, such as BART and T5, as transformers'
// tokenizer(source, text_target=target): the encoder reads the source and the decoder is scored on the target, each with
// what the post-processor puts around a text, and each with the end-of-text token at its end. The source of an E2E table
// is [E2ESource] of its mr, that of triples their line, that of a dialogue its persona (joined by blanks) and its turns a
// line each, that of an instruction its prompt. A record of which either is longer than maxLength tokens is dropped: it
// stays in N and contributes zero.
func NewSequenceToSequence(t *Tokenizer, task Task, maxLength int) (Prompter, error) {
	eos, err := roleID(t.special.EOS, "end-of-text (eos)")
	if err != nil {
		return nil, err
	}
	if err := checkLength(maxLength, 2); err != nil {
		return nil, err
	}
	f := &sequenceToSequence{t: t, eos: eos, maxLength: maxLength}
	switch task {
	case TaskE2E:
		f.names, f.source = [2]string{"mr", "ref"}, func(rec Record) (string, error) { return E2ESource(rec.Source) }
	case TaskDART, TaskWebNLG:
		f.names, f.source = [2]string{"tripleset", "text"}, sourceOf
	case TaskPersona:
		f.names, f.source = [2]string{"history", "response"}, dialogSource
	case TaskInstruct:
		f.names, f.source = [2]string{"prompt", "completion"}, sourceOf
	default:
		return nil, fmt.Errorf("task %s has no source and target", shown(string(task)))
	}
	return f, nil
}

func sourceOf(rec Record) (string, error) { return rec.Source, nil }

func dialogSource(rec Record) (string, error) {
	if rec.Dialog == nil {
		return "", nil
	}
	var lines []string
	if len(rec.Dialog.Persona) > 0 {
		lines = append(lines, strings.Join(rec.Dialog.Persona, " "))
	}
	return strings.Join(append(lines, rec.Dialog.History...), "\n"), nil
}

func (f *sequenceToSequence) MaxLength() int { return f.maxLength }

// Prompt gives the ids that the encoder reads.
func (f *sequenceToSequence) Prompt(rec Record) ([]int32, error) {
	source, err := f.source(rec)
	if err != nil {
		return nil, err
	}
	return f.encode(f.names[0], source)
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
	target, err := f.encode(f.names[1], rec.Target)
	if err != nil {
		return Example{}, err
	}
	if max(len(source), len(target)) > f.maxLength {
		return drop(rec, DropTooLong), nil
	}
	return Example{Row: rec.Row, IDs: source, Target: target, Label: -1, MaskPosition: -1}, nil
}
