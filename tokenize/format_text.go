package tokenize

import (
	"fmt"
	"strings"
)

// tableToText is the format of Li et al.'s table-to-text tasks; see NewTableToText.
type tableToText struct {
	t         *Tokenizer
	source    func(rec Record) (string, error)
	names     [2]string // of source and target in the file, for errors
	bos, eos  int32
	maxLength int
}

// A Prompter is a Formatter that can also give the ids before which a completion starts, for generation.
type Prompter interface {
	Formatter
	// Prompt gives the ids of a record's source, up to where its target would start.
	Prompt(rec Record) ([]int32, error)
}

// NewTableToText makes the format ` {source} {bos} {target} {eos}` of table-to-text generation (Li et al. 2022, public
// code), bos and eos both the tokenizer's end-of-text token (50256 for GPT-2). Source tokens up to and including bos
// are not scored. The source of an E2E record is [E2ESource] of its mr. A record longer than maxLength tokens (100 in
// the paper) is dropped: it stays in N and contributes zero.
func NewTableToText(t *Tokenizer, maxLength int) (Prompter, error) {
	eos, err := roleID(t.special.EOS, "end-of-text (eos)")
	if err != nil {
		return nil, err
	}
	if err := checkLength(maxLength, 2); err != nil {
		return nil, err
	}
	source := func(rec Record) (string, error) { return E2ESource(rec.Source) }
	return &tableToText{t: t, source: source, names: [2]string{"mr", "ref"}, bos: eos, eos: eos, maxLength: maxLength}, nil
}

// NewTriplesToText is the same format for the records of DART and WebNLG, whose Source is
//
//	subject : relation : object | subject : relation : object
//
// already. (The public code of Li et al. adds a blank after DART's last token, which is left out here.) They drop records
// of more than 120 tokens.
func NewTriplesToText(t *Tokenizer, maxLength int) (Prompter, error) {
	f, err := NewTableToText(t, maxLength)
	if err != nil {
		return nil, err
	}
	table := f.(*tableToText)
	table.source = sourceOf
	table.names = [2]string{"tripleset", "text"}
	return table, nil
}

func (f *tableToText) MaxLength() int { return f.maxLength }

// Prompt gives the ids of ` {source} {bos}`.
func (f *tableToText) Prompt(rec Record) ([]int32, error) {
	source, err := f.source(rec)
	if err != nil {
		return nil, err
	}
	// The special tokens cut the text, so its parts can be encoded one by one, and bos is where it is put even when
	// the source itself holds the token.
	ids, err := f.t.EncodePlain(" " + source + " ")
	if err != nil {
		return nil, &RowError{Field: f.names[0], Problem: err.Error()}
	}
	return append(ids, f.bos), nil
}

func (f *tableToText) Format(rec Record) (Example, error) {
	prompt, err := f.Prompt(rec)
	if err != nil {
		return Example{}, err
	}
	target, err := f.t.EncodePlain(" " + rec.Target + " ")
	if err != nil {
		return Example{}, &RowError{Field: f.names[1], Problem: err.Error()}
	}
	return scoreAfter(rec, prompt, append(target, f.eos), f.maxLength), nil
}

// scoreAfter joins a prompt, which is not scored, and what follows it, which is. Too long is dropped.
func scoreAfter(rec Record, prompt, rest []int32, maxLength int) Example {
	n := len(prompt) + len(rest)
	if n > maxLength {
		return drop(rec, DropTooLong)
	}
	e := Example{Row: rec.Row, IDs: make([]int32, 0, n), Labels: make([]int32, 0, n), Label: -1, MaskPosition: -1}
	e.IDs = append(append(e.IDs, prompt...), rest...)
	for range prompt {
		e.Labels = append(e.Labels, Unscored)
	}
	e.Labels = append(e.Labels, rest...)
	return e
}

// E2ESource writes a meaning representation of the E2E csv,
//
//	name[The Vaults], eatType[pub], priceRange[more than £30]
//
// as the linear table that the models are trained on, with the csv's own field names in the csv's order:
//
//	name : The Vaults | eatType : pub | priceRange : more than £30
//
// A value ends at the first `]` that is followed by `, ` or the end. An error does not hold the content.
func E2ESource(mr string) (string, error) {
	var fields []string
	for rest := mr; ; {
		name, after, ok := strings.Cut(rest, "[")
		end := valueEnd(after)
		name = strings.TrimSpace(name)
		if !ok || end < 0 || name == "" {
			return "", &RowError{Field: "mr", Problem: fmt.Sprintf("part %d is not of the form name[value]", len(fields)+1)}
		}
		fields = append(fields, name+" : "+after[:end])
		if end+1 == len(after) {
			return strings.Join(fields, " | "), nil
		}
		rest = after[end+len("], "):]
	}
}

// valueEnd is the place of the bracket that ends the value at the start of s, -1 for none.
func valueEnd(s string) int {
	for i := range len(s) {
		if s[i] == ']' && (i+1 == len(s) || strings.HasPrefix(s[i+1:], ", ")) {
			return i
		}
	}
	return -1
}

// instruct is the format of prompt and completion; see NewInstruct.
type instruct struct {
	t         *Tokenizer
	bos, eos  int32 // bos -1 for none
	maxLength int
}

// NewInstruct makes the format {prompt}{completion}{eos}: the two are encoded apart and joined without anything in
// between, so a blank between them belongs to one of them; the prompt is not scored. Where the tokenizer's
// post-processor puts a token before a text, it comes before the prompt; a prompt without tokens is replaced by the
// end-of-text token, so that the completion's first token has something to be predicted from. A record longer than
// maxLength tokens is dropped: it stays in N and contributes zero.
func NewInstruct(t *Tokenizer, maxLength int) (Prompter, error) {
	eos, err := roleID(t.special.EOS, "end-of-text (eos)")
	if err != nil {
		return nil, err
	}
	if err := checkLength(maxLength, 2); err != nil {
		return nil, err
	}
	return &instruct{t: t, bos: t.leadingID(), eos: eos, maxLength: maxLength}, nil
}

// leadingID is the token that the post-processor puts before a single text, -1 when it puts none, or one after it as
// well: what surrounds a text as a whole does not belong between prompt and completion.
func (t *Tokenizer) leadingID() int32 {
	p := t.template.single
	if len(p) == 2 && len(p[0].ids) == 1 && p[1].sequence == pieceA {
		return p[0].ids[0]
	}
	return -1
}

func (f *instruct) MaxLength() int { return f.maxLength }

// Prompt gives the ids of the prompt.
func (f *instruct) Prompt(rec Record) ([]int32, error) {
	ids, err := f.t.EncodePlain(rec.Source)
	if err != nil {
		return nil, &RowError{Field: "prompt", Problem: err.Error()}
	}
	if f.bos >= 0 {
		return append([]int32{f.bos}, ids...), nil
	}
	if len(ids) == 0 {
		return []int32{f.eos}, nil
	}
	return ids, nil
}

func (f *instruct) Format(rec Record) (Example, error) {
	prompt, err := f.Prompt(rec)
	if err != nil {
		return Example{}, err
	}
	completion, err := f.t.EncodePlain(rec.Target)
	if err != nil {
		return Example{}, &RowError{Field: "completion", Problem: err.Error()}
	}
	return scoreAfter(rec, prompt, append(completion, f.eos), f.maxLength), nil
}

// languageModel is the format of plain text; see NewLM.
type languageModel struct {
	t         *Tokenizer
	eos       int32
	maxLength int
}

// NewLM makes the format {text}{eos}, with what the tokenizer's post-processor puts before a text; everything but the
// first token is scored. A text that is too long is cut at its end to maxLength tokens, the end-of-text token with it:
// one record is one example. A text without a scored token is dropped.
func NewLM(t *Tokenizer, maxLength int) (Formatter, error) {
	eos, err := roleID(t.special.EOS, "end-of-text (eos)")
	if err != nil {
		return nil, err
	}
	if err := checkLength(maxLength, 2); err != nil {
		return nil, err
	}
	return &languageModel{t: t, eos: eos, maxLength: maxLength}, nil
}

func (f *languageModel) MaxLength() int { return f.maxLength }

func (f *languageModel) Format(rec Record) (Example, error) {
	ids, err := f.t.Encode(rec.Text)
	if err != nil {
		return Example{}, &RowError{Field: "text", Problem: err.Error()}
	}
	if n := len(ids); n == 0 || ids[n-1] != f.eos {
		ids = append(ids, f.eos)
	}
	ids = ids[:min(len(ids), f.maxLength)]
	if len(ids) < 2 {
		return drop(rec, DropUnscored), nil
	}
	labels := append([]int32{Unscored}, ids[1:]...)
	return Example{Row: rec.Row, IDs: ids, Labels: labels, Label: -1, MaskPosition: -1}, nil
}
