package runtime

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"
)

// The goldens of testdata are PyTorch's, one record at a time in double
// precision; see testdata/README.md.

const models = "../testdata/models"

type modelInfo struct {
	Family, Output string
	Head           *string
	Inputs, Cases  []string
}

type goldenCase struct {
	Loss           string
	Batch          json.RawMessage
	OptionalInputs map[string]tensorJSON `json:"optional_inputs"`
	LossValues     []float64             `json:"loss_values"`
	Norm           []float64
	Norms          map[string][]float64
	Clips          []goldenClip
	Merged         map[string]struct {
		Norm  []float64
		Norms map[string][]float64
	}
}

type goldenClip struct {
	Clip     string
	ClipNorm float64 `json:"clip_norm"`
	Gamma    float64
	Factor   []float64
	Sum      *string
}

type parameterNames map[string]struct {
	Initializers []struct{ Name, Transform string }
}

// A fixture is one model of testdata with its case files.
type fixture struct {
	name  string
	info  modelInfo
	names parameterNames
	model *Model
}

func readJSON(t testing.TB, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func fixtures(t testing.TB) []*fixture {
	t.Helper()
	dirs, err := filepath.Glob(models + "/*")
	if err != nil || len(dirs) < 20 {
		t.Fatalf("%s holds %d models: %v", models, len(dirs), err)
	}
	var out []*fixture
	for _, dir := range dirs {
		out = append(out, openFixture(t, filepath.Base(dir)))
	}
	return out
}

func openFixture(t testing.TB, name string) *fixture {
	t.Helper()
	f := &fixture{name: name}
	dir := filepath.Join(models, name)
	readJSON(t, filepath.Join(dir, "model.json"), &f.info)
	readJSON(t, filepath.Join(dir, "names.json"), &f.names)
	o := Options{Threads: 1, Output: f.info.Output}
	if f.info.Head != nil {
		o.Head = *f.info.Head
	}
	m, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	f.model = m
	return f
}

func (f *fixture) load(t testing.TB, name string) *goldenCase {
	t.Helper()
	c := &goldenCase{}
	readJSON(t, filepath.Join("../testdata/cases", f.info.Family, name+".json"), c)
	return c
}

// cases are the cases to run: with -short the smallest with a golden sum, for the
// race detector looks at the Go side, which is the same for all.
func (f *fixture) cases() []string {
	if !testing.Short() {
		return f.info.Cases
	}
	for _, c := range f.info.Cases {
		if strings.Contains(c, "-b2-t16") {
			return []string{c}
		}
	}
	return f.info.Cases[:1]
}

// batch gives a model the inputs that it declares.
func (f *fixture) batch(t testing.TB, c *goldenCase) *Batch {
	t.Helper()
	b, err := ParseBatch(c.Batch)
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[string]bool{}
	for _, in := range f.info.Inputs {
		wanted[in] = true
		if b.Inputs[in] == nil {
			if b.Inputs[in], err = c.OptionalInputs[in].tensor(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for in := range b.Inputs {
		if !wanted[in] {
			delete(b.Inputs, in)
		}
	}
	return b
}

// expected returns PyTorch's norms by the names that we give parameters.
func (f *fixture) expected(c *goldenCase) (norm []float64, norms map[string][]float64) {
	// Dynamo's merged parameters are one initializer to us too. TorchScript
	// keeps their names on Identity nodes, and we keep them apart.
	if m, ok := c.Merged[f.name]; ok && !strings.Contains(f.name, "-ts") {
		return m.Norm, m.Norms
	}
	norms = map[string][]float64{}
	for torch, v := range c.Norms {
		norms[torch] = v
	}
	return c.Norm, norms
}

// ours finds our name of a PyTorch parameter: the root among its initializers.
func (f *fixture) ours(torch string, known map[string][]float64) (string, bool) {
	candidates := []string{torch, "model." + torch}
	for _, i := range f.names[torch].Initializers {
		candidates = append(candidates, i.Name)
	}
	for _, name := range candidates {
		if _, ok := known[name]; ok {
			return name, true
		}
	}
	return "", false
}

func within(a, b, relative, absolute float64) bool {
	return math.Abs(a-b) <= relative*math.Abs(b)+absolute
}

// Ghost norms, losses and factors against the loop and against PyTorch, for
// every model and case.
func TestGradNormsAgainstLoopAndPyTorch(t *testing.T) {
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for _, name := range f.cases() {
				t.Run(name, func(t *testing.T) { f.compare(t, f.load(t, name)) })
			}
		})
	}
}

func (f *fixture) compare(t *testing.T, c *goldenCase) {
	b := f.batch(t, c)
	run := func(method string) *GradNorms {
		r, err := f.model.GradNorms(t.Context(), b, GradNormsOptions{Loss: c.Loss, Method: method, PerParameter: true})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	fast, loop := run("ghost"), run("loop")
	norm, norms := f.expected(c)
	for i := range norm {
		if !within(fast.Norm[i], loop.Norm[i], 1e-4, 0) {
			t.Errorf("record %d: ghost %g, loop %g", i, fast.Norm[i], loop.Norm[i])
		}
		if !within(fast.Norm[i], norm[i], 1e-3, 1e-6) {
			t.Errorf("record %d: ghost %g, PyTorch %g", i, fast.Norm[i], norm[i])
		}
		if !within(fast.Loss[i], c.LossValues[i], 1e-4, 1e-6) {
			t.Errorf("record %d: loss %g, PyTorch %g", i, fast.Loss[i], c.LossValues[i])
		}
	}
	for name, v := range loop.Norms {
		for i := range v {
			if !within(fast.Norms[name][i], v[i], 1e-4, 1e-6*loop.Norm[i]) {
				t.Errorf("record %d, %s: ghost %g, loop %g (of %g)", i, name, fast.Norms[name][i], v[i], loop.Norm[i])
			}
		}
	}
	matched := 0
	for torch, v := range norms {
		ours, ok := f.ours(torch, fast.Norms)
		if !ok {
			if len(f.names[torch].Initializers) > 0 {
				t.Errorf("%s has no parameter of ours", torch)
			}
			continue
		}
		matched++
		for i := range v {
			if !within(fast.Norms[ours][i], v[i], 1e-3, 1e-5*norm[i]) {
				t.Errorf("record %d, %s: ghost %g, PyTorch %g (of %g)", i, torch, fast.Norms[ours][i], v[i], norm[i])
			}
		}
	}
	if matched != len(fast.Norms) {
		t.Errorf("%d of our %d parameters were compared", matched, len(fast.Norms))
	}
}

// The written sum of clipped gradients against PyTorch's and the loop's, by
// book-keeping and by two passes.
func TestClippedSums(t *testing.T) {
	compared := 0
	var worst largest
	t.Cleanup(func() { worst.check(t, "‖S₃₂ − S₆₄‖, S₆₄ by PyTorch") }) // after the parallel ones
	for _, f := range fixtures(t) {
		var sums []func(t *testing.T)
		for _, name := range f.cases() {
			c := f.load(t, name)
			for _, clip := range c.Clips {
				if clip.Sum != nil && c.Merged == nil {
					sums = append(sums, func(t *testing.T) {
						t.Run(fmt.Sprintf("%s/%s-%g", name, clip.Clip, clip.ClipNorm), func(t *testing.T) { f.compareSum(t, c, clip, &worst) })
					})
				}
			}
		}
		compared += len(sums)
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for _, sum := range sums {
				sum(t)
			}
		})
	}
	if compared == 0 {
		t.Fatal("no case has a clipped sum")
	}
}

func (f *fixture) compareSum(t *testing.T, c *goldenCase, clip goldenClip, worst *largest) {
	b := f.batch(t, c)
	run := func(method string, twoPass bool) *GradNorms {
		r, err := f.model.GradNorms(t.Context(), b, GradNormsOptions{
			Loss: c.Loss, Method: method, Clip: ghost.ClipRule(clip.Clip), ClipNorm: clip.ClipNorm, ClipGamma: clip.Gamma, Sum: true, TwoPass: twoPass,
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	loop := run("loop", false)
	golden := f.goldenSum(t, *clip.Sum)
	for label, r := range map[string]*GradNorms{"one pass": run("ghost", false), "two passes": run("ghost", true)} {
		if d := relativeDistance(r.Sum, loop.Sum); d > 1e-4 {
			t.Errorf("%s: distance to the loop's sum %.2g", label, d)
		}
		if d := relativeDistance(f.renamed(golden, r), r.Sum); d > 1e-3 {
			t.Errorf("%s: distance to PyTorch's sum %.2g", label, d)
		}
		// The allowance for single precision is at least ten times what it costs (largest.check).
		worst.add(sumDistance(f.renamed(golden, r), r.Sum)/clip.ClipNorm, f.name)
		for i, want := range clip.Factor {
			if !within(r.Factor[i], want, 1e-3, 1e-6) {
				t.Errorf("%s: factor %d is %g, PyTorch's %g", label, i, r.Factor[i], want)
			}
		}
	}
}

func (f *fixture) goldenSum(t *testing.T, file string) map[string][]float32 {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../testdata/cases", f.info.Family, file))
	if err != nil {
		t.Fatal(err)
	}
	tensors, err := safetensors.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]float32{}
	for _, x := range tensors {
		v := make([]float32, len(x.Data)/4)
		for i := range v {
			v[i] = math.Float32frombits(uint32(x.Data[4*i]) | uint32(x.Data[4*i+1])<<8 | uint32(x.Data[4*i+2])<<16 | uint32(x.Data[4*i+3])<<24)
		}
		out[x.Name] = v
	}
	return out
}

// renamed maps PyTorch's tensors to our names and layouts.
func (f *fixture) renamed(golden map[string][]float32, r *GradNorms) map[string][]float32 {
	out := map[string][]float32{}
	for torch, v := range golden {
		for _, i := range f.names[torch].Initializers {
			shape, ok := r.Shapes[i.Name]
			if !ok {
				continue
			}
			if i.Transform == "transpose" {
				v = transposed(v, []int64{shape[1], shape[0]})
			}
			out[i.Name] = v
			break
		}
	}
	return out
}

// relativeDistance is ‖a − b‖ / ‖b‖ over all tensors of b.
func relativeDistance(a, b map[string][]float32) float64 {
	var size float64
	for _, v := range b {
		for _, x := range v {
			size += float64(x) * float64(x)
		}
	}
	return sumDistance(a, b) / math.Sqrt(size)
}

// sumDistance is ‖a − b‖ over all tensors of b.
func sumDistance(a, b map[string][]float32) float64 {
	var square float64
	for name, v := range b {
		w := a[name]
		if len(w) != len(v) {
			return math.Inf(1)
		}
		for i := range v {
			d := float64(w[i]) - float64(v[i])
			square += d * d
		}
	}
	return math.Sqrt(square)
}
