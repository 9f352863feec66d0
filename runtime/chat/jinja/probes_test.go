package jinja

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestProbes renders small templates and compares with what transformers' environment made of them (testdata/probes.py).
// Where Python failed, so must this package; where it did not, this package may refuse what is listed here.
func TestProbes(t *testing.T) {
	data, err := os.ReadFile("testdata/probes.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Messages json.RawMessage
		Cases    []struct {
			Template string
			Want     *string
			Error    string
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	messages, err := FromJSON(file.Messages)
	if err != nil {
		t.Fatal(err)
	}
	vars := Dict("messages", messages, "tools", nil, "documents", nil, "add_generation_prompt", true, "bos_token", "<s>", "eos_token", "</s>")
	for _, c := range file.Cases {
		got, err := render(c.Template, vars)
		switch {
		case c.Want == nil:
			if err == nil {
				t.Errorf("%s\n got  %q\n want an error: %s", c.Template, got, c.Error)
			}
		case err != nil:
			if !refused(c.Template) {
				t.Errorf("%s\n error %v\n want  %q", c.Template, err, *c.Want)
			}
		case got != *c.Want:
			t.Errorf("%s\n got  %q\n want %q", c.Template, got, *c.Want)
		}
	}
}

// refusals are parts of the probes that this package refuses on purpose.
var refusals = []string{"12345678901234567890", "|slice(", "|groupby(", "|truncate(", "is sameas 1", "find('c', 3)", "{:>5}", "1.real", "autoescape", "cycler(", "lipsum(n"}

func refused(template string) bool {
	for _, r := range refusals {
		if strings.Contains(template, r) {
			return true
		}
	}
	return false
}

func render(template string, vars *Mapping) (string, error) {
	parsed, err := Parse(template)
	if err != nil {
		return "", err
	}
	return parsed.Render(context.Background(), vars, Limits{})
}
