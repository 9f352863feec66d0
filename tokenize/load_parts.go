package tokenize

import (
	"encoding/json"
	"fmt"
)

// Limits of nested parts.
const (
	maxSequenceDepth   = 8
	maxSequenceMembers = 32
	maxTemplatePieces  = 64
)

// parseNormalizer builds the normalizer of a tokenizer.json, nil for none.
func parseNormalizer(raw json.RawMessage, depth int) (normalizer, error) {
	typ, err := componentType(raw)
	if err != nil || typ == "" {
		return nil, err
	}
	if n, ok := plainNormalizers[typ]; ok {
		return n, decodeStrict(raw, &component{})
	}
	switch typ {
	case "BertNormalizer":
		var o struct {
			component
			bertOptions
		}
		if err := decodeStrict(raw, &o); err != nil {
			return nil, err
		}
		return bertNormalizer(o.bertOptions), nil
	case "Sequence":
		var o struct {
			component
			Normalizers json.RawMessage `json:"normalizers"`
		}
		members, err := parseMembers(raw, &o, &o.Normalizers, depth, parseNormalizer)
		if err != nil {
			return nil, err
		}
		return sequenceNormalizer(members), nil
	}
	return nil, unsupported(typ, "BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Sequence")
}

// parseMembers decodes a Sequence into o, whose members are then at list, and parses each member.
func parseMembers[T any](raw json.RawMessage, o any, list *json.RawMessage, depth int, parse func(json.RawMessage, int) (T, error)) ([]T, error) {
	if depth >= maxSequenceDepth {
		return nil, fmt.Errorf("a Sequence is nested more than %d deep", maxSequenceDepth)
	}
	if err := decodeStrict(raw, o); err != nil {
		return nil, err
	}
	members, err := decodeList[json.RawMessage](*list, maxSequenceMembers)
	if err != nil {
		return nil, fmt.Errorf("members of the Sequence: %w", err)
	}
	var out []T
	for _, m := range members {
		if isNull(m) {
			return nil, fmt.Errorf("a member of the Sequence is null")
		}
		v, err := parse(m, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// preTokenizer is a splitter, and whether its pieces are then written in the byte alphabet.
type preTokenizer struct {
	split     splitter
	byteLevel bool
}

// byteLevelJSON are the options of ByteLevel as pre-tokenizer, post-processor and decoder. Trimming concerns offsets.
type byteLevelJSON struct {
	component
	AddPrefixSpace bool  `json:"add_prefix_space"`
	TrimOffsets    bool  `json:"trim_offsets"`
	UseRegex       *bool `json:"use_regex"`
}

// parsePreTokenizer builds the pre-tokenizer of a tokenizer.json; none leaves the text whole.
func parsePreTokenizer(raw json.RawMessage, depth int) (preTokenizer, error) {
	typ, err := componentType(raw)
	if err != nil {
		return preTokenizer{}, err
	}
	switch typ {
	case "":
		return preTokenizer{split: splitWhole}, nil
	case "BertPreTokenizer":
		return preTokenizer{split: splitBert}, decodeStrict(raw, &component{})
	case "ByteLevel":
		o := byteLevelJSON{AddPrefixSpace: true}
		if err := decodeStrict(raw, &o); err != nil {
			return preTokenizer{}, err
		}
		split := splitByteLevel
		if o.UseRegex != nil && !*o.UseRegex {
			split = splitWhole
		}
		if o.AddPrefixSpace {
			return preTokenizer{split: withPrefixSpace(split), byteLevel: true}, nil
		}
		return preTokenizer{split: split, byteLevel: true}, nil
	case "Sequence":
		var o struct {
			component
			PreTokenizers json.RawMessage `json:"pretokenizers"`
		}
		members, err := parseMembers(raw, &o, &o.PreTokenizers, depth, parsePreTokenizer)
		if err != nil {
			return preTokenizer{}, err
		}
		return sequencePreTokenizer(members)
	}
	return preTokenizer{}, unsupported(typ, "ByteLevel", "BertPreTokenizer", "Sequence")
}

func sequencePreTokenizer(members []preTokenizer) (preTokenizer, error) {
	if len(members) == 0 {
		return preTokenizer{split: splitWhole}, nil
	}
	out := preTokenizer{byteLevel: members[len(members)-1].byteLevel}
	var splits []splitter
	for i, m := range members {
		if m.byteLevel && i < len(members)-1 {
			return preTokenizer{}, fmt.Errorf("ByteLevel must be the last member of a Sequence")
		}
		splits = append(splits, m.split)
	}
	out.split = splitInTurn(splits)
	return out, nil
}
