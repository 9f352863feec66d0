package ir

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
)

// A Patch is what WriteBack changes in a model.
type Patch struct {
	// Weights holds new values by initializer name, row-major in the
	// initializer's own layout; they are rounded to its element type. The
	// name may also be the output of an Identity over an initializer, an
	// exporter's way of writing a parameter whose initial values equal
	// another's: the Identity is then replaced by an initializer. A name that
	// only branches of an If know is written into every branch whose initializer
	// of that name held the same numbers.
	Weights map[string][]float32
	// Metadata is set in the model's metadata_props.
	Metadata map[string]string
}

// WriteBack writes the model with the patch applied to path, external data
// beside it under their own names. Every byte of the file that the patch does
// not touch is carried over: metadata, functions, unknown fields, value infos.
// Data files are replaced first, then the model, each whole or not at all.
func (m *Model) WriteBack(path string, p Patch) error {
	plan, err := m.planWriteBack(p)
	if err != nil {
		return err
	}
	if err := plan.writeData(filepath.Dir(path)); err != nil {
		return err
	}
	data, release, err := m.bytes()
	if err != nil {
		return err
	}
	model, err := plan.model(data)
	if err == nil {
		err = durable.WriteFile(path, 0o644, model.writeTo)
	}
	return errors.Join(err, release())
}

// A writePlan sorts a patch by where its bytes go.
type writePlan struct {
	model0   *Model
	inline   map[string]numbers     // new raw_data by initializer
	outside  map[string][]region    // new bytes by external file
	identity map[string]numbers     // new initializers by Identity output
	nested   map[string]nestedPatch // new bytes by the name of an initializer in a branch
	metadata map[string]string
}

// numbers are the values of a tensor, to be written as its element type.
type numbers struct {
	dtype  DType
	dims   []int64
	values []float32
}

// A region is where numbers lie in an external file.
type region struct {
	numbers
	offset int64
}

// size in bytes.
func (n numbers) size() int64 { return int64(floatFormats[n.dtype].Size) * int64(len(n.values)) }

func (m *Model) planWriteBack(p Patch) (*writePlan, error) {
	plan := &writePlan{
		model0: m, inline: map[string]numbers{}, outside: map[string][]region{},
		identity: map[string]numbers{}, nested: map[string]nestedPatch{}, metadata: p.Metadata,
	}
	for name, values := range p.Weights {
		t, at, err := m.target(name)
		if err != nil {
			return nil, err
		}
		if int64(len(values)) != t.Len() {
			return nil, fmt.Errorf("writing back %q: %d values for shape %v", name, len(values), t.Dims)
		}
		if err := checkFloats(t.DType, values); err != nil {
			return nil, fmt.Errorf("writing back %q: %w", name, err)
		}
		n := numbers{t.DType, t.Dims, values}
		switch {
		case at == inBranch && t.ext == nil:
			if plan.nested[name], err = nestedPatchOf(t, values); err != nil {
				return nil, err
			}
		case at == behindIdentity:
			plan.identity[name] = n
		case t.ext != nil:
			plan.outside[t.ext.location] = append(plan.outside[t.ext.location], region{n, t.ext.offset})
		default:
			plan.inline[name] = n
		}
	}
	for _, t := range m.graph.Inits { // files without a patch are carried along
		if t.ext != nil && plan.outside[t.ext.location] == nil {
			plan.outside[t.ext.location] = []region{}
		}
	}
	return plan, nil
}

// A place is where the tensor that a patch names lies in the file.
type place int

const (
	inGraph place = iota
	behindIdentity
	inBranch
)

// target finds the tensor that a patch names.
func (m *Model) target(name string) (*Tensor, place, error) {
	if t, ok := m.graph.Inits[name]; ok && !m.graph.Lifted[name] {
		return t, inGraph, nil
	}
	for _, n := range m.graph.Nodes {
		if n.Is("Identity") && n.Output(0) == name {
			if t, ok := m.graph.Inits[n.Input(0)]; ok {
				return t, behindIdentity, nil
			}
		}
	}
	if t := m.graph.inBranches(name); t != nil {
		return t, inBranch, nil
	}
	return nil, 0, fmt.Errorf("writing back %q: the model has no such initializer", name)
}

// writeData writes the external files into dir.
func (plan *writePlan) writeData(dir string) error {
	for _, location := range slices.Sorted(maps.Keys(plan.outside)) {
		regions := plan.outside[location]
		slices.SortFunc(regions, func(a, b region) int { return cmp.Compare(a.offset, b.offset) })
		// Aliases that share their bytes in the file are patched once.
		regions = slices.CompactFunc(regions, func(a, b region) bool { return a.offset == b.offset && slices.Equal(a.values, b.values) })
		dst := filepath.Join(dir, filepath.FromSlash(location))
		if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
			return fmt.Errorf("writing external data: %w", err)
		}
		err := durable.WriteFile(dst, 0o644, func(w io.Writer) error {
			return plan.model0.folder.copyPatched(location, regions, w)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// copyPatched copies an external file with the regions replaced.
func (f *folder) copyPatched(location string, regions []region, w io.Writer) error {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	src, err := root.Open(location)
	if err != nil {
		return err
	}
	defer src.Close()
	at := int64(0)
	for _, r := range regions {
		if r.offset < at {
			return fmt.Errorf("external data %q: two trained tensors share bytes at %d", location, r.offset)
		}
		if _, err := io.CopyN(w, src, r.offset-at); err != nil {
			return err
		}
		if err := floatFormats[r.dtype].Write(w, r.values); err != nil {
			return err
		}
		at = r.offset + r.size()
		if _, err := src.Seek(at, io.SeekStart); err != nil {
			return err
		}
	}
	_, err = io.Copy(w, src)
	return err
}

// model returns the patched model file; what is not patched aliases data, the
// file.
func (plan *writePlan) model(data []byte) (*rope, error) {
	out := &rope{}
	err := eachField(data, func(num protowire.Number, field, value []byte) error {
		switch {
		case num == modelGraph:
			graph, err := plan.graph(value)
			if err == nil {
				out.addMessage(modelGraph, graph)
			}
			return err
		case num == modelMetadata && plan.replacesMetadata(value):
			return nil
		}
		out.add(field)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("writing back: %w", err)
	}
	for _, k := range slices.Sorted(maps.Keys(plan.metadata)) {
		entry, err := proto.Marshal(&onnxpb.StringStringEntryProto{Key: proto.String(k), Value: proto.String(plan.metadata[k])})
		if err != nil {
			return nil, err
		}
		out.add(appendMessage(nil, modelMetadata, entry))
	}
	if out.size > maxFileBytes {
		return nil, errors.New("writing back: the model would exceed 2 GiB; convert it to external data first")
	}
	return out, nil
}

func (plan *writePlan) replacesMetadata(entry []byte) bool {
	e := &onnxpb.StringStringEntryProto{}
	if proto.Unmarshal(entry, e) != nil {
		return false
	}
	_, ok := plan.metadata[e.GetKey()]
	return ok
}

func (plan *writePlan) graph(msg []byte) (*rope, error) {
	out := &rope{}
	err := eachField(msg, func(num protowire.Number, field, value []byte) error {
		switch num {
		case graphInit:
			tensor, changed, err := plan.tensor(value)
			if changed {
				out.addMessage(graphInit, tensor)
			} else {
				out.add(field)
			}
			return err
		case graphNode:
			node, keep, err := plan.node(value, field)
			if keep {
				out.add(node)
			}
			return err
		}
		out.add(field)
		return nil
	})
	for _, name := range slices.Sorted(maps.Keys(plan.identity)) {
		n := plan.identity[name]
		head, merr := proto.Marshal(&onnxpb.TensorProto{Name: proto.String(name), DataType: proto.Int32(int32(n.dtype)), Dims: n.dims})
		err = errors.Join(err, merr)
		tensor := &rope{}
		tensor.add(head)
		tensor.addNumbers(tensorRaw, n)
		out.addMessage(graphInit, tensor)
	}
	return out, err
}

// node returns a node's field as it is written: patched in its branches, or not
// kept where an initializer takes the place of an Identity.
func (plan *writePlan) node(msg, field []byte) (out []byte, keep bool, err error) {
	if len(plan.identity) > 0 {
		n := &onnxpb.NodeProto{}
		if err := proto.Unmarshal(msg, n); err != nil {
			return nil, false, err
		}
		if len(n.GetOutput()) == 1 {
			if _, replaced := plan.identity[n.GetOutput()[0]]; replaced {
				return nil, false, nil
			}
		}
	}
	if len(plan.nested) == 0 {
		return field, true, nil
	}
	msg, err = plan.branches(msg)
	return appendMessage(nil, graphNode, msg), true, err
}

// tensor returns an initializer with new data: a raw_data instead of whatever
// field held it. A tensor in a patched external file only loses its checksum,
// which is stale.
func (plan *writePlan) tensor(msg []byte) (out *rope, changed bool, err error) {
	out = &rope{}
	name := ""
	err = eachField(msg, func(num protowire.Number, _, value []byte) error {
		if num == tensorName {
			name = string(value)
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	n, inline := plan.inline[name]
	stale := false
	if t := plan.model0.graph.Inits[name]; t != nil && t.ext != nil {
		stale = len(plan.outside[t.ext.location]) > 0
	}
	err = eachField(msg, func(num protowire.Number, field, value []byte) error {
		switch num {
		case tensorRaw, tensorFloats, tensorInt32s, tensorDoubles:
			if inline {
				changed = true
				return nil
			}
		case tensorExternal:
			e := &onnxpb.StringStringEntryProto{}
			if err := proto.Unmarshal(value, e); err != nil {
				return err
			}
			if stale && e.GetKey() == "checksum" {
				changed = true
				return nil
			}
		}
		out.add(field)
		return nil
	})
	if inline {
		out.addNumbers(tensorRaw, n)
		changed = true
	}
	return out, changed, err
}
