package gradcheck

import (
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
)

// written starts a graph that normalises rows of 6 from the points.
func written() *irtest.Builder {
	b := irtest.New(18).Output("y").Floats("a", []int64{int64(len(points))}, points...).Ints("rows", nil, -1, 6)
	return b.Node("x = Reshape(a,rows)").Floats("g", []int64{6}, 1.5, -.7, .4, 1, 2, -1.1).Floats("b", []int64{6}, .3, .9, 0, -.4, .1, .2).Ints("last", nil, -1).Ints("first", nil, 0).
		Const("two", nil, 2).Const("eps", nil, 1e-2).Const("one", nil, 1).Const("minus", nil, -.5)
}

func centredRows() *irtest.Builder {
	return written().Node("m = ReduceMean(x,last)").Node("d = Sub(x,m)")
}

const layerNorm, rmsNorm = "LayerNormalization", "SimplifiedLayerNormalization"

var toFloat = attrs{"to": int64(1)}

// normSpellings are the forms of PyTorch's and TensorFlow's exporters and of this
// project's converter, and what only looks like them.
var normSpellings = map[string]spelling{
	"TorchScript": {centredRows().Node("s = Pow(d,two)").Node("v = ReduceMean(s,last)").Node("e = Add(v,eps)").Node("r = Sqrt(e)").Node("h = Div(d,r)").
		Node("k = Mul(h,g)").Node("y = Add(k,b)"), layerNorm},
	"mean subtracted twice": {centredRows().Node("d2 = Sub(x,m2)").Node("m2 = ReduceMean(x,last)").Node("s = Mul(d,d)").Node("v = ReduceMean(s,last)").
		Node("e = Add(eps,v)").Node("r = Sqrt(e)").Node("h = Div(d2,r)").Node("k = Mul(g,h)").Node("y = Add(b,k)"), layerNorm},
	"inverse root": {centredRows().Node("s = Mul(d,d)").Node("v = ReduceMean(s,last)").Node("e = Add(v,eps)").Node("r = Sqrt(e)").Node("i = Reciprocal(r)").
		Node("h = Mul(d,i)").Node("k = Mul(h,g)").Node("y = Add(k,b)"), layerNorm},
	"casts between": {centredRows().Node("c = Cast(d)", toFloat).Node("s = Pow(c,two)").Node("v = ReduceMean(s,last)").Node("e = Add(v,eps)").Node("r = Sqrt(e)").
		Node("h = Div(d,r)").Node("h1 = Cast(h)", toFloat).Node("k = Mul(h1,g)").Node("y = Add(k,b)"), layerNorm},
	"no scale": {centredRows().Node("s = Mul(d,d)").Node("v = ReduceMean(s,last)").Node("e = Add(v,eps)").Node("r = Sqrt(e)").Node("y = Div(d,r)"), layerNorm},
	"scale without shift": {centredRows().Node("s = Mul(d,d)").Node("v = ReduceMean(s,last)").Node("e = Add(v,eps)").Node("r = Sqrt(e)").Node("h = Div(d,r)").
		Node("y = Mul(h,g)"), layerNorm},
	"TensorFlow, squared difference": {written().Node("m = ReduceMean(x,last)").Node("n = Sub(m,x)").Node("q = Mul(n,n)").Node("v = ReduceMean(q,last)").Node("e = Add(eps,v)").Node("r = Sqrt(e)").Node("i = Reciprocal(r)").Node("s = Mul(i,g)").
		Node("xs = Mul(x,s)").Node("ms = Mul(s,m)").Node("t = Sub(b,ms)").Node("y = Add(xs,t)"), layerNorm},
	"negative numerator": {written().Node("m = ReduceMean(x,last)").Node("n = Sub(m,x)").Node("q = Mul(n,n)").Node("v = ReduceMean(q,last)").Node("e = Add(eps,v)").Node("r = Sqrt(e)").Node("y = Div(n,r)"), ""},
	"TensorFlow": {centredRows().Node("q = Mul(d,d)").Node("v = ReduceMean(q,last)").Node("e = Add(v,eps)").Node("r = Sqrt(e)").Node("i = Reciprocal(r)").Node("s = Mul(i,g)").
		Node("xs = Mul(x,s)").Node("ms = Mul(m,s)").Node("t = Sub(b,ms)").Node("y = Add(xs,t)"), layerNorm},
	"T5": {written().Node("s = Pow(x,two)").Node("v = ReduceMean(s,last)").Node("e = Add(v,eps)").Node("r = Sqrt(e)").Node("i = Div(one,r)").Node("h = Mul(x,i)").
		Node("y = Mul(g,h)"), rmsNorm},
	"Llama": {written().Node("c = Cast(x)", toFloat).Node("s = Mul(c,c)").Node("v = ReduceMean(s,last)").Node("e = Add(v,eps)").Node("i = Pow(e,minus)").
		Node("h = Mul(c,i)").Node("f = Cast(h)", toFloat).Node("y = Mul(g,f)"), rmsNorm},
	"Gemma": {written().Node("s = Pow(x,two)").Node("v = ReduceMean(s,last)").Node("e = Add(v,eps)").Node("r = Sqrt(e)").Node("h = Div(x,r)").Node("w = Add(g,one)").
		Node("y = Mul(h,w)"), rmsNorm},

	"TensorFlow, another mean": {centredRows().Node("m1 = ReduceMax(x,last)").Node("q = Mul(d,d)").Node("v = ReduceMean(q,last)").Node("e = Add(v,eps)").Node("r = Sqrt(e)").Node("i = Reciprocal(r)").Node("s = Mul(i,g)").
		Node("xs = Mul(x,s)").Node("ms = Mul(m1,s)").Node("t = Sub(b,ms)").Node("y = Add(xs,t)"), ""},
	"TensorFlow, the scale is read": {centredRows().Node("q = Mul(d,d)").Node("v = ReduceMean(q,last)").Node("e = Add(v,eps)").Node("r = Sqrt(e)").Node("i = Reciprocal(r)").Node("s = Mul(i,g)").
		Node("xs = Mul(x,s)").Node("ms = Mul(m,s)").Node("t = Sub(b,ms)").Node("z = Add(xs,t)").Node("y = Add(z,s)"), ""},
	"over the batch": {written().Node("s = Pow(x,two)").Node("v = ReduceMean(s,first)").Node("e = Add(v,eps)").Node("r = Sqrt(e)").Node("h = Div(x,r)").Node("y = Mul(h,g)"), ""},
	"the mean of squares is read": {written().Node("s = Pow(x,two)").Node("v = ReduceMean(s,last)").Node("e = Add(v,eps)").Node("r = Sqrt(e)").Node("h = Div(x,r)").
		Node("k = Mul(h,g)").Node("y = Add(k,v)"), ""},
	"the deviation of another": {centredRows().Node("t = Exp(m)").Node("s = Mul(d,d)").Node("v = ReduceMean(s,last)").Node("e = Add(v,eps)").Node("r = Sqrt(e)").Node("y = Div(t,r)"), ""},
	"a root of another kind":   {centredRows().Node("s = Mul(d,d)").Node("v = ReduceMean(s,last)").Node("e = Add(v,eps)").Node("r = Sqrt(e)").Node("q = Sqrt(r)").Node("y = Div(d,q)"), ""},
	"the root over":            {centredRows().Node("s = Mul(d,d)").Node("v = ReduceMean(s,last)").Node("e = Add(v,eps)").Node("r = Sqrt(e)").Node("y = Mul(d,r)"), ""},
	"no squares":               {centredRows().Node("s = Exp(d)").Node("v = ReduceMean(s,last)").Node("e = Add(v,eps)").Node("r = Sqrt(e)").Node("y = Div(d,r)"), ""},
	"an epsilon that learns":   {centredRows().Floats("le", []int64{1}, .1).Node("s = Mul(d,d)").Node("v = ReduceMean(s,last)").Node("e = Add(v,le)").Node("r = Sqrt(e)").Node("y = Div(d,r)"), ""},
	"a mean of the squares":    {written().Node("s = Pow(x,two)").Node("m = ReduceMean(s,last)").Node("d = Sub(x,m)").Node("q = Mul(d,d)").Node("v = ReduceMean(q,last)").Node("e = Add(v,eps)").Node("r = Sqrt(e)").Node("y = Div(d,r)"), rmsNorm},
}

func TestNormalizationSpellings(t *testing.T) { checkSpellings(t, normSpellings) }
