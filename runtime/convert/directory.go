package convert

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
)

// carried are the files of a model directory that a conversion copies as they are.
var carried = []string{
	"generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
	"vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model",
	"chat_template.jinja", "chat_template.json", "LICENSE", "LICENSE.txt",
	"modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling/config.json",
	// What the model reveals of whom it was trained on goes where it goes.
	"README.md", "release/privacy.json", "release/statement.txt", "release/metrics.jsonl",
}

// A written graph and the name of its file.
type written struct {
	name  string
	graph *ir.Graph
}

// buildAll builds the model: one graph, or those of an architecture whose cache
// takes several. The report is the last one's, with what all have in common.
func buildAll(c *Config, w Weights, o Options) ([]written, *Config, *Report, error) {
	parts := []string{"model"}
	if a, err := ArchitectureOf(c.ModelType); err == nil && o.Cache && len(a.Parts) > 0 {
		parts = a.Parts
	}
	var out []written
	var config *Config
	var report *Report
	parameters := map[string]bool{}
	for _, part := range parts {
		if len(parts) > 1 {
			o.part = part
		}
		g, now, r, err := Build(c, w, o)
		if err != nil {
			return nil, nil, nil, err
		}
		g.Doc = fmt.Sprintf("%s (%s), written by ghostwriter convert", r.Class, now.ModelType)
		out = append(out, written{part, g})
		if report != nil { // a tensor is unused if no part uses it
			unused := report.Unused
			r.Unused = slices.DeleteFunc(r.Unused, func(n string) bool { return !slices.Contains(unused, n) })
			r.Parameters = report.Parameters
			r.Fresh = slices.Compact(slices.Sorted(slices.Values(slices.Concat(report.Fresh, r.Fresh))))
		} else {
			r.Parameters = 0
		}
		for _, name := range g.InitOrder {
			if isParameter(name) && !parameters[name] {
				parameters[name] = true
				r.Parameters += g.Inits[name].Len()
			}
		}
		config, report = now, r
	}
	return out, config, report, nil
}

// write builds the model and writes its directory.
func write(ctx context.Context, c *Config, w Weights, src, dst string, o Options) (*Report, error) {
	graphs, config, report, err := buildAll(c, w, o)
	if err != nil {
		return nil, err
	}
	report.Out = dst
	err = Directory(ctx, dst, func(tmp string) error {
		for _, x := range graphs {
			file := x.name + ".onnx"
			if err := x.graph.SaveAs(filepath.Join(tmp, file), ir.SaveOptions{External: o.External, Data: file + "_data", Interrupt: ctx.Err}); err != nil {
				return err
			}
		}
		text, err := config.JSON()
		if err != nil {
			return err
		}
		if err := durable.WriteBytes(filepath.Join(tmp, "config.json"), 0o644, text); err != nil {
			return err
		}
		if err := carry(ctx, src, tmp); err != nil {
			return err
		}
		report.Bytes, err = treeBytes(tmp)
		return err
	})
	if err != nil {
		return nil, err
	}
	return report, nil
}

// Directory writes a folder whole or not at all: fill gets a temporary one beside
// dst, which is renamed to dst at the end. dst must not exist or be empty.
func Directory(ctx context.Context, dst string, fill func(tmp string) error) (err error) {
	dst = filepath.Clean(dst)
	if err := vacant(dst); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return bad("%w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dst), "."+filepath.Base(dst)+".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := fill(tmp); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := vacant(dst); err != nil {
		return err
	}
	if err := os.Remove(dst); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return durable.ReplaceDir(tmp, dst, nil)
}

// vacant refuses a destination that would be overwritten.
func vacant(dst string) error {
	entries, err := os.ReadDir(dst)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return bad("%s: %w", dst, err)
	case len(entries) > 0:
		return bad("%s exists and is not empty; choose another directory or remove it", dst)
	}
	return nil
}

// carry copies what belongs to a model beside its weights.
func carry(ctx context.Context, src, dst string) error { return carryFiles(ctx, src, dst, carried) }

// carryFiles copies those of the named files that src has.
func carryFiles(ctx context.Context, src, dst string, names []string) error {
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		in, err := os.Open(filepath.Join(src, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return bad("%w", err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dst, name)), 0o755); err != nil {
			return errors.Join(err, in.Close())
		}
		err = durable.WriteFile(filepath.Join(dst, name), 0o644, func(w io.Writer) error {
			_, err := io.Copy(w, in)
			return err
		})
		if err = errors.Join(err, in.Close()); err != nil {
			return err
		}
	}
	return nil
}

// treeBytes is the size of all files below dir.
func treeBytes(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}
