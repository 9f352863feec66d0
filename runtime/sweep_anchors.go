package runtime

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// maxSweepNodes bounds what anchors expand to: a file of a few lines can name more than memory holds.
const maxSweepNodes = 100_000

// An anchors replaces YAML's aliases (*name) by what they stand for, and merges (<<: *name) by the names merged in,
// so that a part of the document can be read without the rest of it.
type anchors struct {
	nodes int                 // left of maxSweepNodes
	open  map[*yaml.Node]bool // being expanded
}

// expandAnchors gives a document's tree without aliases and merges.
func expandAnchors(node *yaml.Node) (*yaml.Node, error) {
	a := &anchors{nodes: maxSweepNodes, open: map[*yaml.Node]bool{}}
	return a.expand(node)
}

func (a *anchors) expand(node *yaml.Node) (*yaml.Node, error) {
	if node.Kind == yaml.AliasNode {
		return a.expand(node.Alias)
	}
	if a.nodes--; a.nodes < 0 {
		return nil, fmt.Errorf("line %d: anchors expand to more than %d values", node.Line, maxSweepNodes)
	}
	if a.open[node] {
		return nil, fmt.Errorf("line %d: the anchor %q contains itself", node.Line, node.Anchor)
	}
	a.open[node] = true
	defer delete(a.open, node)
	out := *node
	out.Anchor, out.Content = "", nil
	for _, c := range node.Content {
		inner, err := a.expand(c)
		if err != nil {
			return nil, err
		}
		out.Content = append(out.Content, inner)
	}
	if node.Kind == yaml.MappingNode {
		return merged(&out)
	}
	return &out, nil
}

// merged replaces <<: MAPPING, or a list of them, by the names that the mapping itself does not have; of several the first
// that has a name gives it.
func merged(node *yaml.Node) (*yaml.Node, error) {
	out := *node
	out.Content = nil
	var from []*yaml.Node
	given := map[string]bool{}
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Tag != "!!merge" {
			out.Content = append(out.Content, key, value)
			given[key.Value] = true
			continue
		}
		sources := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			sources = value.Content
		}
		from = append(from, sources...)
	}
	for _, m := range from {
		if m.Kind != yaml.MappingNode {
			return nil, fmt.Errorf("line %d: <<: takes a mapping, or a list of them", m.Line)
		}
		for i := 0; i < len(m.Content); i += 2 {
			if key := m.Content[i]; !given[key.Value] {
				given[key.Value] = true
				out.Content = append(out.Content, key, m.Content[i+1])
			}
		}
	}
	return &out, nil
}
