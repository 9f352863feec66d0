package main

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// methodFlags binds what train calls --method and its settings; a verb that has another
// --method names the first one differently.
func methodFlags(fl *pflag.FlagSet, name string, o *runtime.MethodOptions) {
	fl.StringVar(&o.Name, name, "", "how the model is trained: "+strings.Join(runtime.Methods(), ", ")+" (default full; docs/methods.md)")
	methodSettings(fl, o)
}

// methodSettings binds the settings of methods.
func methodSettings(fl *pflag.FlagSet, o *runtime.MethodOptions) {
	fl.Uint64Var(&o.Seed, "init-seed", 0, "public seed of what a method draws: adapters, or all weights from scratch")
}
