package convert

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/canon"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// BackOptions of a conversion to a Hugging Face directory.
type BackOptions struct {
	// Like is a Hugging Face directory whose config.json (where the model has none)
	// and checkpoint help where the model alone is ambiguous: the checkpoint that
	// it was exported from. "" for none.
	Like string
	// DType is the type of the weights; Undefined keeps the model's.
	DType ir.DType
	// MaxShard is the largest safetensors file in bytes; 0 is transformers' 5 GB.
	MaxShard int64
	// Library is the onnxruntime library, with which the result is compared with
	// the model; "" looks where ort.FindLibrary says.
	Library string
	// NoCompare leaves that comparison out.
	NoCompare bool
}

// A BackReport says what was written and how it was found.
type BackReport struct {
	Out       string   `json:"out"`
	ModelType string   `json:"model_type"`
	Class     string   `json:"class"`
	Tensors   int      `json:"tensors"`
	Bytes     int64    `json:"bytes"`
	Files     []string `json:"files"`
	// Evidence counts parameters by how their place was found.
	Evidence map[Evidence]int `json:"evidence"`
	// FromLike are parameters that the model does not read, taken from --like.
	FromLike []string `json:"from_like,omitempty"`
	// Compared is nil where the result was not compared with the model; Why says
	// why not.
	Compared *Comparison `json:"compared,omitempty"`
	Why      string      `json:"not_compared,omitempty"`
}

// ToHF converts the model at src, a directory or a file, to a Hugging Face
// directory dst, which must not exist or be empty. The parameters get the names of
// transformers' class, whatever the exporter made of them; what is missing or
// ambiguous is refused by name.
func ToHF(ctx context.Context, src, dst string, o BackOptions) (*BackReport, error) {
	b, err := openBack(src, o)
	if err != nil {
		return nil, err
	}
	defer b.close()
	if err := b.recover(ctx); err != nil {
		return nil, err
	}
	return b.report, b.write(ctx, dst)
}

// A back is one conversion to a Hugging Face directory.
type back struct {
	options BackOptions
	dir     string // of the model, for the files that are carried
	models  []*ir.Model
	config  *Config
	like    Weights
	closers []func() error
	uses    []*paramUse
	unread  map[int64]bool
	known   bool // the model_type is one that is written here

	r      *recovery
	graph  *ir.Graph // what our own converter makes of the result
	final  *Config
	report *BackReport
}

func (b *back) close() {
	for _, c := range b.closers {
		c()
	}
}

func openBack(src string, o BackOptions) (_ *back, err error) {
	b := &back{options: o, unread: map[int64]bool{}, report: &BackReport{Evidence: map[Evidence]int{}}}
	if b.models, b.dir, err = openModels(src); err != nil {
		return nil, err
	}
	if b.config, err = b.readConfig(); err != nil {
		return nil, err
	}
	if o.Like != "" {
		w, done, err := OpenWeights(o.Like)
		if err != nil {
			return nil, err
		}
		b.like, b.closers = w, append(b.closers, done)
	}
	for _, m := range b.models {
		g, err := canon.Inlined(m.Graph())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Path, err)
		}
		if err := unquantised(g.Graph); err != nil {
			return nil, err
		}
		uses := parameterUses(g.Graph)
		for _, u := range uses {
			u.part = partOf(m.Path)
		}
		b.uses = append(b.uses, uses...)
		addUnread(b.unread, g.Graph, uses)
	}
	return b, nil
}

// addUnread adds the sizes of the floating tensors that nodes read and uses do not
// hold.
func addUnread(sizes map[int64]bool, g *ir.Graph, uses []*paramUse) {
	held := map[string]bool{}
	for _, u := range uses {
		held[u.tensor.Name] = true
	}
	for _, n := range g.Nodes {
		for _, in := range n.Reads() {
			if t, ok := g.Inits[in]; ok && t.DType.IsFloat() && t.Len() > 1 && !held[in] {
				sizes[t.Len()] = true
			}
		}
	}
}

// partOf is the module that a file of an export in parts holds.
func partOf(path string) string {
	part, _, ok := strings.Cut(filepath.Base(path), "_model")
	if !ok || part != "encoder" && part != "decoder" {
		return ""
	}
	return part
}

// openModels opens the model at path: one file, or an encoder and a decoder.
func openModels(path string) ([]*ir.Model, string, error) {
	var files []string
	file, err := locate(path)
	if err == nil {
		files = []string{file}
	}
	for _, dir := range []string{path, filepath.Join(path, "onnx")} {
		encoder := filepath.Join(dir, "encoder_model.onnx")
		for _, decoder := range []string{"decoder_model.onnx", "decoder_model_merged.onnx"} {
			// Whoever locates one of the two means both.
			if decoder = filepath.Join(dir, decoder); isFile(encoder) && isFile(decoder) && (file == "" || file == decoder) {
				files = []string{encoder, decoder}
				break
			}
		}
	}
	if files == nil {
		return nil, "", err
	}
	var models []*ir.Model
	for _, f := range files {
		m, err := ir.Open(f)
		if err != nil {
			return nil, "", err
		}
		models = append(models, m)
	}
	dir := filepath.Dir(files[0])
	if filepath.Base(dir) == "onnx" && !isFile(filepath.Join(dir, "config.json")) {
		dir = filepath.Dir(dir)
	}
	return models, dir, nil
}

// readConfig reads the model's config.json, or that of --like.
func (b *back) readConfig() (*Config, error) {
	for _, dir := range []string{b.dir, b.options.Like} {
		if dir != "" && isFile(filepath.Join(dir, "config.json")) {
			return readConfig(filepath.Join(dir, "config.json"))
		}
	}
	return nil, bad("%s holds no config.json, which says what the model is; put it there, or name the original checkpoint's directory with --like", b.dir)
}

// unquantised refuses weights of which the original numbers are gone.
func unquantised(g *ir.Graph) error {
	for _, n := range g.Nodes {
		switch n.Op {
		case "MatMulNBits", "DequantizeLinear", "MatMulInteger", "DynamicQuantizeMatMul", "QLinearMatMul", "GatherBlockQuantized":
			return bad("%v: the model is quantised, so that the original weights are gone; convert the model from before", n)
		}
	}
	return nil
}
