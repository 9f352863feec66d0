package tokenize

import "strings"

// Decode gives the text of ids as the reference's decode: ids that the vocabulary does not have are left out, special
// tokens too when skipSpecial is set, and bytes that are not UTF-8 (half a character) become U+FFFD. Where
// tokenizer_config.json sets clean_up_tokenization_spaces the text is cleaned as [CleanUpSpaces] does, which is what
// transformers' decode gives; without such a file it is not. For a byte-level tokenizer without normalizer, whose texts
// are not cleaned, Decode(EncodePlain(s)) is s again.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	s := t.Stream(skipSpecial)
	for _, id := range ids {
		s.push(id)
	}
	return s.Flush()
}

// A TextStream decodes ids one at a time, as a model generates them. It gives out text as soon as no later id can change
// it, so never half a character: what Push and Flush return, in order, is what [Tokenizer.Decode] gives of all ids. It is
// not safe for concurrent use. (The package's function [Stream] has the shorter name.)
type TextStream struct {
	t           *Tokenizer
	skipSpecial bool
	chain       sink
	out         strings.Builder
}

// Stream starts decoding; special tokens are left out with skipSpecial.
func (t *Tokenizer) Stream(skipSpecial bool) *TextStream {
	s := &TextStream{t: t, skipSpecial: skipSpecial}
	s.chain = t.decoder.open(&s.out)
	return s
}

// Push takes the next id and gives the text that became certain by it, often nothing.
func (s *TextStream) Push(id int32) string {
	s.push(id)
	return s.take()
}

// Flush ends the text and gives what was held back. The stream can then decode another text.
func (s *TextStream) Flush() string {
	s.chain.close()
	rest := s.take()
	s.chain = s.t.decoder.open(&s.out)
	return rest
}

func (s *TextStream) push(id int32) {
	token, ok := s.t.IDToToken(id)
	if !ok || s.skipSpecial && s.t.IsSpecial(id) {
		return
	}
	s.chain.text(token)
	s.chain.end()
}

func (s *TextStream) take() string {
	if s.out.Len() == 0 {
		return ""
	}
	text := s.out.String()
	s.out.Reset()
	return text
}

// cleanUps are the replacements of transformers' clean_up_tokenization, in order.
var cleanUps = []string{" .", ".", " ?", "?", " !", "!", " ,", ",", " ' ", "'", " n't", "n't", " 'm", "'m", " 's", "'s",
	" 've", "'ve", " 're", "'re"}

// wordPieceCleanUps are those of the WordPiece and CTC decoders.
var wordPieceCleanUps = []string{" .", ".", " ?", "?", " !", "!", " ,", ",", " ' ", "'", " n't", "n't", " 'm", "'m",
	" do not", " don't", " 's", "'s", " 've", "'ve", " 're", "'re"}

// CleanUpSpaces removes the blanks before punctuation and contractions that a decoder leaves behind, as transformers
// does after decode where clean_up_tokenization_spaces is set.
func CleanUpSpaces(text string) string { return replaceAll(text, cleanUps) }

// replaceAll applies replacements, given in pairs, one after another.
func replaceAll(text string, pairs []string) string {
	for i := 0; i < len(pairs); i += 2 {
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}
