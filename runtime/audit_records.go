package runtime

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	seeded "math/rand/v2"
	"slices"
	"strings"
	"unicode"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// Canaries that are records: texts of random words of the tokenizer's vocabulary, which no
// real data hold, in the form of the task.

// canaryLengths are the numbers of words that are tried, longest first: the more tokens, the
// more there is to remember, but a record that is too long would contribute nothing.
var canaryLengths = []int{24, 16, 12, 8, 6, 4, 3, 2}

// newCanaries makes m records of the reader's task. Every one is kept by its formatter.
func (r *reader) newCanaries(ctx context.Context, m int, seed *uint64) ([]tokenize.Record, error) {
	words := plainWords(r.tokenizer)
	if len(words) < 16 {
		return nil, usage("the tokenizer has %d plain words; canaries need at least 16", len(words))
	}
	rng, err := canarySource(seed)
	if err != nil {
		return nil, err
	}
	for _, n := range canaryLengths {
		records := make([]tokenize.Record, m)
		for i := range records {
			records[i] = r.canary(i, n, words, rng)
		}
		examples, err := tokenize.FormatAll(ctx, r.formatter, records, r.options.Threads)
		if err != nil {
			return nil, fmt.Errorf("canaries: %w", err)
		}
		if !slices.ContainsFunc(examples, func(e tokenize.Example) bool { return e.Dropped != tokenize.Kept || e.Len() > r.maxLength }) {
			return records, nil
		}
	}
	return nil, usage("--max-length %d leaves no room for a canary of two words", r.maxLength)
}

// canary is record i, of n words in each text. Every canary is a unit of privacy of its own.
func (r *reader) canary(i, n int, words []string, rng *seeded.Rand) tokenize.Record {
	text := func() string {
		list := make([]string, n)
		for k := range list {
			list[k] = words[rng.IntN(len(words))]
		}
		return strings.Join(list, " ")
	}
	rec := tokenize.Record{Row: i + 1, Label: -1, Unit: fmt.Sprintf("ghostwriter canary %d", i)}
	switch task := r.recipe.task; {
	case task == tokenize.TaskE2E:
		rec.Source, rec.Target = "name["+words[rng.IntN(len(words))]+"]", text()
	case task.Triples():
		rec.Source, rec.Target = words[rng.IntN(len(words))]+" : is : "+words[rng.IntN(len(words))], text()
	case task == tokenize.TaskPersona:
		rec.Dialog, rec.Target = &tokenize.Dialog{History: []string{words[rng.IntN(len(words))]}}, text()
	case task == tokenize.TaskInstruct:
		rec.Source, rec.Target = words[rng.IntN(len(words))]+" ", text()
	case r.recipe.text:
		rec.Text = text()
	default:
		rec.Text = text()
		if task.Pairs() {
			rec.Pair = text()
		}
		classes := r.classes
		if names := task.Labels(); names != nil {
			classes = len(names)
		}
		rec.Label = rng.IntN(max(1, classes))
	}
	return rec
}

// plainWords are the tokens that stand for words of letters.
func plainWords(t *tokenize.Tokenizer) []string {
	seen := map[string]bool{}
	for id := range int32(t.VocabSize()) {
		if t.IsSpecial(id) {
			continue
		}
		word := strings.TrimSpace(t.Decode([]int32{id}, true))
		if word != "" && !strings.ContainsFunc(word, func(c rune) bool { return !unicode.IsLetter(c) }) {
			seen[word] = true
		}
	}
	words := make([]string, 0, len(seen))
	for w := range seen {
		words = append(words, w)
	}
	slices.Sort(words)
	return words
}

// canarySource is a random source from the operating system, or from a seed for tests.
func canarySource(seed *uint64) (*seeded.Rand, error) {
	var key [32]byte
	if seed == nil {
		if _, err := rand.Read(key[:]); err != nil {
			return nil, fmt.Errorf("operating system's random numbers: %w", err)
		}
	} else {
		copy(key[:], "ghostwriter/audit words")
		binary.LittleEndian.PutUint64(key[24:], *seed)
	}
	return seeded.New(seeded.NewChaCha8(key)), nil
}

// recordLosses computes the loss of every record under the model at path.
func recordLosses(ctx context.Context, path string, o *FinetuneOptions, records []tokenize.Record) (_ []float64, err error) {
	m, err := Open(path, Options{Library: o.Library, Threads: o.Threads, Device: o.Device, Output: o.Output, Head: o.Head})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	prepared, err := m.Prepared()
	if err != nil {
		return nil, err
	}
	env, err := m.Env()
	if err != nil {
		return nil, err
	}
	r, err := newReader(m, o)
	if err != nil {
		return nil, err
	}
	d, err := r.dataset(ctx, "canaries", records, "")
	if err != nil {
		return nil, err
	}
	place, err := m.workplace()
	if err != nil {
		return nil, err
	}
	set := newStepSet(env, prepared, ghost.Spec{Loss: d.loss, Pass: ghost.Losses}, place)
	defer func() { err = errors.Join(err, set.Close()) }()
	return set.losses(ctx, d, prepared)
}

// losses evaluates every record of a data set with the weights of the file.
func (s *stepSet) losses(ctx context.Context, d *dataset, p *ghost.Prepared) ([]float64, error) {
	const size = 8
	all := make([]int, len(d.examples))
	for i := range all {
		all[i] = i
	}
	rows, fixed := size, false
	if n := fixedBatch(p.Inputs()); n > 0 {
		rows, fixed = n, true
	}
	out := make([]float64, len(all))
	var weights *Weights
	for _, m := range d.pack(all, rows, fixed) {
		st, err := s.at(m.edge)
		if err != nil {
			return nil, err
		}
		if weights == nil {
			if weights, err = loadWeights(p, st.program.Trained, st.program.Frozen); err != nil {
				return nil, err
			}
		}
		batch, _, err := d.collate(m.records, m.edge, m.rows, st.program.Data)
		if err != nil {
			return nil, err
		}
		loss, _, err := st.runLosses(ctx, batch, weights)
		if err != nil {
			return nil, hideData(err)
		}
		for row, i := range m.records {
			if out[i] = loss[row]; math.IsNaN(out[i]) || math.IsInf(out[i], 0) {
				return nil, fmt.Errorf("the loss of canary %d is not finite: the training diverged; take a smaller --lr", i)
			}
		}
	}
	return out, nil
}
