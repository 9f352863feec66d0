package runtime

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/dpadam/audit/evidence"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

// Bugs planted into the training graph: the compiled program of a real run is changed before its
// session is opened. What a bug returns is its row in docs/audit.md.

// auditDocument holds the tables.
var auditDocument = filepath.Join("..", "docs", "audit.md")

// compiled is a run up to the compiled graph, changed.
func compiled(t *testing.T, o FinetuneOptions, change func(t *testing.T, g *ir.Graph)) *finetune {
	t.Helper()
	o.Progress = silent{}
	f := &finetune{options: &o, out: outputDir{path: o.Out}}
	t.Cleanup(func() {
		if err := f.close(); err != nil {
			t.Error(err)
		}
	})
	for _, stage := range []func(context.Context) error{f.open, f.read, f.compile} {
		if err := stage(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if change == nil {
		return f
	}
	for _, planned := range f.trainer.steps.byHash {
		change(t, planned.program.Graph)
		var err error
		if planned.model, err = planned.program.Graph.Marshal(); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// goOn goes on with the run until it ends or fails.
func (f *finetune) goOn(ctx context.Context) error {
	for _, stage := range []func(context.Context) error{f.settle, f.begin, f.train} {
		if err := stage(ctx); err != nil {
			return err
		}
	}
	return nil
}

// norms are the norms of the records' clipped gradients, in units of the norm that the program
// clips to, at a padding length (0: each record's own).
func (f *finetune) norms(t *testing.T, length int) []float64 {
	t.Helper()
	var out []float64
	for i := range f.data.examples {
		edge := length
		if edge == 0 {
			edge = f.data.edge(i)
		}
		if _, err := f.trainer.run(t.Context(), microbatch{[]int{i}, edge, 1}); err != nil {
			t.Fatal(err)
		}
		out = append(out, math.Sqrt(squares(f.trainer.written()))/f.plan.ClipTo())
	}
	return out
}

// node finds the one node that satisfies a condition.
func node(t *testing.T, g *ir.Graph, what string, is func(n *ir.Node) bool) *ir.Node {
	t.Helper()
	i := slices.IndexFunc(g.Nodes, is)
	if i < 0 {
		t.Fatalf("the graph has no %s: the planted bug has to be adapted", what)
	}
	return g.Nodes[i]
}

// insert adds a node; resort puts it in its place.
func insert(g *ir.Graph, op, out string, attrs ir.Attrs, in ...string) string {
	g.Nodes = append(g.Nodes, &ir.Node{Name: out, Op: op, Inputs: in, Outputs: []string{out}, Attrs: attrs})
	return out
}

// unclipped gives the sums of one layer the factor 1 instead of the clip factor.
func unclipped(t *testing.T, g *ir.Graph) {
	factor := node(t, g, "factor", func(n *ir.Node) bool { return n.Outputs[0] == "factor" }).Inputs[0]
	ok := node(t, g, "clip factor", func(n *ir.Node) bool { return n.Outputs[0] == factor }).Inputs[0]
	column := node(t, g, "column of factors", func(n *ir.Node) bool {
		return n.Op == "Unsqueeze" && n.Inputs[0] == factor && n.Inputs[1] == "const/i64_1_2"
	})
	one := insert(g, "Cast", "planted/one", ir.Attrs{"to": int64(ir.Float32)}, ok)
	ones := insert(g, "Unsqueeze", "planted/ones", nil, one, column.Inputs[1])
	changed := 0
	for _, n := range g.Nodes {
		if !strings.HasPrefix(n.Name, "sum/distilbert.transformer.layer.1") {
			continue
		}
		for k, in := range n.Inputs {
			switch in {
			case factor:
				n.Inputs[k] = one
				changed++
			case column.Outputs[0]:
				n.Inputs[k] = ones
				changed++
			}
		}
	}
	resort(t, g, changed)
}

// uncounted leaves the token embedding out of the norm.
func uncounted(t *testing.T, g *ir.Graph) {
	sum := node(t, g, "sum of squared norms", func(n *ir.Node) bool { return n.Name == "clip/Sum" })
	before := len(sum.Inputs)
	sum.Inputs = slices.DeleteFunc(sum.Inputs, func(in string) bool { return strings.Contains(in, "word_embeddings") })
	resort(t, g, before-len(sum.Inputs))
}

// padded lets padding rows count as records.
func padded(t *testing.T, g *ir.Graph) {
	and := node(t, g, "use of valid", func(n *ir.Node) bool { return n.Op == "And" && n.Inputs[1] == "valid" })
	and.Inputs[1] = and.Inputs[0]
	resort(t, g, 1)
}

// multiplied leaves every selection out of the sums: a record that does not count has the
// factor 0 and is added all the same.
func multiplied(t *testing.T, g *ir.Graph) {
	changed := 0
	for _, n := range g.Nodes {
		switch {
		case !strings.HasPrefix(n.Name, "sum/"):
		case n.Op == "If": // its other branch selects
			n.Attrs["else_branch"] = renamed(t, n.Attrs["then_branch"], "else_branch")
			changed++
		case n.Op == "Where":
			n.Op, n.Inputs = "Identity", n.Inputs[1:2]
			changed++
		}
	}
	resort(t, g, changed)
}

// renamed copies a branch under another attribute's name. What it makes gets other
// names too: a value is defined once.
func renamed(t *testing.T, branch any, attr string) *onnxpb.AttributeProto {
	t.Helper()
	a := proto.Clone(branch.(*onnxpb.AttributeProto)).(*onnxpb.AttributeProto)
	a.Name = proto.String(attr)
	for _, n := range a.G.Node {
		for i := range n.Output {
			for _, reader := range a.G.Node {
				for k, in := range reader.Input {
					if in == n.Output[i] {
						reader.Input[k] += ".planted"
					}
				}
			}
			for _, o := range a.G.Output {
				if o.GetName() == n.Output[i] {
					o.Name = proto.String(o.GetName() + ".planted")
				}
			}
			n.Output[i] += ".planted"
		}
	}
	return a
}

// unmasked lets attention see padding tokens.
func unmasked(t *testing.T, g *ir.Graph) {
	g.AddInit(ir.NewInt64("planted/1", nil, []int64{1}))
	seen := insert(g, "Max", "planted/seen", nil, "attention_mask", "planted/1")
	changed := 0
	for _, n := range g.Nodes {
		for k, in := range n.Inputs {
			if in == "attention_mask" && n.Outputs[0] != seen {
				n.Inputs[k] = seen
				changed++
			}
		}
	}
	resort(t, g, changed)
}

func resort(t *testing.T, g *ir.Graph, changed int) {
	t.Helper()
	if changed == 0 {
		t.Fatal("the planted bug changed nothing")
	}
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
}

// plantedOptions is a run of all records, in microbatches of one, whose sums can be held to the norm.
func plantedOptions(t *testing.T) FinetuneOptions {
	o := crashOptions(crashDir(t))
	o.Microbatch, o.Steps, o.SampleRate, o.ExpectedBatch, o.TargetEpsilon, o.NoiseMultiplier = 1, 1, 1, 0, 0, 1
	return o
}

// Every bug planted into the graph is caught, the same run without it is not, and docs/audit.md
// says what was seen.
func TestPlantedBugsInTheGraph(t *testing.T) {
	if testing.Short() {
		t.Skip("runs training many times, in the ways of other tests")
	}
	rows := [][]string{
		tooLong(t, "clipping skipped for one layer", unclipped),
		tooLong(t, "a parameter left out of the norm", uncounted),
		paddingRecords(t),
		notSelected(t),
		paddingTokens(t),
	}
	have, err := evidence.Tests(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		for part := range strings.SplitSeq(r[2], "`") {
			if strings.HasPrefix(part, "Test") && !have[part] {
				t.Errorf("%q names a test that does not exist", r[2])
			}
		}
	}
	evidence.Table(t, auditDocument, "planted runtime", []string{"planted bug", "mistake", "caught by", "seen", "without the bug"}, rows)
}

// tooLong plants a bug that makes clipped gradients longer than the clipping norm: the run is
// refused when the first of them is added.
func tooLong(t *testing.T, name string, change func(*testing.T, *ir.Graph)) []string {
	t.Helper()
	var longest [2]float64
	for k, change := range []func(*testing.T, *ir.Graph){nil, change} {
		f := compiled(t, plantedOptions(t), change)
		err := f.goOn(t.Context())
		if bug := k == 1; bug != errors.Is(err, dpadam.ErrSensitivity) || !bug && err != nil {
			t.Errorf("%s: planted: %t: %v", name, bug, err)
		}
		longest[k] = slices.Max(f.norms(t, 0))
	}
	if longest[0] > 1+1e-4 || longest[1] < 1.01 {
		t.Errorf("%s: the longest clipped gradient is %g C, without the bug %g C", name, longest[1], longest[0])
	}
	return []string{name, "10", "`Accumulator.Add`, and `TestClippedSums` by the one-at-a-time oracle", fmt.Sprintf("a record contributes %.3g times the clipping norm; the run is refused", longest[1]), fmt.Sprintf("%.2f times", longest[0])}
}

// paddingRecords plants padding that counts as records.
func paddingRecords(t *testing.T) []string {
	if err := compiled(t, plantedOptions(t), nil).goOn(t.Context()); err != nil {
		t.Errorf("without the bug: %v", err)
	}
	err := compiled(t, plantedOptions(t), padded).goOn(t.Context())
	if err == nil || !strings.Contains(err.Error(), "gives padding a gradient") {
		t.Errorf("padding counts as records: %v", err)
	}
	return []string{"padding records leak into the sum", "9", "the run on padding alone before the first step", "the run is refused: the step gives padding a gradient", "all sums 0"}
}

// notSelected plants multiplication by 0 where there should be selection, and trains with a record
// that has no finite gradient.
func notSelected(t *testing.T) []string {
	run := func(change func(*testing.T, *ir.Graph)) error {
		f := compiled(t, plantedOptions(t), change)
		if err := f.settle(t.Context()); err != nil {
			return err
		}
		poisonRow(t, f, f.data.examples[0].IDs[1])
		for _, stage := range []func(context.Context) error{f.begin, f.train} {
			if err := stage(t.Context()); err != nil {
				return err
			}
		}
		return nil
	}
	if err := run(nil); err != nil {
		t.Errorf("a record that is not finite stops the run: %v", err)
	}
	if err := run(multiplied); !errors.Is(err, dpadam.ErrSensitivity) {
		t.Errorf("multiplied by 0: %v", err)
	}
	return []string{"a record that is not finite is multiplied by 0 instead of deselected", "11", "`Accumulator.Add`, and `TestNonFiniteRecordsLeaveNoTrace`", "the sum is not finite; the run is refused", "the record contributes 0, the run goes on"}
}

// poisonRow makes the embedding of a token infinite.
func poisonRow(t *testing.T, f *finetune, id int32) {
	t.Helper()
	for _, p := range f.program.Trained {
		if strings.Contains(p.Name, "word_embeddings") {
			table, width := f.trainer.weights.Trained.Slice(p.Name), int(p.Shape[1])
			for i := range width {
				table[int(id)*width+i] = float32(math.Inf(1))
			}
			return
		}
	}
	t.Fatal("no token embedding")
}

// paddingTokens plants attention to padding tokens: a record's gradient then depends on the length
// that it is padded to.
func paddingTokens(t *testing.T) []string {
	var worst [2]float64
	for k, change := range []func(*testing.T, *ir.Graph){nil, unmasked} {
		o := plantedOptions(t)
		o.ClipNorm = 1e3 // nothing is clipped: norms can be compared
		f := compiled(t, o, change)
		if err := f.settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		short := f.norms(t, 16)
		if change != nil { // the program of another length is another one
			planned, err := f.trainer.steps.plan(32)
			if err != nil {
				t.Fatal(err)
			}
			if planned.step == nil {
				change(t, planned.program.Graph)
				if planned.model, err = planned.program.Graph.Marshal(); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i, n := range f.norms(t, 32) {
			worst[k] = max(worst[k], math.Abs(n/short[i]-1))
		}
	}
	if worst[0] > 1e-4 || worst[1] < 1e-2 {
		t.Errorf("norms change by %g with the padding, without the bug by %g", worst[1], worst[0])
	}
	return []string{"attention sees padding tokens", "9", "norms at two padding lengths (`TestPaddingLengthDoesNotCount`)", fmt.Sprintf("a record's norm changes by %.0f %% with its padding", 100*worst[1]), "below 0.01 %"}
}

// A record's norm does not depend on the length that it is padded to: no padding token has a part in
// it (mistake 9), for a decoder and an encoder.
func TestPaddingLengthDoesNotCount(t *testing.T) {
	language := languageDir(t)
	language.Steps, language.NoiseMultiplier, language.Microbatch = 1, 1, 1
	for _, o := range []FinetuneOptions{plantedOptions(t), language} {
		o.ClipNorm = 1e3
		f := compiled(t, o, nil)
		if err := f.settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		short := f.norms(t, 16)
		for i, n := range f.norms(t, 48) {
			if math.Abs(n-short[i]) > 1e-4*short[i] || short[i] == 0 {
				t.Errorf("%s, record %d: norm %g padded to 16, %g padded to 48", o.Task, i, short[i], n)
			}
		}
	}
}
