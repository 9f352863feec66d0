package ir_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

const models = "../../testdata/models"

// message reads a model of testdata as a protocol buffer.
func message(t testing.TB, name string) *onnxpb.ModelProto {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(models, name, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	m := &onnxpb.ModelProto{}
	if err := proto.Unmarshal(data, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// write puts a model into a folder of its own and returns the file.
func write(t testing.TB, m *onnxpb.ModelProto) string {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "inner", "model.onnx")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// external makes the first initializer external with the given entries.
func external(entries ...string) func(*onnxpb.ModelProto) {
	return func(m *onnxpb.ModelProto) {
		x := m.Graph.Initializer[0]
		x.RawData, x.FloatData, x.DataLocation, x.ExternalData = nil, nil, onnxpb.TensorProto_EXTERNAL.Enum(), nil
		for i := 0; i < len(entries); i += 2 {
			x.ExternalData = append(x.ExternalData, &onnxpb.StringStringEntryProto{Key: proto.String(entries[i]), Value: proto.String(entries[i+1])})
		}
	}
}

// Hostile and broken files are one-line errors that say what is wrong.
func TestHostileFiles(t *testing.T) {
	cases := map[string]struct {
		change func(*onnxpb.ModelProto)
		says   string
		want   error
	}{
		"no graph":                  {func(m *onnxpb.ModelProto) { m.Graph = nil }, "graph", ir.ErrInvalid},
		"cycle":                     {func(m *onnxpb.ModelProto) { m.Graph.Node[2].Input[0] = m.Graph.Node[len(m.Graph.Node)-1].Output[0] }, "cycle", ir.ErrInvalid},
		"a value nobody makes":      {func(m *onnxpb.ModelProto) { m.Graph.Node[len(m.Graph.Node)-1].Input[0] = "nowhere" }, "nowhere", ir.ErrInvalid},
		"two nodes of one value":    {func(m *onnxpb.ModelProto) { m.Graph.Node[5].Output[0] = m.Graph.Node[4].Output[0] }, "", ir.ErrInvalid},
		"an output nobody makes":    {func(m *onnxpb.ModelProto) { m.Graph.Output[0].Name = proto.String("nothing") }, "nothing", ir.ErrInvalid},
		"negative dims":             {func(m *onnxpb.ModelProto) { m.Graph.Initializer[0].Dims = []int64{-97, -20} }, "-97", ir.ErrInvalid},
		"dims that overflow":        {func(m *onnxpb.ModelProto) { m.Graph.Initializer[0].Dims = []int64{1 << 40, 1 << 40} }, "", ir.ErrInvalid},
		"dims larger than the data": {func(m *onnxpb.ModelProto) { m.Graph.Initializer[0].Dims = []int64{970000, 20} }, "", ir.ErrInvalid},
		"rank of a thousand":        {func(m *onnxpb.ModelProto) { m.Graph.Initializer[0].Dims = make([]int64, 1000) }, "", ir.ErrInvalid},
		"one byte too few": {func(m *onnxpb.ModelProto) {
			x := m.Graph.Initializer[0]
			x.RawData = x.RawData[:len(x.RawData)-1]
		}, "", ir.ErrInvalid},
		"unknown element type":      {func(m *onnxpb.ModelProto) { m.Graph.Initializer[0].DataType = proto.Int32(99) }, "99", nil},
		"initializers of one name":  {func(m *onnxpb.ModelProto) { m.Graph.Initializer[1].Name = m.Graph.Initializer[0].Name }, "", ir.ErrInvalid},
		"opset of the future":       {func(m *onnxpb.ModelProto) { m.OpsetImport[0].Version = proto.Int64(99) }, "99", ir.ErrUnsupported},
		"opset of the past":         {func(m *onnxpb.ModelProto) { m.OpsetImport[0].Version = proto.Int64(6) }, "6", ir.ErrUnsupported},
		"no opset":                  {func(m *onnxpb.ModelProto) { m.OpsetImport = nil }, "opset", nil},
		"data in a parent":          {external("location", "../secret.bin"), "secret.bin", ir.ErrInvalid},
		"data at the root":          {external("location", "/etc/passwd"), "passwd", ir.ErrInvalid},
		"data through a detour":     {external("location", "a/../../secret.bin"), "secret.bin", ir.ErrInvalid},
		"data nowhere":              {external("location", "missing.bin"), "missing.bin", nil},
		"data without a place":      {external(), "location", ir.ErrInvalid},
		"data at a negative offset": {external("location", "model.onnx", "offset", "-8"), "-8", ir.ErrInvalid},
		"data past the end":         {external("location", "model.onnx", "offset", "999999999"), "", ir.ErrInvalid},
		"an offset of words":        {external("location", "model.onnx", "offset", "many"), "many", ir.ErrInvalid},
		"subgraphs without end": {func(m *onnxpb.ModelProto) {
			g := &onnxpb.GraphProto{Name: proto.String("leaf")}
			for range 100 {
				g = &onnxpb.GraphProto{Name: proto.String("g"), Node: []*onnxpb.NodeProto{{OpType: proto.String("If"), Attribute: []*onnxpb.AttributeProto{
					{Name: proto.String("then_branch"), Type: onnxpb.AttributeProto_GRAPH.Enum(), G: g}}}}}
			}
			m.Graph.Node = append(m.Graph.Node, g.Node...)
		}, "nested", ir.ErrInvalid},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := message(t, "gpt2-ts17")
			c.change(m)
			err := load(write(t, m))
			if err == nil {
				t.Fatal("was read")
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v does not name %q", err, c.says)
			}
			if c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%v is no %v", err, c.want)
			}
			t.Log(err)
		})
	}
}

// load reads a file and every tensor of it.
func load(path string) error {
	m, err := ir.Open(path)
	if err != nil {
		return err
	}
	return touch(m)
}

func touch(m *ir.Model) error {
	for _, t := range m.Graph().Inits {
		if _, err := t.Bytes(); err != nil {
			return err
		}
	}
	return nil
}

// A file that leads out of its folder by a symbolic link is refused too.
func TestExternalDataThroughALink(t *testing.T) {
	m := message(t, "gpt2-ts17")
	external("location", "weights.bin")(m)
	path := write(t, m)
	secret := filepath.Join(filepath.Dir(filepath.Dir(path)), "secret.bin")
	if err := os.WriteFile(secret, make([]byte, 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(filepath.Dir(path), "weights.bin")); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	if err := load(path); err == nil {
		t.Fatal("data outside the model's folder were read through a link")
	}
}

// A file cut anywhere, or with any byte changed, is read or refused, never more.
func TestTruncatedAndFlippedBytes(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(models, "distilbert-ts13", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	step := max(1, len(data)/400)
	for i := 0; i < len(data); i += step {
		if m, err := ir.Parse(data[:i]); err == nil && i > 0 {
			if len(m.Graph().Outputs) > 0 && touch(m) == nil && i < len(data)-64 {
				t.Errorf("%d of %d bytes were taken for a whole model", i, len(data))
			}
		}
		changed := append([]byte(nil), data...)
		changed[i] ^= 0xff
		if m, err := ir.Parse(changed); err == nil {
			_ = touch(m)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"gpt2-ts17", "distilbert-dyn18", "bert-optimum"} {
		m := message(f, name)
		for _, x := range m.Graph.Initializer { // small seeds: the weights are no structure
			if n := len(x.RawData); n > 64 {
				x.RawData, x.Dims = x.RawData[:64], []int64{16}
			}
		}
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ir.Parse(data)
		if err != nil {
			if !errors.Is(err, ir.ErrInvalid) && !errors.Is(err, ir.ErrUnsupported) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		_ = touch(m)
		g := m.Graph().Clone()
		if err := g.Sort(); err == nil {
			_ = g.Index()
		}
	})
}
