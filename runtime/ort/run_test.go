package ort

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

// addGraph is y = a + b over [n 2].
func addGraph() *onnxpb.GraphProto {
	return graph(values(value("a", Float32, "n", 2), value("b", Float32, "n", 2)), values(value("y", Float32, "n", 2)),
		node("Add", "a b", "y"))
}

func TestRunAdd(t *testing.T) {
	s := testSession(t, addGraph(), Options{Name: "add"})
	out, err := s.Run(t.Context(), map[string]*Tensor{
		"a": tensor[float32](t, []int64{2, 2}, 1, 2, 3, 4), "b": tensor[float32](t, []int64{2, 2}, 10, 20, 30, 40),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := data[float32](t, out["y"]), []float32{11, 22, 33, 44}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := out["y"].Shape(); !slices.Equal(got, []int64{2, 2}) {
		t.Errorf("shape %v", got)
	}
}

// TestRunTypes passes every carried element type through Identity, to a new tensor and to a bound one, at rank 0, at
// rank 2 and with no elements.
func TestRunTypes(t *testing.T) {
	for dtype := Float32; dtype <= BFloat16; dtype++ {
		if dtype.Size() == 0 {
			continue
		}
		for _, shape := range [][]int64{{}, {2, 3}, {0}, {2, 0, 3}} {
			t.Run(fmt.Sprint(dtype, shape), func(t *testing.T) { identity(t, dtype, shape) })
		}
	}
}

func identity(t *testing.T, dtype DType, shape []int64) {
	dims := make([]any, len(shape))
	s := testSession(t, graph(values(value("x", dtype, dims...)), values(value("y", dtype, dims...)), node("Identity", "x", "y")), Options{})
	x, err := NewZeros(dtype, shape)
	if err != nil {
		t.Fatal(err)
	}
	for i := range x.Bytes() {
		x.Bytes()[i] = byte(i%7 + 1)
		if dtype == Bool {
			x.Bytes()[i] &= 1
		}
	}
	into, err := NewZeros(dtype, shape)
	if err != nil {
		t.Fatal(err)
	}
	for _, fetch := range []Fetch{{Name: "y"}, {Name: "y", Into: into}} {
		out, err := s.Run(t.Context(), map[string]*Tensor{"x": x}, fetch)
		if err != nil {
			t.Fatal(err)
		}
		y := out["y"]
		if y.DType() != dtype || !slices.Equal(y.Shape(), shape) || !slices.Equal(y.Bytes(), x.Bytes()) {
			t.Errorf("bound %v: got %s % x, want % x", fetch.Into != nil, y, y.Bytes(), x.Bytes())
		}
		if fetch.Into != nil && y != into {
			t.Error("the result is not the bound tensor")
		}
	}
}

// TestRunScalarOutput reduces to rank 0, which the wrapper can't allocate.
func TestRunScalarOutput(t *testing.T) {
	s := testSession(t, graph(values(value("x", Float32, "n")), values(value("y", Float32)),
		node("ReduceSum", "x", "y", intAttr("keepdims", 0))), Options{})
	out, err := s.Run(t.Context(), map[string]*Tensor{"x": tensor[float32](t, []int64{3}, 1, 2, 4)})
	if err != nil {
		t.Fatal(err)
	}
	if y := out["y"]; len(y.Shape()) != 0 || data[float32](t, y)[0] != 7 {
		t.Errorf("got %s %v, want float32[] [7]", y, data[float32](t, y))
	}
}

// TestRunHalf casts to the 16-bit types: 1.5 is 0x3e00 in binary16 and 0x3fc0 in bfloat16.
func TestRunHalf(t *testing.T) {
	for dtype, want := range map[DType]uint16{Float16: 0x3e00, BFloat16: 0x3fc0} {
		s := testSession(t, graph(values(value("x", Float32, "n")), values(value("y", dtype, "n")),
			node("Cast", "x", "y", intAttr("to", int64(dtype)))), Options{})
		out, err := s.Run(t.Context(), map[string]*Tensor{"x": tensor[float32](t, []int64{2}, 1.5, 0)})
		if err != nil {
			t.Fatal(err)
		}
		if got := data[uint16](t, out["y"]); !slices.Equal(got, []uint16{want, 0}) || out["y"].DType() != dtype {
			t.Errorf("%s: got %s %#x, want %#x 0", dtype, out["y"], got, want)
		}
	}
}

func TestRunBool(t *testing.T) {
	s := testSession(t, graph(values(value("x", Float32, "n")), values(value("y", Bool, "n")), node("IsNaN", "x", "y")), Options{})
	out, err := s.Run(t.Context(), map[string]*Tensor{"x": tensor(t, []int64{3}, 1, float32(math.NaN()), 2)})
	if err != nil {
		t.Fatal(err)
	}
	if got := data[bool](t, out["y"]); !slices.Equal(got, []bool{false, true, false}) {
		t.Errorf("got %v", got)
	}
}

// TestRunBoolBytes: a model file may store any byte for true, Go's bool may hold only 1.
func TestRunBoolBytes(t *testing.T) {
	g := graph(nil, values(value("y", Bool, 3)), node("Identity", "c", "y"))
	g.Initializer = []*onnxpb.TensorProto{{Name: proto.String("c"), Dims: []int64{3}, DataType: proto.Int32(int32(Bool)), RawData: []byte{0, 255, 2}}}
	s := testSession(t, g, Options{})
	into := tensor(t, []int64{3}, false, false, false)
	for _, fetch := range []Fetch{{Name: "y"}, {Name: "y", Into: into}} {
		out, err := s.Run(t.Context(), nil, fetch)
		if err != nil {
			t.Fatal(err)
		}
		if got := out["y"].Bytes(); !slices.Equal(got, []byte{0, 1, 1}) {
			t.Errorf("got % x, want 00 01 01", got)
		}
	}
}

// TestRunArena feeds weights from one arena, at an offset that is no multiple of 16 bytes, and lets the runtime write
// the product into another.
func TestRunArena(t *testing.T) {
	s := testSession(t, graph(values(value("x", Float32, "n", 2), value("w", Float32, 2, 3)), values(value("y", Float32, "n", 3)),
		node("MatMul", "x w", "y")), Options{})
	weights, err := NewArena([]Param{{"pad", []int64{1}}, {"w", []int64{2, 3}}})
	if err != nil {
		t.Fatal(err)
	}
	grads, err := NewArena([]Param{{"pad", []int64{3}}, {"y", []int64{1, 3}}, {"end", []int64{1}}})
	if err != nil {
		t.Fatal(err)
	}
	copy(weights.Slice("w"), []float32{1, 2, 3, 4, 5, 6})
	feeds := map[string]*Tensor{"x": tensor[float32](t, []int64{1, 2}, 1, 10), "w": weights.Tensors()["w"]}
	into := Fetch{Name: "y", Into: grads.Tensors()["y"]}
	if _, err := s.Run(t.Context(), feeds, into); err != nil {
		t.Fatal(err)
	}
	if want := []float32{0, 0, 0, 41, 52, 63, 0}; !slices.Equal(grads.Data(), want) {
		t.Errorf("got %v, want %v", grads.Data(), want)
	}
	weights.Data()[1] = 101 // w[0][0]: an update in place is seen by the next run
	if _, err := s.Run(t.Context(), feeds, into); err != nil {
		t.Fatal(err)
	}
	if want := []float32{0, 0, 0, 141, 52, 63, 0}; !slices.Equal(grads.Data(), want) {
		t.Errorf("after the update: got %v, want %v", grads.Data(), want)
	}
}

// TestRunInPlace binds an input as the destination of an elementwise update of it.
func TestRunInPlace(t *testing.T) {
	s := testSession(t, addGraph(), Options{})
	a, b := tensor[float32](t, []int64{1, 2}, 1, 2), tensor[float32](t, []int64{1, 2}, 10, 20)
	if _, err := s.Run(t.Context(), map[string]*Tensor{"a": a, "b": b}, Fetch{Name: "y", Into: a}); err != nil {
		t.Fatal(err)
	}
	if got := data[float32](t, a); !slices.Equal(got, []float32{11, 22}) {
		t.Errorf("got %v", got)
	}
}

// TestRunSomeOutputs: a fetched output does not need the other one's inputs to be other than declared, and what is not
// fetched is not returned.
func TestRunSomeOutputs(t *testing.T) {
	g := graph(values(value("x", Float32, "n")), values(value("y", Float32, "n"), value("z", Float32, "n")),
		node("Neg", "x", "y"), node("Abs", "x", "z"))
	s := testSession(t, g, Options{})
	out, err := s.Run(t.Context(), map[string]*Tensor{"x": tensor[float32](t, []int64{1}, -3)}, Outputs("z")...)
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != 1 || data[float32](t, out["z"])[0] != 3 {
		t.Errorf("got %v", out)
	}
}

func TestRunOverridable(t *testing.T) {
	g := graph(values(value("x", Float32, 1), value("c", Float32, 1)), values(value("y", Float32, 1)), node("Add", "x c", "y"))
	g.Initializer = []*onnxpb.TensorProto{floats("c", []int64{1}, 5)}
	s := testSession(t, g, Options{})
	if in, over := s.Inputs(), s.Overridable(); len(in) != 1 || in[0].Name != "x" || len(over) != 1 || over[0].Name != "c" {
		t.Fatalf("inputs %v, overridable %v", in, over)
	}
	for _, c := range []struct {
		feeds map[string]*Tensor
		want  float32
	}{
		{map[string]*Tensor{"x": tensor[float32](t, []int64{1}, 1)}, 6},
		{map[string]*Tensor{"x": tensor[float32](t, []int64{1}, 1), "c": tensor[float32](t, []int64{1}, 7)}, 8},
	} {
		out, err := s.Run(t.Context(), c.feeds)
		if err != nil {
			t.Fatal(err)
		}
		if got := data[float32](t, out["y"])[0]; got != c.want {
			t.Errorf("got %v, want %v", got, c.want)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	s := testSession(t, addGraph(), Options{Name: "adder"})
	good := tensor[float32](t, []int64{1, 2}, 1, 2)
	for _, c := range []struct {
		name    string
		feeds   map[string]*Tensor
		fetches []Fetch
		want    string
	}{
		{"missing", map[string]*Tensor{"a": good}, nil, `session adder: input "b" is not fed: want float32[n 2]`},
		{"unknown", map[string]*Tensor{"a": good, "b": good, "c": good}, nil, `session adder: the model has no input "c": its inputs are ["a" "b"]`},
		{"nil", map[string]*Tensor{"a": good, "b": nil}, nil, `session adder: input "b": got no tensor (nil), want float32[n 2]`},
		{"zero value", map[string]*Tensor{"a": good, "b": {}}, nil, `session adder: input "b": got type 0[], want float32[n 2]`},
		{"dtype", map[string]*Tensor{"a": good, "b": tensor[int64](t, []int64{1, 2}, 1, 2)}, nil,
			`session adder: input "b": got int64[1 2], want float32[n 2]`},
		{"rank", map[string]*Tensor{"a": good, "b": tensor[float32](t, []int64{2}, 1, 2)}, nil,
			`session adder: input "b": got rank 1 (float32[2]), want rank 2 (float32[n 2])`},
		{"size", map[string]*Tensor{"a": good, "b": tensor[float32](t, []int64{1, 3}, 1, 2, 3)}, nil,
			`session adder: input "b": got size 3 on axis 1 (float32[1 3]), want 2 (float32[n 2])`},
		{"unknown output", map[string]*Tensor{"a": good, "b": good}, Outputs("z"), `session adder: the model has no output "z": its outputs are ["y"]`},
		{"twice", map[string]*Tensor{"a": good, "b": good}, Outputs("y", "y"), `session adder: output "y" is fetched twice`},
		{"destination type", map[string]*Tensor{"a": good, "b": good}, []Fetch{{Name: "y", Into: tensor[int32](t, []int64{1, 2}, 0, 0)}},
			`session adder: output "y": the destination is int32[1 2], the model gives float32[n 2]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.Run(t.Context(), c.feeds, c.fetches...)
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// TestRunRuntimeErrors: what only the runtime can see comes back on one line with the session's name, and the session
// stays usable.
func TestRunRuntimeErrors(t *testing.T) {
	s := testSession(t, addGraph(), Options{Name: "adder"})
	one, two, three := tensor[float32](t, []int64{1, 2}, 1, 2), tensor[float32](t, []int64{2, 2}, 1, 2, 3, 4), tensor[float32](t, []int64{3, 2}, 1, 2, 3, 4, 5, 6)
	for name, run := range map[string]func() error{
		"broadcast": func() error {
			_, err := s.Run(t.Context(), map[string]*Tensor{"a": two, "b": three})
			return err
		},
		"destination shape": func() error {
			_, err := s.Run(t.Context(), map[string]*Tensor{"a": one, "b": one}, Fetch{Name: "y", Into: two})
			return err
		},
	} {
		err := run()
		if err == nil || !strings.HasPrefix(err.Error(), "session adder: run failed: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v", name, err)
		}
		t.Log(err)
	}
	if _, err := s.Run(t.Context(), map[string]*Tensor{"a": one, "b": one}); err != nil {
		t.Error(err)
	}
}

// loopGraph counts to n in a Loop, adding 1 to a scalar each turn.
func loopGraph() *onnxpb.GraphProto {
	body := graph(values(value("i", Int64), value("go", Bool), value("v", Float32)), values(value("go2", Bool), value("v2", Float32)),
		node("Identity", "go", "go2"), node("Add", "v one", "v2"))
	g := graph(values(value("n", Int64), value("start", Float32)), values(value("end", Float32)),
		node("Loop", "n yes start", "end", graphAttr("body", body)))
	g.Initializer = []*onnxpb.TensorProto{
		floats("one", nil, 1),
		{Name: proto.String("yes"), DataType: proto.Int32(int32(Bool)), RawData: []byte{1}},
	}
	return g
}

func TestRunLoop(t *testing.T) {
	s := testSession(t, loopGraph(), Options{})
	out, err := s.Run(t.Context(), map[string]*Tensor{"n": Scalar[int64](1000), "start": Scalar[float32](0.5)})
	if err != nil {
		t.Fatal(err)
	}
	if got := data[float32](t, out["end"])[0]; got != 1000.5 {
		t.Errorf("got %v, want 1000.5", got)
	}
}

// TestRunCancel stops a loop of 10¹² turns, which would take days.
func TestRunCancel(t *testing.T) {
	s := testSession(t, loopGraph(), Options{Name: "loop"})
	feeds := map[string]*Tensor{"n": Scalar[int64](1e12), "start": Scalar[float32](0)}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Run(ctx, feeds); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deadline: got %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := s.Run(ctx, feeds)
	if want := "session loop: run stopped: context canceled"; err == nil || err.Error() != want || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := s.Run(ctx, feeds); !errors.Is(err, context.Canceled) {
		t.Errorf("begun with a cancelled context: got %v", err)
	}
	feeds["n"] = Scalar[int64](3) // the session is still good
	out, err := s.Run(t.Context(), feeds)
	if err != nil {
		t.Fatal(err)
	}
	if got := data[float32](t, out["end"])[0]; got != 3 {
		t.Errorf("got %v, want 3", got)
	}
}

// TestRunConcurrent runs one session from several goroutines on shared weights while the collector works.
func TestRunConcurrent(t *testing.T) {
	s := testSession(t, graph(values(value("x", Float32, "n", 4), value("w", Float32, 4, 4)), values(value("y", Float32, "n", 4)),
		node("MatMul", "x w", "y")), Options{Threads: 2})
	arena, err := NewArena([]Param{{"w", []int64{4, 4}}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		arena.Data()[i*4+i] = 2
	}
	w := arena.Tensors()["w"]
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for i := range 50 {
				v := float32(g*50 + i)
				x, err := NewTensor([]int64{1, 4}, []float32{v, v, v, v})
				if err != nil {
					t.Error(err)
					return
				}
				fetch := Fetch{Name: "y"}
				if i%2 == 1 {
					fetch.Into, _ = NewZeros(Float32, []int64{1, 4})
				}
				out, err := s.Run(t.Context(), map[string]*Tensor{"x": x, "w": w}, fetch)
				if err != nil {
					t.Error(err)
					return
				}
				if y := data[float32](t, out["y"]); !slices.Equal(y, []float32{2 * v, 2 * v, 2 * v, 2 * v}) {
					t.Errorf("got %v for %v", y, v)
				}
				if i%10 == 0 {
					runtime.GC()
				}
			}
		})
	}
	group.Wait()
}

func BenchmarkRunOverhead(b *testing.B) {
	for _, inputs := range []int{2, 200} {
		b.Run(fmt.Sprintf("inputs=%d", inputs), func(b *testing.B) {
			var in []*onnxpb.ValueInfoProto
			names, feeds := "", map[string]*Tensor{}
			for i := range inputs {
				name := fmt.Sprintf("x%d", i)
				in, names = append(in, value(name, Float32, 1)), names+" "+name
				feeds[name] = tensor[float32](b, []int64{1}, 1)
			}
			s := testSession(b, graph(in, values(value("y", Float32, 1)), node("Sum", names, "y")), Options{Threads: 1})
			y, _ := NewZeros(Float32, []int64{1})
			for b.Loop() {
				if _, err := s.Run(b.Context(), feeds, Fetch{Name: "y", Into: y}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
