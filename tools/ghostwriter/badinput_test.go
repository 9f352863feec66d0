package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

const sourceModel = "../../testdata/models/distilbert-optimum/model.onnx"

// A bench is a folder with a small classifier, its vocabulary and data.
type bench struct{ dir string }

func newBench(t *testing.T) bench {
	t.Helper()
	b := bench{t.TempDir()}
	data, err := os.ReadFile(sourceModel)
	if err != nil {
		t.Fatal(err)
	}
	vocabulary := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
	for c := 'a'; c <= 'z'; c++ {
		vocabulary = append(vocabulary, string(c), "##"+string(c))
	}
	b.write(t, "model/model.onnx", data)
	b.write(t, "model/vocab.txt", []byte(strings.Join(vocabulary, "\n")+"\n"))
	var rows strings.Builder
	for i := range 24 {
		fmt.Fprintf(&rows, "{\"text\": \"ab cd%c\", \"label\": %d}\n", 'a'+i%20, i%3)
	}
	b.write(t, "train.jsonl", []byte(rows.String()))
	return b
}

func (b bench) path(name string) string { return filepath.Join(b.dir, filepath.FromSlash(name)) }

func (b bench) write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(b.path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.path(name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// edit changes the model as a protocol buffer.
func (b bench) edit(t *testing.T, change func(*onnxpb.ModelProto)) {
	t.Helper()
	data, err := os.ReadFile(sourceModel)
	if err != nil {
		t.Fatal(err)
	}
	var m onnxpb.ModelProto
	if err := proto.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	change(&m)
	if data, err = proto.Marshal(&m); err != nil {
		t.Fatal(err)
	}
	b.write(t, "model/model.onnx", data)
}

// train runs the verb with the usual flags, then more.
func (b bench) train(t *testing.T, more ...string) (code int, stdout, stderr string) {
	t.Helper()
	args := []string{"train", "--model", b.path("model"), "--task", "classify", "--train", b.path("train.jsonl"), "--out", b.path("out"),
		"--target-epsilon", "3", "--steps", "2", "--expected-batch", "4", "--max-length", "16", "--microbatch", "4", "--threads", "1"}
	return command(t, append(args, more...)...)
}

func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// Bad input is one line on standard error, its exit code, and nothing written.
func TestBadInput(t *testing.T) {
	firstLinear := func(m *onnxpb.ModelProto) *onnxpb.NodeProto {
		for _, n := range m.Graph.Node {
			if n.GetOpType() == "Gemm" || n.GetOpType() == "MatMul" {
				return n
			}
		}
		return nil
	}
	cases := map[string]struct {
		prepare func(t *testing.T, b bench)
		flags   []string
		code    int
		says    string
	}{
		"truncated model": {func(t *testing.T, b bench) {
			data, err := os.ReadFile(sourceModel)
			if err != nil {
				t.Fatal(err)
			}
			b.write(t, "model/model.onnx", data[:len(data)/2])
		}, nil, 2, "model.onnx"},
		"an unknown device":       {nil, []string{"--device", "gpu"}, 2, `unknown device "gpu"`},
		"no such GPU":             {nil, []string{"--device", "cuda:99"}, 2, "device cuda:99 can't be used"},
		"half on the processor":   {nil, []string{"--precision", "bf16"}, 2, "it is for --device cuda"},
		"an unknown precision":    {nil, []string{"--precision", "fp8"}, 2, `unknown precision "fp8"`},
		"no model":                {nil, []string{"--model", "/nonexistent"}, 2, "/nonexistent"},
		"model of another format": {func(t *testing.T, b bench) { b.write(t, "model/model.onnx", []byte("PK\x03\x04 zip")) }, nil, 2, "model.onnx"},
		"cycle": {func(t *testing.T, b bench) {
			b.edit(t, func(m *onnxpb.ModelProto) {
				firstLinear(m).Input[0] = m.Graph.Node[len(m.Graph.Node)-1].Output[0]
			})
		}, nil, 2, "cycle"},
		"negative dims": {func(t *testing.T, b bench) {
			b.edit(t, func(m *onnxpb.ModelProto) { m.Graph.Initializer[0].Dims = []int64{-4, -5} })
		}, nil, 2, "-4"},
		"external data outside its folder": {func(t *testing.T, b bench) {
			b.edit(t, func(m *onnxpb.ModelProto) {
				x := m.Graph.Initializer[0]
				x.RawData, x.FloatData = nil, nil
				x.DataLocation = onnxpb.TensorProto_EXTERNAL.Enum()
				x.ExternalData = []*onnxpb.StringStringEntryProto{{Key: proto.String("location"), Value: proto.String("../../secret.bin")}}
			})
		}, nil, 2, "secret.bin"},
		"unknown op": {func(t *testing.T, b bench) {
			b.edit(t, func(m *onnxpb.ModelProto) { firstLinear(m).OpType = proto.String("Frobnicate") })
		}, nil, 3, "Frobnicate"},
		"int8 weights": {func(t *testing.T, b bench) { b.edit(t, quantise) }, nil, 3, "quantised"},
		"empty data":   {func(t *testing.T, b bench) { b.write(t, "train.jsonl", nil) }, nil, 2, "train.jsonl"},
		"no data":      {nil, []string{"--train", "/nonexistent.jsonl"}, 2, "/nonexistent.jsonl"},
		"a row that is not UTF-8": {func(t *testing.T, b bench) {
			b.write(t, "train.jsonl", []byte("{\"text\": \"a\", \"label\": 0}\n{\"text\": \"\xff\xfe\", \"label\": 0}\n"))
		}, nil, 2, "2"},
		"a label out of range": {func(t *testing.T, b bench) { b.write(t, "train.jsonl", []byte("{\"text\": \"a\", \"label\": 3}\n")) }, nil, 2, "label"},
		"vocabulary larger than the model's": {func(t *testing.T, b bench) {
			var v strings.Builder
			for i := range 96 {
				fmt.Fprintf(&v, "[unused%d]\n", i)
			}
			b.write(t, "model/vocab.txt", []byte("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"+v.String()+"ab\n"))
		}, nil, 2, "97"},
		"C of zero":               {nil, []string{"--clip-norm", "0"}, 2, "clip-norm"},
		"C below zero":            {nil, []string{"--clip-norm", "-1"}, 2, "clip-norm"},
		"C not a number":          {nil, []string{"--clip-norm", "NaN"}, 2, "clip-norm"},
		"delta of one":            {nil, []string{"--delta", "1"}, 2, "delta"},
		"epsilon of zero":         {nil, []string{"--target-epsilon", "0"}, 2, "target-epsilon"},
		"epsilon below zero":      {nil, []string{"--target-epsilon", "-3"}, 2, "target-epsilon"},
		"two guarantees":          {nil, []string{"--noise-multiplier", "1"}, 2, "exactly one"},
		"unknown task":            {nil, []string{"--task", "poetry"}, 2, "poetry"},
		"unknown flag":            {nil, []string{"--sigma", "1"}, 2, "sigma"},
		"pattern without a match": {nil, []string{"--trainable", "nothing*"}, 2, "nothing*"},
		"mode that does not fit":  {nil, []string{"--mode", "infill"}, 2, "infill"},
		"accountant that is none": {nil, []string{"--accountant", "gdp"}, 2, "gdp"},
		"resume of nothing":       {nil, []string{"--resume"}, 2, "out"},
		"fewer records than rows": {nil, []string{"--records", "10"}, 2, "10"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if c.prepare != nil {
				c.prepare(t, b)
			}
			code, stdout, stderr := b.train(t, c.flags...)
			if code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, stderr)
			}
			if stdout != "" {
				t.Errorf("standard output holds %q", stdout)
			}
			message := strings.TrimSpace(stderr)
			last := message[strings.LastIndexByte(message, '\n')+1:]
			if !strings.HasPrefix(last, "ghostwriter: ") || !strings.Contains(last, c.says) {
				t.Errorf("the message %q does not name %q", message, c.says)
			}
			if strings.Contains(message, "\n") {
				t.Errorf("more than one line: %q", message)
			}
			if _, err := os.Stat(b.path("out")); err == nil {
				t.Error("the output directory was created")
			}
			t.Log(last)
		})
	}
}

// quantise turns the first weight of a linear layer into int8 behind a
// DequantizeLinear.
func quantise(m *onnxpb.ModelProto) {
	g := m.Graph
	for _, n := range g.Node {
		if n.GetOpType() != "MatMul" && n.GetOpType() != "Gemm" {
			continue
		}
		for i, x := range g.Initializer {
			if x.GetName() != n.Input[1] || len(x.Dims) != 2 {
				continue
			}
			size := x.Dims[0] * x.Dims[1]
			name := x.GetName()
			g.Initializer[i] = &onnxpb.TensorProto{Name: proto.String(name + "_q"), DataType: proto.Int32(3), Dims: x.Dims, RawData: make([]byte, size)}
			g.Initializer = append(g.Initializer, &onnxpb.TensorProto{Name: proto.String(name + "_scale"), DataType: proto.Int32(1), FloatData: []float32{0.01}})
			g.Node = append([]*onnxpb.NodeProto{{OpType: proto.String("DequantizeLinear"), Input: []string{name + "_q", name + "_scale"}, Output: []string{name}, Name: proto.String("dequantize")}}, g.Node...)
			return
		}
	}
}

// A good run prints one JSON object, the last line of standard output.
func TestTrainPrintsItsResult(t *testing.T) {
	b := newBench(t)
	code, stdout, stderr := b.train(t, "--json")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var r struct {
		Steps           int64
		Epsilon, Delta  *float64
		NoiseMultiplier float64 `json:"noise_multiplier"`
		Out             string
	}
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%q: %v", stdout, err)
	}
	if r.Steps != 2 || r.Epsilon == nil || *r.Epsilon > 3 || *r.Epsilon <= 0 || r.Delta == nil || r.NoiseMultiplier <= 0 || r.Out != b.path("out") {
		t.Errorf("%s", stdout)
	}
	if !strings.Contains(stderr, "treated as public") {
		t.Errorf("N was counted and the run does not say so: %s", stderr)
	}
	if strings.Contains(stderr, "loss") {
		t.Errorf("a loss without --debug: %s", stderr)
	}
	if code, _, stderr = b.train(t); code != 2 || !strings.Contains(stderr, "--resume") {
		t.Errorf("a second run in the same directory: %d, %s", code, stderr)
	}
	code, stdout, stderr = command(t, "run", b.path("out"), "--batch", batchFile(t, b), "--json")
	if code != 0 || !strings.Contains(stdout, `"logits"`) {
		t.Errorf("the written model: %d, %s", code, stderr)
	}
}

func batchFile(t *testing.T, b bench) string {
	b.write(t, "batch.json", []byte(`{"inputs":{"input_ids":{"dtype":"int64","shape":[1,3],"data":[2,5,3]},"attention_mask":{"dtype":"int64","shape":[1,3],"data":[1,1,1]}}}`))
	return b.path("batch.json")
}

// The same options from a YAML file; flags go over it.
func TestTrainFromFile(t *testing.T) {
	b := newBench(t)
	b.write(t, "train.yaml", []byte(fmt.Sprintf("model: %s\ntask: classify\ntrain: %s\nout: %s\nnoise-multiplier: 2\nsteps: 7\nexpected-batch: 4\nmax-length: 16\n",
		b.path("model"), b.path("train.jsonl"), b.path("out"))))
	code, stdout, stderr := command(t, "train", "--config", b.path("train.yaml"), "--steps", "1", "--microbatch", "4", "--json")
	if code != 0 || !strings.Contains(stdout, `"steps":1,`) || !strings.Contains(stdout, `"noise_multiplier":2,`) {
		t.Errorf("%d, %s, %s", code, stdout, stderr)
	}
	b.write(t, "train.yaml", []byte("model: x\nclipping: 3\n"))
	if code, _, stderr = command(t, "train", "--config", b.path("train.yaml")); code != 2 || !strings.Contains(stderr, "clipping") {
		t.Errorf("an unknown name: %d, %s", code, stderr)
	}
}
