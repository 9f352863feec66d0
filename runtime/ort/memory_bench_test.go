package ort

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

// chainGraph is a training step in small: layers of h = tanh(h·W) with the weights as inputs, the backward pass, and the
// squared norm of each weight's gradient as output. The leaves that end in norms stand
// at the end of the file, the last layer's last: the runtime takes the last one first, so each is done as soon as it can be.
func chainGraph(layers, width int) *onnxpb.GraphProto {
	g := graph(values(value("h0", Float32, "n", width)), nil)
	add := func(op, inputs, outputs string, attrs ...*onnxpb.AttributeProto) {
		g.Node = append(g.Node, node(op, inputs, outputs, attrs...))
	}
	for i := 1; i <= layers; i++ {
		g.Input = append(g.Input, value(fmt.Sprintf("w%d", i), Float32, width, width))
		add("MatMul", fmt.Sprintf("h%d w%d", i-1, i), fmt.Sprintf("a%d", i))
		add("Tanh", fmt.Sprintf("a%d", i), fmt.Sprintf("h%d", i))
	}
	add("Identity", fmt.Sprintf("h%d", layers), fmt.Sprintf("g%d", layers))
	for i := layers; i >= 1; i-- {
		add("Mul", fmt.Sprintf("h%d h%d", i, i), fmt.Sprintf("hh%d", i))
		add("Sub", fmt.Sprintf("one hh%d", i), fmt.Sprintf("d%d", i))
		add("Mul", fmt.Sprintf("g%d d%d", i, i), fmt.Sprintf("e%d", i))
		if i > 1 {
			add("Transpose", fmt.Sprintf("w%d", i), fmt.Sprintf("wt%d", i))
			add("MatMul", fmt.Sprintf("e%d wt%d", i, i), fmt.Sprintf("g%d", i-1))
		}
	}
	for i := 1; i <= layers; i++ {
		add("Transpose", fmt.Sprintf("h%d", i-1), fmt.Sprintf("ht%d", i))
		add("MatMul", fmt.Sprintf("ht%d e%d", i, i), fmt.Sprintf("dw%d", i))
		add("ReduceSumSquare", fmt.Sprintf("dw%d", i), fmt.Sprintf("norm%d", i), intAttr("keepdims", 0))
		g.Output = append(g.Output, value(fmt.Sprintf("norm%d", i), Float32))
	}
	g.Initializer = []*onnxpb.TensorProto{floats("one", nil, 1)}
	return g
}

// BenchmarkMemory runs a step under each memory setting and reports what the process's peak rose by in the first run
// (first-MB), over five runs of one shape (steady-MB), and after three longer shapes (shapes-MB). Run it with
// -benchtime 1x, one setting at a time for exact numbers.
func BenchmarkMemory(b *testing.B) {
	const layers, width, rows = 24, 256, 4096
	for _, c := range []struct {
		name string
		o    Options
	}{
		{"default", Options{}},
		{"pattern", Options{MemPattern: true}},
		{"shrink", Options{ShrinkArena: true}},
		{"noarena", Options{NoArena: true}},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := testSession(b, chainGraph(layers, width), c.o)
			weights := make(map[string]*Tensor)
			for i := 1; i <= layers; i++ {
				w, _ := NewZeros(Float32, []int64{width, width})
				for j := range width {
					data[float32](b, w)[j*width+j] = 1
				}
				weights[fmt.Sprintf("w%d", i)] = w
			}
			run := func(rows int64) {
				weights["h0"], _ = NewZeros(Float32, []int64{rows, width})
				if _, err := s.Run(b.Context(), weights); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				base := resetPeak(b)
				run(rows)
				b.ReportMetric(peak(b)-base, "first-MB")
				for range 4 {
					run(rows)
				}
				b.ReportMetric(peak(b)-base, "steady-MB")
				for _, more := range []int64{rows + 256, rows + 512, rows + 1024} {
					run(more)
				}
				b.ReportMetric(peak(b)-base, "shapes-MB")
			}
		})
	}
}

// resetPeak gives free memory back, sets the kernel's peak to what is resident now and returns that in MB.
func resetPeak(b *testing.B) float64 {
	debug.FreeOSMemory()
	testEnv(b).TrimPool()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		b.Skip("this system does not tell a process its peak: ", err)
	}
	return peak(b)
}

// peak is the largest resident size of the process so far in MB (VmHWM).
func peak(b *testing.B) float64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb / 1024
		}
	}
	b.Skip("no VmHWM")
	return 0
}
