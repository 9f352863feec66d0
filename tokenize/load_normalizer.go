package tokenize

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// normalizerTypes are the normalizers with options, by their type in a tokenizer.json.
var normalizerTypes = map[string]func(raw json.RawMessage) (normalizer, error){
	"BertNormalizer": parseBertNormalizer,
	"Precompiled":    parsePrecompiled,
	"Prepend":        parsePrepend,
	"Replace":        parseReplace,
	"Strip":          parseStrip,
}

// parseNormalizer builds the normalizer of a tokenizer.json, nil for none.
func parseNormalizer(raw json.RawMessage, depth int) (normalizer, error) {
	typ, err := componentType(raw)
	if err != nil || typ == "" {
		return nil, err
	}
	if n, ok := plainNormalizers[typ]; ok {
		return n, decodeStrict(raw, &component{})
	}
	if parse, ok := normalizerTypes[typ]; ok {
		return parse(raw)
	}
	if typ != "Sequence" {
		return nil, unsupported(typ, slices.Concat(slices.Sorted(maps.Keys(plainNormalizers)), slices.Sorted(maps.Keys(normalizerTypes)), []string{"Sequence"})...)
	}
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

func parseBertNormalizer(raw json.RawMessage) (normalizer, error) {
	var o struct {
		component
		bertOptions
	}
	if err := decodeStrict(raw, &o); err != nil {
		return nil, err
	}
	return bertNormalizer(o.bertOptions), nil
}

func parsePrepend(raw json.RawMessage) (normalizer, error) {
	var o struct {
		component
		Prepend string `json:"prepend"`
	}
	if err := decodeStrict(raw, &o); err != nil {
		return nil, err
	}
	if err := checkInserted("Prepend", o.Prepend); err != nil {
		return nil, err
	}
	return sure(func(a *aligned) { a.prepend(o.Prepend) }), nil
}

func parseStrip(raw json.RawMessage) (normalizer, error) {
	var o struct {
		component
		Left  bool `json:"strip_left"`
		Right bool `json:"strip_right"`
	}
	if err := decodeStrict(raw, &o); err != nil {
		return nil, err
	}
	return sure(func(a *aligned) { a.trim(o.Left, o.Right) }), nil
}

func parseReplace(raw json.RawMessage) (normalizer, error) {
	var o struct {
		component
		Pattern patternJSON `json:"pattern"`
		Content string      `json:"content"`
	}
	if err := decodeStrict(raw, &o); err != nil {
		return nil, err
	}
	p, err := o.Pattern.build()
	if err != nil {
		return nil, fmt.Errorf("in Replace: %w", err)
	}
	if err := checkInserted("Replace", o.Content); err != nil {
		return nil, err
	}
	return func(a *aligned) error {
		found, err := p.findAll(a.text)
		if err == nil {
			a.replace(found, o.Content)
		}
		return err
	}, nil
}

func parsePrecompiled(raw json.RawMessage) (normalizer, error) {
	var o struct {
		component
		Charsmap []byte `json:"precompiled_charsmap"`
	}
	if err := decodeStrict(raw, &o); err != nil {
		return nil, fmt.Errorf("in Precompiled: %w", err)
	}
	m, err := newCharsMap(o.Charsmap)
	if err != nil {
		return nil, fmt.Errorf("in Precompiled: %w", err)
	}
	return sure(m.normalize), nil
}
