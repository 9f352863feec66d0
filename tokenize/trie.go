package tokenize

import (
	"maps"
	"slices"
)

// pieceTrie finds the pieces at the start of a text, byte by byte. The children of a node lie side by side, in the order
// of their bytes; those of the root are found by their byte alone.
type pieceTrie struct {
	nodes []pieceNode
	root  [256]int32 // -1 for none
}

type pieceNode struct {
	label       byte
	id          int32 // the piece that ends here, -1 for none
	child, last int32 // the children are nodes[child:last]
}

func newPieceTrie(ids map[string]int) pieceTrie {
	pieces := slices.Sorted(maps.Keys(ids))
	if len(pieces) > 0 && pieces[0] == "" {
		pieces = pieces[1:] // never the start of anything
	}
	t := pieceTrie{nodes: []pieceNode{{id: -1}}}
	type group struct {
		node   int32
		depth  int
		pieces []string // those that start with the node's path
	}
	queue := []group{{pieces: pieces}}
	for len(queue) > 0 {
		g := queue[0]
		queue = queue[1:]
		t.nodes[g.node].child = int32(len(t.nodes))
		for rest := g.pieces; len(rest) > 0; {
			label := rest[0][g.depth]
			n := 1
			for n < len(rest) && rest[n][g.depth] == label {
				n++
			}
			same := rest[:n]
			rest = rest[n:]
			node := pieceNode{label: label, id: -1}
			if len(same[0]) == g.depth+1 {
				node.id = int32(ids[same[0]])
				same = same[1:]
			}
			queue = append(queue, group{node: int32(len(t.nodes)), depth: g.depth + 1, pieces: same})
			t.nodes = append(t.nodes, node)
		}
		t.nodes[g.node].last = int32(len(t.nodes))
	}
	for i := range t.root {
		t.root[i] = -1
	}
	for i := t.nodes[0].child; i < t.nodes[0].last; i++ {
		t.root[t.nodes[i].label] = i
	}
	return t
}

// next is the child of node for the byte, -1 for none. The root is 0.
func (t *pieceTrie) next(node int32, label byte) int32 {
	if node == 0 {
		return t.root[label]
	}
	low, high := t.nodes[node].child, t.nodes[node].last
	for high-low > 8 {
		middle := (low + high) / 2
		if t.nodes[middle].label <= label {
			low = middle
		} else {
			high = middle
		}
	}
	for ; low < high; low++ {
		if t.nodes[low].label == label {
			return low
		}
	}
	return -1
}
