package tokenize

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// maxAddedTotal bounds the bytes of all added tokens together: their trie takes some hundred times as much memory.
const maxAddedTotal = 1 << 20

// build makes the tokenizer of a description.
func (d description) build(s settings) (*Tokenizer, error) {
	if err := s.override(&d); err != nil {
		return nil, problem("%v", err)
	}
	t := &Tokenizer{model: d.model.model, added: map[string]addedToken{}, addedIDs: map[int]addedToken{}, cache: newWordCache()}
	order, err := t.addTokens(d.added, s)
	if err != nil {
		return nil, problem("%v", err)
	}
	if t.normalize, err = parseNormalizer(d.normalizer, 0); err != nil {
		return nil, problem("normalizer: %v", err)
	}
	pre, err := parsePreTokenizer(d.preTokenizer, 0)
	if err != nil {
		return nil, problem("pre_tokenizer: %v", err)
	}
	t.split, t.byteLevel = pre.split, pre.byteLevel
	t.needsPlace = pre.byPlace && (t.normalize != nil || bytes.Contains(d.preTokenizer, []byte("Sequence")))
	if t.decoder, err = parseDecoder(d.decoder, 0); err != nil {
		return nil, problem("decoder: %v", err)
	}
	t.decoder = append(t.decoder, s.decoding(d.model.suffix)...)
	if own, err := s.classTemplate(t.TokenToID); err != nil {
		return nil, problem("%v", err)
	} else if own != nil {
		d.postProcessor = own
	}
	post, err := parsePostProcessor(d.postProcessor, t.TokenToID)
	if err != nil {
		return nil, problem("post_processor: %v", err)
	}
	t.template, t.trim = post.template, post.trim
	if err = t.buildMatchers(order); err != nil {
		return nil, problem("%v", err)
	}
	t.special = t.findSpecials(s, d.model.unknown, post.cls, post.sep)
	t.size = t.largestID() + 1
	t.chatTemplate = s.chatTemplate
	return t, nil
}

func (t *Tokenizer) largestID() int {
	largest := -1
	for _, id := range t.model.GetVocab() {
		largest = max(largest, id)
	}
	for id := range t.addedIDs {
		largest = max(largest, id)
	}
	return largest
}

// addTokens gives every added token its id and returns them in the order in which the reference knows them: those of
// tokenizer.json, then what the files beside it add.
func (t *Tokenizer) addTokens(fromFile []addedToken, s settings) ([]addedToken, error) {
	var order []addedToken
	add := func(token addedToken, wantID bool) error {
		if _, known := t.added[token.Content]; known {
			return nil
		}
		id, err := t.addedID(token)
		if err != nil {
			return err
		}
		if wantID && id != token.ID {
			return fmt.Errorf("added token %s has id %d, but its place in the vocabulary is %d", shown(token.Content), token.ID, id)
		}
		token.ID = id
		t.added[token.Content], t.addedIDs[id] = token, token
		order = append(order, token)
		return nil
	}
	for _, token := range fromFile {
		if _, twice := t.added[token.Content]; twice {
			return nil, fmt.Errorf("added token %s comes twice", shown(token.Content))
		}
		if err := add(token, true); err != nil {
			return nil, err
		}
	}
	for _, token := range s.added {
		if err := add(token, true); err != nil {
			return nil, fmt.Errorf("tokenizer_config.json: %w", err)
		}
	}
	byID := slices.SortedFunc(maps.Keys(s.addedIDs), func(a, b string) int { return cmp.Compare(s.addedIDs[a], s.addedIDs[b]) })
	for _, content := range byID {
		if err := add(addedToken{ID: s.addedIDs[content], Content: content, Normalized: true}, true); err != nil {
			return nil, fmt.Errorf("added_tokens.json: %w", err)
		}
	}
	for _, token := range s.roleTokens() {
		if err := add(token, false); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// roleTokens are the tokens with a role that the files beside the tokenizer, or its class, name, in a fixed order.
func (s settings) roleTokens() []addedToken {
	var out []addedToken
	for _, key := range roleKeys {
		r, said := s.roles[key]
		if content := tokenizerClasses[s.class].roles[key]; !said && content != "" {
			r = roleToken{addedToken{Content: content, Special: true}}
		}
		if r.Content != "" {
			out = append(out, r.addedToken)
		}
	}
	for _, r := range s.extra {
		if r.Content != "" {
			out = append(out, r.addedToken)
		}
	}
	return out
}

// addedID is the id of an added token: that of the vocabulary, otherwise the next free one as the reference counts.
func (t *Tokenizer) addedID(token addedToken) (int, error) {
	if token.Content == "" || len(token.Content) > maxAddedBytes {
		return 0, fmt.Errorf("an added token has %d bytes; it must have 1 to %d", len(token.Content), maxAddedBytes)
	}
	if id, ok := t.model.TokenToId(token.Content); ok {
		return id, nil
	}
	id := t.model.GetVocabSize()
	for used := range t.addedIDs {
		id = max(id, used+1)
	}
	if other, taken := t.model.IdToToken(id); taken {
		return 0, fmt.Errorf("added token %s would get id %d, which %s has: the vocabulary's ids have gaps", shown(token.Content), id, shown(other))
	}
	if id > maxID {
		return 0, fmt.Errorf("added token %s would get id %d; ids must be 0 to %d", shown(token.Content), id, maxID)
	}
	return id, nil
}

// buildMatchers makes the two matchers. Special tokens come first: of two tokens with one pattern the first counts.
func (t *Tokenizer) buildMatchers(order []addedToken) error {
	slices.SortStableFunc(order, func(a, b addedToken) int {
		switch {
		case a.Special == b.Special:
			return 0
		case a.Special:
			return -1
		}
		return 1
	})
	var tokens [2][]addedToken
	var patterns [2][]string
	total := 0
	for _, a := range order {
		which, pattern := 0, a.Content
		if a.Normalized {
			which = 1
			var err error
			if pattern, err = t.normalize.normalized(pattern); err != nil {
				return err
			}
		}
		if total += len(pattern); total > maxAddedTotal {
			return fmt.Errorf("added tokens have more than %d bytes together", maxAddedTotal)
		}
		tokens[which] = append(tokens[which], a)
		patterns[which] = append(patterns[which], pattern)
	}
	var err error
	if t.raw, err = newAddedMatcher(tokens[0], patterns[0]); err != nil {
		return err
	}
	t.normalised, err = newAddedMatcher(tokens[1], patterns[1])
	return err
}

// usualNames are the tokens that have a role when no file says so, the first that is there and special.
var usualNames = map[string][]string{
	"bos_token":  {"<s>", "<|endoftext|>", "<|begin_of_text|>"},
	"eos_token":  {"</s>", "<|endoftext|>", "<|end_of_text|>"},
	"unk_token":  {"[UNK]", "<unk>", "<|endoftext|>"},
	"sep_token":  {"[SEP]", "</s>"},
	"pad_token":  {"[PAD]", "<pad>", "<|pad|>"},
	"cls_token":  {"[CLS]", "<s>"},
	"mask_token": {"[MASK]", "<mask>"},
}

// findSpecials decides which token has which role: what the files beside the tokenizer say, then what its own parts
// say, then the usual names.
func (t *Tokenizer) findSpecials(s settings, unknown, cls, sep string) SpecialIDs {
	own := map[string]string{"unk_token": unknown, "cls_token": cls, "sep_token": sep}
	find := func(key string) int32 {
		if r, said := s.roles[key]; said {
			return t.idOr(r.Content, -1)
		}
		if own[key] != "" {
			return t.idOr(own[key], -1)
		}
		if class, known := tokenizerClasses[s.class]; known {
			return t.idOr(class.roles[key], -1)
		}
		for _, name := range usualNames[key] {
			if a, ok := t.added[name]; ok && a.Special {
				return int32(a.ID)
			}
		}
		return -1
	}
	return SpecialIDs{BOS: find("bos_token"), EOS: find("eos_token"), PAD: find("pad_token"), MASK: find("mask_token"),
		CLS: find("cls_token"), SEP: find("sep_token"), UNK: find("unk_token")}
}

func (t *Tokenizer) idOr(token string, otherwise int32) int32 {
	if id, ok := t.TokenToID(token); ok && token != "" {
		return id
	}
	return otherwise
}
