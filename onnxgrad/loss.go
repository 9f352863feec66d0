package onnxgrad

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/infer"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// A Loss is attached to a graph: one number per record, and its gradient with
// respect to the output it reads.
type Loss struct {
	PerExample string // float32 [batch]
	Output     string // the model output that the loss reads
	Seed       string // ∂ Σᵢ loss_i / ∂ output, in the output's shape
	Classes    string // scores [batch, K] of which the label names one; "" for other losses
	// Inputs are the graph inputs that the loss added.
	Inputs []*ir.ValueInfo
}

// A lossRule attaches one kind of loss.
type lossRule struct {
	doc    string
	attach func(*lossBuilder) error
}

// losses by the name of --loss.
var losses = map[string]lossRule{
	"causal-lm": {"next-token cross-entropy; labels [B,T] aligned with input_ids, −100 unscored", tokens},
	"masked-lm": {"cross-entropy of token t; labels [B,T], −100 unscored", tokens},
	"seq2seq":   {"cross-entropy of decoder token t; labels [B,T], −100 unscored", tokens},
	"classify":  {"cross-entropy over the last axis; labels [B]", (*lossBuilder).classes},
	"infill":    {"cross-entropy over the logits of label_words [K] at mask_position [B]; labels [B]", (*lossBuilder).infill},
	"mse":       {"mean squared error; labels shaped like the output", (*lossBuilder).squares},
}

// tokenLosses are those over tokens, and whether logits are scored against the label
// that follows.
var tokenLosses = map[string]bool{"causal-lm": true, "masked-lm": false, "seq2seq": false}

func tokens(l *lossBuilder) error { return l.tokens(tokenLosses[l.name]) }

// LossNames lists the losses.
func LossNames() []string { return sortedKeys(losses) }

// Ignore is the label of a position that is not scored.
const Ignore = -100

// AttachLoss appends a loss of that name on an output of the graph.
func AttachLoss(b *Builder, name, output string) (*Loss, error) {
	rule, ok := losses[name]
	if !ok {
		return nil, fmt.Errorf("unknown loss %q; there are %s", name, strings.Join(LossNames(), ", "))
	}
	info := b.Values.Of(output)
	if !info.Ranked || !info.DType.IsFloat() {
		return nil, fmt.Errorf("%w: loss %s: output %q is %v", ir.ErrUnsupported, name, output, info)
	}
	l := &lossBuilder{Builder: b, z: output, shape: info.Shape, name: name, loss: &Loss{Output: output}}
	left := b.Enter("loss")
	b.Name("loss")
	defer b.Enter(left)
	if err := rule.attach(l); err != nil {
		return nil, err
	}
	if b.err != nil {
		return nil, fmt.Errorf("loss %s: %w", name, b.err)
	}
	return l.loss, nil
}

// A lossBuilder attaches one loss to output z.
type lossBuilder struct {
	*Builder
	name  string
	z     string
	shape []sym.Dim
	loss  *Loss
}

// input adds a graph input for the loss.
func (l *lossBuilder) input(name string, d ir.DType, shape ...sym.Dim) string {
	v := l.Input(name, d, shape...)
	l.loss.Inputs = append(l.loss.Inputs, v)
	return v.Name
}

func (l *lossBuilder) wantRank(ranks ...int) error {
	if !slices.Contains(ranks, len(l.shape)) {
		return fmt.Errorf("%w: loss %s needs an output of rank %v, %q has shape %v; choose one with --output", ir.ErrUnsupported, l.name, ranks, l.z, l.shape)
	}
	return nil
}

// tokens: with scored positions m_t = [label_t ≠ −100], n = max(1, Σ m_t),
//
//	loss = −(1/n) Σ_t m_t · ln p_t[label_t],   p_t = softmax(z_t)
//	∂loss/∂z_t = (m_t/n) · (p_t − onehot(label_t))
//
// shifted compares z_t with label_{t+1}, as transformers does: the labels move,
// not the logits, which are vocabulary times larger.
func (l *lossBuilder) tokens(shifted bool) error {
	t, err := l.tokenLabels(shifted)
	if err != nil {
		return err
	}
	logp := l.Op("LogSoftmax", ir.Attrs{"axis": int64(-1)}, l.z)
	t.Score(l.Builder, l.Op("GatherElements", ir.Attrs{"axis": int64(2)}, logp, t.Index))
	p := l.Mul(l.Op("Exp", nil, logp), t.Weight)
	l.loss.Seed = l.Op("ScatterElements", ir.Attrs{"axis": int64(2), "reduction": "add"}, p, t.Index, l.Op("Neg", nil, t.Weight))
	return nil
}

// TokenLabels are what a loss over tokens knows before it has seen a logit.
type TokenLabels struct {
	Loss   *Loss
	Index  string // int64 [batch, length, 1], the words that are scored, 0 where none is
	Weight string // m_t/n, float32 [batch, length, 1]

	scored, count string
	shape         []sym.Dim
}

// tokenLabels adds the input labels.
func (l *lossBuilder) tokenLabels(shifted bool) (*TokenLabels, error) {
	if err := l.wantRank(3); err != nil {
		return nil, err
	}
	batch, length := l.shape[0], l.shape[1]
	labels := l.input("labels", ir.Int64, batch, length)
	if shifted {
		rest := l.Op("Slice", nil, labels, l.Ints(1), l.Ints(1<<62), l.Ints(1))
		last := l.Expand(l.Ints(Ignore), []sym.Dim{batch, sym.Const(1)})
		labels = l.Op("Concat", ir.Attrs{"axis": int64(1)}, rest, last)
		l.Values.Set(labels, infer.Info{DType: ir.Int64, Ranked: true, Shape: []sym.Dim{batch, length}})
	}
	t := &TokenLabels{Loss: l.loss, shape: []sym.Dim{batch, length}}
	t.scored = l.Op("Not", nil, l.Op("Equal", nil, labels, l.Int(Ignore)))
	t.Index = l.Unsqueeze(l.Where(t.scored, labels, l.Int(0)), 2)
	m := l.Cast(t.scored, ir.Float32)
	t.count = l.Op("Max", nil, l.ReduceSum(m, true, 1), l.Scalar(1))
	t.Weight = l.Unsqueeze(l.Div(m, t.count), 2)
	return t, nil
}

// Score sets the loss from the log-probability of each position's word, [batch,
// length, 1].
func (t *TokenLabels) Score(b *Builder, logp string) {
	picked := b.Reshape(logp, t.shape)
	total := b.ReduceSum(b.whereOrZero(t.scored, picked), true, 1)
	t.Loss.PerExample = b.Reshape(b.Op("Neg", nil, b.Div(total, t.count)), t.shape[:1])
}

// TokenLoss reports a loss over the tokens of [B,T,V].
func TokenLoss(name string) bool {
	_, ok := tokenLosses[name]
	return ok
}

// AttachTokenLabels begins a loss over tokens whose logits are scored elsewhere, in
// parts: it has no Seed, and no PerExample before Score.
func AttachTokenLabels(b *Builder, name, output string) (*TokenLabels, error) {
	l := &lossBuilder{Builder: b, z: output, shape: b.Shape(output), name: name, loss: &Loss{Output: output}}
	left := b.Enter("loss")
	b.Name("loss")
	defer b.Enter(left)
	t, err := l.tokenLabels(tokenLosses[name])
	if err == nil {
		err = b.err
	}
	return t, err
}

func (b *Builder) whereOrZero(cond, x string) string { return b.Where(cond, x, b.Scalar(0)) }

// classes:  loss = −ln softmax(z)[label],   ∂loss/∂z = softmax(z) − onehot(label)
func (l *lossBuilder) classes() error {
	if err := l.wantRank(2); err != nil {
		return err
	}
	l.loss.PerExample, l.loss.Seed = l.crossEntropy(l.z, l.shape[0])
	return nil
}

// crossEntropy scores z [B,K] against labels [B].
func (l *lossBuilder) crossEntropy(z string, batch sym.Dim) (loss, seed string) {
	index := l.Unsqueeze(l.input("labels", ir.Int64, batch), 1)
	l.loss.Classes = z
	logp := l.Op("LogSoftmax", ir.Attrs{"axis": int64(-1)}, z)
	picked := l.Op("GatherElements", ir.Attrs{"axis": int64(1)}, logp, index)
	loss = l.Reshape(l.Op("Neg", nil, picked), []sym.Dim{batch})
	minus := l.Expand(l.Op("Unsqueeze", nil, l.Scalar(-1), l.Ints(0, 1)), []sym.Dim{batch, sym.Const(1)})
	seed = l.Op("ScatterElements", ir.Attrs{"axis": int64(1), "reduction": "add"}, l.Op("Exp", nil, logp), index, minus)
	return loss, seed
}

// infill: cross-entropy of c = z[mask_position, label_words] against labels;
// the gradient is that of c at its place and zero elsewhere.
func (l *lossBuilder) infill() error {
	if err := l.wantRank(3); err != nil {
		return err
	}
	batch, length := l.shape[0], l.shape[1]
	position := l.input("mask_position", ir.Int64, batch)
	words := l.input("label_words", ir.Int64, sym.Var("label_words"))
	row := l.Op("GatherND", ir.Attrs{"batch_dims": int64(1)}, l.z, l.Unsqueeze(position, 1))
	choice := l.Op("Gather", ir.Attrs{"axis": int64(1)}, row, words)
	loss, seed := l.crossEntropy(choice, batch)
	l.loss.PerExample = loss
	index := l.Expand(words, []sym.Dim{batch, sym.Var("label_words")})
	zeros := l.Zeros([]sym.Dim{batch, l.shape[2]})
	atMask := l.Op("ScatterElements", ir.Attrs{"axis": int64(1), "reduction": "add"}, zeros, index, seed)
	steps := l.Op("Range", nil, l.Int(0), l.Op("Squeeze", nil, l.Extent(length), l.Ints(0)), l.Int(1))
	here := l.Unsqueeze(l.Op("Equal", nil, l.Unsqueeze(position, 1), steps), 2)
	l.Values.Set(here, infer.Info{DType: ir.Bool, Ranked: true, Shape: []sym.Dim{batch, length, sym.Const(1)}})
	l.loss.Seed = l.whereOrZero(here, l.Unsqueeze(atMask, 1))
	return nil
}

// squares:  loss = (1/n) Σ (z − label)²,   ∂loss/∂z = (2/n)(z − label),
// with n the elements of one record's output.
func (l *lossBuilder) squares() error {
	if len(l.shape) == 0 {
		return fmt.Errorf("%w: loss mse: output %q is one number for the whole batch", ir.ErrUnsupported, l.z)
	}
	labels := l.input("labels", ir.Float32, l.shape...)
	diff := l.Sub(l.z, labels)
	count := sym.Product(l.shape[1:]...)
	share := ""
	if n, ok := count.Const(); ok {
		share = l.Scalar(1 / float32(n))
	} else {
		share = l.Div(l.Scalar(1), l.Cast(l.Extent(count), ir.Float32))
	}
	total := l.Reshape(l.ReduceSumSquare(diff, true, seq(1, len(l.shape))...), l.shape[:1])
	l.loss.PerExample = l.Reshape(l.Mul(total, share), l.shape[:1])
	l.loss.Seed = l.Mul(diff, l.Mul(share, l.Scalar(2)))
	return nil
}
