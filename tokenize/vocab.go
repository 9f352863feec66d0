package tokenize

import "fmt"

// SpecialIDs are the ids of the tokens with a role; -1 where the tokenizer has no such token.
type SpecialIDs struct {
	BOS, EOS, PAD, MASK, CLS, SEP, UNK int32
}

// Specials gives the ids of the tokens with a role. For GPT-2, BOS = EOS = 50256 and PAD = -1.
func (t *Tokenizer) Specials() SpecialIDs { return t.special }

// PadID is the id to fill up with: PAD, else EOS, else 0. The attention mask hides it.
func (t *Tokenizer) PadID() int32 {
	switch {
	case t.special.PAD >= 0:
		return t.special.PAD
	case t.special.EOS >= 0:
		return t.special.EOS
	}
	return 0
}

// VocabSize is the largest id + 1, added tokens included: what a model's vocabulary must hold. It is not the number
// of tokens where ids have gaps.
func (t *Tokenizer) VocabSize() int { return t.size }

// CheckVocab is an error when the tokenizer can give an id that a model with modelVocab entries does not have.
func (t *Tokenizer) CheckVocab(modelVocab int) error {
	if t.size <= modelVocab {
		return nil
	}
	return fmt.Errorf("the tokenizer gives ids up to %d, but the model's vocabulary has %d entries (0 to %d); "+
		"use the tokenizer the model was trained with", t.size-1, modelVocab, modelVocab-1)
}

// TokenToID gives the id of a token as it stands in the vocabulary ("Ġthe", "##ing", "[CLS]").
func (t *Tokenizer) TokenToID(token string) (id int32, ok bool) {
	if a, ok := t.added[token]; ok {
		return int32(a.ID), true
	}
	i, ok := t.model.TokenToId(token)
	return int32(i), ok
}

// IDToToken is the inverse of TokenToID.
func (t *Tokenizer) IDToToken(id int32) (token string, ok bool) {
	if a, ok := t.addedIDs[int(id)]; ok {
		return a.Content, true
	}
	return t.model.IdToToken(int(id))
}

// IsSpecial says whether Decode leaves the id out when asked to skip special tokens.
func (t *Tokenizer) IsSpecial(id int32) bool { return t.addedIDs[int(id)].Special }
