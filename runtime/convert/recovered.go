package convert

import (
	"maps"
	"os"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// recovered are the Weights that a recovery found, read from the model one at a
// time.
type recovered struct {
	*recovery
	as ir.DType
}

// Names lists the parameters that were found.
func (r recovered) Names() []string { return slices.Sorted(maps.Keys(r.found)) }

// Info returns type and shape of a parameter in the checkpoint.
func (r recovered) Info(name string) (TensorInfo, bool) {
	m, ok := r.found[name]
	if !ok {
		return TensorInfo{}, false
	}
	return TensorInfo{m.use.tensor.DType, r.class.byName[name].shape}, true
}

// Bytes reads a parameter as the checkpoint holds it.
func (r recovered) Bytes(name string) ([]byte, error) {
	return r.class.byName[name].values(r.found[name].use)
}

// names lists the parameters that were found by that evidence, in the order of the
// class.
func (r *recovery) names(by Evidence) []string {
	var out []string
	for _, p := range r.class.parameters {
		if m, ok := r.found[p.name]; ok && m.evidence == by {
			out = append(out, p.name)
		}
	}
	return out
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// locate finds the model file of a path; what is wrong with the path is the
// caller's.
func locate(path string) (string, error) {
	file, err := ir.Locate(path)
	if err != nil {
		return "", bad("%w", err)
	}
	return file, nil
}
