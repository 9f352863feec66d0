package convert

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/canon"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// FuzzRecover looks for a BERT's and a GPT-2's parameters in any ONNX file: nothing
// panics, and what is found has the shape that it must have.
func FuzzRecover(f *testing.F) {
	var classes []*expectedClass
	for _, text := range []string{
		`{"model_type": "bert", "vocab_size": 7, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 5, "max_position_embeddings": 6, "num_labels": 2}`,
		`{"model_type": "gpt2", "vocab_size": 7, "n_embd": 4, "n_layer": 1, "n_head": 2, "n_positions": 6}`,
	} {
		c, err := ParseConfig([]byte(text))
		if err != nil {
			f.Fatal(err)
		}
		head := HeadClassify
		if c.ModelType == "gpt2" {
			head = HeadLM
		}
		g, _, _, err := Build(c, nil, Options{Head: head})
		if err != nil {
			f.Fatal(err)
		}
		g.Metadata, g.ValueInfos = nil, nil
		seed, err := g.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
		e, err := expectedOf(c, head)
		if err != nil {
			f.Fatal(err)
		}
		classes = append(classes, e)
	}
	for _, name := range []string{"bert-optimum-o2", "gpt2-optimum-o2", "t5-ts17-ortopt", "gemma-optimum"} {
		if b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "matrix", name, "model.onnx")); err == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := ir.Parse(file)
		if err != nil {
			return
		}
		g, err := canon.Inlined(m.Graph())
		if err != nil {
			return
		}
		uses := parameterUses(g.Graph)
		for _, class := range classes {
			r := newRecovery(class, uses, nil)
			if r.run() != nil {
				continue
			}
			for name, at := range r.found {
				p := class.byName[name]
				b, err := p.values(at.use)
				if err != nil {
					continue
				}
				n := int64(formats[at.use.tensor.DType].Size)
				for _, d := range p.shape {
					n *= d
				}
				if int64(len(b)) != n {
					t.Fatalf("%s %v: %d bytes", name, p.shape, len(b))
				}
			}
		}
	})
}
