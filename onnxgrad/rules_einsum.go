package onnxgrad

import (
	"fmt"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/separate"
)

// Y = Σ Π xᵢ over the letters that the result has not. For each xᵢ the gradient
// is an Einsum of g and the other operands with xᵢ's term as its result. Two
// kinds of letters need one more operand:
//
//	one that only xᵢ has: ones, for g is the same number along it
//	one that xᵢ has twice (a diagonal): the unit matrix
func vjpEinsum(v *VJP) error {
	n := len(v.Node.Inputs)
	ranks, shapes := make([]int, n), make([][]sym.Dim, n)
	for i := range n {
		ranks[i], shapes[i] = v.Rank(v.X(i)), v.Shape(v.X(i))
	}
	eq, err := infer.ParseEquation(v.Node.Str("equation", ""), ranks)
	if err != nil {
		return err
	}
	extents, err := eq.Extents(shapes)
	if err != nil {
		return err
	}
	e := &einsum{v, eq, extents, shapes}
	for i := range n {
		if !v.Want(i) {
			continue
		}
		if err := e.operand(i); err != nil {
			return err
		}
	}
	return nil
}

type einsum struct {
	*VJP
	eq      infer.Equation
	extents map[rune]sym.Dim
	shapes  [][]sym.Dim
}

// operand sets the gradient of operand i.
func (e *einsum) operand(i int) error {
	front, gTerm, err := e.front(i)
	if err != nil {
		return err
	}
	args, terms := []string{e.GY(0)}, []string{gTerm}
	for j := range e.eq.Terms {
		if j != i {
			args, terms = append(args, e.X(j)), append(terms, e.eq.Terms[j])
		}
	}
	spare := strings.TrimLeft(e.eq.Unused(52), front) // front is the first of them, or used
	target, want := front, []sym.Dim{}
	for k, letter := range e.eq.Terms[i] {
		d := e.extents[letter]
		want = append(want, d)
		switch {
		case strings.ContainsRune(e.eq.Terms[i][:k], letter):
			if spare == "" {
				return fmt.Errorf("its equation leaves no letter for a diagonal")
			}
			args, terms = append(args, e.unitMatrix(d)), append(terms, string(letter)+spare[:1])
			target, spare = target+spare[:1], spare[1:]
			continue
		case !e.given(i, letter):
			args, terms = append(args, e.ones(d)), append(terms, string(letter))
		}
		target += string(letter)
	}
	raw := e.Op("Einsum", ir.Attrs{"equation": strings.Join(terms, ",") + "->" + target}, args...)
	if front != "" {
		want = append([]sym.Dim{e.Shape(e.GY(0))[strings.Index(gTerm, front)]}, want...)
	}
	e.setShape(raw, want)
	e.add(i, part{e.Unbroadcast(raw, e.shapes[i], len(front)), true})
	return nil
}

// front returns the letter that stands for the records in front of the
// gradient, "" where they are not kept apart, and g's term.
func (e *einsum) front(i int) (letter, gTerm string, err error) {
	switch {
	case e.Lead > 0:
		letter = e.eq.Unused(1)
		return letter, letter + e.eq.Out, nil
	case !e.perRecord(i):
		return "", e.eq.Out, nil
	}
	l := e.walk.Proof.Of(e.Y(0))
	if l.Kind != separate.Batch || !l.Block.Is(1) {
		return "", "", fmt.Errorf("operand %d depends on parameters only and its result %v", i, l)
	}
	letter = e.eq.Out[l.Axis : l.Axis+1]
	if strings.Contains(e.eq.Terms[i], letter) {
		return "", "", fmt.Errorf("operand %d depends on parameters only and has the axis of the records", i)
	}
	return letter, e.eq.Out, nil
}

// given reports that g or another operand has the letter in its full extent.
func (e *einsum) given(i int, letter rune) bool {
	if strings.ContainsRune(e.eq.Out, letter) {
		return true
	}
	for j, t := range e.eq.Terms {
		if k := strings.IndexRune(t, letter); j != i && k >= 0 && !e.shapes[j][k].Is(1) {
			return true
		}
	}
	return e.extents[letter].Is(1) && len(e.eq.Terms) > 1 && strings.Count(strings.Join(e.eq.Terms, ""), string(letter)) > 1
}

func (b *Builder) ones(shape ...sym.Dim) string {
	return b.Op("ConstantOfShape", ir.Attrs{"value": ir.NewFloat32("", []int64{1}, []float32{1})}, b.Extents(shape))
}

func (b *Builder) unitMatrix(n sym.Dim) string {
	unit := b.Op("EyeLike", ir.Attrs{"dtype": int64(ir.Float32)}, b.Zeros([]sym.Dim{n, n}))
	b.setShape(unit, []sym.Dim{n, n})
	return unit
}
