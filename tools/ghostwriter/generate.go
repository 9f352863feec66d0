package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

type generateReport struct {
	Outputs []generatedText `json:"outputs"`
}

type generatedText struct {
	IDs  []int32 `json:"ids"`
	Text string  `json:"text"`
}

// A generateRequest is what the flags of generate say.
type generateRequest struct {
	prompt, prompts, ids string
	tokenizer, output    string
	noCache              bool
	forbid               []string
	forbidIDs            string
	search               searchFlags
	options              runtime.GenerateOptions
}

func (a *app) generateCommand() *cobra.Command {
	var r generateRequest
	c := &cobra.Command{
		Use:   "generate MODEL --prompt TEXT | --prompts FILE | --prompt-ids FILE",
		Short: "Continue texts with a language model",
		Long: "Generate continues texts. Meaning and defaults of each flag are those of transformers' generate (4.57): what is\n" +
			"not given comes from the model's generation_config.json, then from transformers' defaults, so that without\n" +
			"anything 20 tokens are added greedily. Prompts run together; each gets what it would get alone.",
		Example: "  ghostwriter generate tuned/ --prompt 'name : The Vaults | eatType : pub' --max-new-tokens 40\n" +
			"  ghostwriter generate tuned/ --prompts prompts.txt --beams 5 --length-penalty 0.9 --no-repeat-ngram-size 3\n" +
			"  ghostwriter generate tuned/ --prompt-ids ids.jsonl --sample --temperature 0.8 --top-p 0.9 --seed 1 --json",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n := changed(cmd.Flags().Changed, "prompt", "prompts", "prompt-ids"); n != 1 {
				return fmt.Errorf("%w: give exactly one of --prompt, --prompts and --prompt-ids", errCommandLine)
			}
			if err := r.search.apply(cmd.Flags(), &r.options); err != nil {
				return err
			}
			return a.generate(cmd, args[0], &r)
		},
	}
	fl := c.Flags()
	fl.StringVar(&r.prompt, "prompt", "", "a text to continue")
	fl.StringVar(&r.prompts, "prompts", "", "a file of texts, a line each")
	fl.StringVar(&r.ids, "prompt-ids", "", "a file of token ids, a JSON array a line; needs no tokenizer")
	fl.StringVar(&r.tokenizer, "tokenizer", "", "tokenizer file or directory (default: the model's own)")
	fl.StringVar(&r.output, "output", "", "the output that holds the logits (default: logits, or the only one)")
	fl.StringArrayVar(&r.forbid, "forbid", nil, "a text that must not occur (several times for several)")
	fl.StringVar(&r.forbidIDs, "forbid-ids", "", "token ids that must not follow each other, JSON: [[7],[3,4]]")
	fl.BoolVar(&r.noCache, "no-cache", false, "recompute the whole text at each token")
	r.search.register(fl, &r.options)
	return c
}

// changed counts which of the flags were given.
func changed(is func(string) bool, names ...string) (n int) {
	for _, name := range names {
		if is(name) {
			n++
		}
	}
	return n
}

func (a *app) generate(cmd *cobra.Command, model string, r *generateRequest) error {
	m, err := runtime.Open(model, runtime.Options{Library: a.library, Threads: a.threads, Device: a.device, Output: r.output, NoCache: r.noCache, Tokenizer: r.tokenizer})
	if err != nil {
		return err
	}
	defer m.Close()
	t, err := m.Tokenizer()
	if err != nil {
		if r.ids == "" || r.tokenizer != "" || len(r.forbid) > 0 {
			return fmt.Errorf("%w: tokenizer: %v; or give --prompt-ids", errCommandLine, err)
		}
		t = nil // texts stay empty
	}
	prompts, texts, err := r.read(cmd, t)
	if err != nil {
		return err
	}
	if err := r.forbidden(t); err != nil {
		return err
	}
	out, err := m.Continue(cmd.Context(), prompts, r.options)
	if err != nil {
		return err
	}
	report := generateReport{Outputs: []generatedText{}}
	var of []int // the prompt of each output
	for i, all := range out {
		for _, c := range all {
			report.Outputs, of = append(report.Outputs, generatedText{IDs: list(c.IDs), Text: c.Text}), append(of, i)
		}
	}
	return a.print(report, func() {
		for i, o := range report.Outputs {
			switch {
			case t == nil:
				a.printf("%v\n", o.IDs)
			case texts == nil:
				a.printf("%s\n", o.Text)
			default:
				a.printf("%s%s\n", texts[of[i]], o.Text)
			}
		}
	})
}

// forbidden adds what --forbid and --forbid-ids say. A word is forbidden at the beginning of a text and behind a space.
func (r *generateRequest) forbidden(t *tokenize.Tokenizer) error {
	if r.forbidIDs != "" {
		if err := json.Unmarshal([]byte(r.forbidIDs), &r.options.Forbidden); err != nil {
			return fmt.Errorf("%w: --forbid-ids %q is not a JSON array of arrays of token ids", errCommandLine, r.forbidIDs)
		}
	}
	for _, text := range r.forbid {
		for _, form := range []string{text, " " + text} {
			ids, err := t.EncodePlain(form)
			if err != nil || len(ids) == 0 {
				return fmt.Errorf("%w: --forbid %q has no tokens", errCommandLine, text)
			}
			r.options.Forbidden = append(r.options.Forbidden, ids)
		}
	}
	return nil
}

// read returns the prompts' ids, and their texts where they are texts.
func (r *generateRequest) read(cmd *cobra.Command, t *tokenize.Tokenizer) ([][]int32, []string, error) {
	if r.ids != "" {
		ids, err := readPromptIDs(r.ids)
		return ids, nil, err
	}
	texts := []string{r.prompt}
	if r.prompts != "" {
		var err error
		if texts, err = runtime.ReadPrompts(r.prompts); err != nil {
			return nil, nil, err
		}
	}
	ids, err := t.EncodeBatch(cmd.Context(), texts, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: the prompt: %v", errCommandLine, err)
	}
	return ids, texts, nil
}

// readPromptIDs reads a JSON array of ids a line.
func readPromptIDs(path string) ([][]int32, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: --prompt-ids: %v", errCommandLine, err)
	}
	var out [][]int32
	for i, line := range bytes.Split(bytes.TrimRight(data, "\n"), []byte("\n")) {
		var ids []int32
		if err := json.Unmarshal(line, &ids); err != nil {
			return nil, fmt.Errorf("%w: --prompt-ids %s: line %d is not a JSON array of token ids", errCommandLine, path, i+1)
		}
		out = append(out, ids)
	}
	return out, nil
}
