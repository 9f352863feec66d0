package ir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

// A Model is an ONNX file as it was read. It is immutable.
type Model struct {
	Path string // "" for a model from memory

	data   []byte             // the file, where it was given in memory; initializers alias it
	source *source            // the file, where there is one
	pb     *onnxpb.ModelProto // the file without its initializers' raw data
	folder *folder
	graph  *Graph
}

// The versions this package reads.
const (
	minIR, maxIR       = 3, 14
	minOpset, maxOpset = 9, 23
)

// modelNames are where a model directory's model lies, in this order: the last
// ones are optimum's decoders, whose encoder and continuation lie beside them.
var modelNames = []string{
	"model.onnx", "onnx/model.onnx", "decoder_model_merged.onnx", "onnx/decoder_model_merged.onnx", "decoder_model.onnx", "onnx/decoder_model.onnx",
}

// Locate returns the model file of path: path itself when it is a file, and in
// a model directory model.onnx, onnx/model.onnx or optimum's decoder.
func Locate(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("model %s: %w", path, cause(err))
	}
	if !info.IsDir() {
		return path, nil
	}
	for _, name := range modelNames {
		file := filepath.Join(path, filepath.FromSlash(name))
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file, nil
		}
	}
	return "", fmt.Errorf("%w: folder %s holds neither model.onnx nor onnx/model.onnx", ErrInvalid, path)
}

// Open reads and checks the model at path, a file or a model directory.
// External data are located and checked but not read.
func Open(path string) (*Model, error) {
	file, err := Locate(path)
	if err != nil {
		return nil, err
	}
	src, err := openSource(file)
	if err != nil {
		return nil, err
	}
	data, release, err := src.bytes()
	if err != nil {
		return nil, err
	}
	m, err := parse(data, &folder{dir: filepath.Dir(file)})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("model %s: %w", file, err), release())
	}
	src.detach(data, m.graph.Inits)
	m.Path, m.data, m.source = file, nil, src
	if err := release(); err != nil {
		return nil, fmt.Errorf("model %s: %w", file, err)
	}
	return m, nil
}

// bytes returns the file, for reading until release is called.
func (m *Model) bytes() (data []byte, release func() error, err error) {
	if m.source == nil {
		return m.data, func() error { return nil }, nil
	}
	return m.source.bytes()
}

func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// Parse reads and checks a model from memory. External data are refused.
func Parse(data []byte) (*Model, error) { return parse(data, nil) }

func parse(data []byte, f *folder) (*Model, error) {
	if err := preflight(data); err != nil {
		return nil, err
	}
	rest, raw, err := splitWeights(data)
	if err != nil {
		return nil, err
	}
	pb := &onnxpb.ModelProto{}
	if err := proto.Unmarshal(rest, pb); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrInvalid, err)
	}
	m := &Model{data: data, pb: pb, folder: f}
	g, err := graphFromProto(pb, raw, f)
	if err != nil {
		return nil, err
	}
	m.graph = g
	return m, nil
}

// Opset returns the imported version of the default operator set.
func (m *Model) Opset() int64 { return m.graph.Opset[""] }

// IRVersion returns the file's IR version.
func (m *Model) IRVersion() int64 { return m.pb.GetIrVersion() }

// Metadata returns the file's metadata_props.
func (m *Model) Metadata() map[string]string {
	out := map[string]string{}
	for _, e := range m.pb.GetMetadataProps() {
		out[e.GetKey()] = e.GetValue()
	}
	return out
}

// Producer returns the name and version of the exporter.
func (m *Model) Producer() string {
	if v := m.pb.GetProducerVersion(); v != "" {
		return m.pb.GetProducerName() + " " + v
	}
	return m.pb.GetProducerName()
}

// Graph returns a new working copy of the main graph. Tensors are shared with
// the model and must not be changed; nodes and maps are the caller's.
func (m *Model) Graph() *Graph { return m.graph.Clone() }
