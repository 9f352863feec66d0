package runtime

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
	"github.com/ghostwriter-dp/ghostwriter/runtime/metrics"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// A sourcePrompt is a distinct source with what is generated from.
type sourcePrompt struct {
	group  metrics.Group
	prompt []int32
}

// texts generates a text for every distinct source, writes and scores them.
func (e *evaluation) texts(ctx context.Context, records []tokenize.Record) error {
	sources, err := e.sources(records)
	if err != nil {
		return err
	}
	outputs, err := e.generate(ctx, sources)
	if err != nil {
		return err
	}
	items := make([]metrics.Item, len(sources))
	for i, s := range sources {
		items[i] = metrics.Item{Output: outputs[i], References: s.group.References}
	}
	if e.reader.recipe.task == tokenize.TaskPersona {
		f1, err := metrics.MeanDialogF1(items)
		e.result.DialogF1 = &f1
		return err
	}
	scores, err := metrics.ScoreText(items)
	e.result.TextScores = &scores
	return err
}

// sources are the distinct sources of records in the order of their first, with all their references.
func (e *evaluation) sources(records []tokenize.Record) ([]*sourcePrompt, error) {
	prompter, ok := e.reader.formatter.(tokenize.Prompter)
	if !ok {
		return nil, fmt.Errorf("task %s has no prompts", e.options.Task)
	}
	var out []*sourcePrompt
	at := map[string]*sourcePrompt{}
	for _, r := range records {
		text := sourceText(r)
		s := at[text]
		if s == nil {
			prompt, err := prompter.Prompt(r)
			if err != nil {
				return nil, dataError(e.options.Data, rowOf(r, err))
			}
			s = &sourcePrompt{metrics.Group{Source: text, Row: r.Row}, prompt}
			at[text] = s
			out = append(out, s)
		}
		s.group.References = append(s.group.References, r.Target)
	}
	return out, nil
}

// rowOf puts a record's row into an error.
func rowOf(r tokenize.Record, err error) error {
	var row *tokenize.RowError
	if errors.As(err, &row) {
		row.Row = r.Row
	}
	return err
}

// decoding is how this evaluation generates.
func (e *evaluation) decoding() (GenerateOptions, error) {
	g := PaperDecoding()
	if e.options.Generate != nil {
		g = *e.options.Generate
	}
	t := e.reader.tokenizer
	if g.EOS == nil {
		g.EOS = e.reader.endTokens()
	}
	if g.Forbidden == nil {
		for _, text := range []string{"\n\n", "\n"} { // GPT-2's [628] and [198]
			ids, err := t.EncodePlain(text)
			if err != nil {
				return g, usage("tokenizer: %w", err)
			}
			known := !slices.Contains(ids, t.Specials().UNK) // a tokenizer that drops line breaks makes none
			if len(ids) > 0 && known {
				g.Forbidden = append(g.Forbidden, ids)
			}
		}
		if pad := t.PadID(); pad > 0 && !slices.Contains(g.EOS, int64(pad)) {
			g.Forbidden = append(g.Forbidden, []int32{pad})
		}
	}
	g.Tokenizer = t
	if g.Return > 1 {
		return g, usage("--return %d: one text of each source is scored", g.Return)
	}
	return g, nil
}

// generate gives the text of every source: those of an earlier call that was stopped, and new ones, which are kept as they
// come. The longest prompts go first, so that texts that run together have like lengths.
func (e *evaluation) generate(ctx context.Context, sources []*sourcePrompt) (_ []string, err error) {
	g, err := e.decoding()
	if err != nil {
		return nil, err
	}
	kept, err := openPartial(e.options, g, sources)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, kept.close()) }()
	if n := kept.count(); n > 0 {
		e.message(fmt.Sprintf("going on with %s: %d of %d texts are there", kept.path, n, len(sources)))
	}
	fitting, long := e.order(sources, kept, g.MaxNewTokens)
	e.progress("texts", kept.count(), len(sources))
	if err := e.continueAll(ctx, sources, fitting, g, kept); err != nil {
		return nil, err
	}
	g.MaxLength, g.MaxNewTokens = int(e.reader.config.Positions), 0
	if err := e.continueAll(ctx, sources, long, g, kept); err != nil {
		return nil, err
	}
	if err := e.write(sources, kept.texts); err != nil {
		return nil, err
	}
	return kept.texts, kept.remove()
}

// order sorts the sources that have no text yet: those whose prompt and new tokens the model's positions hold, and those
// where there are fewer new tokens. Prompts that leave no room for one get an empty text.
func (e *evaluation) order(sources []*sourcePrompt, kept *partial, newTokens int) (fitting, long []int) {
	positions := int(e.reader.config.Positions)
	if e.reader.decoder { // the source is the encoder's
		positions = 0
	}
	for i, s := range sources {
		n := len(s.prompt)
		switch {
		case positions > 0 && n >= positions:
			e.result.Unanswered++
			kept.done[i] = true
		case kept.done[i]:
		case positions > 0 && n+newTokens > positions:
			long = append(long, i)
		default:
			fitting = append(fitting, i)
		}
	}
	for _, list := range [][]int{fitting, long} {
		slices.SortStableFunc(list, func(a, b int) int { return cmp.Compare(len(sources[b].prompt), len(sources[a].prompt)) })
	}
	return fitting, long
}

// continueAll generates from the prompts of some sources and keeps the texts.
func (e *evaluation) continueAll(ctx context.Context, sources []*sourcePrompt, which []int, g GenerateOptions, kept *partial) error {
	if len(which) == 0 {
		return nil
	}
	prompts := make([][]int32, len(which))
	for i, k := range which {
		prompts[i] = sources[k].prompt
	}
	g.OnDone = func(prompt int, c []Continuation) error {
		if err := kept.add(which[prompt], strings.Join(strings.Fields(c[0].Text), " ")); err != nil {
			return err
		}
		e.progress("texts", kept.count(), len(sources))
		return ctx.Err() // what is whole is kept before
	}
	_, err := e.model.Continue(ctx, prompts, g)
	return err
}

// write writes the table of sources and texts.
func (e *evaluation) write(sources []*sourcePrompt, texts []string) error {
	path := e.options.Outputs
	if path == "" {
		return nil
	}
	e.result.OutputsFile = path
	return durable.WriteFile(path, 0o600, func(w io.Writer) error {
		table := csv.NewWriter(w)
		table.Comma = '\t'
		if err := table.Write([]string{"MR", "output"}); err != nil {
			return err
		}
		for i, s := range sources {
			if err := table.Write([]string{s.group.Source, texts[i]}); err != nil {
				return err
			}
		}
		table.Flush()
		return table.Error()
	})
}
