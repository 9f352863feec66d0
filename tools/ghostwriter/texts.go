package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// A textRequest is what classify and embed are asked to read.
type textRequest struct {
	text, pair, texts string
	lines             bool
	tokenizer, output string
	options           runtime.TextOptions
}

func (r *textRequest) flags(fl *pflag.FlagSet) {
	fl.StringVar(&r.text, "text", "", "a text")
	fl.StringVar(&r.texts, "texts", "", "a file of texts, a line each")
	fl.BoolVar(&r.lines, "json-lines", false, "the lines of --texts are JSON: {\"text\": …, \"pair\": …}")
	fl.StringVar(&r.tokenizer, "tokenizer", "", "tokenizer file or directory (default: the model's own)")
	fl.StringVar(&r.output, "output", "", "the model's output to read")
	fl.IntVar(&r.options.MaxLength, "max-length", 0, "most tokens of a text (default: the model's positions)")
	fl.BoolVar(&r.options.Truncate, "truncate", false, "cut longer texts instead of refusing them")
}

// read returns the texts of the command line.
func (r *textRequest) read(cmd *cobra.Command) ([]runtime.TextPair, error) {
	if changed(cmd.Flags().Changed, "text", "texts") != 1 {
		return nil, fmt.Errorf("%w: give exactly one of --text and --texts", errCommandLine)
	}
	if r.texts == "" {
		return []runtime.TextPair{{Text: r.text, Pair: r.pair}}, nil
	}
	if r.lines {
		return readTextLines(r.texts)
	}
	lines, err := runtime.ReadPrompts(r.texts)
	if err != nil {
		return nil, err
	}
	out := make([]runtime.TextPair, len(lines))
	for i, l := range lines {
		out[i] = runtime.TextPair{Text: l, Pair: r.pair}
	}
	return out, nil
}

// readTextLines reads {"text", "pair"} a line; errors don't repeat the text.
func readTextLines(path string) ([]runtime.TextPair, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: --texts: %v", errCommandLine, err)
	}
	var out []runtime.TextPair
	for i, line := range bytes.Split(bytes.TrimRight(data, "\r\n"), []byte("\n")) {
		var t struct {
			Text *string `json:"text"`
			Pair string  `json:"pair"`
		}
		if err := json.Unmarshal(line, &t); err != nil || t.Text == nil {
			return nil, fmt.Errorf("%w: --texts %s: line %d is not a JSON object with a \"text\"", errCommandLine, path, i+1)
		}
		out = append(out, runtime.TextPair{Text: *t.Text, Pair: t.Pair})
	}
	return out, nil
}

// open opens the model with the request's tokenizer and output.
func (r *textRequest) open(a *app, model string) (*runtime.Model, error) {
	return runtime.Open(model, runtime.Options{Library: a.library, Threads: a.threads, Device: a.device, Output: r.output, Tokenizer: r.tokenizer})
}
