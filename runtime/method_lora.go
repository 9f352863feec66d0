package runtime

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/adapt"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/canon"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// Defaults of --method lora: rank and α of Hu et al.'s experiments with GPT-2, and the projections to queries and values, PEFT's targets of nearly every
// architecture. A packed projection is one matrix and taken whole, as PEFT takes it.
const (
	defaultLoRARank    = 4
	defaultLoRAAlpha   = 32
	defaultLoRATargets = "attention:q+v"
)

// lora adds low-rank updates to weights and trains those alone.
type lora struct {
	options MethodOptions
	base    *ghost.Prepared // the model as it is
	updates []adapt.LowRank
}

func newLoRA(o MethodOptions) (method, error) {
	if o.Rank == 0 {
		o.Rank = defaultLoRARank
	}
	if o.Alpha == 0 {
		o.Alpha = defaultLoRAAlpha
	}
	if len(o.Targets) == 0 {
		o.Targets = []string{defaultLoRATargets}
	}
	return &lora{options: o}, nil
}

func (l *lora) prepare(_ context.Context, _ *Model, p *ghost.Prepared) (*ghost.Prepared, error) {
	weights, err := matricesOf(p, "lora-targets", l.options.Targets)
	if err != nil {
		return nil, err
	}
	l.base = p
	a := adapt.LoRA{Rank: l.options.Rank, Alpha: l.options.Alpha, Source: l.options.source}
	p, l.updates, err = withLowRank(p, "lora", weights, a.Apply)
	return p, err
}

// withLowRank gives a model in which weights have low-rank parameters beside them.
func withLowRank(p *ghost.Prepared, method string, weights []string, apply func(g *ir.Graph, weights []string) ([]adapt.LowRank, error)) (_ *ghost.Prepared, updates []adapt.LowRank, err error) {
	p, err = p.Rewritten(func(g *canon.Graph) (adapters []string, err error) {
		if updates, err = apply(g.Graph, weights); err != nil {
			return nil, fmt.Errorf("--method %s: %w", method, err)
		}
		for _, u := range updates {
			adapters = append(adapters, u.A, u.B)
		}
		return adapters, nil
	})
	return p, updates, err
}

// source draws what a method adds under that name.
func (o MethodOptions) source(name string) *rand.Rand { return publicSource("adapter", name, o.Seed) }

// publicSource draws one parameter's numbers for a purpose, from a seed that is public.
func publicSource(purpose, name string, seed uint64) *rand.Rand {
	key := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte(purpose+"\x00"+name+"\x00"), seed))
	return rand.New(rand.NewChaCha8(key))
}

// quantisedHint says why targets may be missing.
func quantisedHint(p *ghost.Prepared) string {
	if len(p.Quantised) == 0 {
		return ""
	}
	return fmt.Sprintf("; %d weights are quantised, and an update can't be merged into those: export the model in floating point", len(p.Quantised))
}

func (l *lora) trainable(p *ghost.Prepared) []string {
	return withHead(p, []string{"part:" + ghost.PartAdapter})
}

func (l *lora) describe() string {
	return fmt.Sprintf("LoRA of rank %d, alpha %g, on %d weights (%s), initial values from the public seed %d",
		l.options.Rank, l.options.Alpha, len(l.updates), strings.Join(l.options.Targets, " "), l.options.Seed)
}

// save writes the merged model, and the updates by themselves into adapter/.
func (l *lora) save(m *Model, dir string, w *Weights, metadata map[string]string) error {
	merged, err := l.merged(w)
	if err != nil {
		return err
	}
	if err := writeBack(m, dir, merged, metadata); err != nil {
		return err
	}
	return l.saveAdapter(m, dir, w, metadata)
}

// merged are the trained numbers of the model's own parameters, updates merged.
func (l *lora) merged(w *Weights) (map[string][]float32, error) {
	out := map[string][]float32{}
	for _, param := range w.Trained.Params() {
		if l.base.Graph.Inits[param.Name] != nil {
			out[param.Name] = w.Trained.Slice(param.Name)
		}
	}
	for _, u := range l.updates {
		v := slices.Clone(out[u.Weight])
		if v == nil {
			v = slices.Clone(w.of(u.Weight))
		}
		u.Merge(v, w.of(u.A), w.of(u.B))
		out[u.Weight] = v
	}
	return out, nil
}
