package main

import (
	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

func (a *app) recipesCommand() *cobra.Command {
	list := &cobra.Command{
		Use:   "recipes",
		Short: "The published hyperparameters of tasks and methods",
		Long: "Recipes lists what train --recipe NAME takes: the hyperparameters of Li et al. 2022 for a task and a method. A recipe that\n" +
			"has a task's name gives that task's defaults. Flags go over a recipe. See docs/tasks.md.",
		Example: "  ghostwriter recipes\n" +
			"  ghostwriter recipes show e2e-lora > my.yaml\n" +
			"  ghostwriter train --recipe e2e-lora --model gpt2/ --train trainset.csv --target-epsilon 3 --out tuned/",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := runtime.Recipes()
			if err != nil {
				return err
			}
			return a.print(map[string]any{"recipes": all}, func() {
				for _, r := range all {
					a.printf("%-14s %s\n", r.Name, r.Title)
				}
			})
		},
	}
	list.AddCommand(&cobra.Command{
		Use:     "show NAME",
		Short:   "Print a recipe's YAML, which is a --config file too",
		Example: "  ghostwriter recipes show e2e",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := runtime.RecipeText(args[0])
			if err != nil {
				return err
			}
			return a.print(map[string]string{"name": args[0], "yaml": string(text)}, func() { a.printf("%s", text) })
		},
	})
	return list
}

// printAdvice shows how the expected batch was chosen, and what goes against the paper's guidance.
func (a *app) printAdvice(e *runtime.Estimate) {
	if e.Recipe != "" {
		a.printf("recipe %s; expected batch: %s\n", e.Recipe, e.BatchReason)
	}
	if len(e.Batches) > 0 {
		a.printf("  %8s %8s %10s %12s   (calibrated by RDP)\n", "batch", "steps", "sigma", "sigma/q")
	}
	for _, b := range e.Batches {
		mark := ""
		if b.Chosen {
			mark = "  <- chosen"
		}
		a.printf("  %8.6g %8d %10.4f %12.4g%s\n", b.Batch, b.Steps, b.NoiseMultiplier, b.Effective, mark)
	}
	for _, w := range e.Warnings {
		a.printf("%s\n", w)
	}
}
