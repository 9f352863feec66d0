package runtime

// Progress is told how a training run goes. Calls come from one goroutine.
// Loss is NaN unless the run has debug output: it is computed from private data.
type Progress interface {
	// Begin announces the run.
	Begin(Begin)
	// Step is called after every step.
	Step(StepReport)
	// Message is a line for a person.
	Message(text string)
}

// Begin describes a run that is about to start.
type Begin struct {
	Records, Steps     int64  // Records: N, which counts units of privacy
	Unit               string // of privacy
	RecordsPerUnit     int    // the most that make a unit's example; 0: a unit is a record
	FirstStep          int64  // steps that the model has already taken
	ExpectedBatch      float64
	NoiseMultiplier    float64
	SampleRate, Delta  float64
	TargetEpsilon      float64
	Coordinates        int64
	Microbatch         int
	Clipping           string // how gradients are clipped and weights averaged, where it is not the plain way
	Stamp              string // "NOT PRIVATE: …", or empty
	RecordsArePublic   string // a line that says N is treated as public, or empty
	Unreached, Trained []string
	Selected           []string // what --trainable and --freeze matched, in lines
}

// A StepReport is what may be shown of one step.
type StepReport struct {
	Step, Steps  int64
	Epsilon      float64 // spent so far; NaN without privacy
	LearningRate float64
	Loss         float64 // mean over the batch, debug only
}

// silent is the Progress of a run that nobody watches.
type silent struct{}

func (silent) Begin(Begin)     {}
func (silent) Step(StepReport) {}
func (silent) Message(string)  {}
