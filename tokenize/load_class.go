package tokenize

import (
	"encoding/json"
	"fmt"
)

// A tokenizerClass is what a tokenizer class of transformers says where the files are silent.
type tokenizerClass struct {
	roles map[string]string
	// bosEOS says that the class builds the post-processor itself, whatever tokenizer.json says, from add_bos_token (by
	// default bos) and add_eos_token (by default none).
	bosEOS, bos bool
}

const endOfText = "<|endoftext|>"

// tokenizerClasses are the classes by tokenizer_class of tokenizer_config.json, "Fast" cut off.
var tokenizerClasses = map[string]tokenizerClass{
	"BertTokenizer":       {roles: bertRoles},
	"DistilBertTokenizer": {roles: bertRoles},
	"ElectraTokenizer":    {roles: bertRoles},
	"MPNetTokenizer":      {roles: robertaRoles},
	"RobertaTokenizer":    {roles: robertaRoles},
	"BartTokenizer":       {roles: robertaRoles},
	"XLMRobertaTokenizer": {roles: robertaRoles},
	"GPT2Tokenizer":       {roles: roles("bos", endOfText, "eos", endOfText, "unk", endOfText)},
	"Qwen2Tokenizer":      {roles: roles("eos", endOfText, "pad", endOfText, "unk", endOfText)},
	"CLIPTokenizer":       {roles: roles("bos", "<|startoftext|>", "eos", endOfText, "pad", endOfText, "unk", endOfText)},
	"T5Tokenizer":         {roles: roles("eos", "</s>", "unk", "<unk>", "pad", "<pad>")},
	"LlamaTokenizer":      {roles: roles("bos", "<s>", "eos", "</s>", "unk", "<unk>"), bosEOS: true, bos: true},
	"CodeLlamaTokenizer":  {roles: roles("bos", "<s>", "eos", "</s>", "unk", "<unk>"), bosEOS: true, bos: true},
	"GemmaTokenizer":      {roles: roles("bos", "<bos>", "eos", "<eos>", "unk", "<unk>", "pad", "<pad>"), bosEOS: true, bos: true},
	"CohereTokenizer":     {roles: roles("bos", "<BOS_TOKEN>", "eos", "<|END_OF_TURN_TOKEN|>", "unk", "<UNK>"), bosEOS: true, bos: true},
	"GPTNeoXTokenizer":    {roles: roles("bos", endOfText, "eos", endOfText, "unk", endOfText), bosEOS: true},
}

var (
	bertRoles    = roles("unk", "[UNK]", "sep", "[SEP]", "pad", "[PAD]", "cls", "[CLS]", "mask", "[MASK]")
	robertaRoles = roles("bos", "<s>", "eos", "</s>", "sep", "</s>", "cls", "<s>", "unk", "<unk>", "pad", "<pad>", "mask", "<mask>")
)

// roles are tokens by their role, given in turn.
func roles(pairs ...string) map[string]string {
	out := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]+"_token"] = pairs[i+1]
	}
	return out
}

// classTemplate is the post-processor of a class that builds its own; nil for others.
func (s settings) classTemplate(lookup tokenIDs) (json.RawMessage, error) {
	class := tokenizerClasses[s.class]
	if !class.bosEOS {
		return nil, nil
	}
	special := map[string]any{}
	piece := func(key string, typeID int) (any, error) {
		token := roleContent(s, key, class.roles[key])
		id, ok := lookup(token)
		if !ok {
			return nil, fmt.Errorf("%s adds the %s %s, which is not in the vocabulary", s.class, key, shown(token))
		}
		special[token] = map[string]any{"id": token, "ids": []int32{id}, "tokens": []string{token}}
		return map[string]any{"SpecialToken": map[string]any{"id": token, "type_id": typeID}}, nil
	}
	around := func(text string, typeID int) ([]any, error) {
		out := []any{map[string]any{"Sequence": map[string]any{"id": text, "type_id": typeID}}}
		if orDefault(s.addBOS, class.bos) {
			bos, err := piece("bos_token", typeID)
			if err != nil {
				return nil, err
			}
			out = append([]any{bos}, out...)
		}
		if orDefault(s.addEOS, false) {
			eos, err := piece("eos_token", typeID)
			if err != nil {
				return nil, err
			}
			out = append(out, eos)
		}
		return out, nil
	}
	first, err := around("A", 0)
	if err != nil {
		return nil, err
	}
	second, err := around("B", 1)
	if err != nil {
		return nil, err
	}
	return typed("TemplateProcessing", map[string]any{"single": first, "pair": append(first[:len(first):len(first)], second...), "special_tokens": special}), nil
}

func orDefault(b *bool, otherwise bool) bool {
	if b == nil {
		return otherwise
	}
	return *b
}

// ChatTemplate is the Jinja template by which a conversation becomes one text, from chat_template.jinja or
// tokenizer_config.json of the tokenizer's directory; "" where there is none. The beginning and end of text it may
// refer to are those of Specials.
func (t *Tokenizer) ChatTemplate() string { return t.chatTemplate }

// parseChatTemplate reads a template, or the one named default of a list.
func parseChatTemplate(raw json.RawMessage) (string, error) {
	if isNull(raw) {
		return "", nil
	}
	if raw[0] == '"' {
		var template string
		err := json.Unmarshal(raw, &template)
		return template, err
	}
	var named []struct {
		Name     string `json:"name"`
		Template string `json:"template"`
	}
	if err := json.Unmarshal(raw, &named); err != nil {
		return "", fmt.Errorf("chat_template: %w", jsonError(err))
	}
	for _, n := range named {
		if n.Name == "default" {
			return n.Template, nil
		}
	}
	return "", nil
}
