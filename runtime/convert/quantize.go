package convert

import (
	"context"
	"encoding/json"
	"path/filepath"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// QuantizeOptions of a model for serving.
type QuantizeOptions struct {
	Bits int64 // 4 or 8
	// Block is how many weights share a scale: a power of two from 16; 0 is 32.
	Block int64
	// Symmetric codes have no zero points: a little smaller, a little worse.
	Symmetric bool
	// Head quantises the layers that make the outputs too.
	Head bool
	// Library is the onnxruntime library, with which the accuracy is measured.
	Library string
}

// QuantizationKey is the key of metadata_props under which a Quantization stands.
const QuantizationKey = "ghostwriter.quantization"

// A Quantization says what became of a model, and what it costs.
type Quantization struct {
	Bits      int64 `json:"bits"`
	Block     int64 `json:"block_size"`
	Symmetric bool  `json:"symmetric"`
	Layers    int   `json:"layers"` // linear layers that were quantised
	// Bytes of all initializers before and after.
	BytesBefore int64 `json:"bytes_before"`
	BytesAfter  int64 `json:"bytes_after"`
	// Accuracy on a seeded batch of random token ids.
	Accuracy *Accuracy `json:"accuracy"`
}

// A QuantizeReport says what was written.
type QuantizeReport struct {
	Out   string `json:"out"`
	Bytes int64  `json:"bytes"`
	Quantization
}

// inOneFile refuses one of a model's several files.
func inOneFile(file string) error {
	if partOf(file) == "" || !isFile(filepath.Join(filepath.Dir(file), "encoder_model.onnx")) {
		return nil
	}
	return bad("%s is one of a model's several files; a model in one file is what is taken here: convert it without --cache", file)
}

func (o QuantizeOptions) check() (QuantizeOptions, error) {
	if o.Bits != 4 && o.Bits != 8 {
		return o, bad("weights of %d bits; 4 and 8 are written", o.Bits)
	}
	if o.Block == 0 {
		o.Block = 32
	}
	if o.Block < 16 || o.Block > 256 || o.Block&(o.Block-1) != 0 {
		return o, bad("blocks of %d weights; 16, 32, 64, 128 and 256 are possible", o.Block)
	}
	return o, nil
}

// Quantize writes the model at src, a directory or a file, to the directory dst
// with the weights of its linear layers in 4 or 8 bits (MatMulNBits of
// onnxruntime), for serving: embeddings, norms, biases and, unless asked for, the
// layers that make the outputs keep theirs. Activations stay floating, so that no
// record's answer depends on the records beside it. It measures what that costs.
func Quantize(ctx context.Context, src, dst string, o QuantizeOptions) (*QuantizeReport, error) {
	o, err := o.check()
	if err != nil {
		return nil, err
	}
	file, err := locate(src)
	if err != nil {
		return nil, err
	}
	m, err := ir.Open(file)
	if err != nil {
		return nil, err
	}
	if err := inOneFile(file); err != nil {
		return nil, err
	}
	g := m.Graph()
	if err := unquantised(g); err != nil {
		return nil, err
	}
	r := &QuantizeReport{Out: dst, Quantization: Quantization{Bits: o.Bits, Block: o.Block, Symmetric: o.Symmetric, BytesBefore: g.WeightBytes()}}
	q := &quantizer{g: g, options: o, coded: map[string][]*ir.Tensor{}}
	if r.Layers, err = q.run(); err != nil {
		return nil, err
	}
	if r.Layers == 0 {
		return nil, bad("%s: no linear layer has a weight of its own to quantise", file)
	}
	r.BytesAfter = g.WeightBytes()
	return r, Directory(ctx, dst, func(tmp string) error { return r.write(ctx, o.Library, m, g, tmp) })
}

// write writes the quantised graph g of m and measures it.
func (r *QuantizeReport) write(ctx context.Context, library string, m *ir.Model, g *ir.Graph, tmp string) error {
	path, dir := filepath.Join(tmp, "model.onnx"), filepath.Dir(m.Path)
	g.Metadata = m.Metadata()
	if err := g.SaveAs(path, ir.SaveOptions{Interrupt: ctx.Err}); err != nil {
		return err
	}
	var err error
	if r.Accuracy, err = measure(ctx, library, m, path, configOrNone(dir)); err != nil {
		return err
	}
	text, err := json.Marshal(r.Quantization)
	if err != nil {
		return err
	}
	g.Metadata[QuantizationKey] = string(text)
	if err := g.SaveAs(path, ir.SaveOptions{Interrupt: ctx.Err}); err != nil {
		return err
	}
	if err := carryFiles(ctx, dir, tmp, append([]string{"config.json"}, carried...)); err != nil {
		return err
	}
	r.Bytes, err = treeBytes(tmp)
	return err
}
