package runtime

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// FinetuneOptions say what to train, on what, and under which guarantee. The
// YAML names are the command's flags. Zero means the default.
type FinetuneOptions struct {
	Model     string `yaml:"model,omitempty"`     // model directory or ONNX file
	Task      string `yaml:"task,omitempty"`      // see Tasks
	Recipe    string `yaml:"recipe,omitempty"`    // see Recipes; gives what is not given, Task too
	Train     string `yaml:"train,omitempty"`     // data file
	Valid     string `yaml:"valid,omitempty"`     // data file; a loss is computed on it
	Out       string `yaml:"out,omitempty"`       // directory to write
	Tokenizer string `yaml:"tokenizer,omitempty"` // default: the model's own

	// Sources and ExcludeSources choose the records of DART and WebNLG by where they come from (see tokenize.DataFormat).
	Sources        []string `yaml:"sources,omitempty"`
	ExcludeSources []string `yaml:"exclude-sources,omitempty"`

	TargetEpsilon   float64 `yaml:"target-epsilon,omitempty"`   // this or NoiseMultiplier or NoPrivacy
	NoiseMultiplier float64 `yaml:"noise-multiplier,omitempty"` // σ
	NoPrivacy       bool    `yaml:"no-privacy,omitempty"`
	Delta           float64 `yaml:"delta,omitempty"`          // default 1/(2N)
	Records         int64   `yaml:"records,omitempty"`        // N, public; default: the rows read
	SampleRate      float64 `yaml:"sample-rate,omitempty"`    // q
	ExpectedBatch   float64 `yaml:"expected-batch,omitempty"` // B = q·N
	Epochs          float64 `yaml:"epochs,omitempty"`
	Steps           int64   `yaml:"steps,omitempty"`
	Accountant      string  `yaml:"accountant,omitempty"`
	Relation        string  `yaml:"relation,omitempty"`

	// UnitColumn names the column (field, in JSON lines) that says whose record a row is: the unit of privacy is then one
	// user, and Records, SampleRate and ExpectedBatch count users. RecordsPerUnit is the most records of a user in a step.
	UnitColumn     string `yaml:"unit-column,omitempty"`
	RecordsPerUnit int    `yaml:"records-per-unit,omitempty"` // default 8

	Optimizer    string  `yaml:"optimizer,omitempty"` // adam, adamw, sgd
	LearningRate float64 `yaml:"lr,omitempty"`
	Schedule     string  `yaml:"schedule,omitempty"` // constant, linear
	WeightDecay  float64 `yaml:"weight-decay,omitempty"`
	Momentum     float64 `yaml:"momentum,omitempty"`
	ClipNorm     float64 `yaml:"clip-norm,omitempty"`
	Clip         string  `yaml:"clip,omitempty"` // abadi, auto
	ClipGamma    float64 `yaml:"clip-gamma,omitempty"`
	ClipPer      string  `yaml:"clip-per,omitempty"`    // layer, parameter: clip each by a norm of its own
	ClipShares   string  `yaml:"clip-shares,omitempty"` // equal, size: how these divide the clipping norm
	// ClipQuantile lets the clipping norm, ClipNorm at first, follow this quantile of the gradients' norms.
	ClipQuantile   float64 `yaml:"clip-quantile,omitempty"`
	ClipRate       float64 `yaml:"clip-rate,omitempty"`        // eta of its updates; default 0.2
	ClipCountNoise float64 `yaml:"clip-count-noise,omitempty"` // standard deviation of the noise on the count; default B/20, at least 2σ
	EMA            float64 `yaml:"ema,omitempty"`              // decay of the average of the weights that is written; 0: the last weights

	Mode         string   `yaml:"mode,omitempty"`          // head, infill
	Method       string   `yaml:"method,omitempty"`        // see Methods
	LoRARank     int      `yaml:"lora-rank,omitempty"`     // default 4
	LoRAAlpha    float64  `yaml:"lora-alpha,omitempty"`    // default 32
	LoRATargets  []string `yaml:"lora-targets,omitempty"`  // default the projections to queries and values
	RGPRank      int      `yaml:"rgp-rank,omitempty"`      // of the gradient carriers; default 1
	RGPTargets   []string `yaml:"rgp-targets,omitempty"`   // default every matrix of the layers
	AdapterModel bool     `yaml:"adapter-model,omitempty"` // also write the model that takes onnxruntime's adapter
	PrefixLength int      `yaml:"prefix-length,omitempty"` // default 10
	PrefixMid    int      `yaml:"prefix-mid,omitempty"`    // units of the network that makes the prefix; default 512
	PrefixDirect bool     `yaml:"prefix-direct,omitempty"` // without a network
	InitSeed     uint64   `yaml:"init-seed,omitempty"`     // public: draws what a method adds, or all weights from scratch
	Output       string   `yaml:"output,omitempty"`
	Head         string   `yaml:"head,omitempty"`
	Trainable    []string `yaml:"trainable,omitempty"`
	Freeze       []string `yaml:"freeze,omitempty"`
	MaxLength    int      `yaml:"max-length,omitempty"`

	Microbatch int    `yaml:"microbatch,omitempty"` // records of one run; default by memory
	MaxMemory  Bytes  `yaml:"max-memory,omitempty"` // of the whole run; default what is free, of which microbatches take a third of what weights, sums and moments leave
	Memory     string `yaml:"memory,omitempty"`     // auto, normal, low: keep what a run needs again, or compute it again
	TwoPass    bool   `yaml:"two-pass,omitempty"`   // norms first, sums second: half the memory
	Precision  string `yaml:"precision,omitempty"`  // fp32, or on a GPU fp16, bf16: of the products of forward and backward
	Device     string `yaml:"device,omitempty"`     // cpu, cuda, cuda:N
	Threads    int    `yaml:"threads,omitempty"`
	Library    string `yaml:"ort-lib,omitempty"`

	Budget      string  `yaml:"budget,omitempty"`       // file of a budget that several runs draw on
	BudgetShare float64 `yaml:"budget-share,omitempty"` // the part of it that this run may take, instead of TargetEpsilon or NoiseMultiplier

	DPEvaluate      int64   `yaml:"dp-evaluate,omitempty"`      // noised evaluations of Valid, private data that the run pays for
	Evaluation      string  `yaml:"evaluation,omitempty"`       // accuracy, loss; default by the task
	EvaluationNoise float64 `yaml:"evaluation-noise,omitempty"` // standard deviation of the noise over one record's largest contribution; default 10
	EvaluationClip  float64 `yaml:"evaluation-clip,omitempty"`  // a record's loss counts at most this; default 5
	ValidRecords    int64   `yaml:"valid-records,omitempty"`    // public number of records of Valid; default: the rows read
	Keep            string  `yaml:"keep,omitempty"`             // last, or best by the noised evaluations

	CheckpointEvery int64   `yaml:"checkpoint-every,omitempty"` // steps; default a tenth of the run
	Resume          bool    `yaml:"-"`
	Seed            *uint64 `yaml:"seed,omitempty"` // for tests: NOT PRIVATE
	Debug           bool    `yaml:"debug,omitempty"`
	ValidPublic     bool    `yaml:"valid-public,omitempty"`   // Valid is public data: its loss may be released
	SamplePrompts   string  `yaml:"sample-prompts,omitempty"` // file of public prompts, a line each
	MaxNewTokens    int     `yaml:"sample-tokens,omitempty"`

	// Stop, when closed, ends the run after the step in progress, with a checkpoint.
	Stop <-chan struct{} `yaml:"-"`
	// Progress is told of every step; nil for nothing.
	Progress Progress `yaml:"-"`
	// Hook is called at named fault points; tests kill the process there.
	Hook durable.Hook `yaml:"-"`

	// Ranks makes the run one of several processes that train together; nil for one. Out is rank 0's.
	Ranks dpadam.Comm `yaml:"-"`

	given map[string]bool // options whose zero value was given, and is not the default

	trained []string // the patterns of Method and Trainable, once the model is open

	givenThreads int // Threads before they were divided among the ranks of a machine

	search              *dpadam.SearchSpec // of a run of a search by random stopping
	canaries            []tokenize.Record  // of an audit: records after those of Train
	planted             *plantedGradients  // of an audit: gradients beside those of the records
	halfOnCPU, emulated bool               // of tests: a half precision on the processor, ghost.Spec.Emulated
	resident            bool               // of tests: weights lie in the runtime's memory as on a device, also on the processor
}

// rho is the allowance for the single precision of norms and sums, at least ten
// times what is measured: of microbatches over every kept model, and of whole
// steps of which every microbatch is repacked (rho_test.go, TestClippedSums;
// docs/noise.md has the numbers). Training clips to C·(1−ρ); the statement names
// ρ as an assumption.
const rho = 1e-3

// validate refuses what can be refused before anything is read.
func (o *FinetuneOptions) validate() error {
	if err := o.takeRecipe(); err != nil {
		return err
	}
	missing := ""
	for name, v := range map[string]string{"--model": o.Model, "--task": o.Task, "--train": o.Train, "--out": o.Out} {
		if v == "" && (missing == "" || name < missing) {
			missing = name
		}
	}
	if missing != "" {
		return usage("%s is missing", missing)
	}
	if _, err := o.recipe(); err != nil {
		return err
	}
	for _, choice := range []struct {
		flag, value string
		allowed     []string
	}{
		{"--mode", o.Mode, []string{"", ModeHead, ModeInfill}},
		{"--method", o.Method, append([]string{""}, Methods()...)},
		{"--optimizer", o.Optimizer, []string{"", "adam", "adamw", "sgd"}},
		{"--schedule", o.Schedule, []string{"", "constant", "linear"}},
		{"--clip", o.Clip, []string{"", string(ghost.Abadi), string(ghost.Automatic)}},
		{"--clip-per", o.ClipPer, []string{"", string(ghost.PerLayer), string(ghost.PerParameter)}},
		{"--memory", o.Memory, []string{"", MemoryAuto, string(ghost.NormalMemory), string(ghost.LowMemory)}},
		{"--clip-shares", o.ClipShares, []string{"", string(ghost.EqualShares), string(ghost.SizeShares)}},
	} {
		if !slices.Contains(choice.allowed, choice.value) {
			return usage("%s %q: there are %s", choice.flag, choice.value, strings.Join(choice.allowed[1:], ", "))
		}
	}
	if err := o.validateDevice(); err != nil {
		return err
	}
	for _, check := range []func() error{o.validateMethod, o.validateRanks, o.validateUnits, o.validateBudget, o.validateEvaluation, o.validateNumbers, o.validateClipping} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (o *FinetuneOptions) validateNumbers() error {
	given := 0
	for _, is := range []bool{o.TargetEpsilon != 0, o.NoiseMultiplier != 0, o.NoPrivacy, o.BudgetShare != 0} {
		if is {
			given++
		}
	}
	if given != 1 {
		return usage("give exactly one of --target-epsilon, --noise-multiplier, --no-privacy and (with --budget) --budget-share")
	}
	for flag, v := range map[string]float64{
		"--target-epsilon": o.TargetEpsilon, "--noise-multiplier": o.NoiseMultiplier, "--delta": o.Delta,
		"--clip-norm": o.ClipNorm, "--clip-gamma": o.ClipGamma, "--clip-quantile": o.ClipQuantile, "--clip-rate": o.ClipRate,
		"--clip-count-noise": o.ClipCountNoise, "--ema": o.EMA, "--lr": o.LearningRate, "--epochs": o.Epochs,
		"--expected-batch": o.ExpectedBatch, "--sample-rate": o.SampleRate, "--weight-decay": o.WeightDecay,
		"--momentum": o.Momentum, "--records": float64(o.Records), "--steps": float64(o.Steps),
		"--microbatch": float64(o.Microbatch), "--lora-rank": float64(o.LoRARank), "--lora-alpha": o.LoRAAlpha, "--rgp-rank": float64(o.RGPRank), "--prefix-length": float64(o.PrefixLength), "--prefix-mid": float64(o.PrefixMid), "--records-per-unit": float64(o.RecordsPerUnit), "--max-length": float64(o.MaxLength), "--max-memory": float64(o.MaxMemory),
		"--checkpoint-every": float64(o.CheckpointEvery), "--threads": float64(o.Threads),
		"--dp-evaluate": float64(o.DPEvaluate), "--evaluation-noise": o.EvaluationNoise, "--evaluation-clip": o.EvaluationClip,
		"--valid-records": float64(o.ValidRecords), "--budget-share": o.BudgetShare,
	} {
		if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			return usage("%s %g must be positive and finite", flag, v)
		}
	}
	if o.Delta >= 1 {
		return usage("--delta %g must be below 1", o.Delta)
	}
	if o.Epochs > 0 && o.Steps > 0 {
		return usage("give --epochs or --steps, not both")
	}
	if o.Seed != nil && o.Resume {
		return usage("a seeded run can't be resumed: it would repeat its noise")
	}
	return nil
}

// planFacts are what a plan takes from data and program.
type planFacts struct {
	rows, dim           int64 // units of privacy and trained coordinates
	method              string
	microbatch, buckets int // records of a run, and padding lengths
	groups              []ghost.Group
	evaluation          *dpadam.EvaluationSpec
}

// plan turns the options into the immutable plan of a run.
func (o *FinetuneOptions) plan(ctx context.Context, facts planFacts) (*dpadam.Plan, error) {
	c, err := o.config(facts)
	if err != nil {
		return nil, err
	}
	p, err := dpadam.NewPlanContext(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("the plan: %w", err)
	}
	return p, nil
}

// config is what plan asks dpadam for.
func (o *FinetuneOptions) config(facts planFacts) (dpadam.Config, error) {
	settled, _, err := o.settle(facts.rows, facts.dim)
	if err != nil {
		return dpadam.Config{}, err
	}
	o = &settled
	c := dpadam.Config{
		Records: o.Records, RecordsDeclared: o.Records > 0, ExpectedBatch: o.ExpectedBatch, SampleRate: o.SampleRate,
		Epochs: o.Epochs, Steps: o.Steps, Delta: o.Delta,
		TargetEpsilon: o.TargetEpsilon, NoiseMultiplier: o.NoiseMultiplier, NoPrivacy: o.NoPrivacy,
		Relation: dpadam.Relation(o.Relation), Accountant: o.Accountant, ClipNorm: o.ClipNorm, Dim: facts.dim,
		Method: facts.method, Microbatch: facts.microbatch, Buckets: facts.buckets, Seed: o.Seed, Evaluation: facts.evaluation, Search: o.search,
	}
	if c.Records == 0 && (c.SampleRate == 0 || c.ExpectedBatch == 0) {
		c.Records = facts.rows
	}
	if !o.NoPrivacy {
		c.Rho = rho
		c.ClipNorm = o.clipNorm()
	}
	if err := o.planBudget(&c); err != nil {
		return c, err
	}
	o.planUnits(&c)
	c.Arithmetic = o.arithmetic()
	o.planClipping(&c, facts.groups)
	c.Optimizer = o.optimizer(o.LearningRate)
	c.Schedule.Name = o.Schedule
	return c, nil
}

// optimizer is what --optimizer and its settings name.
func (o *FinetuneOptions) optimizer(rate float64) dpadam.OptimizerSpec {
	switch o.Optimizer {
	case "sgd":
		return dpadam.SGD(rate, o.Momentum)
	case "adamw":
		return dpadam.AdamW(rate, o.WeightDecay)
	}
	return dpadam.Adam(rate)
}

// clipNorm is C; without privacy only used when it was given.
func (o *FinetuneOptions) clipNorm() float64 {
	if o.ClipNorm == 0 {
		return 0.1
	}
	return o.ClipNorm
}

// clipGamma is the γ of automatic clipping.
func (o *FinetuneOptions) clipGamma() float64 {
	if o.ClipGamma == 0 {
		return 0.01
	}
	return o.ClipGamma
}

// clipRule is the rule of --clip.
func (o *FinetuneOptions) clipRule() ghost.ClipRule {
	if o.Clip == "" {
		return ghost.Abadi
	}
	return ghost.ClipRule(o.Clip)
}
