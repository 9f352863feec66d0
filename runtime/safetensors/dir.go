package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The files of a checkpoint in a Hugging Face directory.
const (
	SingleName = "model.safetensors"
	IndexName  = "model.safetensors.index.json"
)

// ErrPickle is wrapped by the error about a checkpoint that only PyTorch's pickle
// format holds.
var ErrPickle = errors.New("a pickled checkpoint is not read")

// A Dir is a checkpoint: one file, or shards that an index lists. Of the files
// only the headers are in memory. It is safe for concurrent use.
type Dir struct {
	files  []*File
	holder map[string]*File
}

// OpenDir opens the checkpoint at path: a directory that holds model.safetensors
// or model.safetensors.index.json with its shards, or one such file by name. Of
// several in a directory the first is read, as transformers does. The index must
// name exactly the tensors that the shards hold, each once.
func OpenDir(path string) (*Dir, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if strings.HasSuffix(path, ".index.json") {
			return openIndex(path)
		}
		if pickled(filepath.Base(path)) {
			return nil, pickleError(path)
		}
		return openSingle(path)
	}
	for _, name := range []string{SingleName, IndexName} {
		file := filepath.Join(path, name)
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		if name == IndexName {
			return openIndex(file)
		}
		return openSingle(file)
	}
	return nil, noCheckpoint(path)
}

func openSingle(path string) (*Dir, error) {
	f, err := Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	d := &Dir{files: []*File{f}, holder: map[string]*File{}}
	for name := range f.entries {
		d.holder[name] = f
	}
	return d, nil
}

// noCheckpoint says what the directory holds instead of safetensors.
func noCheckpoint(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if pickled(e.Name()) {
			return pickleError(filepath.Join(dir, e.Name()))
		}
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".safetensors") {
			return fmt.Errorf("%w: %s holds neither %s nor %s; name the file %s itself", ErrFormat, dir, SingleName, IndexName, e.Name())
		}
	}
	return fmt.Errorf("%w: %s holds neither %s nor %s", ErrFormat, dir, SingleName, IndexName)
}

// pickled recognises the names of files in PyTorch's pickle format.
func pickled(name string) bool {
	name = strings.TrimSuffix(name, ".index.json")
	return slices.Contains([]string{".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}, filepath.Ext(name)) &&
		name != "training_args.bin"
}

func pickleError(path string) error {
	return fmt.Errorf("%w: %s is PyTorch's pickle format, and loading one runs whatever code is in it. "+
		"Convert it where you trust its origin, in Python with transformers: "+
		"AutoModel.from_pretrained(DIR).save_pretrained(NEW, safe_serialization=True), with the model's own class instead of AutoModel so that its head is kept",
		ErrPickle, path)
}

// An index is model.safetensors.index.json.
type index struct {
	Metadata struct {
		TotalSize *float64 `json:"total_size"`
	} `json:"metadata"`
	Shards map[string]string `json:"weight_map"`
}

func openIndex(path string) (_ *Dir, err error) {
	ix, err := readIndex(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	d := &Dir{holder: map[string]*File{}}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	shards := slices.Compact(slices.Sorted(maps.Values(ix.Shards)))
	opened := map[string]*File{}
	for _, shard := range shards {
		f, err := Open(filepath.Join(filepath.Dir(path), shard))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: shard %q, which %s lists, is missing", ErrFormat, shard, path)
		}
		if err != nil {
			return nil, fmt.Errorf("shard %q of %s: %w", shard, path, err)
		}
		d.files, opened[shard] = append(d.files, f), f
	}
	if err := ix.check(opened); err != nil {
		return nil, fmt.Errorf("%w: %s: %v", ErrFormat, path, err)
	}
	for name, shard := range ix.Shards {
		d.holder[name] = opened[shard]
	}
	return d, nil
}

// readIndex reads an index whose shards are names of files beside it.
func readIndex(path string) (*index, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxHeader {
		return nil, fmt.Errorf("%w: an index is a file of at most %d bytes", ErrFormat, maxHeader)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	ix := &index{}
	if err := json.Unmarshal(text, ix); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrFormat, err)
	}
	if len(ix.Shards) == 0 {
		return nil, fmt.Errorf("%w: the weight_map is empty or missing", ErrFormat)
	}
	for _, name := range slices.Sorted(maps.Keys(ix.Shards)) {
		shard := ix.Shards[name]
		if shard != filepath.Base(shard) || strings.ContainsAny(shard, `/\`) || !filepath.IsLocal(shard) {
			return nil, fmt.Errorf("%w: tensor %q lies in %q, which is not the name of a file beside the index", ErrFormat, name, shard)
		}
	}
	return ix, nil
}

// check compares the index with what the shards hold.
func (ix *index) check(shards map[string]*File) error {
	var total int64
	for _, shard := range slices.Sorted(maps.Keys(shards)) {
		for _, name := range shards[shard].Names() {
			switch listed, ok := ix.Shards[name]; {
			case !ok:
				return fmt.Errorf("tensor %q of shard %q is not in the weight_map", name, shard)
			case listed != shard:
				return fmt.Errorf("tensor %q lies in shard %q, the weight_map says %q", name, shard, listed)
			}
			e := shards[shard].entries[name]
			total += e.Offsets[1] - e.Offsets[0]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(ix.Shards)) {
		if _, ok := shards[ix.Shards[name]].entries[name]; !ok {
			return fmt.Errorf("tensor %q is missing from shard %q", name, ix.Shards[name])
		}
	}
	if want := ix.Metadata.TotalSize; want != nil && *want != float64(total) {
		return fmt.Errorf("metadata.total_size is %.0f, the shards hold %d bytes of tensors; if they were changed on purpose, remove total_size", *want, total)
	}
	return nil
}

// Names lists the tensors in order of their names.
func (d *Dir) Names() []string { return slices.Sorted(maps.Keys(d.holder)) }

// Info says what the tensor of that name is; false where there is none.
func (d *Dir) Info(name string) (Info, bool) {
	f, ok := d.holder[name]
	if !ok {
		return Info{}, false
	}
	return f.Info(name)
}

// Metadata returns what stands under __metadata__ in the first file.
func (d *Dir) Metadata() map[string]string { return d.files[0].Metadata() }

// Reader reads a tensor's raw bytes.
func (d *Dir) Reader(name string) (*io.SectionReader, error) {
	f, ok := d.holder[name]
	if !ok {
		return nil, fmt.Errorf("tensor %q is missing", name)
	}
	return f.Reader(name)
}

// Bytes reads a tensor whole.
func (d *Dir) Bytes(name string) ([]byte, error) {
	r, err := d.Reader(name)
	if err != nil {
		return nil, err
	}
	b := make([]byte, r.Size())
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("tensor %q: %w", name, err)
	}
	return b, nil
}

// ReadFloat32 fills dst with a floating tensor; see File.ReadFloat32.
func (d *Dir) ReadFloat32(name string, dst []float32) error {
	f, ok := d.holder[name]
	if !ok {
		return fmt.Errorf("tensor %q is missing", name)
	}
	return f.ReadFloat32(name, dst)
}

// Close closes the files.
func (d *Dir) Close() error {
	var errs []error
	for _, f := range d.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
