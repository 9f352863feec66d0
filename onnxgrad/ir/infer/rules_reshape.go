package infer

import (
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// reshape resolves 0 (copy) and −1 (the rest) symbolically.
func reshape(c *call) error {
	x, target := c.in(0), c.in(1)
	if target.Content == nil {
		c.unknownRank(x.DType, target)
		return nil
	}
	out := slices.Clone(target.Content)
	rest := -1
	for i, d := range out {
		n, isConst := d.Const()
		switch {
		case isConst && n == 0 && c.node.Int("allowzero", 0) == 0:
			if !x.Ranked { // the result of an operator that is not expanded yet
				out[i] = c.values.unknownDim()
				continue
			}
			if i >= x.Rank() {
				return fmt.Errorf("reshape copies dimension %d of a tensor of shape %v", i, x.Shape)
			}
			out[i] = x.Shape[i]
		case isConst && n == -1:
			if rest >= 0 {
				return fmt.Errorf("reshape to %v has two −1", target.Content)
			}
			rest = i
		case isConst && n < -1:
			return fmt.Errorf("reshape to %v", target.Content)
		}
	}
	if rest >= 0 {
		if !x.Ranked {
			out[rest] = c.values.unknownDim()
		} else {
			out[rest] = sym.Const(1)
			out[rest] = sym.FloorDiv(sym.Product(x.Shape...), sym.Product(out...))
		}
	} else if x.Ranked {
		from, ok1 := sym.Product(x.Shape...).Const()
		to, ok2 := sym.Product(out...).Const()
		if ok1 && ok2 && from != to {
			return fmt.Errorf("reshape of %v to %v", x.Shape, out)
		}
	}
	c.out(0, x.DType, out)
	return nil
}

// unknownRank handles a target shape whose content is unknown: its length may
// still give the rank.
func (c *call) unknownRank(d ir.DType, target Info) {
	if target.Ranked && target.Rank() == 1 {
		if n, ok := target.Shape[0].Const(); ok && n <= maxContent {
			out := make([]sym.Dim, n)
			for i := range out {
				out[i] = c.values.unknownDim()
			}
			c.out(0, d, out)
			return
		}
	}
	c.outType(0, d)
}

func flatten(c *call) error {
	x := c.in(0)
	if !x.Ranked {
		c.out(0, x.DType, []sym.Dim{c.values.unknownDim(), c.values.unknownDim()})
		return nil
	}
	a := c.node.Int("axis", 1)
	if a < 0 {
		a += int64(x.Rank())
	}
	if a < 0 || a > int64(x.Rank()) {
		return fmt.Errorf("axis %d of rank %d", a, x.Rank())
	}
	c.out(0, x.DType, []sym.Dim{sym.Product(x.Shape[:a]...), sym.Product(x.Shape[a:]...)})
	return nil
}

func transpose(c *call) error {
	x := c.in(0)
	if !x.Ranked {
		c.outType(0, x.DType)
		return nil
	}
	perm, err := Perm(c.node, x.Rank())
	if err != nil {
		return err
	}
	out := make([]sym.Dim, x.Rank())
	for i, p := range perm {
		out[i] = x.Shape[p]
	}
	c.out(0, x.DType, out)
	return nil
}

// Perm returns a Transpose node's permutation for that rank, checked.
func Perm(n *ir.Node, rank int) ([]int, error) {
	attr, ok := n.Ints("perm")
	out := make([]int, rank)
	if !ok {
		for i := range out {
			out[i] = rank - 1 - i
		}
		return out, nil
	}
	seen := make([]bool, rank)
	if len(attr) != rank {
		return nil, fmt.Errorf("perm %v for rank %d", attr, rank)
	}
	for i, p := range attr {
		if p < 0 || p >= int64(rank) || seen[p] {
			return nil, fmt.Errorf("perm %v for rank %d", attr, rank)
		}
		seen[p], out[i] = true, int(p)
	}
	return out, nil
}

func squeeze(c *call) error {
	x := c.in(0)
	if !x.Ranked {
		c.outType(0, x.DType)
		return nil
	}
	set, present, known, err := c.axes(1, x.Rank())
	if err != nil {
		return err
	}
	if !known {
		c.outType(0, x.DType)
		return nil
	}
	if !present {
		for i, d := range x.Shape {
			if n, ok := d.Const(); !ok {
				c.outType(0, x.DType) // which axes go depends on the input
				return nil
			} else if n == 1 {
				set[i] = true
			}
		}
	}
	for i := range set {
		if n, ok := x.Shape[i].Const(); ok && n != 1 {
			return fmt.Errorf("squeezes axis %d of extent %d", i, n)
		}
	}
	c.out(0, x.DType, dropAxes(x.Shape, set, false))
	return nil
}

func unsqueeze(c *call) error {
	x := c.in(0)
	list, ok := c.node.Ints("axes")
	if c.has(1) {
		list, ok = c.in(1).Ints()
	}
	if !x.Ranked || !ok {
		c.outType(0, x.DType)
		return nil
	}
	rank := x.Rank() + len(list)
	out := make([]sym.Dim, rank)
	set := map[int]bool{}
	for _, a := range list {
		k, err := axis(a, rank)
		if err != nil {
			return err
		}
		if set[k] {
			return fmt.Errorf("axes %v repeat", list)
		}
		set[k] = true
	}
	next := 0
	for i := range out {
		if set[i] {
			out[i] = sym.Const(1)
			continue
		}
		out[i] = x.Shape[next]
		next++
	}
	c.out(0, x.DType, out)
	return nil
}

func expand(c *call) error {
	x, target := c.in(0), c.in(1)
	if !x.Ranked || target.Content == nil {
		c.unknownRank(x.DType, target)
		return nil
	}
	out, err := BroadcastShapes(x.Shape, target.Content)
	if err != nil {
		return err
	}
	c.out(0, x.DType, out)
	return nil
}
