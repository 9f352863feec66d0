package tokenize

import (
	"encoding/json"
	"fmt"
)

// tokenIDs looks a token up in the vocabulary being built.
type tokenIDs func(token string) (int32, bool)

// postProcessor is what a tokenizer.json says about the tokens around a text, and about offsets.
type postProcessor struct {
	template template
	trim     trimmer // nil for none
	cls, sep string  // the first and the last token around a text, "" where there are none
	adds     bool    // it has a template of its own
}

// parsePostProcessor builds the post-processor of a tokenizer.json.
func parsePostProcessor(raw json.RawMessage, lookup tokenIDs) (postProcessor, error) {
	typ, err := componentType(raw)
	if err != nil {
		return postProcessor{}, err
	}
	switch typ {
	case "":
		return postProcessor{template: plainTemplate()}, nil
	case "ByteLevel":
		o := byteLevelJSON{AddPrefixSpace: true, TrimOffsets: true}
		err := decodeStrict(raw, &o)
		return postProcessor{template: plainTemplate(), trim: o.trimmer()}, err
	case "BertProcessing", "RobertaProcessing":
		return parseClsSep(raw, typ, lookup)
	case "TemplateProcessing":
		t, err := parseTemplate(raw, lookup)
		return postProcessor{template: t, adds: true}, err
	case "Sequence":
		return parseProcessorSequence(raw, lookup)
	}
	return postProcessor{}, unsupported(typ, "BertProcessing", "RobertaProcessing", "TemplateProcessing", "ByteLevel", "Sequence")
}

func (o byteLevelJSON) trimmer() trimmer {
	if !o.TrimOffsets {
		return nil
	}
	return trimOffsets(o.AddPrefixSpace)
}

// namedID is a token with its id, written ["[SEP]", 102].
type namedID struct {
	token string
	id    int32
}

// UnmarshalJSON reads the pair.
func (n *namedID) UnmarshalJSON(data []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	if len(parts) != 2 {
		return fmt.Errorf("a token and its id are expected")
	}
	if err := json.Unmarshal(parts[0], &n.token); err != nil {
		return err
	}
	return json.Unmarshal(parts[1], &n.id)
}

// check says whether the vocabulary gives the token the same id.
func (n namedID) check(lookup tokenIDs) error {
	id, ok := lookup(n.token)
	if !ok {
		return fmt.Errorf("token %s is not in the vocabulary", shown(n.token))
	}
	if id != n.id {
		return fmt.Errorf("token %s has id %d here and %d in the vocabulary", shown(n.token), n.id, id)
	}
	return nil
}

func parseClsSep(raw json.RawMessage, typ string, lookup tokenIDs) (postProcessor, error) {
	var o struct {
		byteLevelJSON
		Sep *namedID `json:"sep"`
		Cls *namedID `json:"cls"`
	}
	o.TrimOffsets, o.AddPrefixSpace = true, true
	if err := decodeStrict(raw, &o); err != nil {
		return postProcessor{}, err
	}
	if o.Sep == nil || o.Cls == nil {
		return postProcessor{}, fmt.Errorf("%s needs sep and cls", typ)
	}
	for _, n := range []*namedID{o.Sep, o.Cls} {
		if err := n.check(lookup); err != nil {
			return postProcessor{}, fmt.Errorf("%s: %w", typ, err)
		}
	}
	p := postProcessor{cls: o.Cls.token, sep: o.Sep.token, adds: true}
	if typ == "RobertaProcessing" {
		p.template, p.trim = robertaTemplate(o.Cls.id, o.Sep.id), o.trimmer()
	} else {
		p.template = bertTemplate(o.Cls.id, o.Sep.id)
	}
	return p, nil
}

// templateJSON are the fields of TemplateProcessing.
type templateJSON struct {
	component
	Single        json.RawMessage            `json:"single"`
	Pair          json.RawMessage            `json:"pair"`
	SpecialTokens map[string]json.RawMessage `json:"special_tokens"`
}

// templatePiece is a piece of a template: one of the two is set.
type templatePiece struct {
	SpecialToken *templateRef
	Sequence     *templateRef
}

type templateRef struct {
	ID     string `json:"id"`
	TypeID int32  `json:"type_id"`
}

// templateToken is a special token of a template: one name, and the ids it stands for.
type templateToken struct {
	ID     string   `json:"id"`
	IDs    []int32  `json:"ids"`
	Tokens []string `json:"tokens"`
}

func parseTemplate(raw json.RawMessage, lookup tokenIDs) (template, error) {
	var o templateJSON
	if err := decodeStrict(raw, &o); err != nil {
		return template{}, err
	}
	if len(o.SpecialTokens) > maxTemplatePieces {
		return template{}, fmt.Errorf("TemplateProcessing: more than %d special tokens", maxTemplatePieces)
	}
	tokens := map[string][]int32{}
	for name, raw := range o.SpecialTokens {
		ids, err := parseTemplateToken(raw, lookup)
		if err != nil {
			return template{}, fmt.Errorf("TemplateProcessing: special token %s: %w", shown(name), err)
		}
		tokens[name] = ids
	}
	single, err := parsePieces(o.Single, tokens, "A")
	if err != nil {
		return template{}, fmt.Errorf("TemplateProcessing: single: %w", err)
	}
	pair, err := parsePieces(o.Pair, tokens, "A", "B")
	if err != nil {
		return template{}, fmt.Errorf("TemplateProcessing: pair: %w", err)
	}
	return template{single: single, pair: pair}, nil
}

func parseTemplateToken(raw json.RawMessage, lookup tokenIDs) ([]int32, error) {
	var t templateToken
	if err := decodeStrict(raw, &t); err != nil {
		return nil, err
	}
	if len(t.IDs) == 0 || len(t.IDs) != len(t.Tokens) || len(t.IDs) > maxTemplatePieces {
		return nil, fmt.Errorf("it has %d ids and %d tokens", len(t.IDs), len(t.Tokens))
	}
	for i, id := range t.IDs {
		if err := (namedID{token: t.Tokens[i], id: id}).check(lookup); err != nil {
			return nil, err
		}
	}
	return t.IDs, nil
}

// parsePieces reads a template, in which each of the given sequences must come at least once and no other may.
func parsePieces(raw json.RawMessage, tokens map[string][]int32, sequences ...string) ([]piece, error) {
	list, err := decodeList[templatePiece](raw, maxTemplatePieces)
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	var out []piece
	for _, p := range list {
		switch {
		case p.SpecialToken != nil && p.Sequence == nil:
			ids, ok := tokens[p.SpecialToken.ID]
			if !ok {
				return nil, fmt.Errorf("special token %s is not defined", shown(p.SpecialToken.ID))
			}
			out = append(out, piece{sequence: pieceSpecial, ids: ids, typeID: p.SpecialToken.TypeID})
		case p.Sequence != nil && p.SpecialToken == nil:
			number := map[string]int{"A": pieceA, "B": pieceB}
			n, ok := number[p.Sequence.ID]
			if !ok || n >= len(sequences) {
				return nil, fmt.Errorf("sequence %s does not belong here", shown(p.Sequence.ID))
			}
			used[p.Sequence.ID] = true
			out = append(out, piece{sequence: n, typeID: p.Sequence.TypeID})
		default:
			return nil, fmt.Errorf("a piece must be either SpecialToken or Sequence")
		}
	}
	for _, s := range sequences {
		if !used[s] {
			return nil, fmt.Errorf("sequence %s is missing", s)
		}
	}
	return out, nil
}

// parseProcessorSequence allows one member that adds tokens, and one that trims offsets.
func parseProcessorSequence(raw json.RawMessage, lookup tokenIDs) (postProcessor, error) {
	var o struct {
		component
		Processors json.RawMessage `json:"processors"`
	}
	if err := decodeStrict(raw, &o); err != nil {
		return postProcessor{}, err
	}
	members, err := decodeList[json.RawMessage](o.Processors, maxSequenceMembers)
	if err != nil {
		return postProcessor{}, err
	}
	out := postProcessor{template: plainTemplate()}
	for _, m := range members {
		typ, err := componentType(m)
		if err != nil {
			return postProcessor{}, err
		}
		if typ == "Sequence" || typ == "" {
			return postProcessor{}, fmt.Errorf("a post-processor Sequence inside another, or a null in one, is not supported")
		}
		next, err := parsePostProcessor(m, lookup)
		switch {
		case err != nil:
			return postProcessor{}, err
		case next.adds && out.adds:
			return postProcessor{}, fmt.Errorf("a Sequence of several post-processors that add tokens is not supported")
		case next.trim != nil && out.trim != nil:
			return postProcessor{}, fmt.Errorf("a Sequence of several post-processors that trim offsets is not supported")
		}
		if next.adds {
			out.template, out.cls, out.sep, out.adds = next.template, next.cls, next.sep, true
		}
		if next.trim != nil {
			out.trim = next.trim
		}
	}
	return out, nil
}
