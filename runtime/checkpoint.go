package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"
)

// A checkpoint is the state of a run after a step. Everything in it is computed
// from noised sums, so it is covered by the ε of the ledger's head it names.
type checkpoint struct {
	Step    int64       `json:"step"`
	Planned int64       `json:"planned_steps"`
	Plan    string      `json:"plan"`   // hash
	Ledger  dpadam.Head `json:"ledger"` // the chain's head when it was written
	// ClipNorm is the clipping norm of the step to come, where the plan adapts it.
	ClipNorm float64 `json:"clip_norm,omitempty"`
	// Resolved is the plan with every default filled in, for people; what counts
	// is the ledger's.
	Resolved dpadam.Spec `json:"resolved_plan"`

	path string
}

const (
	checkpointPrefix    = "checkpoint-"
	temporaryCheckpoint = ".checkpoint-"
	keptCheckpoints     = 2

	weightsFile = "weights.safetensors"
	averageFile = "average.safetensors" // with --ema
)

// A runState is what a checkpoint keeps of the vectors of a run.
type runState struct {
	weights   *ort.Arena
	optimizer dpadam.Optimizer
	slots     []dpadam.Slot // the optimizer's whole state, of all ranks
	averaged  *ort.Arena    // nil without an average of the weights
	average   *dpadam.Average
}

// state is the trainer's, to be written or filled; slots are the optimizer's.
func (t *trainer) state(slots []dpadam.Slot) runState {
	return runState{t.lasting(), t.optimizer, slots, t.averaged, t.average}
}

// writeCheckpoint writes checkpoint-N as a whole: into a temporary folder, every
// file synced, then renamed. Older ones than the last two are removed.
func (d outputDir) writeCheckpoint(c checkpoint, o *FinetuneOptions, s runState) error {
	name := checkpointPrefix + strconv.FormatInt(c.Step, 10)
	tmp, err := os.MkdirTemp(d.path, temporaryCheckpoint)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	hook := durable.Hook(func(point string) { d.hook.At("checkpoint." + point) })
	if err := c.write(tmp, o, s, hook); err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := durable.ReplaceDir(tmp, filepath.Join(d.path, name), hook); err != nil {
		return err
	}
	return d.dropOld(c.Step)
}

func (c checkpoint) write(dir string, o *FinetuneOptions, s runState, hook durable.Hook) error {
	metadata := map[string]string{}
	if c.Resolved.NotPrivate != "" {
		metadata[privacyKey] = c.Resolved.NotPrivate
	}
	if err := safetensors.WriteFile(filepath.Join(dir, weightsFile), weightTensors(s.weights), metadata, hook); err != nil {
		return err
	}
	if s.averaged != nil {
		if err := safetensors.WriteFile(filepath.Join(dir, averageFile), weightTensors(s.averaged), metadata, hook); err != nil {
			return err
		}
	}
	var list []safetensors.Tensor
	for _, slot := range s.slots {
		list = append(list, safetensors.Tensor{Name: slot.Name, DType: "F32", Shape: []int64{int64(len(slot.Data))}, Floats: slot.Data})
	}
	metadata["step"] = strconv.FormatInt(s.optimizer.Step(), 10)
	if err := safetensors.WriteFile(filepath.Join(dir, "optimizer.safetensors"), list, metadata, hook); err != nil {
		return err
	}
	config, err := marshalOptions(o, c.Resolved.NotPrivate)
	if err != nil {
		return err
	}
	if err := durable.WriteBytes(filepath.Join(dir, configFile), 0o600, config); err != nil {
		return err
	}
	return durable.WriteJSON(filepath.Join(dir, "state.json"), 0o644, c)
}

// dropOld removes all but the last checkpoints.
func (d outputDir) dropOld(newest int64) error {
	points, err := d.checkpoints()
	if err != nil {
		return err
	}
	for i := 0; i < len(points)-keptCheckpoints; i++ {
		if points[i].Step < newest {
			// Renamed first: one that is only half removed must not look like a checkpoint.
			gone := filepath.Join(d.path, temporaryCheckpoint+"old-"+strconv.FormatInt(points[i].Step, 10))
			if err := errors.Join(os.Rename(points[i].path, gone), os.RemoveAll(gone)); err != nil {
				return fmt.Errorf("removing an old checkpoint: %w", err)
			}
		}
	}
	return nil
}

// checkpoints lists the checkpoints, oldest first.
func (d outputDir) checkpoints() ([]checkpoint, error) {
	var out []checkpoint
	err := d.eachState(checkpointPrefix, func(path string, step int64, read func(any) error) error {
		c := checkpoint{path: path}
		if err := read(&c); err != nil || c.Step != step {
			return usage("%s: its state.json is damaged; remove this checkpoint to go on from an earlier one", path)
		}
		out = append(out, c)
		return nil
	})
	slices.SortFunc(out, func(a, b checkpoint) int { return int(a.Step - b.Step) })
	return out, err
}

// eachState calls f with every folder of that prefix and a number, and with what reads its state.json strictly.
func (d outputDir) eachState(prefix string, f func(path string, number int64, read func(into any) error) error) error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		suffix, ok := strings.CutPrefix(e.Name(), prefix)
		number, err := strconv.ParseInt(suffix, 10, 64)
		if !ok || err != nil {
			continue
		}
		path := filepath.Join(d.path, e.Name())
		data, err := os.ReadFile(filepath.Join(path, "state.json"))
		if err != nil {
			return usage("checkpoint: %w", err)
		}
		read := func(into any) error {
			dec := json.NewDecoder(bytes.NewReader(data))
			dec.DisallowUnknownFields()
			return dec.Decode(into)
		}
		if err := f(path, number, read); err != nil {
			return err
		}
	}
	return nil
}

// load puts a checkpoint's state into a run's.
func (c checkpoint) load(plan *dpadam.Plan, to runState) error {
	if c.Plan != plan.Hash() {
		return usage("%s belongs to another plan; give the options of that run", c.path)
	}
	if err := readArena(filepath.Join(c.path, weightsFile), to.weights); err != nil {
		return err
	}
	if to.averaged != nil {
		if err := readArena(filepath.Join(c.path, averageFile), to.averaged); err != nil {
			return err
		}
		if err := to.average.SetStep(c.Step); err != nil {
			return err
		}
	}
	into := map[string][]float32{}
	for _, s := range to.slots {
		into[s.Name] = s.Data
	}
	if err := readTensors(filepath.Join(c.path, "optimizer.safetensors"), into); err != nil {
		return err
	}
	return to.optimizer.SetStep(c.Step)
}

// readArena fills an arena from a file of its parameters.
func readArena(path string, a *ort.Arena) error {
	into := map[string][]float32{}
	for _, p := range a.Params() {
		into[p.Name] = a.Slice(p.Name)
	}
	return readTensors(path, into)
}

// readTensors fills exactly the named vectors from a file.
func readTensors(path string, into map[string][]float32) error {
	f, err := safetensors.Open(path)
	if err != nil {
		return usage("checkpoint %s: %w", path, err)
	}
	defer f.Close()
	for _, name := range f.Names() {
		if _, ok := into[name]; !ok {
			return usage("%s: tensor %q does not belong to this model", path, name)
		}
	}
	for name, dst := range into {
		if err := f.ReadFloat32(name, dst); err != nil {
			return usage("%s: %w", path, err)
		}
	}
	return nil
}
