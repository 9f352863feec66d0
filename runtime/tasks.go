package runtime

import (
	"slices"
	"strings"
)

// Tasks lists the names of --task: those of the recipes that give a task's defaults, which have the task's name and no
// more. No recipe is read for it: every command's help lists them.
func Tasks() []string {
	return slices.DeleteFunc(recipeNames(), func(name string) bool { return strings.Contains(name, "-") })
}

// Modes of classification.
const (
	ModeHead   = "head"   // a classifier's logits [B,K]
	ModeInfill = "infill" // a masked language model's logits [B,T,V] at the mask
)
