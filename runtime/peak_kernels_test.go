package runtime

import (
	"path/filepath"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// kernelCases are y = f(a), or of a and b, [batch,sequence,64], or of h
// [batch,4,sequence,16], which nobody reads afterwards.
var kernelCases = map[string]func(*irtest.Builder) *irtest.Builder{
	"Add":             nodes("y = Add(a,b)"),
	"Add bias":        nodes("y = Add(a,bias)"),
	"Mul":             nodes("y = Mul(a,b)"),
	"Pow":             nodes("y = Pow(a,two)"),
	"Sqrt":            nodes("y = Sqrt(a)"),
	"Exp":             nodes("y = Exp(a)"),
	"Erf":             nodes("y = Erf(a)"),
	"Abs":             nodes("y = Abs(a)"),
	"Reciprocal":      nodes("y = Reciprocal(a)"),
	"Sin":             nodes("y = Sin(a)"),
	"Relu":            nodes("y = Relu(a)"),
	"Tanh":            nodes("y = Tanh(a)"),
	"Sigmoid":         nodes("y = Sigmoid(a)"),
	"LeakyRelu":       nodes("y = LeakyRelu(a)"),
	"Elu":             nodes("y = Elu(a)"),
	"HardSigmoid":     nodes("y = HardSigmoid(a)"),
	"Selu":            nodes("y = Selu(a)"),
	"Softplus":        nodes("y = Softplus(a)"),
	"Softsign":        nodes("y = Softsign(a)"),
	"ThresholdedRelu": nodes("y = ThresholdedRelu(a)"),
	"Clip":            nodes("y = Clip(a,zero,two)"),
	"Softmax":         nodes("y = Softmax(a)"),
	"Softmax inner":   attributed("y = Softmax(a)", ir.Attrs{"axis": int64(1)}),
	"LogSoftmax":      nodes("y = LogSoftmax(a)"),
	"Gelu":            nodes("y = Gelu(a)"),
	"Gelu tanh":       attributed("y = Gelu(a)", ir.Attrs{"approximate": "tanh"}),
	"BiasGelu":        nodes("y = com.microsoft::BiasGelu(a,bias)"),
	"FastGelu":        nodes("y = com.microsoft::FastGelu(a)"),
	"FastGelu bias":   nodes("y = com.microsoft::FastGelu(a,bias)"),
	"QuickGelu":       nodes("y = com.microsoft::QuickGelu(a)"),
	"Sum of two":      nodes("y = Sum(a,b)"),
	"Sum of three":    nodes("y = Sum(a,b,x)"),
	"Sum of four":     nodes("y = Sum(a,b,x,x)"),
	"Sum reusing":     nodes("c = Neg(a)", "d = Neg(c)", "y = Sum(d,b,x,x)"),
	"Max of three":    nodes("y = Max(a,b,x)"),
	"Mean of three":   nodes("y = Mean(a,b,x)"),
	"Where":           nodes("m = Greater(a,b)", "y = Where(m,a,b)"),
	"Where scalar":    nodes("m = Greater(a,b)", "y = Where(m,a,zero)"),
	"Where rows":      nodes("r = ReduceMax(a,last)", "m = Greater(r,zero)", "y = Where(m,a,zero)"),
	"MatMul":          nodes("y = MatMul(a,w)"),
	"MatMul batch":    nodes("t = Transpose(a)", "y = MatMul(x,w)"),
	"FusedMatMul":     attributed("y = com.microsoft::FusedMatMul(a,b)", ir.Attrs{"transA": int64(1)}),
	"FusedMatMul B":   attributed("y = com.microsoft::FusedMatMul(a,b)", ir.Attrs{"transB": int64(1), "alpha": float32(0.5)}),
	"Gemm":            nodes("f = Reshape(a,flat)", "y = Gemm(f,w,bias)"),
	"Transpose":       attributed("y = Transpose(h)", ir.Attrs{"perm": []int64{0, 2, 1, 3}}),
	"Transpose last":  attributed("y = Transpose(a)", ir.Attrs{"perm": []int64{0, 2, 1}}),
	"Reshape":         nodes("f = Reshape(a,flat)", "y = Neg(f)"),
	"Unsqueeze":       nodes("f = Unsqueeze(a,last)", "y = Neg(f)"),
	"Identity":        nodes("f = Identity(a)", "y = Neg(f)"),
	"Cast":            attributed("y = Cast(a)", ir.Attrs{"to": int64(ir.Float64)}),
	"Expand":          nodes("s = Shape(h)", "r = ReduceMax(h,last)", "y = Expand(r,s)"),
	"Tile":            nodes("y = Tile(a,twice)"),
	"Concat":          attributed("y = Concat(a,b)", ir.Attrs{"axis": int64(-1)}),
	"Slice":           nodes("y = Slice(a,from,to,last)"),
	"Split":           attributed("y,z = Split(a)", ir.Attrs{"axis": int64(-1), "num_outputs": int64(2)}),
	"Pad":             nodes("y = Pad(a,pads)"),
	"Gather":          attributed("y = Gather(a,rows)", ir.Attrs{"axis": int64(2)}),
	"CumSum":          nodes("y = CumSum(a,axis)"),
	"Trilu":           nodes("y = Trilu(a)"),
	"ReduceSum last":  nodes("y = ReduceSum(a,last)"),
	"ReduceSum first": nodes("y = ReduceSum(a,first)"),
	"ReduceSum inner": nodes("y = ReduceSum(h,inner)"),
	"ReduceSum odd":   nodes("y = ReduceSum(h,odd)"),
	"ReduceMean odd":  nodes("y = ReduceMean(h,odd)"),
	"ReduceMax odd":   nodes("y = ReduceMax(h,odd)"),
	"ReduceSumSquare": nodes("y = ReduceSumSquare(h,odd)"),
	"ReduceL2":        nodes("y = ReduceL2(a,last)"),
	"LayerNorm":       nodes("y = LayerNormalization(a,bias,bias)"),
	"RMSNorm":         nodes("y = SimplifiedLayerNormalization(a,bias)"),
	"SkipLayerNorm":   nodes("y = com.microsoft::SkipLayerNormalization(a,b,bias,bias)"),
	"SkipRMSNorm":     nodes("y = com.microsoft::SkipSimplifiedLayerNormalization(a,b,bias)"),
	"Einsum":          attributed("y = Einsum(a,b)", ir.Attrs{"equation": "bti,bsi->bts"}),
	"Einsum outer":    attributed("y = Einsum(a,b)", ir.Attrs{"equation": "bti,btj->bij"}),
	"ScatterElements": nodes("m = Greater(a,b)", "i = Cast64(m)", "y = ScatterElements(a,i,b)"),
	"GatherElements":  nodes("m = Greater(a,b)", "i = Cast64(m)", "y = GatherElements(a,i)"),
	"ArgMax":          attributed("y = ArgMax(a)", ir.Attrs{"axis": int64(1)}),
	"TopK":            nodes("y,z = TopK(a,k)"),
	"OneHot":          nodes("m = Greater(a,b)", "i = Cast64(m)", "y = OneHot(i,k,onoff)"),
	"Conv":            nodes("q = Slice(x,none,nine,first)", "kernel = Reshape(q,square)", "y = Conv(h,kernel)"),
	"Conv 1x1":        nodes("q = Slice(x,none,nine,first)", "p = Reshape(q,point)", "y = Conv(h,p)"),
	"ScatterND":       nodes("s = Shape(a)", "c = ConstantOfShape(s)", "y = ScatterND(c,where,three)"),
	"LogSoftmax 0":    attributed("y = LogSoftmax(a)", ir.Attrs{"axis": int64(0)}),
	"Tile of rows":    nodes("r = ReduceMax(a,last)", "y = Add(a,r)"),
	"Compare":         nodes("m = GreaterOrEqual(a,b)", "y = Where(m,a,b)"),
	"AveragePool":     attributed("y = AveragePool(h)", ir.Attrs{"kernel_shape": []int64{3, 3}}),
	"HardSwish":       nodes("y = HardSwish(a)"),
	"Mod":             attributed("y = Mod(a,b)", ir.Attrs{"fmod": int64(1)}),
	"Log":             nodes("y = Log(b)"),
	"Round":           nodes("y = Round(a)"),
	"Sign":            nodes("y = Sign(a)"),
	"Gather rows":     nodes("m = Greater(a,b)", "i = Cast64(m)", "y = Gather(bias,i)"),
	"InstanceNorm":    nodes("y = InstanceNormalization(h,four,four)"),
	"BatchNorm":       nodes("y = BatchNormalization(h,four,four,four,four)"),
	"Swish":           nodes("s = Sigmoid(a)", "y = Mul(a,s)"),
	"IsNaN":           nodes("y = IsNaN(a)"),
	"Equal":           nodes("y = Equal(a,b)"),
	"Not":             nodes("m = Greater(a,b)", "y = Not(m)"),
	"And":             nodes("m = Greater(a,b)", "o = Less(a,b)", "y = And(m,o)"),
	"Dropout":         nodes("f = Dropout(a)", "y = Neg(f)"),
	"Min":             nodes("y = Min(a,b)"),
}

func nodes(texts ...string) func(*irtest.Builder) *irtest.Builder {
	return func(b *irtest.Builder) *irtest.Builder {
		for _, text := range texts {
			if out, in, is := cutCast(text); is {
				b.Node(out+" = Cast("+in+")", ir.Attrs{"to": int64(ir.Int64)})
				continue
			}
			b.Node(text)
		}
		return b
	}
}

// cutCast reads "y = Cast64(x)".
func cutCast(text string) (out, in string, is bool) {
	if len(text) < 13 || text[4:11] != "Cast64(" {
		return "", "", false
	}
	return text[:1], text[11:12], true
}

func attributed(text string, attrs ir.Attrs) func(*irtest.Builder) *irtest.Builder {
	return func(b *irtest.Builder) *irtest.Builder { return b.Node(text, attrs) }
}

// What each kernel takes, which of its operands it writes over and what it needs
// while it runs, is known: the planner's tables are held against the runtime.
func TestKernelMemory(t *testing.T) {
	env, err := ort.LoadFor(ort.Device{}, "")
	if err != nil {
		t.Fatal(err)
	}
	for name, build := range kernelCases {
		t.Run(name, func(t *testing.T) { checkKernel(t, env, build) })
	}
}

func checkKernel(t *testing.T, env *ort.Env, build func(*irtest.Builder) *irtest.Builder) {
	const records, length = 16, 64
	g := irtest.New(20).Domain("com.microsoft", 1).Input("x", ir.Float32, "batch", "sequence", 64).Output("out").
		Fill("bias", 64).Fill("w", 64, 64).Floats("two", []int64{}, 2).Floats("zero", []int64{}, 0).Floats("onoff", []int64{2}, 0, 1).
		Ints("flat", nil, -1, 64).Ints("heads", nil, 0, 4, -1, 16).Ints("last", nil, -1).Ints("first", nil, 0).Ints("inner", nil, 1, 2).Ints("odd", nil, 0, 2).
		Ints("twice", nil, 1, 1, 2).Ints("from", nil, 8).Ints("to", nil, 40).Ints("pads", nil, 0, 1, 2, 0, 1, 2).Ints("rows", nil, 1, 3, 5, 7, 9, 11, 13, 15).
		Ints("none", nil, 0).Ints("nine", nil, 1).Ints("square", nil, -1, 4, 4, 4).Ints("point", nil, -1, 4, 1, 1).Ints("where", []int64{2, 1}, 1, 2).
		Fill("three", 2, 64, 64).Fill("four", 4).
		Ints("axis", []int64{}, 1).Ints("k", nil, 8)
	g.Node("a = Neg(x)").Node("b = Abs(x)").Node("g = Reciprocal(x)").Node("h = Reshape(g,heads)")
	build(g).Node("f32 = Cast(y)", ir.Attrs{"to": int64(ir.Float32)}).Node("out = ReduceMax(f32)", ir.Attrs{"keepdims": int64(0)})
	graph := g.Graph()
	graph.Prune()
	values, err := infer.Graph(graph, infer.Declared)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range graph.Nodes {
		for _, o := range n.Outputs {
			if info := values.Of(o); info.Ranked {
				graph.ValueInfos[o] = &ir.ValueInfo{Name: o, DType: info.DType, Dims: onnxgrad.Declare(info.Shape)}
			}
		}
	}
	path := filepath.Join(t.TempDir(), "loaded.onnx")
	data, err := graph.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	s, err := env.NewSession(data, ort.Options{Threads: 1, LoadedPath: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	loaded, err := ir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	v := make([]float32, records*length*64)
	for i := range v {
		v[i] = float32(i%97) - 48
	}
	x, err := ort.NewTensor([]int64{records, length, 64}, v)
	if err != nil {
		t.Fatal(err)
	}
	env.RestartPool()
	if _, err := s.Run(t.Context(), map[string]*ort.Tensor{"x": x}); err != nil {
		t.Fatal(err)
	}
	real := env.Pool().MostUsed
	p := &ghost.Program{Graph: graph}
	peak := p.PeakOf(loaded.Graph(), records, length)
	const small = 48 << 10 // values that the pool does not hold
	if diff := peak.Bytes - real; diff < -small || diff > small {
		t.Errorf("predicted %d kB, took %d; live at %s: %v", peak.Bytes>>10, real>>10, peak.Node, peak.Live)
	}
}
