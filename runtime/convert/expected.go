package convert

import (
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// An expectation is a parameter that a class of transformers has.
type expectation struct {
	name  string
	shape []int64 // in the checkpoint
	role  role
	// transposed linear weights are [out,in] in the checkpoint.
	transposed bool
	// offset is added to a scale before it is used: Gemma keeps w−1.
	offset float32
}

// form is the shape that a use of the parameter has; see paramUse.shape.
func (e *expectation) form() []int64 {
	d := slices.Clone(e.shape)
	if e.transposed {
		slices.Reverse(d)
	}
	return d
}

// An expectedClass is a class of transformers with its parameters in the order in
// which its forward pass reads them.
type expectedClass struct {
	config     *Config // architectures names the class
	arch       *Architecture
	head       Head
	class      string
	parameters []*expectation
	byName     map[string]*expectation
	tied       map[string]string // alias → parameter
}

// expectedOf describes a config's model with that head, from the graph that would
// be written for it.
func expectedOf(c *Config, head Head) (*expectedClass, error) {
	g, config, _, err := Build(c, nil, Options{Head: head})
	if err != nil {
		return nil, err
	}
	record, _, err := ReadRecord(g.Metadata)
	if err != nil {
		return nil, err
	}
	arch, err := ArchitectureOf(c.ModelType)
	if err != nil {
		return nil, err
	}
	e := &expectedClass{config: config, arch: arch, head: head, class: record.Class, byName: map[string]*expectation{}, tied: record.Tied}
	for _, u := range parameterUses(g) {
		name := u.tensor.Name
		if !isParameter(name) || e.byName[name] != nil {
			continue
		}
		e.add(&expectation{name: name, shape: slices.Clone(u.tensor.Dims), role: u.role, transposed: slices.Contains(record.Transposed, name), offset: u.offset})
	}
	for _, name := range g.InitOrder { // what is read in no such way has its name alone
		if isParameter(name) && e.byName[name] == nil {
			e.add(&expectation{name: name, shape: slices.Clone(g.Inits[name].Dims), transposed: slices.Contains(record.Transposed, name)})
		}
	}
	return e, nil
}

// expectedLike describes a model that is not written here by a checkpoint of it.
func expectedLike(c *Config, like Weights) (*expectedClass, error) {
	e := &expectedClass{config: c, arch: &Architecture{ModelType: c.ModelType}, class: "a " + c.ModelType, byName: map[string]*expectation{}}
	if names := c.Strs("architectures"); len(names) > 0 {
		e.class = names[0]
	}
	for _, name := range like.Names() {
		if info, _ := like.Info(name); info.DType.IsFloat() {
			e.add(&expectation{name: name, shape: slices.Clone(info.Shape)})
		}
	}
	return e, c.Err()
}

func (e *expectedClass) add(p *expectation) {
	if p.transposed {
		slices.Reverse(p.shape)
	}
	e.byName[p.name] = p
	e.parameters = append(e.parameters, p)
}

// isParameter reports that an initializer of a graph that a Builder wrote is a
// parameter.
func isParameter(name string) bool { return !strings.HasPrefix(name, "const/") }

// lookup finds the parameter that a dotted name means: its own, an alias of it, or
// either behind the names of modules that an exporter put around the model; a base
// model's names have no prefix.
func (e *expectedClass) lookup(name string) (*expectation, bool) {
	for rest := name; ; {
		if p, ok := e.exact(rest); ok {
			return p, true
		}
		_, after, more := strings.Cut(rest, ".")
		if !more {
			break
		}
		rest = after
	}
	if e.arch.Base == "" {
		return nil, false
	}
	for rest := name; ; {
		if p, ok := e.exact(e.arch.Base + "." + rest); ok {
			return p, true
		}
		_, after, more := strings.Cut(rest, ".")
		if !more {
			return nil, false
		}
		rest = after
	}
}

func (e *expectedClass) exact(name string) (*expectation, bool) {
	if root, ok := e.tied[name]; ok {
		name = root
	}
	p, ok := e.byName[name]
	return p, ok
}

// decorated finds the parameter whose name, or that without the base model's
// prefix, a name begins with, followed by something that is no part of a name:
// weight_quantized, weight:0.
func (e *expectedClass) decorated(name string) (*expectation, bool) {
	for cut := len(name); cut > 0; {
		cut = strings.LastIndexAny(name[:cut], "_:.-")
		if cut <= 0 {
			return nil, false
		}
		if p, ok := e.lookup(name[:cut]); ok {
			return p, true
		}
	}
	return nil, false
}

// spelled are the dotted names that an initializer's name may mean.
func spelled(name string) []string {
	out := []string{name}
	tf := strings.NewReplacer("/", ".", "_._", ".").Replace(strings.TrimSuffix(name, ":0"))
	for _, r := range [][2]string{{"", ""}, {".kernel", ".weight"}, {".gamma", ".weight"}, {".beta", ".bias"}, {".embeddings", ".weight"}} {
		if stem, ok := strings.CutSuffix(tf, r[0]); ok && !slices.Contains(out, stem+r[1]) {
			out = append(out, stem+r[1])
		}
	}
	return out
}

// fits reports that a use can hold the parameter.
func (e *expectation) fits(u *paramUse) bool {
	switch {
	case e.role == "" && u.role == roleLinear && len(e.shape) == 2: // of a class that is not known here
		d := u.shape()
		return slices.Equal(d, e.shape) || d[0] == e.shape[1] && d[1] == e.shape[0]
	case e.role == roleTable && u.role == roleLinear: // a tied head
		d := u.shape()
		slices.Reverse(d)
		return slices.Equal(d, e.shape)
	case e.role != u.role && e.role != "":
		return false
	}
	return slices.Equal(u.shape(), e.form())
}

// flipped reports that the use's tensor lies transposed to the checkpoint's.
func (e *expectation) flipped(u *paramUse) bool {
	if u.role != roleLinear {
		return u.flipped
	}
	if e.role == "" { // torch.nn.Linear keeps [out,in], as shapes say where they can
		d := u.shape()
		return (d[0] == e.shape[1] && d[1] == e.shape[0]) != u.flipped
	}
	return (e.transposed || e.role == roleTable) != u.flipped
}

// values reads the parameter from a use, as the checkpoint holds it, in the
// tensor's own type.
func (e *expectation) values(u *paramUse) ([]byte, error) {
	b, err := u.tensor.Bytes()
	if err != nil {
		return nil, err
	}
	unit := int64(formats[u.tensor.DType].Size)
	rows, columns := int64(1), u.tensor.Len()
	if u.role == roleLinear || u.role == roleTable && len(u.tensor.Dims) == 2 {
		rows, columns = u.tensor.Dims[0], u.tensor.Dims[1]
	}
	if u.to > 0 { // packed ones are not flipped
		b = cutColumns(b, rows, columns*unit, u.from*unit, u.to*unit)
		columns = u.to - u.from
	}
	if e.flipped(u) {
		b = transpose(b, rows, columns, unit)
	}
	return shifted(b, u.tensor.DType, u.offset-e.offset)
}

// shifted adds a constant to every element.
func shifted(b []byte, d ir.DType, by float32) ([]byte, error) {
	if by == 0 {
		return b, nil
	}
	v := make([]float32, len(b)/formats[d].Size)
	formats[d].Decode(v, b)
	for i := range v {
		v[i] += by
	}
	return encoded(v, d)
}

// cutColumns keeps bytes from to to of every row.
func cutColumns(b []byte, rows, width, from, to int64) []byte {
	out := make([]byte, 0, rows*(to-from))
	for r := range rows {
		out = append(out, b[r*width+from:r*width+to]...)
	}
	return out
}

// floatsOf reads the parameter as float32.
func (e *expectation) floatsOf(u *paramUse) ([]float32, error) {
	b, err := e.values(u)
	if err != nil {
		return nil, err
	}
	return ir.NewRaw(e.name, u.tensor.DType, e.shape, b).Float32s()
}
