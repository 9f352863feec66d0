package runtime

import (
	"maps"
	"slices"
)

// Tasks lists the names of --task: those of the recipes that give a task's defaults.
func Tasks() []string {
	all, _ := recipes() // they are in the program; TestRecipes reads them
	names := slices.Sorted(maps.Keys(all))
	return slices.DeleteFunc(names, func(name string) bool { return all[name].options.Task != name })
}

// Modes of classification.
const (
	ModeHead   = "head"   // a classifier's logits [B,K]
	ModeInfill = "infill" // a masked language model's logits [B,T,V] at the mask
)
