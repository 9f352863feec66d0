package tokenize

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"unicode"
)

// preTokenizer is a splitter, and whether its pieces are then written in the byte alphabet.
type preTokenizer struct {
	split     splitter
	byteLevel bool
	// byPlace says that the pieces depend on where in the text they stand.
	byPlace bool
}

// preTokenizerTypes are the pre-tokenizers of a tokenizer.json by their type.
var preTokenizerTypes = map[string]func(raw json.RawMessage) (preTokenizer, error){
	"BertPreTokenizer":   bareSplit(splitBert),
	"ByteLevel":          parseByteLevel,
	"CharDelimiterSplit": parseDelimiter,
	"Digits":             parseDigits,
	"FixedLength":        parseFixedLength,
	"Metaspace":          parseMetaspace,
	"Punctuation":        parsePunctuation,
	"Split":              parseSplit,
	"Whitespace":         bareSplit(splitMatches(wordPattern{}, removed, true)),
	"WhitespaceSplit":    bareSplit(splitMatches(runePattern(isSpace), removed, false)),
}

// parsePreTokenizer builds the pre-tokenizer of a tokenizer.json; none leaves the text whole.
func parsePreTokenizer(raw json.RawMessage, depth int) (preTokenizer, error) {
	typ, err := componentType(raw)
	if err != nil {
		return preTokenizer{}, err
	}
	if typ == "" {
		return preTokenizer{split: splitWhole}, nil
	}
	if parse, ok := preTokenizerTypes[typ]; ok {
		return parse(raw)
	}
	if typ != "Sequence" {
		return preTokenizer{}, unsupported(typ, append(slices.Sorted(maps.Keys(preTokenizerTypes)), "Sequence")...)
	}
	var o struct {
		component
		PreTokenizers json.RawMessage `json:"pretokenizers"`
	}
	members, err := parseMembers(raw, &o, &o.PreTokenizers, depth, parsePreTokenizer)
	if err != nil {
		return preTokenizer{}, err
	}
	return sequencePreTokenizer(members), nil
}

// sequencePreTokenizer applies its members in turn. A ByteLevel at the end writes the byte alphabet as late as one alone
// does; before others it writes it for them to see.
func sequencePreTokenizer(members []preTokenizer) preTokenizer {
	if len(members) == 0 {
		return preTokenizer{split: splitWhole}
	}
	out := preTokenizer{byteLevel: members[len(members)-1].byteLevel}
	var splits []splitter
	for i, m := range members {
		split := m.split
		if m.byteLevel && i < len(members)-1 {
			split = splitBytes(split)
		}
		splits = append(splits, split)
		out.byPlace = out.byPlace || m.byPlace
	}
	out.split = splits[0]
	if len(splits) > 1 {
		out.split = splitInTurn(splits)
	}
	return out
}

// bareSplit is a pre-tokenizer without options.
func bareSplit(s splitter) func(json.RawMessage) (preTokenizer, error) {
	return func(raw json.RawMessage) (preTokenizer, error) {
		return preTokenizer{split: s}, decodeStrict(raw, &component{})
	}
}

// byteLevelJSON are the options of ByteLevel as pre-tokenizer, post-processor and decoder. Trimming concerns offsets.
type byteLevelJSON struct {
	component
	AddPrefixSpace bool  `json:"add_prefix_space"`
	TrimOffsets    bool  `json:"trim_offsets"`
	UseRegex       *bool `json:"use_regex"`
}

func parseByteLevel(raw json.RawMessage) (preTokenizer, error) {
	o := byteLevelJSON{AddPrefixSpace: true}
	if err := decodeStrict(raw, &o); err != nil {
		return preTokenizer{}, err
	}
	split := splitScanned(byteLevelMatch)
	if o.UseRegex != nil && !*o.UseRegex {
		split = splitWhole
	}
	if o.AddPrefixSpace {
		split = withPrefixSpace(split)
	}
	return preTokenizer{split: split, byteLevel: true}, nil
}

func parseMetaspace(raw json.RawMessage) (preTokenizer, error) {
	o, err := parseMetaspaceOptions(raw)
	if err != nil {
		return preTokenizer{}, err
	}
	split := splitMetaspace(o.Replacement, o.Scheme, o.Split == nil || *o.Split)
	return preTokenizer{split: split, byPlace: o.Scheme == prependFirst}, nil
}

func parseSplit(raw json.RawMessage) (preTokenizer, error) {
	var o struct {
		component
		Pattern  patternJSON `json:"pattern"`
		Behavior behaviour   `json:"behavior"`
		Invert   bool        `json:"invert"`
	}
	if err := decodeStrict(raw, &o); err != nil {
		return preTokenizer{}, err
	}
	if err := o.Behavior.check("Split"); err != nil {
		return preTokenizer{}, err
	}
	// A well-known pattern matches everything, so its matches are the pieces, whether each is isolated or what lies
	// between them is removed.
	if o.Pattern.Regex != nil && o.Pattern.String == nil && (o.Behavior == isolated || o.Behavior == removed && o.Invert) {
		if scan, ok := knownPatterns[*o.Pattern.Regex]; ok {
			return preTokenizer{split: splitScanned(scan)}, nil
		}
	}
	p, err := o.Pattern.build()
	if err != nil {
		return preTokenizer{}, fmt.Errorf("in Split: %w", err)
	}
	return preTokenizer{split: splitMatches(p, o.Behavior, o.Invert)}, nil
}

func (b behaviour) check(of string) error {
	if !slices.Contains(behaviours, b) {
		return fmt.Errorf("%s: behavior %s is not one of %v", of, shown(string(b)), behaviours)
	}
	return nil
}

func parseDelimiter(raw json.RawMessage) (preTokenizer, error) {
	var o struct {
		component
		Delimiter string `json:"delimiter"`
	}
	if err := decodeStrict(raw, &o); err != nil {
		return preTokenizer{}, err
	}
	d, err := oneRune("CharDelimiterSplit: delimiter", o.Delimiter)
	if err != nil {
		return preTokenizer{}, err
	}
	return preTokenizer{split: splitMatches(runePattern(func(r rune) bool { return r == d }), removed, false)}, nil
}

func parseDigits(raw json.RawMessage) (preTokenizer, error) {
	var o struct {
		component
		Individual bool `json:"individual_digits"`
	}
	if err := decodeStrict(raw, &o); err != nil {
		return preTokenizer{}, err
	}
	b := contiguous
	if o.Individual {
		b = isolated
	}
	return preTokenizer{split: splitMatches(runePattern(isNumeric), b, false)}, nil
}

// isNumeric is Rust's char::is_numeric.
func isNumeric(r rune) bool {
	if r < 0x80 {
		return '0' <= r && r <= '9'
	}
	return unicode.Is(numericTable, r)
}

func parsePunctuation(raw json.RawMessage) (preTokenizer, error) {
	o := struct {
		component
		Behavior behaviour `json:"behavior"`
	}{Behavior: isolated}
	if err := decodeStrict(raw, &o); err != nil {
		return preTokenizer{}, err
	}
	if err := o.Behavior.check("Punctuation"); err != nil {
		return preTokenizer{}, err
	}
	return preTokenizer{split: splitMatches(runePattern(isBertPunct), o.Behavior, false)}, nil
}

func parseFixedLength(raw json.RawMessage) (preTokenizer, error) {
	o := struct {
		component
		Length int `json:"length"`
	}{Length: 5}
	if err := decodeStrict(raw, &o); err != nil {
		return preTokenizer{}, err
	}
	if o.Length < 1 {
		return preTokenizer{}, fmt.Errorf("FixedLength: length %d must be at least 1", o.Length)
	}
	return preTokenizer{split: splitFixed(o.Length)}, nil
}
