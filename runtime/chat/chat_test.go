package chat

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/runtime/chat/jinja"
)

// TestTemplates renders public models' templates with conversations of all kinds and compares with transformers
// (testdata/cases.py): equal texts, and an error where it had one.
func TestTemplates(t *testing.T) {
	data, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Conversations map[string]struct{ Messages, Tools json.RawMessage }
		Cases         []struct {
			Template, Conversation string
			Generation             bool `json:"add_generation_prompt"`
			Want                   *string
			Error                  string
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	for _, c := range file.Cases {
		source, err := os.ReadFile(filepath.Join("testdata/templates", c.Template+".jinja"))
		if err != nil {
			t.Fatal(err)
		}
		template, err := Parse(string(source), map[string]string{"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"})
		if err != nil {
			t.Fatalf("%s: %v", c.Template, err)
		}
		conversation := file.Conversations[c.Conversation]
		got, err := template.Render(t.Context(), Conversation{
			Messages: list(t, conversation.Messages), Tools: list(t, conversation.Tools), AddGenerationPrompt: c.Generation,
			Now: time.Date(2024, 3, 7, 9, 5, 1, 0, time.UTC),
		})
		switch {
		case c.Want == nil && err == nil:
			t.Errorf("%s, %s: got %q, want an error: %s", c.Template, c.Conversation, got, c.Error)
		case c.Want != nil && err != nil:
			t.Errorf("%s, %s: %v, want %q", c.Template, c.Conversation, err, *c.Want)
		case c.Want != nil && got != *c.Want:
			t.Errorf("%s, %s:\n got  %q\n want %q", c.Template, c.Conversation, got, *c.Want)
		}
	}
}

func list(t *testing.T, data json.RawMessage) *jinja.List {
	t.Helper()
	if len(data) == 0 {
		return nil
	}
	v, err := jinja.FromJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	return v.(*jinja.List)
}

func TestLoad(t *testing.T) {
	write := func(files map[string]string) string {
		dir := t.TempDir()
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	for _, c := range []struct {
		name, want string
		files      map[string]string
	}{
		{"file", "<s>hi", map[string]string{"chat_template.jinja": "{{ bos_token }}{{ messages[0].content }}",
			"tokenizer_config.json": `{"chat_template": "no", "bos_token": "<s>"}`}},
		{"config", "hi</s>", map[string]string{"tokenizer_config.json": `{"chat_template": "{{ messages[0].content }}{{ eos_token }}", "eos_token": {"content": "</s>"}}`}},
		{"named", "D<s>", map[string]string{"tokenizer_config.json": `{"chat_template": [{"name":"rag","template":"R"},{"name":"default","template":"D{{ bos_token }}"}]}`,
			"special_tokens_map.json": `{"bos_token":"<s>"}`}},
	} {
		template, err := Load(write(c.files))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, err := template.Render(t.Context(), Conversation{Messages: list(t, json.RawMessage(`[{"role":"user","content":"hi"}]`))})
		if err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
	for name, files := range map[string]map[string]string{
		"none": {}, "null": {"tokenizer_config.json": `{"chat_template":null}`},
		"syntax": {"chat_template.jinja": "{% if %}"}, "type": {"tokenizer_config.json": `{"chat_template": 3}`}, "json": {"tokenizer_config.json": `{`},
	} {
		if _, err := Load(write(files)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
