package safetensors

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
)

// DefaultShardSize is the largest file that transformers writes: 5 GB.
const DefaultShardSize = 5_000_000_000

// WriteDir writes a checkpoint into an existing directory: model.safetensors, or,
// where the tensors' bytes exceed maxShard (0: DefaultShardSize), shards named as
// transformers names them and model.safetensors.index.json. A tensor is never
// split. Files of an earlier checkpoint there are removed last. It returns the
// names of the files written.
func WriteDir(dir string, tensors []Tensor, metadata map[string]string, maxShard int64) ([]string, error) {
	if maxShard == 0 {
		maxShard = DefaultShardSize
	}
	shards, total, err := split(tensors, maxShard)
	if err != nil {
		return nil, err
	}
	var written []string
	if len(shards) == 1 {
		written = []string{SingleName}
		if err := WriteFile(filepath.Join(dir, SingleName), shards[0], metadata, nil); err != nil {
			return nil, err
		}
		return written, removeStale(dir, written)
	}
	place := map[string]string{}
	for i, shard := range shards {
		name := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		if err := WriteFile(filepath.Join(dir, name), shard, metadata, nil); err != nil {
			return nil, err
		}
		written = append(written, name)
		for _, t := range shard {
			place[t.Name] = name
		}
	}
	text, err := json.MarshalIndent(map[string]any{"metadata": map[string]any{"total_size": total}, "weight_map": place}, "", "  ")
	if err != nil {
		return nil, err
	}
	written = append(written, IndexName)
	if err := durable.WriteBytes(filepath.Join(dir, IndexName), 0o644, append(text, '\n')); err != nil {
		return nil, err
	}
	return written, removeStale(dir, written)
}

// split fills shards in order of the tensors' names, at least one tensor each.
func split(tensors []Tensor, maxShard int64) (shards [][]Tensor, total int64, err error) {
	sorted := slices.SortedFunc(slices.Values(tensors), func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	var filled int64
	for i, t := range sorted {
		if i > 0 && t.Name == sorted[i-1].Name {
			return nil, 0, fmt.Errorf("writing tensor %q: the name occurs twice", t.Name)
		}
		n, err := t.bytes()
		if err != nil {
			return nil, 0, fmt.Errorf("writing tensor %q: %w", t.Name, err)
		}
		if len(shards) == 0 || n > maxShard-filled && filled > 0 {
			shards, filled = append(shards, nil), 0
		}
		last := len(shards) - 1
		shards[last] = append(shards[last], t)
		filled += n
		total += n
	}
	if len(shards) == 0 {
		shards = [][]Tensor{nil}
	}
	return shards, total, nil
}

var shardName = regexp.MustCompile(`^model-\d{5}-of-\d{5}\.safetensors$`)

// removeStale removes the files of a checkpoint that was there before, which
// transformers would read together with the new ones or instead of them.
func removeStale(dir string, written []string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		n := e.Name()
		if (n == SingleName || n == IndexName || shardName.MatchString(n)) && !slices.Contains(written, n) {
			if err := os.Remove(filepath.Join(dir, n)); err != nil {
				return err
			}
		}
	}
	return nil
}
