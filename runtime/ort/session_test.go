package ort

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

func TestSessionInfos(t *testing.T) {
	g := graph(
		values(value("a", Float32, "batch", 3, nil), value("b", Float16), shapeless("c", Int64)),
		values(value("y", Float32, "batch", 3, nil), value("z", Float16), shapeless("w", Int64)),
		node("Identity", "a", "y"), node("Identity", "b", "z"), node("Identity", "c", "w"))
	s := testSession(t, g, Options{})
	want := []string{"a float32[batch 3 ?]", "b float16[]", "c int64[...]"}
	var got []string
	for _, in := range s.Inputs() {
		got = append(got, in.Name+" "+in.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	a := s.Inputs()[0]
	if !slices.Equal(a.Dims, []int64{-1, 3, -1}) || !slices.Equal(a.Symbols, []string{"batch", "", ""}) || !a.HasShape || a.Kind != "tensor" {
		t.Errorf("got %+v", a)
	}
	if c := s.Inputs()[2]; c.HasShape || c.Dims != nil {
		t.Errorf("got %+v", c)
	}
	a.Dims[0] = 77
	if s.Inputs()[0].Dims[0] != -1 {
		t.Error("Inputs shares its slices")
	}
	// An input of no declared shape takes any rank.
	feeds := map[string]*Tensor{"a": tensor[float32](t, []int64{1, 3, 0}), "c": tensor[int64](t, []int64{1, 1}, 5)}
	feeds["b"], _ = NewFloat16([]int64{}, []uint16{7})
	out, err := s.Run(t.Context(), feeds)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(out["y"], out["z"], out["w"]); got != "float32[1 3 0] float16[] int64[1 1]" {
		t.Errorf("got %s", got)
	}
}

// TestSessionOtherKinds: sequences and strings are listed, and refused in words.
func TestSessionOtherKinds(t *testing.T) {
	sequence := &onnxpb.ValueInfoProto{Name: proto.String("list"), Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_SequenceType{
		SequenceType: &onnxpb.TypeProto_Sequence{ElemType: tensorType(Float32, nil)}}}}
	const text = DType(8)
	s := testSession(t, graph(values(value("x", Float32, 1)), values(sequence, value("word", text, 1)),
		node("SequenceConstruct", "x", "list"), node("Cast", "x", "word", intAttr("to", int64(text)))), Options{Name: "kinds"})
	if got := s.Outputs()[0].String() + " " + s.Outputs()[1].String(); got != "sequence type 8[1]" {
		t.Errorf("got %s", got)
	}
	feeds := map[string]*Tensor{"x": tensor[float32](t, []int64{1}, 1)}
	for name, want := range map[string]string{
		"list": `session kinds: output "list" is a sequence; only tensors can be fetched`,
		"word": `session kinds: output "word" holds elements of type 8, which are not supported`,
	} {
		if _, err := s.Run(t.Context(), feeds, Outputs(name)...); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestSessionOldModels: below IR version 4 every initializer had to be an input as well; it is not one to feed.
func TestSessionOldModels(t *testing.T) {
	g := graph(values(value("x", Float32, 1), value("c", Float32, 1)), values(value("y", Float32, 1)), node("Add", "x c", "y"))
	g.Initializer = []*onnxpb.TensorProto{floats("c", []int64{1}, 5)}
	s, err := testEnv(t).NewSession(model(t, g, 3), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if in, over := s.Inputs(), s.Overridable(); len(in) != 1 || len(over) != 0 {
		t.Errorf("inputs %v, overridable %v", in, over)
	}
	out, err := s.Run(t.Context(), map[string]*Tensor{"x": tensor[float32](t, []int64{1}, 1)})
	if err != nil || data[float32](t, out["y"])[0] != 6 {
		t.Errorf("got %v, %v", out, err)
	}
}

func TestNewSessionRefuses(t *testing.T) {
	env := testEnv(t)
	good := model(t, addGraph(), 10)
	for _, c := range []struct {
		name  string
		model []byte
		o     Options
		want  string
	}{
		{"empty", nil, Options{}, "session model: the model is empty"},
		{"no protobuf", []byte("hello"), Options{Name: "x"}, "session x: can't load the model: "},
		{"truncated", good[:len(good)/2], Options{}, "session model: can't load the model: "},
		{"unknown operator", model(t, graph(values(value("x", Float32, 1)), values(value("y", Float32, 1)), node("Frobnicate", "x", "y")), 10), Options{}, "Frobnicate"},
		{"cycle", model(t, graph(values(value("x", Float32, 1)), values(value("y", Float32, 1)), node("Add", "x y", "z"), node("Neg", "z", "y")), 10), Options{}, "can't load the model: "},
		{"threads", good, Options{Threads: -1}, "session model: threads -1: want 0 (all) or more"},
		{"level", good, Options{OptLevel: 9}, "session model: unknown optimization level 9"},
		{"free dimension", good, Options{FreeDims: map[string]int64{"n": -3}}, `session model: free dimension "n": size -3 is negative`},
		{"setting", good, Options{Config: map[string]string{"": "1"}}, "session model: session setting =1: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := env.NewSession(c.model, c.o)
			if err == nil {
				s.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %s on one line", err, c.want)
			}
			t.Log(err)
		})
	}
	missing := filepath.Join(t.TempDir(), "no.onnx")
	if _, err := env.NewSessionFromFile(missing, Options{}); err == nil || !strings.Contains(err.Error(), "session no.onnx: can't load the model: ") {
		t.Errorf("got %v", err)
	}
}

func TestSessionFromFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "add.onnx")
	if err := os.WriteFile(path, model(t, addGraph(), 10), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := testEnv(t).NewSessionFromFile(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Name() != "add.onnx" || len(s.Inputs()) != 2 {
		t.Errorf("%s with inputs %v", s.Name(), s.Inputs())
	}
}

// TestSessionExternalData opens a model from memory whose weights are in a file.
func TestSessionExternalData(t *testing.T) {
	g := graph(values(value("x", Float32, 1)), values(value("y", Float32, 1)), node("Add", "x w", "y"))
	entry := func(k, v string) *onnxpb.StringStringEntryProto {
		return &onnxpb.StringStringEntryProto{Key: proto.String(k), Value: proto.String(v)}
	}
	g.Initializer = []*onnxpb.TensorProto{{
		Name: proto.String("w"), Dims: []int64{1}, DataType: proto.Int32(int32(Float32)),
		DataLocation: onnxpb.TensorProto_EXTERNAL.Enum(),
		ExternalData: []*onnxpb.StringStringEntryProto{entry("location", "w.bin"), entry("length", "4")},
	}}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "w.bin"), []byte{0, 0, 0x28, 0x42}, 0o600); err != nil { // 42
		t.Fatal(err)
	}
	s := testSession(t, g, Options{ExternalDataDir: dir})
	out, err := s.Run(t.Context(), map[string]*Tensor{"x": tensor[float32](t, []int64{1}, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if got := data[float32](t, out["y"])[0]; got != 43 {
		t.Errorf("got %v, want 43", got)
	}
	if s, err := testEnv(t).NewSession(model(t, g, 10), Options{ExternalDataDir: t.TempDir()}); err == nil {
		s.Close()
		t.Error("a folder without the file: no error")
	}
}

func TestSessionClose(t *testing.T) {
	s, err := testEnv(t).NewSession(model(t, loopGraph(), 10), Options{Name: "loop"})
	if err != nil {
		t.Fatal(err)
	}
	// Close waits for the runs under way.
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			out, err := s.Run(t.Context(), map[string]*Tensor{"n": Scalar[int64](20000), "start": Scalar[float32](0)})
			switch {
			case errors.Is(err, ErrClosed): // came too late
			case err != nil:
				t.Error(err)
			case data[float32](t, out["end"])[0] != 20000:
				t.Error("wrong sum")
			}
		})
	}
	time.Sleep(5 * time.Millisecond)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	group.Wait()
	_, err = s.Run(t.Context(), nil)
	if want := "session loop: session is closed"; !errors.Is(err, ErrClosed) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := s.EndProfiling(); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if len(s.Inputs()) != 2 || s.Name() != "loop" {
		t.Error("the closed session forgot what it was")
	}
}

// TestSessionOptions tells from the profile of a run which operators ran: two equal Exp are one unless their merging
// is switched off, all of them stay at level none, and a fixed dimension lets Shape be computed in advance.
func TestSessionOptions(t *testing.T) {
	g := graph(values(value("x", Float32, "n")), values(value("y", Float32, "n"), value("s", Int64, 1)),
		node("Exp", "x", "e1"), node("Exp", "x", "e2"), node("Add", "e1 e2", "y"), node("Shape", "x", "s"))
	for _, c := range []struct {
		name string
		o    Options
		want string
	}{
		{"default", Options{}, "Add Exp Shape"},
		{"without merging", Options{DisableOptimizers: []string{"CommonSubexpressionElimination"}}, "Add Exp Exp Shape"},
		{"none", Options{OptLevel: OptNone}, "Add Exp Exp Shape"},
		{"fixed dimension", Options{FreeDims: map[string]int64{"n": 3}}, "Add Exp"},
		{"memory", Options{MemPattern: true, NoArena: true, AllowSpinning: true, Threads: 1}, "Add Exp Shape"},
		{"shrinking", Options{ShrinkArena: true, OptLevel: OptExtended}, "Add Exp Shape"},
		{"further settings", Options{Config: map[string]string{"session.intra_op.allow_spinning": "1"}, OptLevel: OptBasic}, "Add Exp Shape"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.ProfilePrefix = filepath.Join(t.TempDir(), "profile")
			s := testSession(t, g, c.o)
			for range 2 {
				out, err := s.Run(t.Context(), map[string]*Tensor{"x": tensor[float32](t, []int64{3}, 0, 0, 0)})
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(data[float32](t, out["y"]), []float32{2, 2, 2}) || data[int64](t, out["s"])[0] != 3 {
					t.Errorf("got %v", out)
				}
			}
			path, err := s.EndProfiling()
			if err != nil {
				t.Fatal(err)
			}
			want := slices.Sorted(slices.Values(strings.Fields(c.want + " " + c.want))) // two runs
			if got := operators(t, path); !slices.Equal(got, want) {
				t.Errorf("ran %s, want %s", got, want)
			}
		})
	}
}

// operators reads the kernels that ran from a profile, sorted.
func operators(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var events []struct {
		Name string
		Args struct {
			Op string `json:"op_name"`
		}
	}
	if err := json.Unmarshal(text, &events); err != nil {
		t.Fatal(err)
	}
	var ops []string
	for _, e := range events {
		if strings.HasSuffix(e.Name, "_kernel_time") {
			ops = append(ops, e.Args.Op)
		}
	}
	slices.Sort(ops)
	return ops
}

// TestSessionSilent: the library writes nothing to standard error about a failed run.
func TestSessionSilent(t *testing.T) {
	s := testSession(t, addGraph(), Options{})
	text := stderrOf(t, func() {
		_, err := s.Run(t.Context(), map[string]*Tensor{
			"a": tensor[float32](t, []int64{2, 2}, 1, 2, 3, 4), "b": tensor[float32](t, []int64{3, 2}, 1, 2, 3, 4, 5, 6)})
		if err == nil {
			t.Error("no error")
		}
		if _, err := testEnv(t).NewSession([]byte("no model"), Options{}); err == nil {
			t.Error("no error")
		}
	})
	if text != "" {
		t.Errorf("standard error got %q", text)
	}
}
