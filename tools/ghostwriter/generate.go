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
	newTokens            int
	eos                  []int64
}

func (a *app) generateCommand() *cobra.Command {
	var r generateRequest
	c := &cobra.Command{
		Use:   "generate MODEL --prompt TEXT | --prompts FILE | --prompt-ids FILE",
		Short: "Continue texts with a language model",
		Long: "Generate continues texts greedily. Meaning and defaults are those of transformers' generate: without\n" +
			"--max-new-tokens prompt and continuation have 20 tokens together.",
		Example: "  ghostwriter generate tuned/ --prompt 'name : The Vaults | eatType : pub' --max-new-tokens 40\n" +
			"  ghostwriter generate tuned/ --prompt-ids ids.jsonl --json",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			fl := cmd.Flags()
			if n := changed(fl.Changed, "prompt", "prompts", "prompt-ids"); n != 1 {
				return fmt.Errorf("%w: give exactly one of --prompt, --prompts and --prompt-ids", errCommandLine)
			}
			if fl.Changed("max-new-tokens") && r.newTokens < 1 {
				return fmt.Errorf("%w: --max-new-tokens %d must be positive", errCommandLine, r.newTokens)
			}
			return a.generate(cmd, args[0], &r)
		},
	}
	fl := c.Flags()
	fl.StringVar(&r.prompt, "prompt", "", "a text to continue")
	fl.StringVar(&r.prompts, "prompts", "", "a file of texts, a line each")
	fl.StringVar(&r.ids, "prompt-ids", "", "a file of token ids, a JSON array a line; needs no tokenizer")
	fl.IntVar(&r.newTokens, "max-new-tokens", 0, "most tokens to add")
	fl.Int64SliceVar(&r.eos, "eos", nil, "token ids that end a text (default: the model's own)")
	fl.StringVar(&r.tokenizer, "tokenizer", "", "tokenizer file or directory (default: the model's own)")
	fl.StringVar(&r.output, "output", "", "the output that holds the logits (default: logits, or the only one)")
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
	m, err := a.open(model, r.output, "")
	if err != nil {
		return err
	}
	defer m.Close()
	path := r.tokenizer
	if path == "" {
		path = m.Dir()
	}
	t, err := tokenize.Load(path)
	if err != nil {
		if r.ids == "" || r.tokenizer != "" {
			return fmt.Errorf("%w: tokenizer: %v; name another with --tokenizer, or give --prompt-ids", errCommandLine, err)
		}
		t = nil // texts stay empty
	}
	prompts, texts, err := r.read(cmd, t)
	if err != nil {
		return err
	}
	if cmd.Flags().Changed("eos") && r.eos == nil {
		r.eos = []int64{}
	}
	out, err := m.Generate(cmd.Context(), prompts, runtime.GenerateOptions{MaxNewTokens: r.newTokens, EOS: r.eos})
	if err != nil {
		return err
	}
	report := generateReport{Outputs: []generatedText{}}
	for _, ids := range out {
		g := generatedText{IDs: list(ids)}
		if t != nil {
			g.Text = t.Decode(ids, true)
		}
		report.Outputs = append(report.Outputs, g)
	}
	return a.print(report, func() {
		for i, o := range report.Outputs {
			switch {
			case t == nil:
				a.printf("%v\n", o.IDs)
			case texts == nil:
				a.printf("%s\n", o.Text)
			default:
				a.printf("%s%s\n", texts[i], o.Text)
			}
		}
	})
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
