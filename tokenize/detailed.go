package tokenize

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// A Text is what is encoded: one text, or a pair of them.
type Text struct {
	First  string
	Second string
	Pair   bool // Second counts, even when it is empty
}

// A Span is a part of a text, from Start up to End, which does not belong to it.
type Span struct{ Start, End int }

// A Detailed is an encoding with all that the reference's Encoding tells. Its slices have one element for each token.
type Detailed struct {
	IDs           []int32
	TypeIDs       []int32
	Tokens        []string // as in the vocabulary; of an unknown token, what Unigram did not know
	AttentionMask []int32  // 1 on tokens, 0 on padding
	Special       []bool   // added by the post-processor, or padding
	// Runes and Bytes are where a token comes from in its text, in characters (the reference's offsets in Python) and in
	// bytes; {0, 0} for special tokens. Tokens that share a character, such as the bytes of one, have the same.
	Runes, Bytes []Span
	// Words are the numbers of the pre-tokens that tokens are parts of, counted in each text from 0; -1 for special ones.
	Words []int32
	// Sequences are 0 for tokens of the first text, 1 of the second, and -1 for special tokens.
	Sequences []int32
	// Overflow is what truncation cut off, in pieces as long as the rest, each with its special tokens.
	Overflow []*Detailed
}

// Len is the number of tokens.
func (d *Detailed) Len() int { return len(d.IDs) }

// EncodeDetailed encodes a text or a pair with offsets, masks and words, and truncates and pads it as o says.
func (t *Tokenizer) EncodeDetailed(text Text, o EncodeOptions) (*Detailed, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	d, err := t.detailed(text, o)
	if err != nil {
		return nil, err
	}
	d.pad(o.padLength(d.Len()), t.PadID(), t.padToken(), o.PadLeft)
	return d, nil
}

// detailed is EncodeDetailed before padding.
func (t *Tokenizer) detailed(text Text, o EncodeOptions) (*Detailed, error) {
	texts, pieces := []string{text.First}, t.template.single
	if text.Pair {
		texts, pieces = append(texts, text.Second), t.template.pair
	}
	if o.NoSpecialTokens {
		pieces = slices.DeleteFunc(slices.Clone(pieces), func(p piece) bool { return p.sequence == pieceSpecial })
	}
	sequences, runes := make([]*Detailed, len(texts)), make([]runeIndex, len(texts))
	for i, s := range texts {
		var err error
		if sequences[i], runes[i], err = t.annotate(s); err != nil {
			return nil, fmt.Errorf("%s text: %w", []string{"first", "second"}[i], err)
		}
	}
	if o.MaxLength > 0 {
		room, err := t.room(pieces, o.MaxLength)
		if err != nil {
			return nil, err
		}
		if err := truncate(sequences, room, o); err != nil {
			return nil, err
		}
	}
	for i, s := range sequences {
		s.place(runes[i], t.trim)
	}
	out := &Detailed{}
	for _, p := range pieces {
		if p.sequence == pieceSpecial {
			out = out.with(t.specialPart(p))
		} else {
			out = out.with(sequences[p.sequence].as(p))
		}
	}
	return out, nil
}

// annotate is the tokens of one text, without special ones that are not in it, and where its characters start. Bytes
// are left open.
func (t *Tokenizer) annotate(text string) (*Detailed, runeIndex, error) {
	d := &Detailed{}
	runes := runeStarts(text)
	word := int32(0)
	var modelErr error
	err := t.walk(text, true, func(a *aligned, id int32) {
		if id >= 0 {
			d.add(id, a.text, a.spanAt(0, len(a.text)), word, runes)
		} else if err := t.annotateWord(d, a, word, runes); err != nil {
			modelErr = err
		}
		word++
	})
	if err == nil {
		err = modelErr
	}
	return d, runes, err
}

// place trims the offsets of d, and of what overflowed of it, for the post-processor does so after truncation, and says
// which bytes they are.
func (d *Detailed) place(runes runeIndex, trim trimmer) {
	for i := range d.IDs {
		if trim != nil {
			d.Runes[i] = trim(i, d.Tokens[i], d.Runes[i])
		}
		d.Bytes[i] = Span{runes.byteAt(d.Runes[i].Start), runes.byteAt(d.Runes[i].End)}
	}
	for _, o := range d.Overflow {
		o.place(runes, trim)
	}
}

func (t *Tokenizer) annotateWord(d *Detailed, a *aligned, word int32, runes runeIndex) error {
	if t.byteLevel {
		a.toBytes()
	}
	tokens, err := t.model.Tokenize(a.text)
	if err != nil {
		return err
	}
	for _, token := range tokens {
		d.add(int32(token.Id), token.Value, a.spanAt(token.Offsets[0], token.Offsets[1]), word, runes)
	}
	return nil
}

func (d *Detailed) add(id int32, token string, at span, word int32, runes runeIndex) {
	d.IDs, d.Tokens, d.Words = append(d.IDs, id), append(d.Tokens, token), append(d.Words, word)
	d.TypeIDs, d.AttentionMask, d.Special = append(d.TypeIDs, 0), append(d.AttentionMask, 1), append(d.Special, false)
	d.Runes, d.Bytes, d.Sequences = append(d.Runes, runes.span(at)), append(d.Bytes, Span{}), append(d.Sequences, 0)
}

// runeIndex is where the characters of a text start, in bytes, and at the end its length.
type runeIndex []int

func runeStarts(text string) runeIndex {
	starts := make(runeIndex, 0, len(text)+1)
	for i := range text {
		starts = append(starts, i)
	}
	return append(starts, len(text))
}

// of is the number of the character that holds a byte.
func (x runeIndex) of(at int) int { return sort.SearchInts(x, at+1) - 1 }

// span turns bytes into characters as the reference's converter: an end inside a character is that character's number,
// and what starts beyond the text stays as it is.
func (x runeIndex) span(s span) Span {
	size := x[len(x)-1]
	if s.start >= size {
		return Span{s.start, s.end}
	}
	if s.end >= size {
		return Span{x.of(s.start), len(x) - 1}
	}
	return Span{x.of(s.start), x.of(s.end)}
}

// byteAt is where a character starts.
func (x runeIndex) byteAt(r int) int { return x[min(max(r, 0), len(x)-1)] }

// trimmer takes the white space at a token's ends out of its offsets.
type trimmer func(index int, token string, at Span) Span

// trimOffsets is what the ByteLevel and RoBERTa post-processors do: blanks at the ends of a token, which may be written
// in the byte alphabet, do not count as its own. With addPrefixSpace one blank at the start of the text is an added one,
// which has no place there.
func trimOffsets(addPrefixSpace bool) trimmer {
	blank, _ := utf8.DecodeRuneInString(byteAlphabet[' '])
	isBlank := func(r rune) bool { return r == blank || isSpace(r) }
	return func(index int, token string, at Span) Span {
		count := utf8.RuneCountInString(token)
		leading := count - utf8.RuneCountInString(strings.TrimLeftFunc(token, isBlank))
		trailing := count - utf8.RuneCountInString(strings.TrimRightFunc(token, isBlank))
		if leading > 0 {
			if addPrefixSpace && leading == 1 && (index == 0 || at.Start == 0) {
				leading = 0
			}
			at.Start = min(at.Start+leading, at.End)
		}
		if trailing > 0 && at.End >= trailing {
			at.End = max(at.End-trailing, at.Start)
		}
		return at
	}
}

// specialPart is a template's special tokens.
func (t *Tokenizer) specialPart(p piece) *Detailed {
	d := &Detailed{}
	for _, id := range p.ids {
		token, _ := t.IDToToken(id)
		d.add(id, token, span{}, -1, runeIndex{0})
		n := d.Len() - 1
		d.TypeIDs[n], d.Special[n], d.Sequences[n] = p.typeID, true, -1
	}
	return d
}

// as is d, and what overflowed of it, as the sequence of a template's piece.
func (d *Detailed) as(p piece) *Detailed {
	out := d.part(0, d.Len())
	for i := range out.IDs {
		out.TypeIDs[i], out.Sequences[i] = p.typeID, int32(p.sequence)
	}
	if !p.sameType {
		p.typeID = int32(p.sequence)
	}
	for _, o := range d.Overflow {
		out.Overflow = append(out.Overflow, o.as(p))
	}
	return out
}

// with is d followed by e. What overflowed of one goes with the other and with what overflowed of it, in the
// reference's order.
func (d *Detailed) with(e *Detailed) *Detailed {
	var overflow []*Detailed
	for _, o := range d.Overflow {
		overflow = append(overflow, o.with(e.part(0, e.Len())))
		for _, p := range e.Overflow {
			overflow = append(overflow, o.with(p))
		}
	}
	plain := d.part(0, d.Len())
	for _, p := range e.Overflow {
		overflow = append(overflow, plain.with(p))
	}
	out := &Detailed{Overflow: overflow,
		IDs: slices.Concat(d.IDs, e.IDs), TypeIDs: slices.Concat(d.TypeIDs, e.TypeIDs), Tokens: slices.Concat(d.Tokens, e.Tokens),
		AttentionMask: slices.Concat(d.AttentionMask, e.AttentionMask), Special: slices.Concat(d.Special, e.Special),
		Runes: slices.Concat(d.Runes, e.Runes), Bytes: slices.Concat(d.Bytes, e.Bytes), Words: slices.Concat(d.Words, e.Words),
		Sequences: slices.Concat(d.Sequences, e.Sequences)}
	return out
}

// part is a copy of the tokens from start up to end, without overflow.
func (d *Detailed) part(start, end int) *Detailed {
	return &Detailed{IDs: slices.Clone(d.IDs[start:end]), TypeIDs: slices.Clone(d.TypeIDs[start:end]), Tokens: slices.Clone(d.Tokens[start:end]),
		AttentionMask: slices.Clone(d.AttentionMask[start:end]), Special: slices.Clone(d.Special[start:end]),
		Runes: slices.Clone(d.Runes[start:end]), Bytes: slices.Clone(d.Bytes[start:end]), Words: slices.Clone(d.Words[start:end]),
		Sequences: slices.Clone(d.Sequences[start:end])}
}
