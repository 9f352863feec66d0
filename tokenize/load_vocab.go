package tokenize

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// parseWordPiece builds the tokenizer of a vocab.txt, a token a line, as transformers' BertTokenizerFast does.
func parseWordPiece(data []byte, s settings) (*Tokenizer, error) {
	vocab, err := vocabLines(string(data))
	if err != nil {
		return nil, err
	}
	lower := !holdsUpperCase(vocab)
	bert := bertOptions{CleanText: true, HandleChineseChars: true, Lowercase: lower}
	unknown := "[UNK]"
	if r := s.roles["unk_token"]; r.Content != "" {
		unknown = r.Content
	}
	m, err := newWordPieceModel(vocab, wordPieceOptions{unknown: unknown, prefix: "##", maxChars: 100})
	if err != nil {
		return nil, problem("%v; a WordPiece vocabulary is a text file with one token a line", err)
	}
	d := description{model: builtModel{model: m, unknown: unknown},
		normalizer:   typed("BertNormalizer", bert),
		preTokenizer: typed("BertPreTokenizer", struct{}{}),
		decoder:      typed("WordPiece", map[string]any{"prefix": "##", "cleanup": true}),
	}
	d.added = presentTokens(vocab, "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
	cls, sep := roleContent(s, "cls_token", "[CLS]"), roleContent(s, "sep_token", "[SEP]")
	_, hasCLS := vocab[cls]
	_, hasSEP := vocab[sep]
	if hasCLS && hasSEP {
		d.postProcessor = typed("BertProcessing", map[string]any{"cls": []any{cls, vocab[cls]}, "sep": []any{sep, vocab[sep]}})
	}
	return d.build(s)
}

// vocabLines reads a token a line; the id is the line's number from 0. As in the reference, an empty line takes an id
// without being a token, and of equal lines the last counts.
func vocabLines(data string) (map[string]int, error) {
	data = strings.TrimPrefix(data, "\ufeff")
	vocab := map[string]int{}
	id := 0
	for data != "" {
		line, rest, _ := strings.Cut(data, "\n")
		data = rest
		if id == maxVocabTokens {
			return nil, problem("more than %d lines", maxVocabTokens)
		}
		if line = strings.TrimSuffix(line, "\r"); line != "" {
			vocab[line] = id
		}
		id++
	}
	return vocab, nil
}

// holdsUpperCase says whether a vocabulary has pieces with upper-case letters, tokens like [UNK] aside.
func holdsUpperCase(vocab map[string]int) bool {
	for token := range vocab {
		if strings.HasPrefix(token, "[") && strings.HasSuffix(token, "]") {
			continue
		}
		if strings.ContainsFunc(token, func(r rune) bool { return unicode.Is(lowerTable, r) }) {
			return true
		}
	}
	return false
}

// family is what a vocabulary of BPE without a tokenizer.json does not say about itself.
type family struct {
	special    []addedToken
	roberta    bool // RobertaProcessing, otherwise no tokens are added
	normalizer json.RawMessage
	pre        json.RawMessage // nil for ByteLevel
	unknown    string
	suffix     string // of a word's last token
	merges     int    // at most so many are read; 0 for all
	post       func(vocab map[string]int) json.RawMessage
}

// clipPattern is by what CLIP's tokenizer cuts words.
const clipPattern = `'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`

var (
	gpt2Family    = family{special: []addedToken{{Content: endOfText}}}
	robertaFamily = family{roberta: true, special: []addedToken{
		{Content: "<s>"}, {Content: "<pad>"}, {Content: "</s>"}, {Content: "<unk>"}, {Content: "<mask>", LStrip: true}}}
	qwen2Family = family{special: []addedToken{{Content: endOfText}}, normalizer: typed("NFC", struct{}{}),
		pre: splitThenBytes(qwenPattern, isolated, false, false)}
	clipFamily = family{special: []addedToken{{Content: "<|startoftext|>", Normalized: true}, {Content: endOfText, Normalized: true}}, unknown: endOfText, suffix: "</w>",
		normalizer: typed("Sequence", map[string]any{"normalizers": []any{map[string]any{"type": "NFC"},
			map[string]any{"type": "Replace", "pattern": map[string]any{"Regex": `\s+`}, "content": " "}, map[string]any{"type": "Lowercase"}}}),
		pre:    splitThenBytes(clipPattern, removed, true, true),
		merges: 49152 - 256 - 2, // of a vocabulary of 49,408
		post: func(vocab map[string]int) json.RawMessage {
			const start = "<|startoftext|>"
			return typed("RobertaProcessing", map[string]any{"cls": []any{start, vocab[start]}, "sep": []any{endOfText, vocab[endOfText]},
				"trim_offsets": false, "add_prefix_space": false})
		}}
)

// splitThenBytes is the pre-tokenizer that splits by a pattern and then writes the byte alphabet.
func splitThenBytes(pattern string, b behaviour, invert, useRegex bool) json.RawMessage {
	return typed("Sequence", map[string]any{"pretokenizers": []any{
		map[string]any{"type": "Split", "pattern": map[string]any{"Regex": pattern}, "behavior": b, "invert": invert},
		map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": useRegex}}})
}

// bpeFamilies are the tokenizer classes that read vocab.json and merges.txt.
var bpeFamilies = map[string]family{"": {}, "GPT2Tokenizer": gpt2Family, "RobertaTokenizer": robertaFamily, "BartTokenizer": robertaFamily,
	"Qwen2Tokenizer": qwen2Family, "CLIPTokenizer": clipFamily}

// parseBPE builds the tokenizer of a vocab.json with its merges.txt. Unless tokenizer_config.json says which family it
// is, it is RoBERTa's when it holds <s>, </s> and <mask>, CLIP's when it holds <|startoftext|> and tokens that end words,
// otherwise GPT-2's.
func parseBPE(vocabData, mergesData []byte, s settings) (*Tokenizer, error) {
	vocab, err := decodeVocab(vocabData)
	if err != nil {
		return nil, problem("vocabulary: %v", err)
	}
	merges, err := mergeLines(string(mergesData))
	if err != nil {
		return nil, problem("merges: %v", err)
	}
	f, known := bpeFamilies[s.class]
	if !known {
		return nil, problem("tokenizer class %s without a tokenizer.json is not supported; save it with one", shown(s.class))
	}
	if s.class == "" {
		f = guessFamily(vocab)
	}
	if f.merges > 0 && len(merges) > f.merges {
		merges = merges[:f.merges]
	}
	m, err := newBPEModel(vocab, merges, bpeOptions{unknown: f.unknown, suffix: f.suffix})
	if err != nil {
		return nil, problem("%v", err)
	}
	d := description{model: builtModel{model: m, unknown: f.unknown, suffix: f.suffix}, normalizer: f.normalizer, preTokenizer: f.pre,
		decoder: typed("ByteLevel", struct{}{})}
	if d.preTokenizer == nil {
		d.preTokenizer = typed("ByteLevel", map[string]any{"add_prefix_space": false})
	}
	d.added, d.postProcessor, err = f.parts(vocab, s)
	if err != nil {
		return nil, problem("%v", err)
	}
	return d.build(s)
}

func guessFamily(vocab map[string]int) family {
	if _, ok := vocab["<|startoftext|>"]; ok {
		for token := range vocab {
			if strings.HasSuffix(token, clipFamily.suffix) {
				return clipFamily
			}
		}
	}
	for _, token := range []string{"<s>", "</s>", "<mask>"} {
		if _, ok := vocab[token]; !ok {
			return gpt2Family
		}
	}
	return robertaFamily
}

// parts are the added tokens and the post-processor of a family.
func (f family) parts(vocab map[string]int, s settings) ([]addedToken, json.RawMessage, error) {
	var special []addedToken
	for _, a := range f.special {
		if id, ok := vocab[a.Content]; ok {
			a.ID, a.Special = id, true
			special = append(special, a)
		}
	}
	switch {
	case f.post != nil:
		return special, f.post(vocab), nil
	case f.roberta:
		cls, sep := roleContent(s, "cls_token", "<s>"), roleContent(s, "sep_token", "</s>")
		return special, typed("RobertaProcessing", map[string]any{"cls": []any{cls, vocab[cls]}, "sep": []any{sep, vocab[sep]}}), nil
	case s.addBOS != nil && *s.addBOS:
		bos := roleContent(s, "bos_token", "<|endoftext|>")
		id, ok := vocab[bos]
		if !ok {
			return nil, nil, fmt.Errorf("add_bos_token is set, but %s is not in the vocabulary", shown(bos))
		}
		ref := func(kind, id string, typeID int) map[string]any {
			return map[string]any{kind: map[string]any{"id": id, "type_id": typeID}}
		}
		head, a, b := ref("SpecialToken", bos, 0), ref("Sequence", "A", 0), ref("Sequence", "B", 1)
		return special, typed("TemplateProcessing", map[string]any{"single": []any{head, a}, "pair": []any{head, a, b},
			"special_tokens": map[string]any{bos: map[string]any{"id": bos, "ids": []int{id}, "tokens": []string{bos}}}}), nil
	}
	return special, nil, nil
}

// mergeLines reads a merges file: a line "#version…" aside, two tokens a line.
func mergeLines(data string) ([][2]string, error) {
	var merges [][2]string
	for number := 1; data != ""; number++ {
		line, rest, _ := strings.Cut(data, "\n")
		data = rest
		line = strings.TrimSuffix(line, "\r")
		if line == "" || strings.HasPrefix(line, "#version") {
			continue
		}
		parts := strings.Split(line, " ")
		if len(parts) != 2 {
			return nil, fmt.Errorf("line %d holds %d tokens; a merge joins two", number, len(parts))
		}
		if len(merges) == maxMerges {
			return nil, fmt.Errorf("more than %d lines", maxMerges)
		}
		merges = append(merges, [2]string{parts[0], parts[1]})
	}
	return merges, nil
}

// presentTokens are the named special tokens that the vocabulary holds.
func presentTokens(vocab map[string]int, names ...string) []addedToken {
	var out []addedToken
	for _, name := range names {
		if id, ok := vocab[name]; ok {
			out = append(out, addedToken{ID: id, Content: name, Special: true})
		}
	}
	return out
}

func roleContent(s settings, key, otherwise string) string {
	if r := s.roles[key]; r.Content != "" {
		return r.Content
	}
	return otherwise
}

// typed writes a part of a tokenizer.json: its type and its options.
func typed(typ string, options any) json.RawMessage {
	fields := map[string]any{}
	raw, err := json.Marshal(options)
	if err == nil {
		err = json.Unmarshal(raw, &fields)
	}
	if err != nil { // only our own literals come here
		panic(fmt.Sprintf("tokenize: %s: %v", typ, err))
	}
	fields["type"] = typ
	raw, err = json.Marshal(fields)
	if err != nil {
		panic(fmt.Sprintf("tokenize: %s: %v", typ, err))
	}
	return raw
}
