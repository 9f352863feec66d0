package tokenize

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// decoderTypes are the decoders of a tokenizer.json by their type.
var decoderTypes = map[string]func(raw json.RawMessage, depth int) (decoder, error){
	"BPEDecoder":   parseBPEDecoder,
	"ByteFallback": bare(byteFallbackStage),
	"ByteLevel":    parseByteLevelDecoder,
	"CTC":          parseCTC,
	"Fuse":         bare(fuseStage),
	"Metaspace":    parseMetaspaceDecoder,
	"Replace":      parseReplaceDecoder,
	"Strip":        parseStripDecoder,
	"WordPiece":    parseWordPieceDecoder,
}

// parseDecoder builds the decoder of a tokenizer.json; none puts blanks between tokens.
func parseDecoder(raw json.RawMessage, depth int) (decoder, error) {
	typ, err := componentType(raw)
	if err != nil {
		return nil, err
	}
	if typ == "" {
		return decoder{spacedStage}, nil
	}
	if typ == "Sequence" {
		var o struct {
			component
			Decoders json.RawMessage `json:"decoders"`
		}
		members, err := parseMembers(raw, &o, &o.Decoders, depth, parseDecoder)
		if err != nil {
			return nil, err
		}
		if n := growingReplaces(raw); n > maxGrowingReplaces {
			return nil, fmt.Errorf("%d of the Sequence's Replace decoders make text longer; the limit is %d", n, maxGrowingReplaces)
		}
		return slices.Concat(members...), nil
	}
	parse, ok := decoderTypes[typ]
	if !ok {
		return nil, unsupported(typ, append(slices.Sorted(maps.Keys(decoderTypes)), "Sequence")...)
	}
	return parse(raw, depth)
}

// Limits against files whose decoders make ever more text of a token.
const (
	maxReplaceGrowth   = 8
	maxGrowingReplaces = 3
)

// growingReplaces counts the Replace decoders of a Sequence, and of those inside it, that make text longer.
func growingReplaces(raw json.RawMessage) (n int) {
	var o struct {
		Decoders []json.RawMessage
		Pattern  patternJSON
		Content  string
	}
	if json.Unmarshal(raw, &o) != nil {
		return 0 // what it is was an error already
	}
	if o.Pattern.String != nil && len(o.Content) > len(*o.Pattern.String) {
		n = 1
	}
	for _, member := range o.Decoders {
		n += growingReplaces(member)
	}
	return n
}

// bare is a decoder without options.
func bare(s stage) func(json.RawMessage, int) (decoder, error) {
	return func(raw json.RawMessage, _ int) (decoder, error) { return decoder{s}, decodeStrict(raw, &component{}) }
}

func parseByteLevelDecoder(raw json.RawMessage, _ int) (decoder, error) {
	return decoder{byteLevelStage}, decodeStrict(raw, &byteLevelJSON{})
}

func parseWordPieceDecoder(raw json.RawMessage, _ int) (decoder, error) {
	o := struct {
		component
		Prefix  string `json:"prefix"`
		Cleanup bool   `json:"cleanup"`
	}{Prefix: "##", Cleanup: true}
	if err := decodeStrict(raw, &o); err != nil {
		return nil, err
	}
	return decoder{wordPieceStage(o.Prefix, o.Cleanup)}, nil
}

func parseBPEDecoder(raw json.RawMessage, _ int) (decoder, error) {
	o := struct {
		component
		Suffix string `json:"suffix"`
	}{Suffix: "</w>"}
	if err := decodeStrict(raw, &o); err != nil {
		return nil, err
	}
	return decoder{bpeStage(o.Suffix)}, nil
}

func parseCTC(raw json.RawMessage, _ int) (decoder, error) {
	o := struct {
		component
		Pad       string `json:"pad_token"`
		Delimiter string `json:"word_delimiter_token"`
		Cleanup   bool   `json:"cleanup"`
	}{Pad: "<pad>", Delimiter: "|", Cleanup: true}
	if err := decodeStrict(raw, &o); err != nil {
		return nil, err
	}
	return decoder{ctcStage(o.Pad, o.Delimiter, o.Cleanup)}, nil
}

func parseMetaspaceDecoder(raw json.RawMessage, _ int) (decoder, error) {
	o, err := parseMetaspaceOptions(raw)
	if err != nil {
		return nil, err
	}
	return decoder{metaspaceStage(o.Replacement, o.Scheme == prependNever)}, nil
}

func parseStripDecoder(raw json.RawMessage, _ int) (decoder, error) {
	var o struct {
		component
		Content string `json:"content"`
		Start   int    `json:"start"`
		Stop    int    `json:"stop"`
	}
	if err := decodeStrict(raw, &o); err != nil {
		return nil, err
	}
	content, err := oneRune("Strip: content", o.Content)
	if err != nil {
		return nil, err
	}
	if o.Start < 0 || o.Stop < 0 {
		return nil, fmt.Errorf("strip: start %d and stop %d must not be negative", o.Start, o.Stop)
	}
	return decoder{stripStage(content, o.Start, o.Stop)}, nil
}

func parseReplaceDecoder(raw json.RawMessage, _ int) (decoder, error) {
	var o struct {
		component
		Pattern patternJSON `json:"pattern"`
		Content string      `json:"content"`
	}
	if err := decodeStrict(raw, &o); err != nil {
		return nil, err
	}
	if o.Pattern.String == nil || *o.Pattern.String == "" {
		return nil, fmt.Errorf("the pattern of Replace in a decoder must be a string that is not empty; a regular expression is not supported there")
	}
	if len(o.Content) > maxReplaceGrowth*len(*o.Pattern.String) {
		return nil, fmt.Errorf("a Replace makes %d bytes of %d; in a decoder at most %d times as many are supported", len(o.Content), len(*o.Pattern.String), maxReplaceGrowth)
	}
	return decoder{replaceStage(*o.Pattern.String, o.Content)}, nil
}

// oneRune reads an option that must be one character.
func oneRune(what, s string) (rune, error) {
	r, size := utf8.DecodeRuneInString(s)
	if size == 0 || size != len(s) {
		return 0, fmt.Errorf("%s %s must be one character", what, shown(s))
	}
	return r, nil
}

// prependScheme says before which pieces Metaspace puts its replacement for a blank.
type prependScheme string

const (
	prependAlways prependScheme = "always"
	prependFirst  prependScheme = "first" // the piece at the start of the text
	prependNever  prependScheme = "never"
)

// metaspaceJSON are the options of Metaspace as pre-tokenizer and as decoder.
type metaspaceJSON struct {
	component
	Replacement    string        `json:"replacement"`
	AddPrefixSpace *bool         `json:"add_prefix_space"` // of older files
	Scheme         prependScheme `json:"prepend_scheme"`
	Split          *bool         `json:"split"`
	StrRep         *string       `json:"str_rep"` // of older files, and without effect
}

func parseMetaspaceOptions(raw json.RawMessage) (metaspaceJSON, error) {
	o := metaspaceJSON{Scheme: prependAlways}
	if err := decodeStrict(raw, &o); err != nil {
		return o, err
	}
	if _, err := oneRune("Metaspace: replacement", o.Replacement); err != nil {
		return o, err
	}
	switch o.Scheme {
	case prependAlways, prependFirst, prependNever:
	default:
		return o, fmt.Errorf("the prepend_scheme of Metaspace is %s; it must be always, first or never", shown(string(o.Scheme)))
	}
	if o.AddPrefixSpace != nil && !*o.AddPrefixSpace {
		var said struct {
			Scheme *prependScheme `json:"prepend_scheme"`
		}
		if err := json.Unmarshal(raw, &said); err != nil {
			return o, jsonError(err)
		}
		if said.Scheme == nil || *said.Scheme != prependNever {
			return o, fmt.Errorf("in Metaspace add_prefix_space false contradicts the prepend_scheme %s", o.Scheme)
		}
		o.Scheme = prependNever
	}
	return o, nil
}
