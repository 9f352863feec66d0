package ghost_test

import (
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

// FuzzRewriter hands a file to everything that a model goes through before the
// runtime sees it: reading, the canonical form, shapes, the proof, the gradients
// and the step of every pass. Whatever the file holds, the answer is an error or a
// graph, in bounded time and memory.
func FuzzRewriter(f *testing.F) {
	paths, _ := filepath.Glob("../testdata/models/*/model.onnx")
	if len(paths) == 0 {
		f.Fatal("testdata/models holds no models")
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		seed := withoutWeights(f, data)
		m, err := ir.Parse(withWeights(seed))
		if err != nil {
			f.Fatal(err)
		}
		if _, err := ghost.Prepare(m, "", ""); err != nil {
			f.Fatalf("%s: %v", path, err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ir.Parse(withWeights(data))
		if err != nil {
			return
		}
		for _, output := range outputs(m) {
			p, err := ghost.Prepare(m, output, "")
			if err != nil {
				continue
			}
			if _, err := p.Inspect(nil, nil); err != nil {
				continue
			}
			for _, loss := range []string{"causal-lm", "classify", "mse"} {
				for _, pass := range []ghost.Pass{ghost.Clipped, ghost.Oracle} {
					program, err := p.Compile(ghost.Spec{Loss: loss, Pass: pass, ClipNorm: 1, Length: 16})
					if err == nil {
						program.PeakBytes(4, 16)
					}
				}
			}
		}
	})
}

func outputs(m *ir.Model) []string {
	var out []string
	for _, o := range m.Graph().Outputs {
		out = append(out, o.Name)
	}
	return out[:min(2, len(out))]
}

// withoutWeights drops the numbers of a seed's large initializers, so that
// mutations meet the graph and not a matrix; withWeights puts zeros in their place.
func withoutWeights(f *testing.F, data []byte) []byte {
	m := &onnxpb.ModelProto{}
	if err := proto.Unmarshal(data, m); err != nil {
		f.Fatal(err)
	}
	for _, x := range m.GetGraph().GetInitializer() {
		if x.GetDataType() == 1 && len(x.GetRawData()) > 64 {
			x.RawData = nil
		}
	}
	data, err := proto.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	return data
}

func withWeights(data []byte) []byte {
	m := &onnxpb.ModelProto{}
	if proto.Unmarshal(data, m) != nil {
		return data
	}
	for _, x := range m.GetGraph().GetInitializer() {
		n := int64(4)
		for _, d := range x.GetDims() {
			if n *= d; d < 0 || d > 1<<16 || n > 1<<20 {
				n = 0
				break
			}
		}
		if x.GetDataType() == 1 && len(x.GetRawData())+len(x.GetFloatData()) == 0 && x.GetExternalData() == nil {
			x.RawData = make([]byte, n)
		}
	}
	if filled, err := proto.Marshal(m); err == nil {
		return filled
	}
	return data
}
