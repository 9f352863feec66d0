package runtime

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// A pooling joins the vectors of n tokens, [n, size] row by row, into one.
type pooling func(v []float32, size int) []float32

// poolings by name.
var poolings = map[string]pooling{
	"mean": func(v []float32, size int) []float32 {
		sum := make([]float64, size)
		for i, x := range v {
			sum[i%size] += float64(x)
		}
		out := make([]float32, size)
		for i, s := range sum {
			out[i] = float32(s / float64(len(v)/size))
		}
		return out
	},
	"cls":  func(v []float32, size int) []float32 { return slices.Clone(v[:size]) },
	"last": func(v []float32, size int) []float32 { return slices.Clone(v[len(v)-size:]) },
	"max": func(v []float32, size int) []float32 {
		out := slices.Clone(v[:size])
		for i, x := range v {
			out[i%size] = max(out[i%size], x)
		}
		return out
	},
}

// pooling finds a pooling by its name, or the model directory's own.
func (m *Model) pooling(name string) (pooling, error) {
	if name == "" {
		var err error
		if name, err = readPooling(m.Dir()); err != nil {
			return nil, err
		}
	}
	p, ok := poolings[name]
	if !ok {
		return nil, usage("pooling %q; there are %q", name, slices.Sorted(maps.Keys(poolings)))
	}
	return p, nil
}

// readPooling reads the pooling of a sentence-transformers directory; "mean"
// where there is none.
func readPooling(dir string) (string, error) {
	path := filepath.Join(dir, "1_Pooling", "config.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "mean", nil
	}
	if err != nil {
		return "", usage("pooling: %w", err)
	}
	var file map[string]any
	if err := json.Unmarshal(data, &file); err != nil {
		return "", usage("%s: %v", path, err)
	}
	var chosen []string
	for key, name := range map[string]string{
		"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_lasttoken": "last", "pooling_mode_max_tokens": "max",
		"pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len", "pooling_mode_weightedmean_tokens": "weightedmean",
	} {
		if file[key] == true {
			chosen = append(chosen, name)
		}
	}
	if len(chosen) != 1 {
		slices.Sort(chosen)
		return "", usage("%s chooses the poolings %q; exactly one is supported: say it with --pooling", path, chosen)
	}
	return chosen[0], nil
}
