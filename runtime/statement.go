package runtime

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
)

// writeStatement writes release/privacy.json, release/statement.txt and the
// model card from what the ledger proves.
func (f *finetune) writeStatement() error {
	record, err := dpadam.ReadLedger(f.out.ledger())
	if err != nil {
		return err
	}
	st, err := dpadam.NewStatement(record)
	if err != nil {
		return err
	}
	data, err := st.JSON()
	if err != nil {
		return err
	}
	if err := f.out.release("privacy.json", data); err != nil {
		return err
	}
	if err := f.out.release("statement.txt", []byte(st.Text())); err != nil {
		return err
	}
	return durable.WriteBytes(filepath.Join(f.out.path, "README.md"), 0o644, []byte(f.modelCard(st)))
}

// modelCard describes the model to whoever gets it. Like release/ it holds only
// functions of the plan.
func (f *finetune) modelCard(st *dpadam.Statement) string {
	var b strings.Builder
	s := f.plan.Spec()
	fmt.Fprintf(&b, "# %s, fine-tuned with Ghostwriter\n\n", filepath.Base(f.model.Dir()))
	if stamp := f.plan.Stamp(); stamp != "" {
		fmt.Fprintf(&b, "**%s**\n\n", stamp)
	}
	fmt.Fprintf(&b, "- task: %s\n- optimizer: %s, learning rate %g, schedule %s\n- expected batch: %g, steps: %d of %d planned\n- trained coordinates: %d\n",
		f.options.Task, s.Optimizer.Name, s.Optimizer.LearningRate, s.Schedule.Name, s.ExpectedBatch, f.taken, s.Steps, s.Dim)
	if s.Method != "" {
		fmt.Fprintf(&b, "- method: %s\n", s.Method)
	}
	if s.ClipNorm > 0 {
		fmt.Fprintf(&b, "- clipping norm: %g (%s), noise multiplier: %g\n", s.ClipNorm, s.Clipping, s.NoiseMultiplier)
	}
	if s.AverageDecay > 0 {
		fmt.Fprintf(&b, "- weights: exponential moving average over the steps, decay %g\n", s.AverageDecay)
	}
	b.WriteString("\n## Privacy\n\n")
	for line := range strings.Lines(st.Text()) {
		b.WriteString("    " + line)
	}
	b.WriteString("\nThe statement can be recomputed from the file `ledger`: `ghostwriter privacy statement .`\n")
	return b.String()
}
