package runtime

import (
	"maps"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// A recipe holds a task's defaults: the paper's hyperparameters (Li et al. 2022,
// appendix; notes in docs), for what the user does not give.
type recipe struct {
	task      tokenize.Task
	text      bool // a language model is trained, not a classifier
	batch     float64
	epochs    float64
	maxLength int
	rate      float64 // learning rate with privacy
	rateOpen  float64 // and without
	schedule  string
}

// recipes by the name of --task.
var recipes = map[string]recipe{
	"sst2":     {tokenize.TaskSST2, false, 1000, 3, 256, 5e-4, 5e-5, "linear"},
	"qnli":     {tokenize.TaskQNLI, false, 2000, 6, 256, 5e-4, 5e-5, "linear"},
	"qqp":      {tokenize.TaskQQP, false, 6000, 18, 256, 5e-4, 5e-5, "linear"},
	"mnli":     {tokenize.TaskMNLI, false, 6000, 18, 256, 5e-4, 5e-5, "linear"},
	"classify": {tokenize.TaskClassify, false, 1000, 3, 256, 5e-4, 5e-5, "linear"},
	"e2e":      {tokenize.TaskE2E, true, 1024, 10, 100, 2e-3, 5e-4, "constant"},
	"dart":     {tokenize.TaskDART, true, 1024, 15, 120, 5e-4, 5e-4, "constant"},
	"webnlg":   {tokenize.TaskWebNLG, true, 1024, 15, 120, 5e-4, 5e-4, "constant"},
	"persona":  {tokenize.TaskPersona, true, 1024, 10, 256, 2e-3, 5e-4, "constant"},
	"lm":       {tokenize.TaskLM, true, 1024, 10, 128, 2e-3, 5e-4, "constant"},
	"instruct": {tokenize.TaskInstruct, true, 1024, 10, 128, 2e-3, 5e-4, "constant"},
}

// Tasks lists the names of --task.
func Tasks() []string { return slices.Sorted(maps.Keys(recipes)) }

// Modes of classification.
const (
	ModeHead   = "head"   // a classifier's logits [B,K]
	ModeInfill = "infill" // a masked language model's logits [B,T,V] at the mask
)
