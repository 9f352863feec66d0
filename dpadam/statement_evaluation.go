package dpadam

import "fmt"

// StatementEvaluations is what a statement says about noised evaluations.
type StatementEvaluations struct {
	Kind            string  `json:"kind"`
	Clip            float64 `json:"clip,omitempty"`
	Planned         int64   `json:"planned"`
	Charged         int64   `json:"charged"`
	TornLines       int64   `json:"torn_lines"` // of the charged ones
	NoiseMultiplier float64 `json:"noise_multiplier"`
	NoiseStd        float64 `json:"noise_std"` // of a released value
	Records         int64   `json:"records"`
	RecordsPublic   string  `json:"records_public"` // "declared" or "counted"
}

// evaluationsOf is nil for a run that has none.
func evaluationsOf(r *LedgerRecord) *StatementEvaluations {
	e := r.plan.spec.Evaluation
	if e == nil {
		return nil
	}
	out := &StatementEvaluations{Kind: e.Kind, Clip: e.Clip, Planned: e.Count, Charged: r.evaluated, TornLines: r.tornEvaluations,
		NoiseMultiplier: e.NoiseMultiplier, NoiseStd: e.NoiseStd(), Records: e.Records, RecordsPublic: "counted"}
	if e.RecordsDeclared {
		out.RecordsPublic = "declared"
	}
	return out
}

// row is the line of the table.
func (e *StatementEvaluations) row() string {
	what, public := "accuracy", "given by the user"
	if e.Kind == EvaluateLoss {
		what = fmt.Sprintf("loss clipped to [0, %g]", e.Clip)
	}
	if e.RecordsPublic != "declared" {
		public = "counted and treated as public"
	}
	return fmt.Sprintf("%s, %d planned, %d charged (%d of them torn lines), noise multiplier %g, of %d records (%s)",
		what, e.Planned, e.Charged, e.TornLines, e.NoiseMultiplier, e.Records, public)
}

// evaluationAssumptions, evaluationCovered and evaluationNotCovered are the sentences.
func (st *Statement) evaluationAssumptions() []string {
	if st.Evaluations == nil {
		return nil
	}
	a := []string{"The result of an evaluation for one record is computed from that record and the weights alone: each is run by itself, " +
		"and the model's runtime computes the same numbers for it whatever other records there are."}
	if st.Evaluations.RecordsPublic != "declared" {
		a = append(a, "The number of records of the evaluation set was counted and is treated as public: it divides every result.")
	}
	return a
}

func (st *Statement) evaluationCovered() []string {
	if st.Evaluations == nil {
		return nil
	}
	return []string{"The noised evaluations on private data, and choosing a checkpoint by them: each is charged in the ledger and added to the steps, " +
		"so a unit may have records in the training data and in the evaluation data."}
}

func (st *Statement) evaluationNotCovered() []string {
	if st.Evaluations == nil {
		return []string{"Evaluation on private data, and choosing a checkpoint or a setting by it: this run paid for none."}
	}
	return []string{"Evaluation on private data beyond the noised ones that are listed here, such as an exact accuracy or loss."}
}
