package safetensors_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"
)

// tensors of every floating type, named n0…, element i of tensor k is k + i/8.
func tensors(n int) []safetensors.Tensor {
	var out []safetensors.Tensor
	for k := range n {
		v := make([]float32, 4+k)
		for i := range v {
			v[i] = float32(k) + float32(i)/8
		}
		dtype := []string{"F32", "F16", "BF16", "F64"}[k%4]
		out = append(out, safetensors.Tensor{Name: fmt.Sprintf("n%02d", k), DType: dtype, Shape: []int64{int64(len(v))}, Floats: v})
	}
	return out
}

// A checkpoint comes back the same from one file and from shards of any size.
func TestDirRoundTrip(t *testing.T) {
	want := tensors(13)
	dir := t.TempDir()
	for _, maxShard := range []int64{0, 64, 1, 100, 1 << 40} {
		files, err := safetensors.WriteDir(dir, want, map[string]string{"format": "pt"}, maxShard)
		if err != nil {
			t.Fatal(err)
		}
		entries, _ := os.ReadDir(dir)
		if len(entries) != len(files) {
			t.Errorf("shards of %d: %d files in the directory, wrote %v", maxShard, len(entries), files)
		}
		if single := slices.Contains(files, safetensors.SingleName); single != (maxShard == 0 || maxShard == 1<<40) {
			t.Errorf("shards of %d: wrote %v", maxShard, files)
		}
		d, err := safetensors.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Names()) != len(want) || d.Metadata()["format"] != "pt" {
			t.Errorf("shards of %d: %v %v", maxShard, d.Names(), d.Metadata())
		}
		for _, x := range want {
			got := make([]float32, len(x.Floats))
			info, ok := d.Info(x.Name)
			if err := d.ReadFloat32(x.Name, got); err != nil || !ok || info.DType != x.DType || !slices.Equal(got, x.Floats) {
				t.Errorf("shards of %d: %q: %v %v, want %v; %v", maxShard, x.Name, info, got, x.Floats, err)
			}
			if b, err := d.Bytes(x.Name); err != nil || len(b) == 0 {
				t.Errorf("%q: %d bytes, %v", x.Name, len(b), err)
			}
		}
		for _, f := range files {
			if info, _ := os.Stat(filepath.Join(dir, f)); maxShard == 64 && strings.HasSuffix(f, ".safetensors") && info.Size() > 64+8+1024 {
				t.Errorf("shard %s has %d bytes", f, info.Size())
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What can't be written as asked is refused before anything is written.
func TestWriteRefuses(t *testing.T) {
	dir := t.TempDir()
	fill := func(n int) func(io.Writer) error {
		return func(w io.Writer) error { _, err := w.Write(make([]byte, n)); return err }
	}
	for what, list := range map[string][]safetensors.Tensor{
		"twice":          {{Name: "a", DType: "U8", Shape: []int64{0}}, {Name: "a", DType: "U8", Shape: []int64{0}}},
		"too large":      {{Name: "a", DType: "F16", Shape: []int64{1}, Floats: []float32{1e6}}},
		"not a float":    {{Name: "a", DType: "I32", Shape: []int64{1}, Floats: []float32{1}}},
		"size":           {{Name: "a", DType: "F32", Shape: []int64{2}, Floats: []float32{1}}},
		"data size":      {{Name: "a", DType: "F32", Shape: []int64{2}, Data: make([]byte, 4)}},
		"type":           {{Name: "a", DType: "Q9", Shape: []int64{2}, Data: make([]byte, 4)}},
		"fills too few":  {{Name: "a", DType: "F32", Shape: []int64{2}, Fill: fill(7)}},
		"fills too many": {{Name: "a", DType: "F32", Shape: []int64{2}, Fill: fill(9)}},
		"fails":          {{Name: "a", DType: "F32", Shape: []int64{2}, Fill: func(io.Writer) error { return io.ErrClosedPipe }}},
		"overflow":       {{Name: "a", DType: "F32", Shape: []int64{math.MaxInt64, 2}, Fill: fill(0)}},
	} {
		if _, err := safetensors.WriteDir(dir, list, nil, 0); err == nil || !strings.Contains(err.Error(), `"a"`) {
			t.Errorf("%s: %v", what, err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 0 {
			t.Fatalf("%s left %v", what, entries)
		}
	}
}

// writeShards writes a valid checkpoint of two shards and returns its index.
func writeShards(t *testing.T, dir string) map[string]any {
	t.Helper()
	if files, err := safetensors.WriteDir(dir, tensors(4), nil, 60); err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, safetensors.IndexName))
	if err != nil {
		t.Fatal(err)
	}
	var ix map[string]any
	if err := json.Unmarshal(text, &ix); err != nil {
		t.Fatal(err)
	}
	return ix
}

// An index that lies about its shards is refused, naming what is wrong.
func TestHostileIndex(t *testing.T) {
	first, second := "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
	for what, c := range map[string]struct {
		change func(dir string, ix, m map[string]any)
		says   string
	}{
		"leaves the directory": {func(_ string, _, m map[string]any) { m["n00"] = "../" + first }, `"n00"`},
		"absolute":             {func(dir string, _, m map[string]any) { m["n00"] = filepath.Join(dir, first) }, `"n00"`},
		"backslashes":          {func(_ string, _, m map[string]any) { m["n00"] = `..\x` }, `"n00"`},
		"dots":                 {func(_ string, _, m map[string]any) { m["n00"] = ".." }, `"n00"`},
		"no name":              {func(_ string, _, m map[string]any) { m["n00"] = "" }, `"n00"`},
		"another shard":        {func(_ string, _, m map[string]any) { m["n00"] = second }, `"n00"`},
		"unlisted":             {func(_ string, _, m map[string]any) { delete(m, "n00") }, `"n00"`},
		"missing tensor":       {func(_ string, _, m map[string]any) { m["more"] = second }, `"more"`},
		"missing shard":        {func(_ string, _, m map[string]any) { m["more"] = "gone.safetensors" }, `"gone.safetensors"`},
		"total size":           {func(_ string, ix, _ map[string]any) { ix["metadata"] = map[string]any{"total_size": 1} }, "total_size"},
		"no map":               {func(_ string, ix, _ map[string]any) { delete(ix, "weight_map") }, "weight_map"},
		"a map of numbers":     {func(_ string, _, m map[string]any) { m["n00"] = 3 }, "weight_map"},
		"a folder":             {func(dir string, _, m map[string]any) { os.Mkdir(filepath.Join(dir, "d"), 0o755); m["more"] = "d" }, `"d"`},
		"truncated shard":      {func(dir string, _, _ map[string]any) { os.Truncate(filepath.Join(dir, second), 200) }, second},
	} {
		dir := t.TempDir()
		ix := writeShards(t, dir)
		c.change(dir, ix, ix["weight_map"].(map[string]any))
		text, _ := json.Marshal(ix)
		if err := os.WriteFile(filepath.Join(dir, safetensors.IndexName), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := safetensors.OpenDir(dir); !errors.Is(err, safetensors.ErrFormat) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A pickled checkpoint is refused with the way out, alone or among other files;
// beside safetensors it is ignored.
func TestPickleIsRefused(t *testing.T) {
	for _, name := range []string{"pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-00001-of-00002.bin", "model.pt", "last.ckpt", "weights.pth"} {
		dir := t.TempDir()
		for _, n := range []string{name, "config.json", "training_args.bin"} {
			if err := os.WriteFile(filepath.Join(dir, n), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, path := range []string{dir, filepath.Join(dir, name)} {
			if _, err := safetensors.OpenDir(path); strings.HasSuffix(path, "index.json") {
				if err == nil {
					t.Errorf("%s was opened", path)
				}
			} else if !errors.Is(err, safetensors.ErrPickle) || !strings.Contains(err.Error(), "save_pretrained") {
				t.Errorf("%s: %v", path, err)
			}
		}
		if _, err := safetensors.WriteDir(dir, tensors(1), nil, 0); err != nil {
			t.Fatal(err)
		}
		d, err := safetensors.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		d.Close()
	}
	if _, err := safetensors.OpenDir(t.TempDir()); !errors.Is(err, safetensors.ErrFormat) {
		t.Errorf("an empty directory: %v", err)
	}
}

// FuzzIndex opens a checkpoint whose index is anything, beside one real shard.
func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"metadata":{"total_size":16},"weight_map":{"n00":"a.safetensors"}}`))
	f.Add([]byte(`{"weight_map":{"n00":"../a.safetensors"}}`))
	f.Add([]byte(`{"weight_map":{"n00":"a.safetensors","x":"a.safetensors"}}`))
	f.Add([]byte(`null`))
	dir := f.TempDir()
	if err := safetensors.WriteFile(filepath.Join(dir, "a.safetensors"), tensors(1), nil, nil); err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(dir, safetensors.IndexName)
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := safetensors.OpenDir(dir)
		if err != nil {
			return
		}
		defer d.Close()
		if !slices.Equal(d.Names(), []string{"n00"}) {
			t.Errorf("%q gave %v", text, d.Names())
		}
	})
}
