package ghost

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/separate"
)

// The logits [B,T,V] of a language model are its largest value by far, and their
// gradient is as large. Where they are made by a linear head, they are computed in
// chunks that are forgotten one after the other:
//
//	first    logits → log-sum-exp, log-probability of the label, gradient → what the
//	         loss, the head's input, biases and norms need of it
//	sums     logits → gradient (from the log-sum-exp) → rows of the weight's sum
//
// The first pass goes over records, or, where one record's logits are too large
// already, twice over words: once for the log-sum-exp, once for the gradient. That of
// the sums goes over words. Each further pass costs one more product of the head's
// size, a third of what a step spends on the head.

// HeadChunks says in how many chunks the logits of a linear head are computed.
type HeadChunks struct {
	Records int64 // of records in the first pass; 0 for chunks of words
	Words   int64 // of words in the pass of the sums, and in the first where Records is 0
}

const (
	// headBytes is the size of logits from which they are computed in chunks: below,
	// what chunks cost is more than what they save.
	headBytes = 1 << 30
	// chunkBytes is the size of a chunk that is aimed at, recordBytes what one record
	// may take before its words are divided.
	chunkBytes  = 96 << 20
	recordBytes = 256 << 20
	// plannedRecords stands for the number of records where none was said.
	plannedRecords = 8
)

// chunksFor divides records·rows·words logits into chunks. Their numbers are powers of
// two, so that neighbouring lengths have the same program.
func chunksFor(records, rows, words int64) *HeadChunks {
	record := 4 * rows * words
	h := &HeadChunks{Words: powerAbove(records*record, chunkBytes)}
	if record <= recordBytes {
		h.Records = powerAbove(records, max(chunkBytes/record, 1))
	}
	return h
}

// powerAbove is the least power of two that is at least a/b.
func powerAbove(a, b int64) int64 {
	n := int64(1)
	for n*b < a {
		n *= 2
	}
	return n
}

// PlannedChunks are the chunks that a program of the spec computes its logits in where
// the model's head allows it; nil where it leaves them whole.
func (p *Prepared) PlannedChunks(s Spec) *HeadChunks {
	shape := p.Values.Of(p.Output).Shape
	if !onnxgrad.TokenLoss(s.Loss) || len(shape) != 3 {
		return nil
	}
	chunks, _ := s.headChunks(shape)
	return chunks
}

// errWholeHead is wrapped by errors of a program that can't have its head in chunks.
var errWholeHead = errors.New("the logits can't be computed in chunks")

// attachLoss attaches the loss to the output, or to the head that makes it.
func (c *compiler) attachLoss() error {
	if err := c.findHead(); err != nil {
		c.out.WholeHead = err.Error()
	}
	if c.head == nil {
		loss, err := onnxgrad.AttachLoss(c.Builder, c.spec.Loss, c.model.Output)
		c.loss = loss
		return err
	}
	labels, err := onnxgrad.AttachTokenLabels(c.Builder, c.spec.Loss, c.model.Output)
	if err != nil {
		return err
	}
	c.head.labels, c.loss, c.out.HeadChunks = labels, labels.Loss, c.head.chunks
	return nil
}

// findHead sets c.head where the logits are to be computed in chunks. An error says
// why they are not although they should be.
func (c *compiler) findHead() error {
	if !onnxgrad.TokenLoss(c.spec.Loss) || c.spec.Pass == Oracle || c.spec.wholeHead || c.Rank(c.model.Output) != 3 {
		return nil
	}
	shape := c.Shape(c.model.Output)
	chunks, err := c.spec.headChunks(shape)
	if chunks == nil {
		return err
	}
	linear, err := onnxgrad.FindLinearHead(c.Builder, c.model.Output)
	if err != nil {
		return err
	}
	h := &head{compiler: c, linear: linear, chunks: chunks, batch: shape[0], length: shape[1], ids: map[string]string{}}
	if err := h.check(); err != nil {
		return err
	}
	h.chunks.Words = min(h.chunks.Words, linear.Words)
	c.head = h
	return nil
}

// headChunks decides about logits of that shape, nil for leaving them whole.
func (s *Spec) headChunks(shape []sym.Dim) (*HeadChunks, error) {
	chunks := s.HeadChunks
	if chunks == nil {
		records := s.Records
		if records == 0 {
			records = plannedRecords
		}
		env := map[string]int64{separate.BatchSymbol: records, separate.SequenceSymbol: max(s.Length, 1)}
		rows := evalOr(shape[1], env, max(s.Length, 1))
		words, fixed := shape[2].Const()
		limit := int64(headBytes)
		if s.Memory.IsLow() {
			limit = chunkBytes
		}
		if !fixed || 4*records*rows*words <= limit {
			return nil, nil
		}
		chunks = chunksFor(records, rows, words)
	} else if chunks.Words < 1 {
		return nil, nil
	}
	if s.Precision.IsHalf() {
		return nil, fmt.Errorf("%w: their products are in %s", errWholeHead, s.Precision)
	}
	copied := *chunks
	return &copied, nil
}

func evalOr(d sym.Dim, env map[string]int64, or int64) int64 {
	if n, ok := d.Eval(env); ok {
		return n
	}
	return or
}

// A head is the linear head of a program whose logits are computed in chunks.
type head struct {
	*compiler
	linear        *onnxgrad.LinearHead
	labels        *onnxgrad.TokenLabels
	chunks        *HeadChunks
	batch, length sym.Dim

	weight  string              // trained parameter that the matrix is, "" for none
	biases  map[string]string   // trained parameters by the vector that they are
	lookUps map[string]*ir.Node // Gathers of the weight, by name
	inputs  bool                // the head's input depends on trained parameters

	ids   map[string]string // by look-up: its words
	x     string            // its input [B,T,d]
	index string            // labels [B,T,1]
	rows  string            // what each row's gradient is multiplied with [B,T,1]
	lse   string            // log-sum-exp of each row [B,T,1]
	made  map[string]string // what the first pass made
}

// check finds out which parameters the head has, and whether everything that a
// parameter of it contributes can be had from chunks.
func (h *head) check() error {
	l := h.model.Proof.Of(h.linear.Input)
	if l.Kind != separate.Batch || l.Axis != 0 || h.Rank(h.linear.Input) == 3 && !l.Block.Is(1) ||
		h.Rank(h.linear.Input) == 2 && !sym.Equal(l.Block, h.length) || !sym.EqualShape(h.Shape(h.linear.Input)[:1], []sym.Dim{sym.Mul(h.batch, l.Block)}) {
		return fmt.Errorf("%w: the head reads %q, whose records are %v", errWholeHead, h.linear.Input, l)
	}
	active := h.dependents()
	h.inputs = active[h.linear.Input]
	trained := newCollector(h.Builder, h.model.Proof, h.chosen)
	if active[h.linear.Weight] {
		root, turned, ok := trained.resolve(h.linear.Weight)
		if !ok || turned || !trained.hasMatrix(h.Builder, h.linear.Weight, root, false) {
			return fmt.Errorf("%w: the head's matrix %q is computed from trained parameters", errWholeHead, h.linear.Weight)
		}
		h.weight = root
		if err := h.findLookUps(trained); err != nil {
			return err
		}
	}
	h.biases = map[string]string{}
	for _, v := range h.linear.Vectors() {
		if !active[v] {
			continue
		}
		root, ok := h.vectorOf(trained, v)
		if !ok {
			return fmt.Errorf("%w: the head's vector %q is computed from trained parameters", errWholeHead, v)
		}
		h.biases[v] = root
	}
	return nil
}

// dependents marks what depends on a trained parameter.
func (h *head) dependents() map[string]bool {
	active := map[string]bool{}
	for _, p := range h.chosen {
		active[p.Name] = true
	}
	for _, n := range h.Graph.Nodes {
		if slices.ContainsFunc(n.Reads(), func(in string) bool { return active[in] }) {
			for _, o := range n.Outputs {
				active[o] = true
			}
		}
	}
	return active
}

// vectorOf follows a vector back to the trained parameter whose elements it is.
func (h *head) vectorOf(c *collector, value string) (string, bool) {
	for {
		if p, isRoot := c.trained[value]; isRoot {
			return value, p.Elements() == h.linear.Words
		}
		n := c.producer[value]
		if n == nil || n.Domain != "" || !slices.Contains([]string{"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}, n.Op) {
			return "", false
		}
		value = n.Input(0)
	}
}

// findLookUps lists the other uses of the head's matrix. Look-ups of its words are
// all there may be: their share of its gradient meets the head's where the logits'
// gradient is read at their words.
func (h *head) findLookUps(c *collector) error {
	h.lookUps = map[string]*ir.Node{}
	for _, n := range needed(h.Graph, h.model.Output) {
		for i, in := range n.Reads() {
			root, turned, ok := c.resolve(in)
			switch {
			case n == h.linear.Product || !ok || root != h.weight:
			case movesMatrix[n.Op] && n.Domain == "":
			case n.Is("Gather") && i == 0 && n.Int("axis", 0) == 0 && !turned && h.linear.VocabularyFirst:
				h.lookUps[n.Name] = n
			default:
				return fmt.Errorf("%w: %v reads the head's matrix %q too", errWholeHead, n, h.weight)
			}
		}
	}
	return nil
}

// movesMatrix lists the operators that resolve looks through.
var movesMatrix = map[string]bool{"Identity": true, "Cast": true, "Transpose": true, "Reshape": true, "Flatten": true, "Squeeze": true, "Unsqueeze": true}
