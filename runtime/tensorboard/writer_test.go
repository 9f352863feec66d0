package tensorboard

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The messages as tensorflow declares them, for the protobuf library to decode:
// nothing of the writer is used here.
var declared = []struct {
	name   string
	fields []declaredField
}{
	{"SessionLog", []declaredField{{"status", 1, descriptorpb.FieldDescriptorProto_TYPE_INT32, "", false}, {"msg", 3, descriptorpb.FieldDescriptorProto_TYPE_STRING, "", false}}},
	{"Tensor", []declaredField{{"dtype", 1, descriptorpb.FieldDescriptorProto_TYPE_INT32, "", false}, {"string_val", 8, descriptorpb.FieldDescriptorProto_TYPE_BYTES, "", true}}},
	{"Plugin", []declaredField{{"plugin_name", 1, descriptorpb.FieldDescriptorProto_TYPE_STRING, "", false}}},
	{"Metadata", []declaredField{{"plugin_data", 1, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, ".t.Plugin", false}}},
	{"Value", []declaredField{
		{"tag", 1, descriptorpb.FieldDescriptorProto_TYPE_STRING, "", false}, {"simple_value", 2, descriptorpb.FieldDescriptorProto_TYPE_FLOAT, "", false},
		{"tensor", 8, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, ".t.Tensor", false}, {"metadata", 9, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, ".t.Metadata", false},
	}},
	{"Summary", []declaredField{{"value", 1, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, ".t.Value", true}}},
	{"Event", []declaredField{
		{"wall_time", 1, descriptorpb.FieldDescriptorProto_TYPE_DOUBLE, "", false}, {"step", 2, descriptorpb.FieldDescriptorProto_TYPE_INT64, "", false},
		{"file_version", 3, descriptorpb.FieldDescriptorProto_TYPE_STRING, "", false}, {"summary", 5, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, ".t.Summary", false},
		{"session_log", 7, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, ".t.SessionLog", false},
	}},
}

type declaredField struct {
	name     string
	number   int32
	kind     descriptorpb.FieldDescriptorProto_Type
	message  string
	repeated bool
}

func eventType(t *testing.T) protoreflect.MessageDescriptor {
	t.Helper()
	file := &descriptorpb.FileDescriptorProto{Name: proto.String("event.proto"), Package: proto.String("t"), Syntax: proto.String("proto3")}
	for _, m := range declared {
		d := &descriptorpb.DescriptorProto{Name: proto.String(m.name)}
		for _, f := range m.fields {
			field := &descriptorpb.FieldDescriptorProto{Name: proto.String(f.name), Number: proto.Int32(f.number), Type: f.kind.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
			if f.message != "" {
				field.TypeName = proto.String(f.message)
			}
			if f.repeated {
				field.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
			}
			d.Field = append(d.Field, field)
		}
		file.MessageType = append(file.MessageType, d)
	}
	fd, err := protodesc.NewFile(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return fd.Messages().ByName("Event")
}

// events decodes a file record by record and checks every checksum.
func events(t *testing.T, path string) []protoreflect.Message {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := func(b []byte) uint32 {
		c := uint64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
		return uint32((c>>15 | c<<17) + 0xa282ead8)
	}
	kind := eventType(t)
	var out []protoreflect.Message
	for len(data) > 0 {
		n := int(binary.LittleEndian.Uint64(data))
		if got := binary.LittleEndian.Uint32(data[8:]); got != sum(data[:8]) {
			t.Fatalf("record %d: checksum of the length %x, want %x", len(out), got, sum(data[:8]))
		}
		body := data[12 : 12+n]
		if got := binary.LittleEndian.Uint32(data[12+n:]); got != sum(body) {
			t.Fatalf("record %d: checksum of the data %x, want %x", len(out), got, sum(body))
		}
		m := dynamicpb.NewMessage(kind)
		if err := proto.Unmarshal(body, m); err != nil {
			t.Fatal(err)
		}
		if len(m.GetUnknown()) > 0 {
			t.Fatalf("record %d has unknown fields", len(out))
		}
		out = append(out, m)
		data = data[16+n:]
	}
	return out
}

func get(m protoreflect.Message, name string) protoreflect.Value {
	return m.Get(m.Descriptor().Fields().ByName(protoreflect.Name(name)))
}

func TestEventsAreReadBack(t *testing.T) {
	dir := t.TempDir()
	w, err := Create(dir, 0o600, 7, "NOT PRIVATE: a test")
	if err != nil {
		t.Fatal(err)
	}
	before := float64(time.Now().Unix())
	values := map[int64][]Scalar{
		7:       {{"train/loss", 2.5}, {"norm/µ", -1e-3}},
		8:       {{"train/loss", 0}},
		1 << 40: {{"train/loss", 1e300}}, // beyond float32: infinite, as in the format
	}
	for _, step := range []int64{7, 8, 1 << 40} {
		if err := w.Scalars(step, append([]Scalar{{"nothing", math.NaN()}}, values[step]...)...); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Scalars(9, Scalar{"nothing", math.Inf(1)}); err != nil { // writes no event
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*tfevents*"))
	if err != nil || len(names) != 1 {
		t.Fatalf("%v, %v", names, err)
	}
	if info, err := os.Stat(names[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	all := events(t, names[0])
	if len(all) != 6 || get(all[0], "file_version").String() != "brain.Event:2" {
		t.Fatalf("%v", all)
	}
	if start := all[1]; get(start, "step").Int() != 7 || get(get(start, "session_log").Message(), "status").Int() != 1 || get(get(start, "session_log").Message(), "msg").String() != "NOT PRIVATE: a test" {
		t.Errorf("the start: %v", start)
	}
	about := get(get(all[2], "summary").Message(), "value").List().Get(0).Message()
	tensor, plugin := get(about, "tensor").Message(), get(get(about, "metadata").Message(), "plugin_data").Message()
	if get(about, "tag").String() != "about" || get(plugin, "plugin_name").String() != "text" || get(tensor, "dtype").Int() != 7 ||
		string(get(tensor, "string_val").List().Get(0).Bytes()) != "NOT PRIVATE: a test" || get(all[2], "step").Int() != 7 {
		t.Errorf("the text: %v", all[2])
	}
	for _, e := range all[3:] {
		step := get(e, "step").Int()
		got := get(get(e, "summary").Message(), "value").List()
		if at := get(e, "wall_time").Float(); at < before-1 || at > before+60 || got.Len() != len(values[step]) {
			t.Fatalf("step %d: %v", step, e)
		}
		for i, want := range values[step] {
			v := got.Get(i).Message()
			if get(v, "tag").String() != want.Tag || float32(get(v, "simple_value").Float()) != float32(want.Value) {
				t.Errorf("step %d: %v, want %v", step, v, want)
			}
		}
	}
}

// Files of one folder sort by when they were begun, whatever the clock does.
func TestFilesSort(t *testing.T) {
	dir := t.TempDir()
	ahead := filepath.Join(dir, filePrefix+strconv.FormatInt(time.Now().Unix()+1000, 10)+".other")
	if err := os.WriteFile(ahead, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	made := []string{ahead}
	for first := range int64(3) {
		w, err := Create(dir, 0o600, first, "")
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, w.file.Name())
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.IsSorted(made) || len(slices.Compact(slices.Clone(made))) != 4 {
		t.Errorf("%v", made)
	}
}
