package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"
)

// A bestModel are the weights with the best noised evaluation so far, in the folder
// best-N after evaluation N. Everything in it was noised and charged.
type bestModel struct {
	Step       int64       `json:"step"`
	Score      float64     `json:"score"` // larger is better
	Evaluation int64       `json:"evaluation"`
	Plan       string      `json:"plan"`   // hash
	Ledger     dpadam.Head `json:"ledger"` // the chain's head after the evaluation was charged

	path string
}

const bestPrefix = "best-"

// writeBest writes best-N as a whole and removes the one before it.
func (d outputDir) writeBest(b *bestModel, weights *ort.Arena) error {
	tmp, err := os.MkdirTemp(d.path, temporaryCheckpoint)
	if err != nil {
		return fmt.Errorf("best checkpoint: %w", err)
	}
	hook := durable.Hook(func(point string) { d.hook.At("best." + point) })
	if err := b.write(tmp, weights, hook); err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	b.path = filepath.Join(d.path, bestPrefix+strconv.FormatInt(b.Evaluation, 10))
	if err := durable.ReplaceDir(tmp, b.path, hook); err != nil {
		return err
	}
	all, err := d.bestModels()
	if err != nil {
		return err
	}
	for _, old := range all {
		if old.Evaluation < b.Evaluation {
			gone := filepath.Join(d.path, temporaryCheckpoint+"best-"+strconv.FormatInt(old.Evaluation, 10))
			if err := errors.Join(os.Rename(old.path, gone), os.RemoveAll(gone)); err != nil {
				return fmt.Errorf("removing an old checkpoint: %w", err)
			}
		}
	}
	return nil
}

func (b *bestModel) write(dir string, weights *ort.Arena, hook durable.Hook) error {
	if err := safetensors.WriteFile(filepath.Join(dir, "weights.safetensors"), weightTensors(weights), nil, hook); err != nil {
		return err
	}
	return durable.WriteJSON(filepath.Join(dir, "state.json"), 0o644, b)
}

// load puts the weights back.
func (b *bestModel) load(weights *ort.Arena) error {
	into := map[string][]float32{}
	for _, p := range weights.Params() {
		into[p.Name] = weights.Slice(p.Name)
	}
	return readTensors(filepath.Join(b.path, "weights.safetensors"), into)
}

// bestModels lists the kept ones by the number of their evaluation; after a kill there may be
// two, of which the last is the best.
func (d outputDir) bestModels() ([]bestModel, error) {
	var out []bestModel
	err := d.eachState(bestPrefix, func(path string, evaluation int64, read func(any) error) error {
		b := bestModel{path: path}
		if err := read(&b); err != nil || b.Evaluation != evaluation {
			return usage("%s: its state.json is damaged; remove this folder to go on without it", path)
		}
		out = append(out, b)
		return nil
	})
	slices.SortFunc(out, func(a, b bestModel) int { return int(a.Evaluation - b.Evaluation) })
	return out, err
}

// weightTensors lists an arena's parameters as tensors of a file.
func weightTensors(weights *ort.Arena) []safetensors.Tensor {
	list := make([]safetensors.Tensor, 0, len(weights.Params()))
	for _, p := range weights.Params() {
		list = append(list, safetensors.Tensor{Name: p.Name, DType: "F32", Shape: p.Shape, Floats: weights.Slice(p.Name)})
	}
	return list
}
