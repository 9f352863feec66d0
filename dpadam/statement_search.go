package dpadam

import "fmt"

// StatementSearch is what a statement says about the search that a run was chosen in.
type StatementSearch struct {
	Mode         string  `json:"mode"` // random-stopping
	Distribution string  `json:"distribution"`
	Shape        float64 `json:"shape,omitempty"`
	Gamma        float64 `json:"gamma,omitempty"`
	MeanRuns     float64 `json:"mean_runs"`
	Grid         int     `json:"grid"`
}

func searchOf(s *Spec) *StatementSearch {
	if s.Search == nil {
		return nil
	}
	return &StatementSearch{Mode: "random-stopping", Distribution: s.Search.Distribution, Shape: s.Search.Shape, Gamma: s.Search.Gamma,
		MeanRuns: s.Search.Mean, Grid: s.Search.Grid}
}

func (s *StatementSearch) row() string {
	what := "Poisson distribution"
	if s.Distribution == SearchNegativeBinomial {
		what = fmt.Sprintf("truncated negative binomial distribution, shape %g, gamma %.6g", s.Shape, s.Gamma)
	}
	return fmt.Sprintf("random stopping over %d cells: a secret number of runs, %.4g in expectation (%s)", s.Grid, s.MeanRuns, what)
}

func (st *Statement) searchCovered() []string {
	if st.Search == nil {
		return nil
	}
	return []string{"The search for hyperparameters that this run was chosen in: epsilon is that of the whole search, its secret number of runs and all their " +
		"steps and evaluations included, not of this run alone (Papernot and Steinke 2022)."}
}

func (st *Statement) searchAssumptions() []string {
	if st.Search == nil {
		return nil
	}
	return []string{
		"The number of the search's runs and everything that the runs which were not chosen gave stay secret, and nobody outside saw how long the search took: that tells the number of runs.",
		"Runs were compared by a score that is computed from public data, or by a noised evaluation that each run paid for.",
	}
}
