package tokenize

import (
	"fmt"
	"unicode/utf8"
)

// A Tokenizer turns text into token ids and back. It is immutable and safe for concurrent use.
type Tokenizer struct {
	raw        *addedMatcher // added tokens looked for in the text as given
	normalised *addedMatcher // added tokens looked for in the normalised text
	normalize  normalizer    // nil for none
	split      splitter
	byteLevel  bool // words go to the model in the byte alphabet
	needsPlace bool // words depend on where in the text they stand, which only tracked text knows
	model      model
	template   template
	trim       trimmer // of offsets; nil for none
	decoder    decoder

	added    map[string]addedToken
	addedIDs map[int]addedToken
	special  SpecialIDs
	size     int

	chatTemplate string

	cache *wordCache
}

// An Encoding is a sequence of token ids with their segment ids (token_type_ids), of the same length.
type Encoding struct {
	IDs     []int32
	TypeIDs []int32
}

// Encode gives the ids of text as the reference's encode(text): added tokens inside the text are recognised, the
// post-processor's special tokens are added, nothing is truncated. As there, a byte that an incomplete byte-level
// vocabulary without an unknown token does not hold yields no id. An error says where text is not UTF-8.
func (t *Tokenizer) Encode(text string) ([]int32, error) {
	ids, err := t.EncodePlain(text)
	if err != nil {
		return nil, err
	}
	return apply(t.template.single, ids).IDs, nil
}

// EncodePlain is Encode without the post-processor's special tokens, the reference's
// encode(text, add_special_tokens=False). Added tokens inside the text are still recognised.
func (t *Tokenizer) EncodePlain(text string) ([]int32, error) {
	ids := make([]int32, 0, len(text)/4+4)
	err := t.walk(text, t.needsPlace, func(a *aligned, id int32) {
		if id >= 0 {
			ids = append(ids, id)
			return
		}
		ids = t.cache.appendIDs(ids, a.text, t.wordIDs)
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// walk visits the added tokens of text, with their ids, and the words between them, with -1. Words of a byte-level
// tokenizer are not yet in the byte alphabet.
func (t *Tokenizer) walk(text string, tracked bool, visit func(a *aligned, id int32)) error {
	if err := checkUTF8(text); err != nil {
		return err
	}
	var words []aligned
	for _, outer := range t.raw.split(nil, aligned{text: text, tracked: tracked}) {
		if outer.id >= 0 {
			visit(&outer.aligned, outer.id)
			continue
		}
		if t.normalize != nil {
			if err := t.normalize(&outer.aligned); err != nil {
				return err
			}
		}
		for _, s := range t.normalised.split(nil, outer.aligned) {
			if s.id >= 0 {
				visit(&s.aligned, s.id)
				continue
			}
			var err error
			if words, err = t.split(words[:0], s.aligned); err != nil {
				return err
			}
			for i := range words {
				if words[i].text != "" {
					visit(&words[i], -1)
				}
			}
		}
	}
	return nil
}

func (t *Tokenizer) wordIDs(dst []int32, word string) []int32 {
	if t.byteLevel {
		word = toByteAlphabet(word)
	}
	return t.model.appendIDs(dst, word)
}

func checkUTF8(text string) error {
	if utf8.ValidString(text) {
		return nil
	}
	for i, r := range text {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				return fmt.Errorf("text is not UTF-8 at byte %d", i)
			}
		}
	}
	return nil
}

// EncodePair gives the ids and segment ids of two texts as the reference's encode(a, b).
func (t *Tokenizer) EncodePair(a, b string) (Encoding, error) {
	return t.encodePair(a, b, 0)
}

// EncodeTruncated is Encode, with the text's own ids cut at the end so that, special tokens included, at most maxLength
// remain. An error says when maxLength is smaller than the number of special tokens.
func (t *Tokenizer) EncodeTruncated(text string, maxLength int) (Encoding, error) {
	room, err := t.room(t.template.single, maxLength)
	if err != nil {
		return Encoding{}, err
	}
	ids, err := t.EncodePlain(text)
	if err != nil {
		return Encoding{}, err
	}
	return apply(t.template.single, ids[:min(len(ids), room)]), nil
}

// EncodePairTruncated is EncodePair within maxLength ids, the longer text cut first (the reference's longest_first).
func (t *Tokenizer) EncodePairTruncated(a, b string, maxLength int) (Encoding, error) {
	if maxLength < 1 {
		return Encoding{}, fmt.Errorf("maximum length is %d; it must be at least 1", maxLength)
	}
	return t.encodePair(a, b, maxLength)
}

// encodePair truncates when maxLength is not 0.
func (t *Tokenizer) encodePair(a, b string, maxLength int) (Encoding, error) {
	idsA, err := t.EncodePlain(a)
	if err != nil {
		return Encoding{}, fmt.Errorf("first text: %w", err)
	}
	idsB, err := t.EncodePlain(b)
	if err != nil {
		return Encoding{}, fmt.Errorf("second text: %w", err)
	}
	if maxLength > 0 {
		room, err := t.room(t.template.pair, maxLength)
		if err != nil {
			return Encoding{}, err
		}
		keepA, keepB := longestFirst(len(idsA), len(idsB), room)
		idsA, idsB = idsA[:keepA], idsB[:keepB]
	}
	return apply(t.template.pair, idsA, idsB), nil
}

// room is how many ids of the texts themselves fit.
func (t *Tokenizer) room(pieces []piece, maxLength int) (int, error) {
	room := maxLength - added(pieces)
	if maxLength < 1 || room < 0 {
		return 0, fmt.Errorf("maximum length is %d; the tokenizer's special tokens alone need %d", maxLength, added(pieces))
	}
	return room, nil
}

// longestFirst is how many ids of two sequences of n1 and n2 ids remain within room, as the reference's
// truncate_encodings computes it in one step.
func longestFirst(n1, n2, room int) (int, int) {
	if n1+n2 <= room {
		return n1, n2
	}
	swapped := n1 > n2
	if swapped {
		n1, n2 = n2, n1
	}
	if n1 > room {
		n2 = n1
	} else {
		n2 = max(n1, room-n1)
	}
	if n1+n2 > room {
		n1 = room / 2
		n2 = n1 + room%2
	}
	if swapped {
		return n2, n1
	}
	return n1, n2
}
