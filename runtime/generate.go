package runtime

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// defaultLength is the length of prompt and continuation together where nothing
// is said, as transformers' generate has it.
const defaultLength = 20

// generateRows bounds the prompts of one run.
const generateRows = 16

// GenerateOptions say how to continue prompts. Their meaning and defaults are
// those of transformers' generate; decoding is greedy.
type GenerateOptions struct {
	// MaxNewTokens bounds the continuation; 0 takes generation_config.json's
	// max_new_tokens or max_length, or a total length of 20.
	MaxNewTokens int
	// EOS are the ids that end a continuation; nil takes generation_config.json's
	// or config.json's, an empty list takes none.
	EOS []int64
}

// Generate continues every prompt greedily: at each step the id of the largest
// logit, the lowest of equal ones. It returns new ids only; an id of o.EOS is
// kept when it is produced, and nothing comes after it. Every step recomputes
// the whole text. The result for one prompt does not depend on the others.
func (m *Model) Generate(ctx context.Context, prompts [][]int32, o GenerateOptions) ([][]int32, error) {
	g, err := m.generator(o)
	if err != nil {
		return nil, err
	}
	byLength := map[int][]int{}
	for i, p := range prompts {
		if err := g.check(i, p); err != nil {
			return nil, err
		}
		byLength[len(p)] = append(byLength[len(p)], i)
	}
	out := make([][]int32, len(prompts))
	for length, group := range byLength {
		for part := range slices.Chunk(group, g.rows) {
			rows := make([]*continuation, len(part))
			for k, i := range part {
				rows[k] = &continuation{ids: slices.Clone(prompts[i])}
			}
			if err := g.extend(ctx, rows); err != nil {
				return nil, err
			}
			for k, i := range part {
				out[i] = rows[k].ids[length:]
			}
		}
	}
	return out, nil
}

// A continuation is one text in the making.
type continuation struct {
	ids  []int32
	done bool
}

// A generator holds what all prompts share.
type generator struct {
	model      *Model
	inputs     []ort.Info
	output     string
	rows       int   // prompts of one run
	fixed      int64 // sequence length of the export, 0 where any will do
	positions  int64 // longest text, 0 where unknown
	vocabulary int64 // 0 where unknown
	pad        int32
	new        int // bound of new tokens, 0 where total is given
	total      int
	eos        []int64
}

func (m *Model) generator(o GenerateOptions) (*generator, error) {
	s, err := m.session()
	if err != nil {
		return nil, err
	}
	config, err := readConfig(m.Dir())
	if err != nil {
		return nil, err
	}
	if o.MaxNewTokens < 0 {
		return nil, usage("--max-new-tokens %d must be positive", o.MaxNewTokens)
	}
	g := &generator{
		model: m, inputs: s.Inputs(), rows: generateRows, positions: config.Positions, vocabulary: config.Vocabulary,
		new: o.MaxNewTokens, total: defaultLength, eos: o.EOS,
	}
	if err := g.defaults(m.Dir(), config); err != nil {
		return nil, err
	}
	if g.output, err = logitsOutput(s.Outputs(), m.options.Output); err != nil {
		return nil, err
	}
	for _, in := range g.inputs {
		if in.Name != "input_ids" || len(in.Dims) != 2 {
			continue
		}
		if in.Dims[0] > 0 {
			g.rows = int(in.Dims[0])
		}
		if in.Dims[1] > 0 {
			g.fixed, g.positions = in.Dims[1], in.Dims[1]
		}
	}
	return g, nil
}

// defaults takes what the caller left open from the model's configuration.
func (g *generator) defaults(dir string, config modelConfig) error {
	if g.eos != nil && g.new > 0 {
		return nil
	}
	c, err := readGenerationConfig(dir)
	if err != nil {
		return err
	}
	if g.eos == nil {
		if g.eos = c.EOS; g.eos == nil {
			g.eos = config.EOS
		}
	}
	if g.new == 0 {
		g.new = c.MaxNewTokens
		if c.MaxLength > 0 {
			g.total = c.MaxLength
		}
	}
	return nil
}

// logitsOutput finds the output that holds scores for each position.
func logitsOutput(outputs []ort.Info, chosen string) (string, error) {
	var rank3 []string
	for _, o := range outputs {
		if o.Name == chosen || chosen == "" && o.Name == "logits" {
			return o.Name, nil
		}
		if len(o.Dims) == 3 {
			rank3 = append(rank3, o.Name)
		}
	}
	if chosen != "" {
		return "", usage("the model has no output %q; it has %s", chosen, infoNames(outputs))
	}
	if len(rank3) == 1 {
		return rank3[0], nil
	}
	return "", usage("no output is called logits; choose one of %s with --output", infoNames(outputs))
}

// check refuses a prompt before anything is computed.
func (g *generator) check(i int, p []int32) error {
	if len(p) == 0 {
		return usage("prompt %d is empty: a continuation needs a token to start from", i+1)
	}
	for _, id := range p {
		if id < 0 || g.vocabulary > 0 && int64(id) >= g.vocabulary {
			return usage("prompt %d: id %d is not in the model's vocabulary of %d", i+1, id, g.vocabulary)
		}
	}
	length := g.length(len(p))
	if length <= len(p) {
		return usage("prompt %d has %d tokens and the default total length is %d: say how many may follow with --max-new-tokens", i+1, len(p), g.total)
	}
	if g.positions > 0 && int64(length) > g.positions {
		if g.new > 0 || int64(len(p)) >= g.positions {
			return usage("prompt %d: %d tokens and %d new ones are more than the model's %d positions", i+1, len(p), length-len(p), g.positions)
		}
	}
	return nil
}

// length is the longest text from a prompt of n tokens.
func (g *generator) length(n int) int {
	if g.new > 0 {
		return n + g.new
	}
	if g.positions > 0 {
		return min(g.total, int(g.positions))
	}
	return g.total
}

// extend continues texts of equal length until all are done.
func (g *generator) extend(ctx context.Context, rows []*continuation) error {
	limit := g.length(len(rows[0].ids))
	for {
		open := slices.DeleteFunc(slices.Clone(rows), func(c *continuation) bool { return c.done })
		if len(open) == 0 || len(open[0].ids) >= limit {
			return nil
		}
		next, err := g.next(ctx, open)
		if err != nil {
			return err
		}
		for i, c := range open {
			c.ids = append(c.ids, next[i])
			c.done = slices.Contains(g.eos, int64(next[i]))
		}
	}
}

// next returns the next id of every text.
func (g *generator) next(ctx context.Context, texts []*continuation) ([]int32, error) {
	length := len(texts[0].ids)
	feeds, err := g.feeds(texts, length)
	if err != nil {
		return nil, err
	}
	out, err := g.model.Run(ctx, feeds, g.output)
	if err != nil {
		return nil, err
	}
	t := out[g.output]
	shape := t.Shape()
	if len(shape) != 3 || shape[0] < int64(len(texts)) || shape[1] < int64(length) || shape[2] == 0 {
		return nil, usage("output %q has shape %v; a language model's logits are [batch, tokens, vocabulary]", g.output, shape)
	}
	logits, err := singles(t)
	if err != nil {
		return nil, usage("output %q: %w", g.output, err)
	}
	ids := make([]int32, len(texts))
	for i := range texts {
		at := (i*int(shape[1]) + length - 1) * int(shape[2])
		if ids[i], err = argmax(logits[at : at+int(shape[2])]); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// argmax is the index of the largest score, the lowest of equal ones.
func argmax(v []float32) (int32, error) {
	best := 0
	for i, x := range v {
		if math.IsNaN(float64(x)) {
			return 0, fmt.Errorf("the model's logits are not numbers (index %d): its weights may be damaged", i)
		}
		if x > v[best] {
			best = i
		}
	}
	return int32(best), nil
}

// feeds makes the inputs: the texts, filled up at the end where the export fixed
// batch or length. Causal attention keeps the filling from what is before it.
func (g *generator) feeds(texts []*continuation, length int) (map[string]*ort.Tensor, error) {
	rows, wide := int64(len(texts)), int64(length)
	for _, in := range g.inputs {
		if in.Name == "input_ids" && len(in.Dims) == 2 && in.Dims[0] > 0 {
			rows = in.Dims[0]
		}
	}
	if g.fixed > 0 {
		wide = g.fixed
	}
	columns := map[string][]int64{"input_ids": nil, "attention_mask": nil, "position_ids": nil, "token_type_ids": make([]int64, rows*wide)}
	for i := range rows {
		for t := range wide {
			id, mask := int64(g.pad), int64(0)
			if int(i) < len(texts) && t < int64(length) {
				id, mask = int64(texts[i].ids[t]), 1
			}
			if int(i) >= len(texts) {
				mask = 1 // a row of filling: any valid text
			}
			columns["input_ids"] = append(columns["input_ids"], id)
			columns["attention_mask"] = append(columns["attention_mask"], mask)
			columns["position_ids"] = append(columns["position_ids"], t)
		}
	}
	feeds := map[string]*ort.Tensor{}
	for _, in := range g.inputs {
		t, err := g.feed(in, columns, rows, wide)
		if err != nil {
			return nil, err
		}
		feeds[in.Name] = t
	}
	return feeds, nil
}

// feed makes one input.
func (g *generator) feed(in ort.Info, columns map[string][]int64, rows, wide int64) (*ort.Tensor, error) {
	if v, ok := columns[in.Name]; ok {
		if in.Name == "position_ids" && len(in.Dims) == 2 && in.Dims[0] == 1 {
			rows, v = 1, v[:wide]
		}
		return ort.NewTensor([]int64{rows, wide}, v)
	}
	if in.Name == "use_cache_branch" {
		return ort.NewTensor([]int64{1}, []bool{false})
	}
	if strings.HasPrefix(in.Name, "past_key_values") || strings.HasPrefix(in.Name, "past_") {
		shape := slices.Clone(in.Dims) // [batch, heads, 0, size]: nothing is past
		for i, d := range shape {
			switch {
			case d >= 0:
			case i == 0 || i == 1 && len(shape) == 5:
				shape[i] = rows
			default:
				shape[i] = 0
			}
		}
		return ort.NewZeros(in.DType, shape)
	}
	return nil, usage("the model's input %q is not one that a text has; there are input_ids, attention_mask, token_type_ids and position_ids", in.Name)
}

// singles returns a floating tensor's elements in single precision.
func singles(t *ort.Tensor) ([]float32, error) {
	if t.DType() == ort.Float16 || t.DType() == ort.BFloat16 {
		return HalfData(t)
	}
	single, err := convert(t, ort.Float32)
	if err != nil {
		return nil, err
	}
	return ort.Data[float32](single)
}
