package tokenize

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"unicode/utf8"
)

// spmFamilies build the tokenizer of a SentencePiece model as transformers converts it, by tokenizer class. Without a
// class the model's type decides: Unigram is T5's, BPE Llama's.
var spmFamilies = map[string]func(m *spmModel, s settings) (description, error){
	"T5Tokenizer": t5Description, "LlamaTokenizer": llamaDescription, "XLMRobertaTokenizer": xlmRobertaDescription,
}

const spmBlank = "▁"

// maxPieceBytes bounds a piece of a BPE model: finding its merges is quadratic in it.
const maxPieceBytes = 4096

// loadSentencePiece builds the tokenizer of a spiece.model or tokenizer.model.
func loadSentencePiece(data []byte, s settings) (*Tokenizer, error) {
	m, err := parseSentencePiece(data)
	if err != nil {
		return nil, problem("%v", err)
	}
	class := s.class
	if class == "" {
		class = map[uint64]string{spmUnigram: "T5Tokenizer", spmBPE: "LlamaTokenizer"}[m.kind]
		s.class = class
	}
	family, ok := spmFamilies[class]
	if !ok {
		return nil, problem("a SentencePiece model of type %d for tokenizer class %s is not supported; supported: %v; save the tokenizer as tokenizer.json",
			m.kind, shown(class), slices.Sorted(maps.Keys(spmFamilies)))
	}
	d, err := family(m, s)
	if err != nil {
		return nil, problem("%v", err)
	}
	return d.build(s)
}

// addedPieces are the control pieces, which are special, and the user's own. The unknown piece follows as the token
// with that role.
func (m *spmModel) addedPieces(names func(id int) string) []addedToken {
	var out []addedToken
	for id, p := range m.pieces {
		if p.kind == pieceControl || p.kind == pieceUserDefined {
			out = append(out, addedToken{ID: id, Content: names(id), Special: p.kind == pieceControl})
		}
	}
	return out
}

func (m *spmModel) name(id int) string { return m.pieces[id].piece }

// unigram is the model with more pieces behind.
func (m *spmModel) unigram(unknown int, more ...unigramPiece) (builtModel, error) {
	if m.kind != spmUnigram {
		return builtModel{}, fmt.Errorf("the SentencePiece model has type %d; this tokenizer class has a Unigram model (%d)", m.kind, spmUnigram)
	}
	vocab := make([]unigramPiece, 0, len(m.pieces)+len(more))
	for _, p := range m.pieces {
		vocab = append(vocab, p.unigramPiece)
	}
	built, err := newUnigramModel(append(vocab, more...), unknown, false)
	if err != nil {
		return builtModel{}, err
	}
	return builtModel{model: built, unknown: built.pieces[unknown]}, nil
}

// spmNormalizer is the character map, then what transformers adds for every model of this kind.
func (m *spmModel) normalizer() json.RawMessage {
	var parts []any
	if len(m.charsmap) > 0 {
		parts = append(parts, map[string]any{"type": "Precompiled", "precompiled_charsmap": m.charsmap})
	}
	parts = append(parts, map[string]any{"type": "Strip", "strip_left": false, "strip_right": true},
		map[string]any{"type": "Replace", "pattern": map[string]any{"Regex": " {2,}"}, "content": spmBlank})
	return typed("Sequence", map[string]any{"normalizers": parts})
}

// metaspace is the pre-tokenizer and decoder. Before which pieces a blank goes is what add_prefix_space and legacy say.
func metaspace(s settings, split bool) json.RawMessage {
	scheme := prependAlways
	switch {
	case s.prefixSpace != nil && !*s.prefixSpace:
		scheme = prependNever
	case s.legacy != nil && !*s.legacy:
		scheme = prependFirst
	}
	return typed("Metaspace", map[string]any{"replacement": spmBlank, "prepend_scheme": scheme, "split": split})
}

// ends is a template that puts a token before or behind texts, as its pieces say; "A" and "B" are the texts.
func ends(ids map[string]int, single, pair []string) json.RawMessage {
	special := map[string]any{}
	pieces := func(names []string) []any {
		var out []any
		for _, name := range names {
			if name == "A" || name == "B" {
				out = append(out, map[string]any{"Sequence": map[string]any{"id": name, "type_id": 0}})
				continue
			}
			out = append(out, map[string]any{"SpecialToken": map[string]any{"id": name, "type_id": 0}})
			special[name] = map[string]any{"id": name, "ids": []int{ids[name]}, "tokens": []string{name}}
		}
		return out
	}
	return typed("TemplateProcessing", map[string]any{"single": pieces(single), "pair": pieces(pair), "special_tokens": special})
}

func t5Description(m *spmModel, s settings) (description, error) {
	var more []unigramPiece
	for i := s.extraIDs() - 1; i >= 0; i-- {
		more = append(more, unigramPiece{piece: fmt.Sprintf("<extra_id_%d>", i)})
	}
	model, err := m.unigram(m.unknown, more...)
	if err != nil {
		return description{}, err
	}
	if _, ok := model.TokenToId("</s>"); !ok {
		return description{}, fmt.Errorf("the SentencePiece model has no </s>, which T5 ends texts with")
	}
	d := description{model: model, added: m.addedPieces(m.name), normalizer: m.normalizer(), preTokenizer: metaspace(s, true), decoder: metaspace(s, true),
		postProcessor: ends(model.GetVocab(), []string{"A", "</s>"}, []string{"A", "</s>", "B", "</s>"})}
	for _, name := range []string{"</s>", "<unk>", "<pad>"} {
		d.added = append(d.added, special(model, d.added, name)...)
	}
	for i := range more {
		d.added = append(d.added, addedToken{ID: len(m.pieces) + i, Content: more[i].piece, Special: true})
	}
	return d, nil
}

// special is a token of the vocabulary as a special one, nothing when it is among the added ones already.
func special(m model, added []addedToken, name string) []addedToken {
	id, ok := m.TokenToId(name)
	if !ok || slices.ContainsFunc(added, func(a addedToken) bool { return a.Content == name }) {
		return nil
	}
	return []addedToken{{ID: id, Content: name, Special: true}}
}

func llamaDescription(m *spmModel, s settings) (description, error) {
	if m.kind != spmUnigram && m.kind != spmBPE || len(m.pieces) < 3 {
		return description{}, fmt.Errorf("a SentencePiece model of type %d with %d pieces is not Llama's", m.kind, len(m.pieces))
	}
	model, err := m.llamaModel()
	if err != nil {
		return description{}, err
	}
	d := description{model: model, added: m.addedPieces(m.name)}
	d.added = append(d.added, special(model, d.added, model.unknown)...)
	decoders := []any{map[string]any{"type": "Replace", "pattern": map[string]any{"String": spmBlank}, "content": " "},
		map[string]any{"type": "ByteFallback"}, map[string]any{"type": "Fuse"}}
	prefix := s.prefixSpace == nil || *s.prefixSpace
	if prefix {
		decoders = append(decoders, map[string]any{"type": "Strip", "content": " ", "start": 1, "stop": 0})
	}
	d.decoder = typed("Sequence", map[string]any{"decoders": decoders})
	if s.legacy != nil && !*s.legacy {
		d.preTokenizer = metaspace(s, false)
		return d, nil
	}
	var normalizers []any
	if prefix {
		normalizers = append(normalizers, map[string]any{"type": "Prepend", "prepend": spmBlank})
	}
	normalizers = append(normalizers, map[string]any{"type": "Replace", "pattern": map[string]any{"String": " "}, "content": spmBlank})
	d.normalizer = typed("Sequence", map[string]any{"normalizers": normalizers})
	return d, nil
}

// llamaModel is a BPE model, or a Unigram one, with bytes for unknown characters.
func (m *spmModel) llamaModel() (builtModel, error) {
	if m.kind == spmUnigram {
		vocab := make([]unigramPiece, 0, len(m.pieces))
		for i, p := range m.pieces {
			if i < 3 {
				p.score = 0
			}
			vocab = append(vocab, p.unigramPiece)
		}
		built, err := newUnigramModel(vocab, 0, true)
		return builtModel{model: built, unknown: m.name(0)}, err
	}
	vocab, scores := make(map[string]int, len(m.pieces)), make(map[string]float64, len(m.pieces))
	for id, p := range m.pieces {
		vocab[p.piece], scores[p.piece] = id, p.score
		if id < 3 {
			scores[p.piece] = 0
		}
	}
	for _, p := range m.pieces {
		if len(p.piece) > maxPieceBytes {
			return builtModel{}, fmt.Errorf("piece %s has %d bytes; the limit is %d", shown(p.piece), len(p.piece), maxPieceBytes)
		}
	}
	if len(vocab) != len(m.pieces) {
		return builtModel{}, fmt.Errorf("two of the %d pieces are equal", len(m.pieces))
	}
	built, err := newBPEModel(vocab, m.merges(vocab, scores), bpeOptions{unknown: m.unknownPiece, fuseUnknown: true, byteFallback: true})
	return builtModel{model: built, unknown: m.unknownPiece}, err
}

// merges derives the merges of a BPE model, for SentencePiece keeps none: every way to make a piece of two others, the
// pieces with the best scores first.
func (m *spmModel) merges(vocab map[string]int, scores map[string]float64) [][2]string {
	type ranked struct {
		pair        [2]string
		score       float64
		left, right int // their lengths in characters
	}
	var all []ranked
	for _, p := range m.pieces {
		from := len(all)
		chars, total := 0, utf8.RuneCountInString(p.piece)
		for i := range p.piece {
			if i > 0 {
				left, right := p.piece[:i], p.piece[i:]
				_, okLeft := vocab[left]
				_, okRight := vocab[right]
				if okLeft && okRight {
					all = append(all, ranked{[2]string{left, right}, scores[p.piece], chars, total - chars})
				}
			}
			chars++
		}
		slices.SortStableFunc(all[from:], func(a, b ranked) int {
			return cmp.Or(cmp.Compare(vocab[a.pair[0]], vocab[b.pair[0]]), cmp.Compare(vocab[a.pair[1]], vocab[b.pair[1]]))
		})
	}
	slices.SortStableFunc(all, func(a, b ranked) int {
		return cmp.Or(-cmp.Compare(a.score, b.score), cmp.Compare(b.left, a.left), cmp.Compare(b.right, a.right))
	})
	merges := make([][2]string, len(all))
	for i, r := range all {
		merges[i] = r.pair
	}
	return merges
}

// xlmRobertaDescription has RoBERTa's tokens in front, the pieces from the fourth on behind, and <mask> at the end.
func xlmRobertaDescription(m *spmModel, s settings) (description, error) {
	if m.kind != spmUnigram || len(m.pieces) < 3 {
		return description{}, fmt.Errorf("a SentencePiece model of type %d with %d pieces is not XLM-RoBERTa's", m.kind, len(m.pieces))
	}
	vocab := []unigramPiece{{piece: "<s>"}, {piece: "<pad>"}, {piece: "</s>"}, {piece: "<unk>"}}
	for _, p := range m.pieces[3:] {
		vocab = append(vocab, p.unigramPiece)
	}
	vocab = append(vocab, unigramPiece{piece: "<mask>"})
	built, err := newUnigramModel(vocab, 3, false)
	if err != nil {
		return description{}, err
	}
	d := description{model: builtModel{model: built, unknown: "<unk>"}, normalizer: m.normalizer(), preTokenizer: metaspace(s, true), decoder: metaspace(s, true),
		postProcessor: ends(built.ids, []string{"<s>", "A", "</s>"}, []string{"<s>", "A", "</s>", "</s>", "B", "</s>"})}
	for id, name := range []string{"<s>", "<pad>", "</s>", "<unk>"} {
		d.added = append(d.added, addedToken{ID: id, Content: name, Special: true})
	}
	d.added = append(d.added, addedToken{ID: len(vocab) - 1, Content: "<mask>", LStrip: true, Special: true})
	return d, nil
}

// extraIDs is how many <extra_id_N> T5 has.
func (s settings) extraIDs() int {
	if s.extraIDCount != nil {
		return min(max(*s.extraIDCount, 0), math.MaxUint16)
	}
	return 100
}
