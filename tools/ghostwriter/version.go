package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

type versionReport struct {
	Version   string   `json:"version"`
	Runtime   string   `json:"onnxruntime"`
	Library   string   `json:"library"`
	Providers []string `json:"providers"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the versions of the command and of the onnxruntime library it found",
		Example: "  ghostwriter version --json",
		RunE: func(*cobra.Command, []string) error {
			r := versionReport{Version: runtime.Version, Providers: []string{}}
			env, err := ort.Load(a.library)
			if err != nil {
				return err
			}
			r.Runtime, r.Library = env.Version(), env.Path()
			if r.Providers, err = env.Providers(); err != nil {
				return err
			}
			return a.print(r, func() {
				a.printf("ghostwriter %s\nonnxruntime %s (%s)\nproviders   %s\n", r.Version, r.Runtime, r.Library, strings.Join(r.Providers, ", "))
			})
		},
	}
}
