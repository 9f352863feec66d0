package ghost

// The parts of a model, in the order of execution.
const (
	PartEmbeddings = groupEmbeddings
	PartLayers     = "layers"
	PartBetween    = groupBetween
	PartFinalNorm  = groupFinalNorm
	PartHead       = groupHead
	PartAdapter    = "adapter" // added by a method
)

// AllParts lists them.
var AllParts = []string{PartEmbeddings, PartLayers, PartBetween, PartFinalNorm, PartHead, PartAdapter}

// findParts gives every parameter its parts. Without layers there are none but those
// of adapters.
func (p *Prepared) findParts() {
	s := newStack(p)
	for i := range p.Parameters {
		q := &p.Parameters[i]
		switch {
		case p.Adapters[q.Name]:
			q.Parts = []string{PartAdapter}
		case q.Layer != NoLayer:
			q.Parts = []string{PartLayers}
		case s.first >= 0:
			if q.Parts = []string{s.group(*q)}; q.Parts[0] != PartHead && s.isHead(*q) {
				q.Parts = append(q.Parts, PartHead)
			}
		}
	}
}

// isHead reports a table that is the weight of a product after the layers too.
func (s *stack) isHead(p Parameter) bool {
	for _, u := range p.Uses {
		if u.Kind == Linear && s.place[u.Node] > s.last {
			return true
		}
	}
	return false
}
