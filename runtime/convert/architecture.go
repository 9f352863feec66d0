package convert

import (
	"fmt"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// A Head is what stands on the base model.
type Head string

// The heads.
const (
	HeadLM       Head = "lm"       // next-token logits [B,T,V]
	HeadMLM      Head = "mlm"      // logits of masked tokens [B,T,V]
	HeadClassify Head = "classify" // one row of logits a record [B,K]
	HeadNone     Head = "none"     // the base model's hidden states [B,T,d]
)

// Options of a conversion.
type Options struct {
	// Head is what the model ends in; "" is what config.json's architectures name.
	Head Head
	// Labels is the number of classes of a new classification head; 0 takes the
	// config's, and the checkpoint's head.
	Labels int64
	// Seed draws what the checkpoint does not hold: a new head, or everything.
	Seed uint64
	// Cache gives a decoder inputs and outputs for the keys and values of earlier
	// tokens.
	Cache bool
	// DType is the type in which weights are stored; Undefined keeps each one's.
	DType ir.DType
	// External stores weights beside the model, whatever their size.
	External bool

	part string // of a model in several files: the file's name without .onnx
}

// An Architecture writes the graphs of one model_type.
type Architecture struct {
	ModelType string
	// Classes names transformers' class of each head that can be written.
	Classes map[Head]string
	// Base is the prefix of the base model's parameters within a class with a head.
	Base string
	// Decoder architectures can have a cache.
	Decoder bool
	// Parts are the files of a model with a cache, without .onnx, where it takes
	// several.
	Parts []string
	// Buffers are suffixes of tensors in checkpoints that are no parameters.
	Buffers []string
	// Renamed lists other names under which checkpoints hold a parameter.
	Renamed func(name string) []string
	// Build writes the graph: inputs, nodes, outputs.
	Build func(b *Builder) error
}

// architectures by model_type.
var architectures = table(gpt2, opt, llama, mistral, qwen2, qwen3, gemma,
	bert, roberta, xlmRoberta, camembert, distilbert, albert, electra, t5)

func table(list ...*Architecture) map[string]*Architecture {
	out := map[string]*Architecture{}
	for _, a := range list {
		out[a.ModelType] = a
	}
	return out
}

// ModelTypes lists the model types that can be written.
func ModelTypes() []string { return sortedKeys(architectures) }

// ArchitectureOf returns the entry of a model_type.
func ArchitectureOf(modelType string) (*Architecture, error) {
	a, ok := architectures[modelType]
	if !ok {
		return nil, bad("config.json: model_type = %q is not converted; converted are %s. Other models can be exported by optimum or torch.onnx and are read as they are",
			modelType, strings.Join(ModelTypes(), ", "))
	}
	return a, nil
}

// headOf resolves the head: the one asked for, or the one that config.json's
// architectures name.
func (a *Architecture) headOf(c *Config, asked Head) (Head, error) {
	if asked != "" {
		if _, ok := a.Classes[asked]; !ok {
			return "", bad("a %s has no head %q; it has %s", a.ModelType, asked, a.headNames())
		}
		return asked, nil
	}
	names := c.Strs("architectures")
	for _, name := range names {
		for _, head := range sortedHeads(a.Classes) {
			if a.Classes[head] == name {
				return head, nil
			}
		}
	}
	if len(names) == 0 {
		for _, head := range []Head{HeadLM, HeadMLM} { // what a checkpoint without a word most likely is
			if _, ok := a.Classes[head]; ok {
				return head, nil
			}
		}
	}
	return "", bad("config.json: architectures = %v is none of %s; choose one with --head", names, a.headNames())
}

func (a *Architecture) headNames() string {
	var out []string
	for _, h := range sortedHeads(a.Classes) {
		out = append(out, fmt.Sprintf("%s (%s)", h, a.Classes[h]))
	}
	return strings.Join(out, ", ")
}

func sortedHeads(m map[Head]string) []Head {
	var out []Head
	for _, h := range []Head{HeadLM, HeadMLM, HeadClassify, HeadNone} {
		if _, ok := m[h]; ok {
			out = append(out, h)
		}
	}
	return out
}
