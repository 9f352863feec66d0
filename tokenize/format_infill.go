package tokenize

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// An InfillTemplate says how a classification record becomes text with a mask, and which words stand for the classes
// (Li et al. 2022, after Gao et al. 2021).
type InfillTemplate struct {
	// Parts are encoded one by one between the tokenizer's CLS and SEP tokens.
	Parts []InfillPart
	// LabelWords are the words of the classes in order, each with its leading blank; each must be one token.
	LabelWords []string
}

// An InfillPart is one part of a template.
type InfillPart struct {
	Kind InfillKind
	Text string // of InfillText
}

// InfillKind is what a part stands for.
type InfillKind int

// The kinds of parts.
const (
	InfillText    InfillKind = iota // fixed text
	InfillMask                      // the mask
	InfillFirst                     // the first text
	InfillFirstOf                   // the first text without its last character
	InfillSecond                    // a blank and the second text, its first letter lower-cased
)

func words(text string) InfillPart { return InfillPart{Kind: InfillText, Text: text} }

// nliParts is `S1?<mask>, s2`.
var nliParts = []InfillPart{{Kind: InfillFirstOf}, words("?"), {Kind: InfillMask}, words(","), {Kind: InfillSecond}}

// infillTemplates are the paper's; the label words follow the class numbers of taskLabels.
var infillTemplates = map[Task]InfillTemplate{
	// `S It was<mask>.`
	TaskSST2: {Parts: []InfillPart{{Kind: InfillFirst}, words(" It was"), {Kind: InfillMask}, words(".")},
		LabelWords: []string{" terrible", " great"}},
	TaskMNLI: {Parts: nliParts, LabelWords: []string{" no", " yes", " maybe"}},
	TaskQNLI: {Parts: nliParts, LabelWords: []string{" yes", " no"}},
	// `S1<mask>, s2`
	TaskQQP: {Parts: []InfillPart{{Kind: InfillFirstOf}, {Kind: InfillMask}, words(","), {Kind: InfillSecond}},
		LabelWords: []string{" no", " yes"}},
}

// InfillTemplateOf gives the template of a task: sst2, mnli, qnli or qqp.
func InfillTemplateOf(task Task) (InfillTemplate, error) {
	t, ok := infillTemplates[task]
	if !ok {
		return InfillTemplate{}, fmt.Errorf("there is no infill template for task %s; use --mode head", shown(string(task)))
	}
	return InfillTemplate{Parts: slices.Clone(t.Parts), LabelWords: slices.Clone(t.LabelWords)}, nil
}

// InfillOptions are the limits of an infill format, in tokens.
type InfillOptions struct {
	MaxLength int // of the whole (256 in the paper): the head is cut
	// SentenceLimit bounds each sentence (200 in the paper): the tail is cut. 0 for no limit.
	SentenceLimit int
}

// Infill is the format of classification by text infilling; see NewInfill.
type Infill struct {
	t          *Tokenizer
	template   InfillTemplate
	options    InfillOptions
	cls, sep   int32
	mask       int32
	fixed      [][]int32 // ids of the fixed parts, nil for others
	labelWords []int32
}

// NewInfill makes the format of a template for a tokenizer with CLS, SEP and MASK tokens (<s>, </s> and <mask> for
// RoBERTa). A sentence longer than the sentence limit loses its tail; then, where the whole is too long, its head is
// cut, CLS included; an example whose mask is cut off is dropped: it counts and contributes zero. It is an error when a
// label word is not exactly one token.
func NewInfill(t *Tokenizer, template InfillTemplate, o InfillOptions) (*Infill, error) {
	f := &Infill{t: t, template: template, options: o}
	var err error
	for _, role := range []struct {
		id   int32
		name string
		to   *int32
	}{{t.special.CLS, "cls", &f.cls}, {t.special.SEP, "sep", &f.sep}, {t.special.MASK, "mask", &f.mask}} {
		if *role.to, err = roleID(role.id, role.name); err != nil {
			return nil, err
		}
	}
	if err := checkLength(o.MaxLength, 3); err != nil {
		return nil, err
	}
	if o.SentenceLimit < 0 {
		return nil, fmt.Errorf("sentence limit is %d; it must be at least 0", o.SentenceLimit)
	}
	if err := f.encodeParts(); err != nil {
		return nil, err
	}
	return f, f.encodeLabelWords()
}

func (f *Infill) encodeParts() error {
	masks := 0
	for _, p := range f.template.Parts {
		var ids []int32
		switch p.Kind {
		case InfillMask:
			masks++
			ids = []int32{f.mask}
		case InfillText:
			var err error
			if ids, err = f.t.EncodePlain(p.Text); err != nil {
				return fmt.Errorf("infill template: %w", err)
			}
		}
		f.fixed = append(f.fixed, ids)
	}
	if masks != 1 {
		return fmt.Errorf("an infill template has one mask, this one %d", masks)
	}
	return nil
}

func (f *Infill) encodeLabelWords() error {
	seen := map[int32]bool{}
	for _, w := range f.template.LabelWords {
		ids, err := f.t.EncodePlain(w)
		if err != nil {
			return fmt.Errorf("label word: %w", err)
		}
		if len(ids) != 1 || ids[0] == f.t.special.UNK {
			return fmt.Errorf("label word %s is not one token of this tokenizer's vocabulary (it gives %d); choose another word, or use --mode head", shown(w), len(ids))
		}
		if seen[ids[0]] {
			return fmt.Errorf("label word %s has the same token as another", shown(w))
		}
		seen[ids[0]] = true
		f.labelWords = append(f.labelWords, ids[0])
	}
	if len(f.labelWords) < 2 {
		return fmt.Errorf("an infill template needs at least 2 label words, this one has %d", len(f.labelWords))
	}
	return nil
}

// LabelWords gives the token ids of the classes, the label_words of the infill loss.
func (f *Infill) LabelWords() []int32 { return append([]int32(nil), f.labelWords...) }

// MaxLength is the largest length of an example.
func (f *Infill) MaxLength() int { return f.options.MaxLength }

// Format gives the example of a record.
func (f *Infill) Format(rec Record) (Example, error) {
	if rec.Label < 0 || rec.Label >= len(f.labelWords) {
		return Example{}, &RowError{Field: "label", Problem: fmt.Sprintf("is outside 0 to %d", len(f.labelWords)-1)}
	}
	ids := []int32{f.cls}
	mask := 0
	for i, p := range f.template.Parts {
		part := f.fixed[i]
		if sentence, field, ok := p.sentence(rec); ok {
			var err error
			if part, err = f.t.EncodePlain(sentence); err != nil {
				return Example{}, &RowError{Field: field, Problem: err.Error()}
			}
			if limit := f.options.SentenceLimit; limit > 0 {
				part = part[:min(len(part), limit)]
			}
		}
		if p.Kind == InfillMask {
			mask = len(ids)
		}
		ids = append(ids, part...)
	}
	ids = append(ids, f.sep)
	cut := max(0, len(ids)-f.options.MaxLength)
	if mask < cut {
		return drop(rec, DropMaskCut), nil
	}
	return Example{Row: rec.Row, IDs: ids[cut:], Label: int32(rec.Label), MaskPosition: int32(mask - cut)}, nil
}

// sentence is the text that a part takes from a record, with the record's field; ok is false for fixed parts.
func (p InfillPart) sentence(rec Record) (text, field string, ok bool) {
	switch p.Kind {
	case InfillFirst:
		return rec.Text, "text", true
	case InfillFirstOf:
		_, size := utf8.DecodeLastRuneInString(rec.Text)
		return rec.Text[:len(rec.Text)-size], "text", true
	case InfillSecond:
		r, size := utf8.DecodeRuneInString(rec.Pair)
		var b strings.Builder
		b.WriteByte(' ')
		if size > 0 && r != utf8.RuneError {
			writeLower(&b, r)
		} else {
			size = 0
		}
		b.WriteString(rec.Pair[size:])
		return b.String(), "pair", true
	}
	return "", "", false
}
