package infer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// An Equation is an Einsum equation with a letter for every axis: the ellipsis
// is spelled out, the result always given.
type Equation struct {
	Terms []string // by operand
	Out   string
}

// ParseEquation reads an Einsum equation for operands of the given ranks.
func ParseEquation(text string, ranks []int) (Equation, error) {
	text = strings.ReplaceAll(text, " ", "")
	left, out, explicit := strings.Cut(text, "->")
	e := Equation{Terms: strings.Split(left, ","), Out: out}
	if len(e.Terms) != len(ranks) {
		return e, fmt.Errorf("equation %q for %d operands", text, len(ranks))
	}
	if !explicit {
		e.Out = implicitResult(left)
	}
	if err := e.spellEllipsis(text, ranks); err != nil {
		return e, err
	}
	for i, t := range e.Terms {
		if len(t) != ranks[i] {
			return e, fmt.Errorf("equation %q: term %q for an operand of rank %d", text, t, ranks[i])
		}
	}
	return e, e.check(text)
}

// implicitResult is the letters that occur once, in alphabetical order, behind
// the ellipsis.
func implicitResult(left string) string {
	var letters []rune
	for _, r := range left {
		if r != ',' && r != '.' && strings.Count(left, string(r)) == 1 {
			letters = append(letters, r)
		}
	}
	slices.Sort(letters)
	if strings.Contains(left, "...") {
		return "..." + string(letters)
	}
	return string(letters)
}

// spellEllipsis replaces "..." by letters of its own, aligned at the end as in
// broadcasting.
func (e *Equation) spellEllipsis(text string, ranks []int) error {
	wide := make([]int, len(ranks))
	for i, t := range e.Terms {
		if strings.Contains(t, "...") {
			wide[i] = ranks[i] - (len(t) - 3)
		}
	}
	widest := max(0, slices.Max(append(wide, 0)))
	fresh := e.Unused(widest)
	if len(fresh) < widest {
		return fmt.Errorf("equation %q has more axes than there are letters", text)
	}
	for i := range e.Terms {
		if wide[i] < 0 {
			return fmt.Errorf("equation %q: term %q for an operand of rank %d", text, e.Terms[i], ranks[i])
		}
		e.Terms[i] = strings.Replace(e.Terms[i], "...", fresh[widest-wide[i]:], 1)
	}
	if widest > 0 && !strings.Contains(e.Out, "...") {
		return fmt.Errorf("equation %q sums over the ellipsis", text)
	}
	e.Out = strings.Replace(e.Out, "...", fresh, 1)
	return nil
}

// Unused returns up to n letters that the equation does not use.
func (e *Equation) Unused(n int) string {
	used := strings.Join(e.Terms, "") + e.Out
	var out strings.Builder
	for _, r := range "ZYXWVUTSRQPONMLKJIHGFEDCBAzyxwvutsrqponmlkjihgfedcba" {
		if out.Len() < n && !strings.ContainsRune(used, r) {
			out.WriteRune(r)
		}
	}
	return out.String()
}

func (e *Equation) check(text string) error {
	for i, r := range e.Out {
		if !strings.ContainsRune(strings.Join(e.Terms, ""), r) || strings.ContainsRune(e.Out[:i], r) {
			return fmt.Errorf("equation %q: the result's %q is in no operand, or twice in the result", text, r)
		}
	}
	return nil
}

// Extents returns the extent of each letter for operands of the given shapes.
func (e *Equation) Extents(shapes [][]sym.Dim) (map[rune]sym.Dim, error) {
	out := map[rune]sym.Dim{}
	for i, t := range e.Terms {
		for k, letter := range t {
			d, seen := out[letter]
			if !seen {
				out[letter] = shapes[i][k]
				continue
			}
			b, ok := sym.Broadcast(d, shapes[i][k])
			if !ok {
				return nil, fmt.Errorf("%q has the extents %s and %s", letter, d, shapes[i][k])
			}
			out[letter] = b
		}
	}
	return out, nil
}
