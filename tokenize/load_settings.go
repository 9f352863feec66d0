package tokenize

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// settings is what the files beside a tokenizer say about it. The zero value says nothing.
type settings struct {
	class        string // tokenizer_class
	doLowerCase  *bool
	stripAccents *bool
	chineseChars *bool
	prefixSpace  *bool
	addBOS       *bool
	addEOS       *bool
	legacy       *bool // of SentencePiece models: blanks are put in front of every piece of text between special tokens
	extraIDCount *int  // extra_ids
	config       bool  // there is a tokenizer_config.json
	chatTemplate string
	cleanUp      bool                 // clean_up_tokenization_spaces
	added        []addedToken         // added_tokens_decoder, by id
	roles        map[string]roleToken // by key: bos_token, …
	extra        []roleToken          // additional_special_tokens
	addedIDs     map[string]int       // added_tokens.json
}

// roleToken is a token with a role, such as bos_token; present with empty content where a file says null.
type roleToken struct {
	addedToken
}

// UnmarshalJSON reads null, a string or an object with the token's flags.
func (r *roleToken) UnmarshalJSON(data []byte) error {
	switch {
	case isNull(data):
		*r = roleToken{}
	case data[0] == '"':
		var content string
		if err := json.Unmarshal(data, &content); err != nil {
			return err
		}
		*r = roleToken{addedToken{Content: content}}
	default:
		if err := json.Unmarshal(data, &r.addedToken); err != nil {
			return err
		}
	}
	r.Special = true
	return nil
}

// roleKeys are the keys of the tokens with a role in tokenizer_config.json and special_tokens_map.json.
var roleKeys = []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}

// configJSON are the fields of tokenizer_config.json that change ids. The rest, and there is much, concerns others.
type configJSON struct {
	Class        string                     `json:"tokenizer_class"`
	DoLowerCase  *bool                      `json:"do_lower_case"`
	StripAccents *bool                      `json:"strip_accents"`
	ChineseChars *bool                      `json:"tokenize_chinese_chars"`
	PrefixSpace  *bool                      `json:"add_prefix_space"`
	AddBOS       *bool                      `json:"add_bos_token"`
	AddEOS       *bool                      `json:"add_eos_token"`
	Legacy       *bool                      `json:"legacy"`
	ExtraIDs     *int                       `json:"extra_ids"`
	ChatTemplate json.RawMessage            `json:"chat_template"`
	CleanUp      *bool                      `json:"clean_up_tokenization_spaces"`
	SplitSpecial *bool                      `json:"split_special_tokens"`
	AddedDecoder map[string]json.RawMessage `json:"added_tokens_decoder"`
}

// readSettings reads tokenizer_config.json, special_tokens_map.json, added_tokens.json and chat_template.jinja of
// a directory, each if it is there. Where the first two disagree about a role the first counts.
func readSettings(dir string) (settings, error) {
	var s settings
	for _, file := range []struct {
		name  string
		parse func(data []byte) error
	}{
		{"tokenizer_config.json", s.parseConfig},
		{"special_tokens_map.json", s.parseRoles},
		{"added_tokens.json", s.parseAdded},
		{"chat_template.jinja", func(data []byte) error { s.chatTemplate = string(data); return nil }},
	} {
		path := filepath.Join(dir, file.name)
		data, err := readOptional(path)
		if err == nil && data != nil {
			if err = file.parse(data); err != nil {
				err = &LoadError{Path: path, Problem: err.Error()}
			}
		}
		if err != nil {
			return settings{}, err
		}
	}
	return s, nil
}

func (s *settings) parseConfig(data []byte) error {
	var c configJSON
	if err := json.Unmarshal(data, &c); err != nil {
		return jsonError(err)
	}
	if c.SplitSpecial != nil && *c.SplitSpecial {
		return fmt.Errorf("split_special_tokens is not supported; special tokens inside text are recognised")
	}
	s.class = strings.TrimSuffix(c.Class, "Fast")
	s.doLowerCase, s.stripAccents, s.chineseChars = c.DoLowerCase, c.StripAccents, c.ChineseChars
	s.prefixSpace, s.addBOS = c.PrefixSpace, c.AddBOS
	s.cleanUp = c.CleanUp != nil && *c.CleanUp
	s.config, s.addEOS, s.legacy, s.extraIDCount = true, c.AddEOS, c.Legacy, c.ExtraIDs
	var err error
	if s.chatTemplate, err = parseChatTemplate(c.ChatTemplate); err != nil {
		return err
	}
	if len(c.AddedDecoder) > maxAddedTokens {
		return fmt.Errorf("added_tokens_decoder: more than %d tokens", maxAddedTokens)
	}
	for key, raw := range c.AddedDecoder {
		id, err := strconv.Atoi(key)
		if err != nil || id < 0 || id > maxID {
			return fmt.Errorf("added_tokens_decoder: %s is not an id", shown(key))
		}
		t := addedToken{ID: id}
		if err := json.Unmarshal(raw, &t); err != nil {
			return fmt.Errorf("added_tokens_decoder: token %d: %w", id, jsonError(err))
		}
		t.ID = id
		s.added = append(s.added, t)
	}
	slices.SortFunc(s.added, func(a, b addedToken) int { return a.ID - b.ID })
	return s.parseRoles(data)
}

func (s *settings) parseRoles(data []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return jsonError(err)
	}
	for _, key := range roleKeys {
		raw, present := all[key]
		if _, known := s.roles[key]; !present || known {
			continue
		}
		var r roleToken
		if err := json.Unmarshal(raw, &r); err != nil {
			return fmt.Errorf("%s: %w", key, jsonError(err))
		}
		if s.roles == nil {
			s.roles = map[string]roleToken{}
		}
		s.roles[key] = r
	}
	if raw := all["additional_special_tokens"]; !isNull(raw) && s.extra == nil {
		extra, err := decodeList[roleToken](raw, maxAddedTokens)
		if err != nil {
			return fmt.Errorf("additional_special_tokens: %w", err)
		}
		s.extra = extra
	}
	return nil
}

func (s *settings) parseAdded(data []byte) error {
	if len(strings.TrimSpace(string(data))) <= len("{}") {
		return nil // an empty object
	}
	vocab, err := decodeVocab(data)
	s.addedIDs = vocab
	return err
}

// override applies the options that transformers lets tokenizer_config.json change in a tokenizer.json.
func (s *settings) override(d *description) error {
	bert := map[string]*bool{"lowercase": s.doLowerCase, "strip_accents": s.stripAccents, "handle_chinese_chars": s.chineseChars}
	raw, err := overridden(d.normalizer, "BertNormalizer", bert)
	if err != nil {
		return fmt.Errorf("normalizer: %w", err)
	}
	d.normalizer = raw
	prefix := s.prefixSpace
	if prefix == nil && s.config {
		prefix = new(bool) // whatever tokenizer.json says: so does transformers
	}
	raw, err = overridden(d.preTokenizer, "ByteLevel", map[string]*bool{"add_prefix_space": prefix})
	if err != nil {
		return fmt.Errorf("pre_tokenizer: %w", err)
	}
	d.preTokenizer = raw
	return nil
}

// overridden sets options, those that are not nil, in a part of the given type.
func overridden(raw json.RawMessage, typ string, options map[string]*bool) (json.RawMessage, error) {
	got, err := componentType(raw)
	if err != nil || got != typ {
		return raw, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, jsonError(err)
	}
	for name, value := range options {
		if value != nil {
			fields[name] = json.RawMessage(strconv.FormatBool(*value))
		}
	}
	return json.Marshal(fields)
}

// decoding is what transformers does to a decoded text: CLIP's tokenizer turns the suffix into blanks and trims, and
// clean_up_tokenization_spaces applies CleanUpSpaces.
func (s *settings) decoding(suffix string) decoder {
	var d decoder
	if s.class == "CLIPTokenizer" && suffix != "" {
		d = append(d, fuseStage, replaceStage(suffix, " "), trimStage)
	}
	if s.cleanUp {
		d = append(d, cleanUpStages()...)
	}
	return d
}
