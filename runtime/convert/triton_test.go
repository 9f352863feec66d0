package convert_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime/convert"
)

// tritonConfig reads a config.pbtxt by Triton's own schema: the descriptor of
// model_config.proto as tritonclient 2.73.0 carries it
// (tritonclient.grpc.model_config_pb2.DESCRIPTOR.serialized_pb).
func tritonConfig(t *testing.T, path string) protoreflect.Message {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "triton_model_config.binpb"))
	if err != nil {
		t.Fatal(err)
	}
	var file descriptorpb.FileDescriptorProto
	if err := proto.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	schema, err := protodesc.NewFile(&file, new(protoregistry.Files))
	if err != nil {
		t.Fatal(err)
	}
	m := dynamicpb.NewMessage(schema.Messages().ByName("ModelConfig"))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := prototext.Unmarshal(text, m); err != nil {
		t.Fatalf("%s: %v\n%s", path, err, text)
	}
	return m
}

func field(m protoreflect.Message, name string) protoreflect.Value {
	return m.Get(m.Descriptor().Fields().ByName(protoreflect.Name(name)))
}

// A classifier becomes a model whose batches Triton makes itself, with the names of
// its classes; what lies beside the model is carried, the privacy statement too.
func TestTritonRepository(t *testing.T) {
	repository := filepath.Join(t.TempDir(), "repository")
	onnx := filepath.Join(t.TempDir(), "bert classifier")
	if _, err := convert.ToONNX(t.Context(), filepath.Join("testdata", "encoders", "bert-classify"), onnx, convert.Options{External: true}); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"tokenizer.json": "{}", "README.md": "# card", "release/statement.txt": "epsilon 3"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(onnx, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(onnx, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := convert.ToTriton(t.Context(), onnx, repository, convert.TritonOptions{}); err == nil || !strings.Contains(err.Error(), "--name") {
		t.Errorf("a name with a space: %v", err)
	}
	r, err := convert.ToTriton(t.Context(), onnx, repository, convert.TritonOptions{Name: "bert", MaxBatch: 8})
	if err != nil || !r.Joined {
		t.Fatal(r, err)
	}
	m := tritonConfig(t, filepath.Join(repository, "bert", "config.pbtxt"))
	if field(m, "backend").String() != "onnxruntime" || field(m, "max_batch_size").Int() != 8 || field(m, "name").String() != "bert" || !m.Has(m.Descriptor().Fields().ByName("dynamic_batching")) {
		t.Errorf("%v", m)
	}
	for name, want := range map[string]string{"input": "input_ids [-1],attention_mask [-1],token_type_ids [-1]", "output": "logits [3] labels.txt"} {
		var got []string
		for i := range field(m, name).List().Len() {
			x := field(m, name).List().Get(i).Message()
			text := field(x, "name").String() + " " + strings.ReplaceAll(listText(field(x, "dims").List()), " ", ",")
			if name == "output" {
				text += " " + field(x, "label_filename").String()
			}
			got = append(got, text)
		}
		if strings.Join(got, ",") != want {
			t.Errorf("%s: %v, want %s", name, got, want)
		}
	}
	if _, err := ir.Open(filepath.Join(repository, "bert", "1", "model.onnx")); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"labels.txt", "tokenizer.json", "config.json", "README.md", "release/statement.txt"} {
		if _, err := os.Stat(filepath.Join(repository, "bert", name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := convert.ToTriton(t.Context(), onnx, repository, convert.TritonOptions{Name: "bert"}); err == nil {
		t.Error("a model of that name was overwritten")
	}
}

func listText(l protoreflect.List) string {
	var out []string
	for i := range l.Len() {
		out = append(out, l.Get(i).String())
	}
	return "[" + strings.Join(out, " ") + "]"
}

// A decoder with a cache is not joined, for the reason that is said; a name that
// needs quoting is quoted, and a model without a batch axis has none.
func TestTritonConfigOfOtherModels(t *testing.T) {
	onnx := filepath.Join(t.TempDir(), "gpt2")
	if _, err := convert.ToONNX(t.Context(), filepath.Join("testdata", "decoders", "gpt2"), onnx, convert.Options{Cache: true}); err != nil {
		t.Fatal(err)
	}
	r, err := convert.ToTriton(t.Context(), onnx, t.TempDir(), convert.TritonOptions{})
	if err != nil || r.Joined || !strings.Contains(r.WhyNot, "past_key_values.0.key") || r.Name != "gpt2" {
		t.Fatal(r, err)
	}
	tritonConfig(t, filepath.Join(r.Out, "config.pbtxt"))

	g := &ir.Graph{
		Name: "odd", Inits: map[string]*ir.Tensor{}, Opset: map[string]int64{"": 17},
		Inputs:  []*ir.ValueInfo{{Name: "a \"quoted\\\n\x01 é", DType: ir.Float16, Dims: []ir.DeclaredDim{{Value: 2}, {Value: -1}}}},
		Outputs: []*ir.ValueInfo{{Name: "sum", DType: ir.Float16, Dims: []ir.DeclaredDim{}}},
	}
	g.Nodes = []*ir.Node{{Name: "n", Op: "ReduceSum", Inputs: []string{g.Inputs[0].Name}, Outputs: []string{"sum"}, Attrs: ir.Attrs{"keepdims": int64(0)}}}
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := g.Save(path); err != nil {
		t.Fatal(err)
	}
	if r, err = convert.ToTriton(t.Context(), path, t.TempDir(), convert.TritonOptions{Name: "odd"}); err != nil {
		t.Fatal(err)
	}
	m := tritonConfig(t, filepath.Join(r.Out, "config.pbtxt"))
	in, out := field(m, "input").List().Get(0).Message(), field(m, "output").List().Get(0).Message()
	if field(in, "name").String() != g.Inputs[0].Name || listText(field(in, "dims").List()) != "[2 -1]" || field(m, "max_batch_size").Int() != 0 {
		t.Errorf("%v", m)
	}
	if listText(field(out, "dims").List()) != "[1]" || !out.Has(out.Descriptor().Fields().ByName("reshape")) {
		t.Errorf("an output of rank 0: %v", out)
	}
}
