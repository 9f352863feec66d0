package convert

import (
	"context"
	"io"
	"path/filepath"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
	"github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"
)

// write writes the directory.
func (b *back) write(ctx context.Context, dst string) error {
	tensors, err := b.tensors()
	if err != nil {
		return err
	}
	b.report.Out, b.report.ModelType, b.report.Class, b.report.Tensors = dst, b.final.ModelType, b.r.class.class, len(tensors)
	b.report.FromLike = b.r.names(FromLike)
	for _, m := range b.r.found {
		b.report.Evidence[m.evidence]++
	}
	return Directory(ctx, dst, func(tmp string) error {
		files, err := safetensors.WriteDir(tmp, tensors, b.metadata(), b.options.MaxShard)
		if err != nil {
			return err
		}
		b.report.Files = files
		config, err := b.configFor(tensors)
		if err != nil {
			return err
		}
		if err := durable.WriteBytes(filepath.Join(tmp, "config.json"), 0o644, config); err != nil {
			return err
		}
		for _, dir := range []string{b.dir, b.options.Like} { // the model's own files before those of --like
			if dir == "" {
				continue
			}
			if err := carry(ctx, dir, tmp); err != nil {
				return err
			}
		}
		b.report.Bytes, err = treeBytes(tmp)
		return err
	})
}

// tensors are the checkpoint's, under the names of the class: a class without a
// head has no prefix.
func (b *back) tensors() ([]safetensors.Tensor, error) {
	w := recovered{b.r, b.options.DType}
	var out []safetensors.Tensor
	for _, name := range w.Names() {
		info, _ := w.Info(name)
		dtype, err := storedType(info.DType, b.options.DType)
		if err != nil {
			return nil, bad("parameter %q: %v", name, err)
		}
		as := name
		if b.r.class.head == HeadNone && b.r.class.arch.Base != "" {
			as = strings.TrimPrefix(name, b.r.class.arch.Base+".")
		}
		out = append(out, safetensors.Tensor{Name: as, DType: safetensorsNames[dtype], Shape: info.Shape, Fill: func(to io.Writer) error {
			raw, err := w.Bytes(name)
			if err != nil {
				return err
			}
			if raw, err = converted(raw, info.DType, dtype); err != nil {
				return bad("parameter %q: %w", name, err)
			}
			_, err = to.Write(raw)
			return err
		}})
	}
	return out, nil
}

// safetensorsNames of the types that weights are written in.
var safetensorsNames = map[ir.DType]string{ir.Float32: "F32", ir.Float16: "F16", ir.BFloat16: "BF16"}

// metadata is what transformers asks for, and what our own model says of its
// training.
func (b *back) metadata() map[string]string {
	out := map[string]string{"format": "pt"}
	for k, v := range b.models[0].Metadata() {
		if strings.HasPrefix(k, "ghostwriter.") && k != RecordKey {
			out[k] = v
		}
	}
	return out
}

// configFor is config.json with the type of the weights, where they have one.
func (b *back) configFor(tensors []safetensors.Tensor) ([]byte, error) {
	names := map[string]string{"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
	types := map[string]bool{}
	for _, t := range tensors {
		types[t.DType] = true
	}
	field := "torch_dtype"
	if b.final.Has("dtype") {
		field = "dtype"
	}
	c := b.final
	if len(types) == 1 && len(tensors) > 0 {
		var err error
		if c, err = c.With(map[string]any{field: names[tensors[0].DType]}); err != nil {
			return nil, err
		}
	}
	return c.JSON()
}
