package convert

import (
	"context"
	"path/filepath"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// Rewritten writes a graph that was made from the model at src, a directory or a
// file, to the directory dst, with src's metadata, configuration and tokenizer,
// and returns the directory's size.
func Rewritten(ctx context.Context, src, dst string, g *ir.Graph) (bytes int64, err error) {
	file, err := ir.Locate(src)
	if err != nil {
		return 0, err
	}
	m, err := ir.Open(file)
	if err != nil {
		return 0, err
	}
	return bytes, Directory(ctx, dst, func(tmp string) error {
		g.Metadata = m.Metadata()
		if err := g.SaveAs(filepath.Join(tmp, "model.onnx"), ir.SaveOptions{}); err != nil {
			return err
		}
		if err := carryFiles(ctx, filepath.Dir(file), tmp, append([]string{"config.json"}, carried...)); err != nil {
			return err
		}
		bytes, err = treeBytes(tmp)
		return err
	})
}
