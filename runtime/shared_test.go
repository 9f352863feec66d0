package runtime

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// Models by others, read from the folder beside the checkout where it exists.
const sharedModels = "../../shared/data/models"

type sharedModel struct {
	file, loss, output, head string
	ids                      string // the input that holds token ids
	others                   []string
	vocabulary, classes      int64
	batches, lengths         []int64
	int32                    bool
	// twoWide: below a layer normalisation two wide, gradients are pure
	// cancellation; only the total and the head are compared.
	twoWide bool
}

var sharedList = []sharedModel{
	{file: "gpt2-torch-opset11/GPT2Model.onnx", loss: "causal-lm", head: "tied", ids: "input_ids", vocabulary: 20, batches: []int64{1, 2, 7}, lengths: []int64{1, 2, 5, 8}},
	{file: "bert-qa-torch-opset11/BertForQuestionAnswering_0.onnx", loss: "classify", output: "start", ids: "input_ids", others: []string{"input_mask", "segment_ids"}, vocabulary: 32, classes: 10, batches: []int64{1}, lengths: []int64{10}},
	{file: "bert-qa-torch-opset11/BertForQuestionAnswering_1.onnx", loss: "classify", output: "start", ids: "input_ids", others: []string{"input_mask", "segment_ids"}, vocabulary: 32, classes: 10, batches: []int64{1, 2, 7}, lengths: []int64{10}},
	{file: "bert-seqcls-keras2onnx-opset10/TFBertForSequenceClassification_1.onnx", loss: "classify", ids: "input_ids", others: []string{"attention_mask", "token_type_ids"}, vocabulary: 20, classes: 2, batches: []int64{1, 2, 7}, lengths: []int64{7}, int32: true},
	{file: "distilbert-sst2-optimum/model.onnx", loss: "classify", ids: "input_ids", others: []string{"attention_mask"}, vocabulary: 30522, classes: 2, batches: []int64{1, 2, 7}, lengths: []int64{1, 3, 16, 64}, twoWide: true},
}

func needShared(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(sharedModels); err != nil {
		t.Skipf("skipped: the folder %s is absent", sharedModels)
	}
}

func (s sharedModel) open(t *testing.T) *Model {
	t.Helper()
	m, err := Open(filepath.Join(sharedModels, s.file), Options{Threads: 1, Output: s.output, Head: s.head})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// batch makes random records; all but the first are padded on the right.
func (s sharedModel) batch(t *testing.T, rows, length int64, rng *rand.Rand) *Batch {
	t.Helper()
	ids, mask, types, labels := make([]int64, rows*length), make([]int64, rows*length), make([]int64, rows*length), make([]int64, rows*length)
	for i := range rows {
		n := length
		if i > 0 {
			n = 1 + rng.Int64N(length)
		}
		for j := range length {
			k := i*length + j
			ids[k], labels[k] = rng.Int64N(s.vocabulary), -100
			if j < n {
				mask[k], types[k], labels[k] = 1, j%2, ids[k]
			}
		}
	}
	make2 := func(v []int64, shape ...int64) *ort.Tensor {
		x, err := ort.NewTensor(shape, v)
		if err != nil {
			t.Fatal(err)
		}
		if s.int32 && len(shape) == 2 {
			if x, err = convert(x, ort.Int32); err != nil {
				t.Fatal(err)
			}
		}
		return x
	}
	b := &Batch{Inputs: map[string]*ort.Tensor{s.ids: make2(ids, rows, length)}, Loss: map[string]*ort.Tensor{}}
	for _, name := range s.others {
		v := mask
		if strings.Contains(name, "segment") || strings.Contains(name, "type") {
			v = types
		}
		b.Inputs[name] = make2(v, rows, length)
	}
	b.Loss["labels"], _ = ort.NewTensor([]int64{rows, length}, labels)
	if s.loss == "classify" {
		classes := make([]int64, rows)
		for i := range classes {
			classes[i] = rng.Int64N(s.classes)
		}
		b.Loss["labels"], _ = ort.NewTensor([]int64{rows}, classes)
	}
	return b
}

func TestSharedModelsGhostAgainstLoop(t *testing.T) {
	if testing.Short() {
		t.Skip("twelve-layer models for long")
	}
	needShared(t)
	for _, s := range sharedList {
		t.Run(filepath.Base(filepath.Dir(s.file))+"/"+filepath.Base(s.file), func(t *testing.T) {
			t.Parallel()
			m := s.open(t)
			rng := rand.New(rand.NewPCG(7, 7))
			for _, rows := range s.batches {
				for _, length := range s.lengths {
					s.compare(t, m, s.batch(t, rows, length, rng))
				}
			}
		})
	}
}

func (s sharedModel) compare(t *testing.T, m *Model, b *Batch) {
	t.Helper()
	run := func(method string) *GradNorms {
		r, err := m.GradNorms(t.Context(), b, GradNormsOptions{Loss: s.loss, Method: method, PerParameter: true, Sum: true})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	fast, loop := run("ghost"), run("loop")
	worst := 0.0
	for i, want := range loop.Norm {
		if want > 0 {
			worst = max(worst, abs(fast.Norm[i]-want)/want)
		}
		if !within(fast.Norm[i], want, 1e-4, 0) {
			t.Errorf("record %d: ghost %g, loop %g", i, fast.Norm[i], want)
		}
		for name, v := range loop.Norms {
			if s.twoWide && !strings.HasPrefix(name, "classifier") && !strings.HasPrefix(name, "pre_classifier") {
				continue
			}
			if !within(fast.Norms[name][i], v[i], 1e-4, 1e-6*want) {
				t.Errorf("record %d, %s: ghost %g, loop %g (of %g)", i, name, fast.Norms[name][i], v[i], want)
			}
		}
	}
	// Records of a two-wide model have opposite gradients that cancel in the
	// sum: what is left is compared with what was added.
	added := 0.0
	for i := range loop.Norm {
		added += loop.Factor[i] * loop.Norm[i]
	}
	d := distance(fast.Sum, loop.Sum) / max(added, 1e-30)
	if !(d <= 1e-4) {
		t.Errorf("distance between the clipped sums %.2g", d)
	}
	t.Logf("%d records: worst relative difference %.1e, of the sums %.1e", len(loop.Norm), worst, d)
}

// distance is ‖a − b‖ over all tensors of b.
func distance(a, b map[string][]float32) float64 {
	var diff float64
	for name, v := range b {
		for i := range v {
			diff += math.Pow(float64(a[name][i])-float64(v[i]), 2)
		}
	}
	return math.Sqrt(diff)
}

func abs(x float64) float64 { return max(x, -x) }

// The forward pass reproduces the outputs that came with the models. Their
// declared shapes are wrong in places; the stored tensors are right.
func TestSharedModelsForward(t *testing.T) {
	needShared(t)
	for _, s := range sharedList {
		m := s.open(t)
		dir := filepath.Join(sharedModels, filepath.Dir(s.file), "test_data_set_0")
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		t.Run(s.file, func(t *testing.T) {
			session, err := m.session()
			if err != nil {
				t.Fatal(err)
			}
			inputs := map[string]*ort.Tensor{}
			for i, in := range session.Inputs() {
				x, name := readTensor(t, filepath.Join(dir, "input_"+string(rune('0'+i))+".pb"))
				if name == "" {
					name = in.Name
				}
				inputs[name] = x
			}
			out, err := m.Run(t.Context(), inputs)
			if err != nil {
				t.Fatal(err)
			}
			for i, o := range session.Outputs() {
				stored, _ := readTensor(t, filepath.Join(dir, "output_"+string(rune('0'+i))+".pb"))
				want, _ := ort.Data[float32](stored)
				got, _ := ort.Data[float32](out[o.Name])
				if len(got) != len(want) || len(want) == 0 {
					t.Fatalf("output %s has %d numbers, want %d", o.Name, len(got), len(want))
				}
				for k := range want {
					if !within(float64(got[k]), float64(want[k]), 0, 1e-4) {
						t.Errorf("%s[%d] = %g, want %g", o.Name, k, got[k], want[k])
					}
				}
			}
		})
	}
}

// readTensor reads a serialized TensorProto and its name.
func readTensor(t *testing.T, path string) (*ort.Tensor, string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pb := &onnxpb.TensorProto{}
	if err := proto.Unmarshal(data, pb); err != nil {
		t.Fatal(err)
	}
	x, err := ir.ParseTensor(pb)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	out, err := ort.NewZeros(ort.DType(x.DType), x.Dims)
	if err != nil {
		t.Fatal(err)
	}
	copy(out.Bytes(), raw)
	return out, x.Name
}
