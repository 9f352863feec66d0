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

// What the settings of methods say, wherever they are taken.
const (
	loraRankHelp     = "lora: rank of the updates (default 4)"
	loraAlphaHelp    = "lora: alpha; updates are multiplied with alpha/rank (default 32)"
	loraTargetsHelp  = "lora: weights that get an update, patterns as of --trainable, of names of nodes too (default attention:q+v); may be repeated"
	prefixLengthHelp = "prefix: positions in front of the text (default 10)"
	prefixMidHelp    = "prefix: units of the network that makes the prefix while it is trained (default 512)"
	prefixDirectHelp = "prefix: train keys and values themselves, without a network"
)

// methodSettings binds the settings of methods.
func methodSettings(fl *pflag.FlagSet, o *runtime.MethodOptions) {
	fl.IntVar(&o.Rank, "lora-rank", 0, loraRankHelp)
	fl.Float64Var(&o.Alpha, "lora-alpha", 0, loraAlphaHelp)
	fl.StringSliceVar(&o.Targets, "lora-targets", nil, loraTargetsHelp)
	fl.IntVar(&o.PrefixLength, "prefix-length", 0, prefixLengthHelp)
	fl.IntVar(&o.PrefixMid, "prefix-mid", 0, prefixMidHelp)
	fl.BoolVar(&o.PrefixDirect, "prefix-direct", false, prefixDirectHelp)
	fl.Uint64Var(&o.Seed, "init-seed", 0, "public seed of what a method draws: adapters, or all weights from scratch")
}
