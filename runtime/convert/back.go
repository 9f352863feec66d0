package convert

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/canon"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
	"github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"
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
	file, err := ir.Locate(path)
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

// recover finds the class and where its parameters lie: of the candidates the
// first that is complete and, run beside the model, gives the same; those that
// account for every matrix of the model before others.
func (b *back) recover(ctx context.Context) error {
	classes, err := b.classes()
	if err != nil {
		return err
	}
	var first error
	var complete []*recovery
	for _, class := range classes {
		b.r = newRecovery(class, b.uses, b.like)
		b.r.unread = b.unread
		err := b.r.run()
		if err == nil {
			err = b.build()
		}
		if err == nil {
			complete = append(complete, b.r)
		} else if first == nil {
			first = err
		}
	}
	slices.SortStableFunc(complete, func(x, y *recovery) int { return cmp.Compare(len(x.free()), len(y.free())) })
	for _, r := range complete {
		b.r = r
		if err := b.build(); err != nil {
			return err
		}
		if err = b.check(ctx); err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// classes are the candidates: what the model's own record or config.json says,
// then that of a base model.
func (b *back) classes() ([]*expectedClass, error) {
	arch, err := ArchitectureOf(b.config.ModelType)
	if b.known = err == nil; !b.known {
		if b.like == nil {
			return nil, bad("%w; with --like, naming a checkpoint of the model, its parameters can be found by name", err)
		}
		e, err := expectedLike(b.config, b.like)
		return []*expectedClass{e}, err
	}
	var heads []Head
	record, ok, err := ReadRecord(b.models[0].Metadata())
	switch {
	case err != nil:
		return nil, err
	case ok:
		heads = []Head{record.Head}
	case len(b.config.Strs("architectures")) == 0:
		heads = sortedHeads(arch.Classes)
	default:
		head, err := arch.headOf(b.config, "")
		if err != nil {
			return nil, err
		}
		heads = []Head{head}
		if _, has := arch.Classes[HeadNone]; has && head != HeadNone {
			heads = append(heads, HeadNone)
		}
	}
	var out []*expectedClass
	for _, h := range heads {
		e, err := expectedOf(b.config, h)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// build makes the graph that our converter writes of what was found, which also
// checks that the class is complete.
func (b *back) build() error {
	b.fillFromLike()
	if !b.known {
		b.final = b.config
		if len(b.r.missing()) > 0 {
			return b.incomplete(nil)
		}
		return nil
	}
	w := recovered{b.r, b.options.DType}
	g, config, report, err := Build(b.config, w, Options{Head: b.r.class.head})
	if err != nil || len(report.Fresh) > 0 {
		return b.incomplete(err)
	}
	b.graph, b.final = g, config
	return nil
}

// incomplete names every parameter that is missing.
func (b *back) incomplete(err error) error {
	missing := b.r.missing()
	if len(missing) == 0 {
		return err
	}
	var names []string
	for _, p := range missing {
		names = append(names, fmt.Sprintf("%s %v", p.name, p.shape))
	}
	hint := "; name the checkpoint that it was exported from with --like"
	if b.like != nil {
		hint = ""
	}
	return bad("%d of %d parameters of %s are not found in the model: %s%s", len(names), len(b.r.class.parameters), b.r.class.class, strings.Join(names, ", "), hint)
}

// fillFromLike takes parameters that the model does not read from the checkpoint
// given by --like: an export without them can't have changed them.
func (b *back) fillFromLike() {
	if b.like == nil || len(b.r.free()) > 0 {
		return
	}
	for _, p := range b.r.missing() {
		name, info, ok := findIn(b.like, b.r.class.arch, p.name)
		elements := int64(1)
		for _, d := range p.shape {
			elements *= d
		}
		if !ok || !slices.Equal(info.Shape, p.shape) || b.r.unread[elements] {
			continue
		}
		t := ir.NewLazy(p.name, info.DType, p.shape, func() ([]byte, error) { return b.like.Bytes(name) })
		b.r.found[p.name] = match{&paramUse{tensor: t, role: roleTable}, FromLike}
	}
}

// check compares outputs, and refuses guesses that could not be compared.
func (b *back) check(ctx context.Context) error {
	guessed, free := append(b.r.names(ByOrder), b.r.names(ByAbsence)...), b.r.free()
	switch {
	case b.options.NoCompare:
		b.report.Why = "asked not to"
	case !b.known:
		b.report.Why = "graphs of a " + b.config.ModelType + " are not written here"
	default:
		d, err := compare(ctx, b.options.Library, b.models, b.graph, b.final)
		switch {
		case errors.Is(err, errNotComparable):
			b.report.Why = err.Error()
		case err != nil:
			return err
		default:
			b.report.Compared = d
			return b.agrees(d, len(guessed) > 0)
		}
	}
	if len(guessed) > 0 {
		return bad("the model names these parameters nowhere, and what their place tells could not be checked (%s): %s; name the checkpoint that it was exported from with --like",
			b.report.Why, strings.Join(guessed, ", "))
	}
	if len(free) > 0 {
		return bad("the model reads %q %v, which %s has no parameter for", free[0].tensor.Name, free[0].tensor.Dims, b.r.class.class)
	}
	return nil
}

func (b *back) agrees(d *Comparison, guessed bool) error {
	limit := closeFloat32
	if guessed {
		limit = closeOrder
	}
	for _, u := range b.uses {
		if u.tensor.DType != ir.Float32 {
			limit = closeHalf
		}
	}
	if d.MaxDifference <= limit*max(d.MaxValue, 1e-3) {
		return nil
	}
	free := ""
	if list := b.r.free(); len(list) > 0 {
		free = fmt.Sprintf("; it also reads %q %v, which has no place there", list[0].tensor.Name, list[0].tensor.Dims)
	}
	return bad("what was found is not the model: as a %s it gives %q up to %.3g apart (largest value %.3g) on a random batch%s", b.r.class.class, d.Output, d.MaxDifference, d.MaxValue, free)
}

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
