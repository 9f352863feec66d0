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
	loraFlags(fl, &o.Rank, &o.Alpha, &o.Targets)
	rgpFlags(fl, &o.RGPRank, &o.RGPTargets)
	prefixFlags(fl, &o.PrefixLength, &o.PrefixMid, &o.PrefixDirect)
	initSeedFlag(fl, &o.Seed)
}

func loraFlags(fl *pflag.FlagSet, rank *int, alpha *float64, targets *[]string) {
	fl.IntVar(rank, "lora-rank", 0, "lora: rank of the updates (default 4)")
	fl.Float64Var(alpha, "lora-alpha", 0, "lora: alpha; updates are multiplied with alpha/rank (default 32)")
	fl.StringSliceVar(targets, "lora-targets", nil, "lora: weights that get an update, patterns as of --trainable, of names of nodes too (default attention:q+v); may be repeated")
}

func rgpFlags(fl *pflag.FlagSet, rank *int, targets *[]string) {
	fl.IntVar(rank, "rgp-rank", 0, "rgp: rank of the gradient carriers (default 1)")
	fl.StringSliceVar(targets, "rgp-targets", nil, "rgp: weights that have carriers, patterns as of --trainable (default part:layers, every matrix of the layers); may be repeated")
}

func prefixFlags(fl *pflag.FlagSet, length, mid *int, direct *bool) {
	fl.IntVar(length, "prefix-length", 0, "prefix: positions in front of the text (default 10)")
	fl.IntVar(mid, "prefix-mid", 0, "prefix: units of the network that makes the prefix while it is trained (default 512)")
	fl.BoolVar(direct, "prefix-direct", false, "prefix: train keys and values themselves, without a network")
}

func initSeedFlag(fl *pflag.FlagSet, seed *uint64) {
	fl.Uint64Var(seed, "init-seed", 0, "public seed of what a method draws: adapters, or all weights from scratch")
}
