package ghost

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/sym"
)

// A Pass says what a Program computes.
type Pass int

const (
	// Clipped: losses, norms, factors and clipped sums in one pass
	// (book-keeping).
	Clipped Pass = iota
	// Norms: losses and norms only; the first of two passes.
	Norms
	// Weighted: sums of gradients weighted by a given factor per record; the
	// second of two passes, and the step of training without privacy.
	Weighted
	// Losses: losses only, and predictions where the loss has classes; for
	// evaluation.
	Losses
	// Oracle: the dense gradient summed over the batch by plain reverse mode,
	// without hooks. Run on one record at a time it is what the other passes
	// are checked against.
	Oracle
)

// A Spec says what to build.
type Spec struct {
	Loss      string // see onnxgrad.LossNames
	Pass      Pass
	Clip      ClipRule
	ClipNorm  float32 // C, the default of the input clip_norm
	ClipGamma float32 // γ of automatic clipping, the default of clip_gamma
	// ClipPer clips groups of parameters by norms of their own, each to its share
	// of C.
	ClipPer    Grouping
	ClipShares Sharing
	// Precision is that of the products of forward and backward; "" is fp32.
	// Emulated computes them in float32 between the same roundings, on a
	// processor without such kernels: for the value, not for speed.
	Precision Precision
	Emulated  bool
	// Length is the sequence length to plan for: it decides between forms of
	// equal value by their cost. The program is right for every length.
	Length int64
	// Memory is what the program does with values that it needs again; "" is normal.
	Memory Memory
	// Trainable and Freeze choose parameters; see choose.
	Trainable, Freeze []string
	// PerParameter asks for each parameter's norm as an output.
	PerParameter bool
	// Records is the number of records that a run is planned for, 0 if not known: with
	// Length it decides whether the logits of a language model are computed in chunks.
	Records int64
	// HeadChunks, if set, decides that instead: see HeadChunks. Words = 0 leaves the
	// logits whole.
	HeadChunks *HeadChunks
	// RowsApart leaves the look-ups' share of tables of that many elements and more
	// out of their sums, see Program.Rows; 0 of none.
	RowsApart int64
	// SumsKept says that the caller leaves the sums in the runtime's memory, where
	// Peak counts them; else they are written where the caller says.
	SumsKept bool
	// KeepWeights makes the parameters' present values defaults of their
	// inputs, so that the program runs without being fed weights.
	KeepWeights bool

	wholeHead bool // no chunks: they were tried
}

// A Port is an input or output of a program.
type Port struct {
	Name     string
	DType    ir.DType
	Dims     []ir.DeclaredDim
	Optional bool // an input with a default
	Meaning  string
}

// A Program is a training step as an ONNX graph, with what its inputs and
// outputs mean.
type Program struct {
	Graph   *ir.Graph
	Inputs  []Port
	Outputs []Port
	// Trained are the parameters whose gradients the program computes;
	// Unreached those chosen for training that the loss does not depend on,
	// Frozen the others. All are inputs.
	Trained, Unreached, Frozen []Parameter
	// Selection says what the patterns of the spec matched.
	Selection *Selection
	// Names of outputs: "" where the pass has none. Sums and ByParameter are
	// by parameter.
	Loss, Norm, Factor, Finite string
	// Groups are the groups of ClipPer, nil without. Factor then is [B,K], and
	// GroupNorm the norms [B,K] of each record's gradient by group.
	Groups            []Group
	GroupNorm         string
	Prediction        string // int64 [B], of losses over classes
	Sums, ByParameter map[string]string
	SumsKept          bool // as the spec says
	// Rows are what is to be added to the sums of large tables, by parameter, where
	// the spec has RowsApart. A table that is only looked up in has no other sum.
	Rows map[string]RowSum
	// Names of inputs.
	Valid, ClipNorm, ClipGamma, Weight string
	Data, Labels                       []*ir.ValueInfo
	// Left are inputs of the model's file that the program has not.
	Left []string
	// HeadChunks are those of the logits, nil where they are whole. WholeHead then says
	// why, if they should not be.
	HeadChunks *HeadChunks
	WholeHead  string
	// Forms says, by trained parameter, how its norm is made.
	Forms map[string]string
}

// Compile builds the program of a spec.
func (p *Prepared) Compile(s Spec) (*Program, error) {
	program, err := p.compile(s)
	if errors.Is(err, errWholeHead) { // only the backward pass shows all parts of a gradient
		why := err.Error()
		s.wholeHead = true
		if program, err = p.compile(s); err == nil {
			program.WholeHead = why
		}
	}
	return program, err
}

func (p *Prepared) compile(s Spec) (*Program, error) {
	if p.Output == "" {
		return nil, fmt.Errorf("%w: the model has outputs %s; choose one with --output", ir.ErrInvalid, outputNames(p.Graph.Graph))
	}
	if err := p.Proof.Check(p.Output); err != nil {
		return nil, err
	}
	g, values, err := p.clone()
	if err != nil {
		return nil, err
	}
	chosen, err := p.choose(s.Trainable, s.Freeze)
	if err != nil {
		return nil, err
	}
	c := &compiler{model: p, spec: s, Builder: onnxgrad.NewBuilder(g, values), out: &Program{
		Graph: g, SumsKept: s.SumsKept, Data: slices.Clone(g.Inputs), Left: p.Left, Sums: map[string]string{}, ByParameter: map[string]string{}, Rows: map[string]RowSum{}, Forms: map[string]string{},
	}}
	c.out.Selection = chosen
	for i, param := range p.Parameters {
		if chosen.Trained[i] {
			c.chosen = append(c.chosen, param)
		} else {
			c.out.Frozen = append(c.out.Frozen, param)
		}
	}
	if len(c.chosen) == 0 {
		return nil, fmt.Errorf("%w: no parameter is left to train", ir.ErrInvalid)
	}
	if err := c.run(); err != nil {
		return nil, err
	}
	return c.out, nil
}

// A compiler builds one program.
type compiler struct {
	*onnxgrad.Builder
	model  *Prepared
	spec   Spec
	chosen []Parameter
	out    *Program

	loss      *onnxgrad.Loss
	head      *head // whose logits are computed in chunks; nil where they are whole
	collected *collector
	sections  []string          // of norms, in the order of the backward pass
	adjoints  map[string]string // gradients by value
}

func (c *compiler) run() error {
	err := c.attachLoss()
	if err != nil {
		return err
	}
	c.out.Labels = c.loss.Inputs
	c.Graph.Outputs = nil
	c.Name("")
	switch c.spec.Pass {
	case Oracle:
		err = c.oracle()
	case Losses:
		c.losses()
	default:
		err = c.hooked()
	}
	if err != nil {
		return err
	}
	c.weightsAsInputs()
	if err := c.finish(); err != nil {
		return err
	}
	return c.describe()
}

// losses emits losses and predictions.
func (c *compiler) losses() {
	if c.head != nil {
		c.head.firstPass("")
	}
	c.Enter("outputs")
	c.out.Trained = c.chosen
	c.out.Loss = c.emit("loss", c.loss.PerExample)
	if c.loss.Classes != "" {
		best := c.Op("ArgMax", ir.Attrs{"axis": int64(-1), "keepdims": int64(0)}, c.loss.Classes)
		c.out.Prediction = c.emit("prediction", best)
	}
}

// oracle differentiates plainly.
func (c *compiler) oracle() error {
	grads, err := onnxgrad.Gradients(c.Builder, onnxgrad.Request{Seeds: map[string]string{c.model.Output: c.loss.Seed}, Trainable: names(c.chosen)})
	if err != nil {
		return err
	}
	c.Enter("outputs")
	c.out.Loss = c.emit("loss", c.loss.PerExample)
	for _, p := range c.chosen {
		if grads[p.Name] == "" {
			c.out.Unreached = append(c.out.Unreached, p)
			continue
		}
		c.out.Trained = append(c.out.Trained, p)
		c.out.Sums[p.Name] = c.emit("gradient."+p.Name, grads[p.Name])
	}
	return c.group()
}

func (c *compiler) emit(name, value string) string { return c.Output(name, value).Name }

// hooked differentiates with per-example hooks and emits norms and sums.
func (c *compiler) hooked() error {
	c.collected = newCollector(c.Builder, c.model.Proof, c.chosen)
	seeds, err := c.seeds()
	if err != nil {
		return err
	}
	c.adjoints = map[string]string{}
	_, err = onnxgrad.Gradients(c.Builder, onnxgrad.Request{Seeds: seeds, Trainable: names(c.chosen), Hook: c.collected, Proof: c.model.Proof, Adjoints: c.adjoints})
	if err != nil {
		return err
	}
	if err := c.head.checkParts(); err != nil {
		return err
	}
	c.halve()
	c.collected.sort()
	for _, p := range c.chosen {
		if c.collected.found[p.Name] == nil {
			c.out.Unreached = append(c.out.Unreached, p)
		} else {
			c.out.Trained = append(c.out.Trained, p)
		}
	}
	if len(c.out.Trained) == 0 {
		return fmt.Errorf("%w: the loss depends on none of the chosen parameters", ir.ErrInvalid)
	}
	if err := c.group(); err != nil {
		return err
	}
	parts := c.emitParts()
	var sel selection
	factor := ""
	if c.spec.Pass == Weighted {
		sel, c.out.Factor = c.weightedSelection(), ""
	} else {
		sel, factor = c.norms(parts)
	}
	if c.spec.Pass != Norms {
		c.sums(parts, factor, sel)
	}
	return nil
}

// seeds returns the gradients that the backward pass starts from: the loss's, or in a
// weighted pass the loss's times each record's weight. They are the output's, or those
// of the input of a head whose logits are computed in chunks.
func (c *compiler) seeds() (map[string]string, error) {
	batch := c.Values.Of(c.model.Output).Shape[0]
	if c.spec.Pass != Weighted {
		valid := ir.NewBool("valid", []int64{1}, []bool{true})
		c.addOptional(valid, &ir.ValueInfo{Name: "valid", DType: ir.Bool, Dims: onnxgrad.Declare([]sym.Dim{batch})})
		c.out.Valid = "valid"
	} else {
		c.out.Weight = c.Input("weight", ir.Float32, batch).Name
	}
	defer c.Enter("backward")
	if c.head != nil {
		return c.head.contribute(c.out.Weight)
	}
	c.Enter("backward")
	if c.out.Weight == "" {
		return map[string]string{c.model.Output: c.Scale(c.loss.Seed, c.spec.scale())}, c.Err()
	}
	c.Enter("loss")
	w := c.out.Weight
	if r := c.Rank(c.loss.Seed); r > 1 {
		axes := make([]int64, r-1)
		for i := range axes {
			axes[i] = int64(i + 1)
		}
		w = c.Op("Unsqueeze", nil, w, c.Ints(axes...))
	}
	return map[string]string{c.model.Output: c.Mul(c.loss.Seed, c.Scale(w, c.spec.scale()))}, c.Err()
}

func (c *compiler) addOptional(t *ir.Tensor, declared *ir.ValueInfo) {
	c.Graph.AddInit(t)
	c.Graph.Overridable[t.Name] = declared
	c.SetInfo(t)
	// Whoever feeds it may give any extent: infer it as declared, not as the
	// default happens to be.
	info := c.Values.Of(t.Name)
	info.Content = nil
	c.Values.Set(t.Name, info)
}

// emitParts emits every parameter's contributions, each in the section of its
// norm.
func (c *compiler) emitParts() map[string][]contribution {
	out := map[string][]contribution{}
	for i, name := range c.collected.order {
		section := fmt.Sprintf("norm/%05d", i)
		c.sections = append(c.sections, section)
		c.Enter(section)
		c.Name("norm/" + name)
		for _, p := range c.collected.found[name].parts {
			out[name] = append(out[name], p.emit(c.Builder))
		}
	}
	return out
}

// norms emits squared norms, their sum, and the factors.
func (c *compiler) norms(parts map[string][]contribution) (selection, string) {
	n := &normer{Builder: c.Builder, length: max(c.spec.Length, 1), grams: map[string]string{}}
	squares := map[string]string{}
	for i, name := range c.collected.order {
		c.Enter(c.sections[i])
		c.Name("norm/" + name)
		table, _ := matrix(c.collected.trained[name].Shape)
		s := c.Scale(n.squared(parts[name], table), 1/(c.spec.scale()*c.spec.scale()))
		squares[name] = s
		if c.spec.PerParameter {
			c.out.ByParameter[name] = c.emit("norm."+name, rootOf(c.Builder, s))
		}
	}
	c.Enter("factor")
	c.Name("clip")
	total, byGroup := c.total(squares)
	norm := rootOf(c.Builder, total)
	clipped := norm
	if len(c.out.Groups) > 0 {
		clipped = rootOf(c.Builder, byGroup)
		c.out.GroupNorm = c.emit("group_norm", clipped)
		clipped = c.floored(clipped, norm)
	}
	finite := isFinite(c.Builder, total)
	counted := c.Op("And", nil, finite, c.out.Valid)
	factor := ""
	if c.spec.Pass != Norms {
		factor = c.factor(clipped, counted)
	}
	// The runtime takes an operator's last emitted input first. So it computes the
	// losses, and is done with what only they are made of, before it begins with the
	// backward pass: of a language model that is the size of its logits.
	scored := isFinite(c.Builder, c.loss.PerExample)
	if factor != "" {
		factor = c.Where(c.byRecord(scored), factor, c.Scalar(0))
	}
	sel := selection{finite: c.Op("And", nil, finite, scored), ok: c.Op("And", nil, counted, scored)}
	c.out.Loss, c.out.Norm, c.out.Finite = c.emit("loss", c.loss.PerExample), c.emit("norm", norm), c.emit("finite", sel.finite)
	if factor != "" {
		c.out.Factor = c.emit("factor", factor)
	}
	return sel, factor
}

// factor emits the clip factors of records of that norm, 0 for those that do not
// count.
func (c *compiler) factor(norm, counted string) string {
	c.out.ClipNorm = "clip_norm"
	scalarInput(c.Builder, c.out.ClipNorm, c.spec.ClipNorm)
	gamma := ""
	if c.spec.Clip == Automatic {
		c.out.ClipGamma, gamma = "clip_gamma", "clip_gamma"
		scalarInput(c.Builder, gamma, c.spec.ClipGamma)
	}
	return c.spec.Clip.factor(c.Builder, norm, c.clipTo(), gamma, c.byRecord(counted))
}

// weightedSelection: a record counts when its weight is positive and its loss
// finite.
func (c *compiler) weightedSelection() selection {
	c.Enter("factor")
	c.Name("clip")
	positive := c.Op("Greater", nil, c.out.Weight, c.Scalar(0))
	finite := isFinite(c.Builder, c.loss.PerExample)
	sel := selection{finite: finite, ok: c.Op("And", nil, finite, positive)}
	c.out.Loss, c.out.Finite = c.emit("loss", c.loss.PerExample), c.emit("finite", sel.finite)
	return sel
}

// sums emits the clipped (or weighted) sums.
func (c *compiler) sums(parts map[string][]contribution, factor string, sel selection) {
	c.Enter("factor")
	c.Name("clip")
	// A factor of 0 is enough for padding, whose values are finite. Where the weights
	// were given, which of them are 0 because of a value that is not finite is unknown.
	needed := sel.finite
	if factor == "" {
		needed = sel.ok
	}
	plain := c.all(needed)
	factor = c.unscaled(factor, sel.ok)
	s := newSummer(c.Builder, factor, sel.ok, plain)
	factors := c.factorsByParameter(factor)
	for i, name := range c.collected.order {
		c.Enter(fmt.Sprintf("sum/%05d", i))
		c.Name("sum/" + name)
		if factors != nil {
			s.factor = factors[name]
		}
		param := c.collected.trained[name]
		rest, lookUps := c.splitRows(param, parts[name])
		if len(lookUps) > 0 {
			c.out.Rows[name] = c.emitRows(s, param, lookUps)
		}
		if len(rest) > 0 {
			c.out.Sums[name] = c.emit(c.sumName(name), s.sum(param, rest))
		}
	}
}

// all reports, as one bool, that every element of v [B] holds.
func (c *compiler) all(v string) string {
	return c.Op("Equal", nil, c.ReduceSum(c.Cast(c.Op("Not", nil, v), ir.Float32), false, 0), c.Scalar(0))
}

func (c *compiler) sumName(parameter string) string {
	if c.spec.Pass == Weighted {
		return "weighted_sum." + parameter
	}
	return "clipped_sum." + parameter
}

// weightsAsInputs turns every parameter into a graph input: a weight that the
// runtime does not take for a constant exists once, is updated in place between
// runs, and is transposed inside the products that read it.
func (c *compiler) weightsAsInputs() {
	g := c.Graph
	for _, p := range c.model.Parameters {
		t := g.Inits[p.Name]
		if c.spec.KeepWeights {
			g.Overridable[p.Name] = t.Info()
			continue
		}
		g.RemoveInit(p.Name)
		g.Inputs = append(g.Inputs, t.Info())
	}
}

// finish orders the sections: norms last, those of the last layer at the very
// end, because the runtime executes depth first from the highest node index.
// Natural order would keep every layer's gradients alive until the end.
func (c *compiler) finish() error {
	order := slices.Clone(c.sections)
	slices.Reverse(order)
	order = append(order, "factor")
	if c.collected != nil {
		order = append(order, c.sumSections()...)
	}
	if err := c.Finish(append(order, "outputs")...); err != nil {
		return err
	}
	c.Graph.Prune()
	if c.spec.Memory.IsLow() && c.collected != nil {
		return c.recompute()
	}
	return nil
}

// sumSections orders the sums, the first last in the file, as the backward pass has all
// that they are made of; in low memory as it has the first of it. What sums are made of
// is then there or made again, and what comes first is the largest, the gradient of a
// language model's logits; where everything is kept, a large sum had better come late.
func (c *compiler) sumSections() []string {
	at := make([]int, len(c.collected.order))
	for i := range at {
		at[i] = i
	}
	begun := func(i int) int { return c.collected.found[c.collected.order[i]].begun }
	slices.Reverse(at)
	if c.spec.Memory.IsLow() {
		slices.SortStableFunc(at, func(a, b int) int { return begun(b) - begun(a) })
	}
	out := make([]string, len(at))
	for k, i := range at {
		out[k] = fmt.Sprintf("sum/%05d", i)
	}
	return out
}

func names(params []Parameter) []string {
	out := make([]string, len(params))
	for i, p := range params {
		out[i] = p.Name
	}
	return out
}
