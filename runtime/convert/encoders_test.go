package convert_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/convert"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"
)

// An encoderGolden is what PyTorch computes with a checkpoint of testdata/encoders
// (encoders.py makes them).
type encoderGolden struct {
	Head   convert.Head `json:"head"`
	Inputs map[string]struct {
		Shape []int64 `json:"shape"`
		Data  []int64 `json:"data"`
	} `json:"inputs"`
	Outputs map[string][]float32 `json:"outputs"`
}

func (g encoderGolden) feeds(t *testing.T) map[string]*ort.Tensor {
	out := map[string]*ort.Tensor{}
	for name, x := range g.Inputs {
		out[name] = ints(t, x.Shape, x.Data)
	}
	return out
}

func eachEncoder(t *testing.T, visit func(t *testing.T, dir string, g encoderGolden)) {
	dirs, err := filepath.Glob(filepath.Join("testdata", "encoders", "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no checkpoints in testdata/encoders (%v)", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var g encoderGolden
			text, err := os.ReadFile(filepath.Join(dir, "expected.json"))
			if err == nil {
				err = json.Unmarshal(text, &g)
			}
			if err != nil {
				t.Fatal(err)
			}
			visit(t, dir, g)
		})
	}
}

// Every output is PyTorch's, that of a row of nothing but padding too.
func TestEncodersEqualPyTorch(t *testing.T) {
	eachEncoder(t, func(t *testing.T, dir string, g encoderGolden) {
		m := converted(t, dir, convert.Options{Head: g.Head})
		out := run(t, m, g.feeds(t))
		if len(out) != len(g.Outputs) {
			t.Errorf("outputs %v, PyTorch's %v", slices.Sorted(maps.Keys(out)), slices.Sorted(maps.Keys(g.Outputs)))
		}
		for name, want := range g.Outputs {
			near(t, name, data(t, out[name]), want, slices.Repeat([]int64{1}, len(want)))
		}
	})
}

// A T5 with a cache is an encoder and two decoders: the first tokens through one,
// the others, in pieces of any size, through the other give PyTorch's logits, and
// the way back reads them as one model.
func TestCachedT5EqualsPyTorch(t *testing.T) {
	eachEncoder(t, func(t *testing.T, dir string, g encoderGolden) {
		if g.Head != convert.HeadLM {
			t.Skip("no decoder")
		}
		dst := filepath.Join(t.TempDir(), "onnx")
		if _, err := convert.ToONNX(t.Context(), dir, dst, convert.Options{Cache: true}); err != nil {
			t.Fatal(err)
		}
		open := func(name string) *runtime.Model {
			m, err := runtime.Open(filepath.Join(dst, name), runtime.Options{Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { m.Close() })
			return m
		}
		encoder, first, later := open("encoder_model.onnx"), open("decoder_model.onnx"), open("decoder_with_past_model.onnx")
		in := g.feeds(t)
		states := run(t, encoder, map[string]*ort.Tensor{"input_ids": in["input_ids"], "attention_mask": in["attention_mask"]})["last_hidden_state"]
		targets, want := g.Inputs["decoder_input_ids"], g.Outputs["logits"]
		rows, length := targets.Shape[0], targets.Shape[1]
		width := int64(len(want)) / (rows * length)
		for _, ends := range [][]int64{{3}, {1, 3}, {1, 2, 3}} {
			feeds := map[string]*ort.Tensor{"encoder_attention_mask": in["attention_mask"], "encoder_hidden_states": states}
			m, from := first, int64(0)
			for _, to := range ends {
				var ids []int64
				for r := range rows {
					ids = append(ids, targets.Data[r*length+from:r*length+to]...)
				}
				feeds["input_ids"] = ints(t, []int64{rows, to - from}, ids)
				out := run(t, m, feeds)
				got := data(t, out["logits"])
				for r := range rows {
					near(t, fmt.Sprint(ends, from), got[r*(to-from)*width:(r+1)*(to-from)*width], want[(r*length+from)*width:(r*length+to)*width], slices.Repeat([]int64{1}, int(to-from)))
				}
				delete(feeds, "encoder_hidden_states")
				for name, x := range out {
					if rest, ok := strings.CutPrefix(name, "present"); ok {
						feeds["past_key_values"+rest] = x
					}
				}
				m, from = later, to
			}
		}
		r, err := convert.ToHF(t.Context(), dst, filepath.Join(t.TempDir(), "hf"), convert.BackOptions{})
		if err != nil || r.Compared == nil {
			t.Fatal(r, err)
		}
		if _, err := convert.Quantize(t.Context(), dst, filepath.Join(t.TempDir(), "q"), convert.QuantizeOptions{Bits: 8}); err == nil || !strings.Contains(err.Error(), "--cache") {
			t.Errorf("one of three files was quantised: %v", err)
		}
	})
}

// What is written can be trained as it is, and ghost norms are those of one record
// at a time.
func TestWrittenEncodersTrain(t *testing.T) {
	if testing.Short() {
		t.Skip("computes for long and finds nothing under the race detector")
	}
	losses := map[convert.Head]string{convert.HeadMLM: "masked-lm", convert.HeadClassify: "classify", convert.HeadLM: "seq2seq"}
	eachEncoder(t, func(t *testing.T, dir string, g encoderGolden) {
		m := converted(t, dir, convert.Options{Head: g.Head})
		r, err := m.Inspect(nil, nil)
		if err != nil || len(r.Unsupported) > 0 || r.Mixed != nil {
			t.Fatalf("unsupported %v, mixed %v, %v", r.Unsupported, r.Mixed, err)
		}
		loss, ok := losses[g.Head]
		if !ok {
			return
		}
		labels := g.Inputs["input_ids"]
		switch loss {
		case "classify":
			labels.Shape, labels.Data = []int64{3}, []int64{1, 0, 1}
		case "seq2seq":
			labels = g.Inputs["decoder_input_ids"]
		}
		b := &runtime.Batch{Inputs: g.feeds(t), Loss: map[string]*ort.Tensor{"labels": ints(t, labels.Shape, labels.Data)}}
		o := runtime.GradNormsOptions{Loss: loss, PerParameter: true}
		ghost, err := m.GradNorms(t.Context(), b, o)
		if err != nil {
			t.Fatal(err)
		}
		o.Method = "loop"
		loop, err := m.GradNorms(t.Context(), b, o)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range loop.Norm {
			if math.Abs(ghost.Norm[i]-want) > 1e-4*want {
				t.Errorf("record %d: ghost %g, loop %g", i, ghost.Norm[i], want)
			}
		}
	})
}

// There and back again gives the checkpoint's tensors bit for bit, under the names
// of the class as it is saved today.
func TestThereAndBack(t *testing.T) {
	if testing.Short() {
		t.Skip("computes for long and finds nothing under the race detector")
	}
	eachEncoder(t, func(t *testing.T, dir string, g encoderGolden) { thereAndBack(t, dir, g.Head) })
	eachDecoder(t, func(t *testing.T, dir string, g golden) { thereAndBack(t, dir, "") })
}

func thereAndBack(t *testing.T, dir string, head convert.Head) {
	onnx, back := filepath.Join(t.TempDir(), "onnx"), filepath.Join(t.TempDir(), "hf")
	if _, err := convert.ToONNX(t.Context(), dir, onnx, convert.Options{Head: head}); err != nil {
		t.Fatal(err)
	}
	r, err := convert.ToHF(t.Context(), onnx, back, convert.BackOptions{MaxShard: 300})
	if err != nil {
		t.Fatal(err)
	}
	if r.Compared == nil || len(r.Files) < 2 {
		t.Errorf("compared %v (%s), files %v", r.Compared, r.Why, r.Files)
	}
	want, got := tensorsOf(t, dir), tensorsOf(t, back)
	if strings.HasSuffix(dir, "-legacy") {
		want = modernNames(want)
	}
	if len(got) != len(want) {
		t.Errorf("%v, want %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
	for name, x := range want {
		if y, ok := got[name]; !ok || !bytes.Equal(x.Data, y.Data) || x.DType != y.DType || fmt.Sprint(x.Shape) != fmt.Sprint(y.Shape) {
			t.Errorf("%q: %s %v, want %s %v (or other numbers)", name, y.DType, y.Shape, x.DType, x.Shape)
		}
	}
}

// tensorsOf reads a checkpoint whole.
func tensorsOf(t *testing.T, dir string) map[string]safetensors.Tensor {
	t.Helper()
	d, err := safetensors.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	out := map[string]safetensors.Tensor{}
	for _, name := range d.Names() {
		info, _ := d.Info(name)
		b, err := d.Bytes(name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = safetensors.Tensor{Name: name, DType: info.DType, Shape: info.Shape, Data: b}
	}
	return out
}

// modernNames undoes what encoders.py does to a legacy checkpoint.
func modernNames(list map[string]safetensors.Tensor) map[string]safetensors.Tensor {
	out := map[string]safetensors.Tensor{}
	for name, x := range list {
		name = strings.NewReplacer("LayerNorm.gamma", "LayerNorm.weight", "LayerNorm.beta", "LayerNorm.bias").Replace(name)
		if strings.HasPrefix(name, "encoder.") || strings.HasPrefix(name, "embeddings.") {
			name = "bert." + name
		}
		out[name] = x
	}
	return out
}
