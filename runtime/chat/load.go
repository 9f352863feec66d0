package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/chat/jinja"
)

// ErrNone says that a model directory has no chat template.
var ErrNone = errors.New("the model has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json)")

// maxConfig bounds each file that is read.
const maxConfig = 64 << 20

// A Template is a model's chat template. It is immutable and safe for concurrent use.
type Template struct {
	template *jinja.Template
	named    map[string]*jinja.Template
	tokens   *jinja.Mapping // bos_token, eos_token, …
}

// tokenKeys are the special tokens that a template has as variables.
var tokenKeys = []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}

// Load reads the template of a model directory: chat_template.jinja, else chat_template in tokenizer_config.json, a text or
// a list of named ones, with the special tokens of tokenizer_config.json and special_tokens_map.json. The error is
// ErrNone where there is no template, and names the file otherwise.
func Load(dir string) (*Template, error) {
	config, err := readObject(filepath.Join(dir, "tokenizer_config.json"))
	if err != nil {
		return nil, err
	}
	special, err := readObject(filepath.Join(dir, "special_tokens_map.json"))
	if err != nil {
		return nil, err
	}
	t := &Template{named: map[string]*jinja.Template{}, tokens: tokens(config, special)}
	path := filepath.Join(dir, "chat_template.jinja")
	source, err := readBounded(path)
	switch {
	case err == nil:
		if t.template, err = jinja.Parse(string(source)); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return t, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if err := t.parseConfig(config["chat_template"]); err != nil {
		return nil, fmt.Errorf("%s: chat_template: %w", filepath.Join(dir, "tokenizer_config.json"), err)
	}
	if t.template == nil && len(t.named) == 0 {
		return nil, ErrNone
	}
	return t, nil
}

// Parse makes a template from its source, without special tokens but those given by name: bos_token and so on.
func Parse(source string, tokens map[string]string) (*Template, error) {
	parsed, err := jinja.Parse(source)
	if err != nil {
		return nil, err
	}
	t := &Template{template: parsed, tokens: jinja.Dict()}
	for _, key := range tokenKeys {
		if text, ok := tokens[key]; ok {
			t.tokens.Set(key, text)
		}
	}
	return t, nil
}

// parseConfig reads a template, or a list of {name, template} of which the one called default counts.
func (t *Template) parseConfig(raw json.RawMessage) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var source string
	if err := json.Unmarshal(raw, &source); err == nil {
		t.template, err = jinja.Parse(source)
		return err
	}
	var list []struct{ Name, Template string }
	if err := json.Unmarshal(raw, &list); err != nil {
		return errors.New("neither a text nor a list of named templates")
	}
	for _, one := range list {
		parsed, err := jinja.Parse(one.Template)
		if err != nil {
			return fmt.Errorf("%q: %w", one.Name, err)
		}
		if t.named[one.Name] = parsed; one.Name == "default" {
			t.template = parsed
		}
	}
	return nil
}

// tokens collects the special tokens; where the files disagree the first counts.
func tokens(files ...map[string]json.RawMessage) *jinja.Mapping {
	out := jinja.Dict()
	for _, key := range tokenKeys {
		for _, file := range files {
			if text, ok := tokenText(file[key]); ok {
				out.Set(key, text)
				break
			}
		}
	}
	return out
}

// tokenText reads a token, written as its text or as an object with its content.
func tokenText(raw json.RawMessage) (string, bool) {
	var text string
	if json.Unmarshal(raw, &text) == nil && len(raw) > 0 && raw[0] == '"' {
		return text, true
	}
	var object struct{ Content *string }
	if json.Unmarshal(raw, &object) == nil && object.Content != nil {
		return *object.Content, true
	}
	return "", false
}

// readObject reads a JSON object; a file that is not there is an empty one.
func readObject(path string) (map[string]json.RawMessage, error) {
	data, err := readBounded(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out map[string]json.RawMessage
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("%s: not a JSON object: %w", path, err)
	}
	return out, nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxConfig {
		return nil, fmt.Errorf("%s has more than %d MiB", path, maxConfig>>20)
	}
	return []byte(strings.ToValidUTF8(string(data), "\uFFFD")), nil
}
