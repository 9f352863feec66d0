package runtime

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/ghost"
)

// A unitRow is a record of a user.
type unitRow struct {
	user, text string
}

// write puts rows into a file of JSON lines, each line made by format.
func writeRows(t *testing.T, path string, rows []unitRow, format func(i int, r unitRow) string) {
	t.Helper()
	var b strings.Builder
	for i, r := range rows {
		b.WriteString(format(i, r) + "\n")
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// classifyRow and promptRow are JSON lines of the tasks classify and instruct.
func classifyRow(i int, r unitRow) string {
	return fmt.Sprintf("{\"who\": %q, \"text\": %q, \"label\": %d}", r.user, r.text, i%3)
}

func textRow(_ int, r unitRow) string {
	return fmt.Sprintf("{\"who\": %q, \"text\": %q}", r.user, r.text)
}

func promptRow(i int, r unitRow) string {
	return fmt.Sprintf("{\"who\": %q, \"prompt\": %q, \"completion\": %q}", r.user, r.text, strings.Repeat("de", 1+i%5))
}

// fewUsers have 1 to 5 records of different lengths.
func fewUsers() (rows []unitRow) {
	for u := range 6 {
		for k := range 1 + u%5 {
			rows = append(rows, unitRow{fmt.Sprint("user ", u), strings.Repeat(string(rune('a'+u+k))+"b", 1+(3*u+2*k)%6)})
		}
	}
	return rows
}

// unitOptions is a run over users.
func unitOptions(t *testing.T, rows []unitRow) FinetuneOptions {
	t.Helper()
	o := crashOptions(crashDir(t))
	o.UnitColumn, o.RecordsPerUnit, o.ExpectedBatch, o.Steps = "who", 5, 2, 3
	writeRows(t, o.Train, rows, classifyRow)
	return o
}

// languageOptions is a run over users of a decoder on the task lm.
func languageOptions(t *testing.T, rows []unitRow) FinetuneOptions {
	t.Helper()
	dir := t.TempDir()
	model := filepath.Join(dir, "model")
	if err := os.Mkdir(model, 0o755); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(models, "gpt2-optimum", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(model, "model.onnx"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	letters(t, model, 1, 2)
	o := FinetuneOptions{
		Accountant: testAccountant,
		Model:      model, Task: "lm", Train: filepath.Join(dir, "train.jsonl"), Out: filepath.Join(dir, "out"), UnitColumn: "who", RecordsPerUnit: 5,
		TargetEpsilon: 3, Steps: 3, ExpectedBatch: 2, LearningRate: 1e-3, MaxLength: 16, Microbatch: 8, Threads: 1,
	}
	writeRows(t, o.Train, rows, textRow)
	return o
}

// infillOptions is a run over users of a masked language model, on sst2's tsv.
func infillOptions(t *testing.T, rows []unitRow) FinetuneOptions {
	t.Helper()
	o := crashOptions(crashDir(t))
	data, err := os.ReadFile(filepath.Join(models, "roberta-optimum", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	vocabulary, err := os.ReadFile(filepath.Join(o.Model, "vocab.txt"))
	if err != nil {
		t.Fatal(err)
	}
	vocabulary = append(vocabulary, "it\nwas\n.\nterrible\ngreat\n"...)
	for name, content := range map[string][]byte{"model.onnx": data, "vocab.txt": vocabulary} {
		if err := os.WriteFile(filepath.Join(o.Model, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o.Task, o.Mode, o.MaxLength = "sst2", ModeInfill, 24
	o.UnitColumn, o.RecordsPerUnit, o.ExpectedBatch, o.Steps = "who", 5, 2, 3
	tsv := append([]unitRow{{"who", "sentence"}}, rows...)
	writeRows(t, o.Train, tsv, func(i int, r unitRow) string {
		if i == 0 {
			return "sentence\tlabel\twho"
		}
		return fmt.Sprintf("%s\t%d\t%s", r.text, i%2, r.user)
	})
	return o
}

// maskedOptions is a run over users of masked language modelling.
func maskedOptions(t *testing.T, rows []unitRow) FinetuneOptions {
	t.Helper()
	o := infillOptions(t, rows)
	o.Task, o.Mode = "mlm", ""
	writeRows(t, o.Train, rows, textRow)
	return o
}

// prepareRun takes a run to its first step.
func prepareRun(t *testing.T, o FinetuneOptions) *finetune {
	t.Helper()
	o.Progress = silent{}
	if err := o.validate(); err != nil {
		t.Fatal(err)
	}
	f := &finetune{options: &o, out: outputDir{path: o.Out, hook: o.Hook}}
	t.Cleanup(func() {
		if err := f.close(); err != nil {
			t.Error(err)
		}
	})
	for _, stage := range []func(context.Context) error{f.open, f.read, f.compile, f.settle, f.begin} {
		if err := stage(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// loopSum is the oracle: the dense gradients of a unit's records, one at a time by plain reverse mode, summed in float64.
func loopSum(t *testing.T, f *finetune, records []int) map[string][]float32 {
	t.Helper()
	edge := 0
	for _, i := range records {
		edge = max(edge, f.data.edge(i))
	}
	b, _, err := f.data.collate(records, edge, len(records), f.program.Data)
	if err != nil {
		t.Fatal(err)
	}
	const unclipped = 1e12
	r, err := f.model.GradNorms(t.Context(), b, GradNormsOptions{
		Loss: f.data.loss, Method: "loop", Sum: true, ClipNorm: unclipped, Clip: ghost.Abadi, Trainable: f.options.trained, Freeze: f.options.Freeze,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r.Sum
}

// A unit's gradient is the sum of its records' gradients, for classifiers, infilling, decoders and encoder-decoders, all parameters
// or some; in one run of the graph and in several; and its factor is of that sum's norm.
func TestUnitSumsAgainstLoop(t *testing.T) {
	cases := map[string]func(t *testing.T) FinetuneOptions{
		"classify": func(t *testing.T) FinetuneOptions { return unitOptions(t, fewUsers()) },
		"classify, several runs": func(t *testing.T) FinetuneOptions {
			o := unitOptions(t, fewUsers())
			o.Microbatch = 2
			return o
		},
		"classify, biases only, automatic clipping": func(t *testing.T) FinetuneOptions {
			o := unitOptions(t, fewUsers())
			o.Method, o.Clip = "bias-only", string(ghost.Automatic)
			return o
		},
		"lm":           func(t *testing.T) FinetuneOptions { return languageOptions(t, fewUsers()) },
		"sst2, infill": func(t *testing.T) FinetuneOptions { return infillOptions(t, fewUsers()) },
		"mlm":          func(t *testing.T) FinetuneOptions { return maskedOptions(t, fewUsers()) },
		"instruct, encoder and decoder": func(t *testing.T) FinetuneOptions {
			o := seq2seqDir(t, "bart-ts17", 1, 2, 2)
			o.UnitColumn, o.RecordsPerUnit, o.ExpectedBatch = "who", 5, 2
			writeRows(t, o.Train, fewUsers(), promptRow)
			return o
		},
	}
	for name, options := range cases {
		t.Run(name, func(t *testing.T) {
			f := prepareRun(t, options(t))
			if len(f.data.units) != 6 || f.plan.Spec().Records != 6 {
				t.Fatalf("%d users, N = %d", len(f.data.units), f.plan.Spec().Records)
			}
			for u, own := range f.data.units {
				var stats stepStats
				sum, err := f.trainer.unitSum(t.Context(), own, &stats)
				if err != nil {
					t.Fatal(err)
				}
				compareUnit(t, f, u, sum, loopSum(t, f, own))
				if stats.scored != len(own) {
					t.Errorf("user %d: %d records counted of %d", u, stats.scored, len(own))
				}
			}
		})
	}
}

// compareUnit compares a unit's sum with the oracle's, and its factor with the formula.
func compareUnit(t *testing.T, f *finetune, u int, sum []float32, want map[string][]float32) {
	t.Helper()
	var square, difference float64
	arena := f.trainer.weights.Trained
	for _, p := range arena.Params() {
		at, _ := arena.Offset(p.Name)
		for i, x := range want[p.Name] {
			square += float64(x) * float64(x)
			difference += math.Pow(float64(sum[at+i])-float64(x), 2)
		}
	}
	norm := math.Sqrt(square)
	if norm == 0 || math.Sqrt(difference) > 1e-4*norm {
		t.Errorf("user %d: the sum is off by %g of %g", u, math.Sqrt(difference), norm)
	}
	if got := math.Sqrt(squares(sum)); math.Abs(got-norm) > 1e-4*norm {
		t.Errorf("user %d: norm %g, want %g", u, got, norm)
	}
	c := f.plan.ClipTo()
	wanted := min(1, c/norm)
	if f.options.clipRule() == ghost.Automatic {
		wanted = c / (norm + f.options.clipGamma())
	}
	var stats stepStats
	if got := f.trainer.unitFactor(norm, &stats); math.Abs(got-wanted) > 1e-12 {
		t.Errorf("user %d: factor %g, want %g", u, got, wanted)
	}
}

// stepOf takes one seeded step of a run and returns the noised sum. Two runs of one seed and plan sample alike and have
// the same noise, so their results differ by what they were given.
func stepOf(t *testing.T, o FinetuneOptions, change func(f *finetune)) []float32 {
	t.Helper()
	seed := uint64(5)
	o.Out, o.Seed = filepath.Join(t.TempDir(), "out"), &seed
	f := prepareRun(t, o)
	if change != nil {
		change(f)
	}
	var noised []float32
	f.trainer.observed = func(v []float32) { noised = slices.Clone(v) }
	if _, err := f.trainer.step(t.Context(), 1, f.plan.Steps()); err != nil {
		t.Fatal(err)
	}
	copy(f.trainer.sums.Data(), noised) // for who reads it by parameter
	return noised
}

// A user moves the sum by at most C, whether it has one record or a thousand, and counts once. The same gradients
// clipped by record would move it by far more: the test can fail.
func TestSensitivityOfUsers(t *testing.T) {
	rows := fewUsers()
	heavy := make([]unitRow, 1000)
	for i := range heavy {
		heavy[i] = unitRow{"heavy", "abcabc"}
	}
	for _, k := range []int{1, 8, 1000} {
		o := unitOptions(t, nil)
		o.TargetEpsilon, o.NoiseMultiplier, o.ExpectedBatch, o.SampleRate, o.Records, o.RecordsPerUnit = 0, 0.5, 0, 1, 20, k
		o.Microbatch = 32
		same := func(i int, r unitRow) string { return classifyRow(0, r) } // one direction
		writeRows(t, o.Train, append(slices.Clone(rows), heavy...), same)
		with := stepOf(t, o, func(f *finetune) {
			if n := f.data.size(); n != 7 || f.plan.Spec().Records != 20 {
				t.Errorf("%d users, N = %d", n, f.plan.Spec().Records)
			}
			if k == 8 {
				checkClippedByRecord(t, f)
			}
		})
		writeRows(t, o.Train, rows, same)
		without := stepOf(t, o, nil)
		square := 0.0
		for i := range with {
			square += math.Pow(float64(with[i])-float64(without[i]), 2)
		}
		const c = 0.1
		if moved := math.Sqrt(square); moved > c*(1+1e-4) || moved < 0.9*c {
			t.Errorf("K = %d: the user moves the sum by %g, C is %g", k, moved, c)
		}
	}
}

// checkClippedByRecord clips the heavy user's records one by one: their sum is K times too long, and AddUnit refuses it.
func checkClippedByRecord(t *testing.T, f *finetune) {
	t.Helper()
	own := f.data.units[6][:8]
	sum := make([]float32, len(f.trainer.sums.Data()))
	for _, i := range own {
		var stats stepStats
		one, err := f.trainer.unitSum(t.Context(), []int{i}, &stats)
		if err != nil {
			t.Fatal(err)
		}
		factor := f.trainer.unitFactor(math.Sqrt(squares(one)), &stats)
		for k, x := range one {
			sum[k] += float32(factor) * x
		}
	}
	if norm := math.Sqrt(squares(sum)); norm < 7*f.plan.ClipTo() {
		t.Errorf("eight clipped records have norm %g: nothing would be found", norm)
	}
	if err := dpadam.NewAccumulator(f.plan).AddUnit(sum, 1); err == nil {
		t.Error("a unit clipped by record is accepted")
	}
}

// A user whose records give no finite gradient changes nothing for the others, bit for bit. Of a user who has such
// records beside others the others count (to the last bits: they are in a run of other rows).
func TestPoisonedUserLeavesNoTrace(t *testing.T) {
	rows := append(fewUsers(), unitRow{"poisoned", "az"}, unitRow{"poisoned", "zzz"}, unitRow{"half", "za"}, unitRow{"half", "ab"})
	o := unitOptions(t, rows)
	o.TargetEpsilon, o.NoiseMultiplier, o.ExpectedBatch, o.SampleRate = 0, 0.5, 0, 1
	poisonZ := func(f *finetune) {
		id, ok := f.reader.tokenizer.TokenToID("z")
		inner, inside := f.reader.tokenizer.TokenToID("##z")
		if !ok || !inside {
			t.Fatal("the vocabulary has no z")
		}
		limit := f.prepared.IndexLimit()["input_ids"]
		table := f.trainer.weights.Trained.Slice(limit.Table)
		width := len(table) / int(limit.Rows)
		for _, row := range []int32{id, inner} {
			for j := range width {
				table[int(row)*width+j] = float32(math.NaN())
			}
		}
	}
	poisoned := stepOf(t, o, poisonZ)
	clean := stepOf(t, o, func(f *finetune) {
		poisonZ(f)
		f.data.units[6] = nil
	})
	half := stepOf(t, o, func(f *finetune) {
		f.data.units[6] = nil
		f.data.units[7] = f.data.units[7][1:]
	})
	all := stepOf(t, o, nil)
	for i := range clean {
		if math.Float32bits(poisoned[i]) != math.Float32bits(clean[i]) {
			t.Fatalf("coordinate %d: %g with the poisoned user, %g without", i, poisoned[i], clean[i])
		}
	}
	between := func(a, b []float32) float64 {
		diff := make([]float32, len(a))
		for i := range diff {
			diff[i] = a[i] - b[i]
		}
		return math.Sqrt(squares(diff))
	}
	if d := between(poisoned, half); d > 1e-5 {
		t.Errorf("the finite record of a user does not count as if it were alone: %g", d)
	}
	if d := between(all, clean); d < 0.05 {
		t.Errorf("the users change the sum by %g only: nothing was compared", d)
	}
	var stats stepStats
	f := prepareRun(t, unitOptions(t, rows))
	if got := f.trainer.unitFactor(math.NaN(), &stats); got != 0 || stats.NotFinite != 1 {
		t.Errorf("factor of a gradient that is not finite: %g", got)
	}
	if got := f.trainer.unitFactor(math.Inf(1), &stats); got != 0 {
		t.Errorf("factor of an infinite gradient: %g", got)
	}
}

// The order of the file changes nothing but which number a user has.
func TestOrderOfRowsDoesNotMatter(t *testing.T) {
	rows := fewUsers()
	o := unitOptions(t, rows)
	o.TargetEpsilon, o.NoiseMultiplier, o.ExpectedBatch, o.SampleRate = 0, 0.5, 0, 1
	format := func(_ int, r unitRow) string { return classifyRow(len(r.text), r) }
	writeRows(t, o.Train, rows, format)
	forward := stepOf(t, o, nil)
	slices.Reverse(rows)
	slices.SortStableFunc(rows, func(a, b unitRow) int { return strings.Compare(b.user, a.user) })
	for lo := 0; lo < len(rows); { // users backward, the records of each as they were
		hi := lo
		for hi < len(rows) && rows[hi].user == rows[lo].user {
			hi++
		}
		slices.Reverse(rows[lo:hi])
		lo = hi
	}
	writeRows(t, o.Train, rows, format)
	if backward := stepOf(t, o, nil); !slices.Equal(forward, backward) {
		t.Error("the order of the users changes the sum")
	}
}

// Dropped records keep their user in N and are never chosen.
func TestGroupsOfRecords(t *testing.T) {
	rows := []unitRow{{"a", "ab"}, {"b", strings.Repeat("ab", 30)}, {"a", "cd"}, {" a", "ef"}, {"a", strings.Repeat("ab", 30)}}
	f := prepareRun(t, languageOptionsLong(t, rows))
	want := [][]int{{0, 2}, nil, {3}}
	if len(f.data.units) != 3 || !slices.EqualFunc(f.data.units, want, slices.Equal[[]int]) {
		t.Errorf("units %v, want %v", f.data.units, want)
	}
	if f.data.size() != 3 || f.plan.Spec().Records != 3 {
		t.Errorf("%d users, N = %d", f.data.size(), f.plan.Spec().Records)
	}
	var stats stepStats
	for n := int64(1); n <= 3; n++ { // the user without a record may be sampled
		s, err := f.trainer.step(t.Context(), n, 3)
		if err != nil {
			t.Fatal(err)
		}
		stats.Records += s.Records
	}
}

// languageOptionsLong is a run on the task instruct, which drops what is too long.
func languageOptionsLong(t *testing.T, rows []unitRow) FinetuneOptions {
	t.Helper()
	o := languageOptions(t, rows)
	o.Task, o.ExpectedBatch = "instruct", 3
	writeRows(t, o.Train, rows, func(_ int, r unitRow) string {
		return fmt.Sprintf("{\"who\": %q, \"prompt\": \"a\", \"completion\": %q}", r.user, r.text)
	})
	return o
}

// Every optimizer and no privacy at all, resuming included.
func TestUsersTrain(t *testing.T) {
	for name, change := range map[string]func(o *FinetuneOptions){
		"adam":                func(*FinetuneOptions) {},
		"sgd":                 func(o *FinetuneOptions) { o.Optimizer, o.Momentum = "sgd", 0.9 },
		"without privacy":     func(o *FinetuneOptions) { o.TargetEpsilon, o.NoPrivacy = 0, true },
		"clipped, no privacy": func(o *FinetuneOptions) { o.TargetEpsilon, o.NoPrivacy, o.ClipNorm = 0, true, 1 },
		"by memory":           func(o *FinetuneOptions) { o.Microbatch, o.RecordsPerUnit = 0, 0 },
		"little memory": func(o *FinetuneOptions) { // of the whole process, tests before this one included
			o.Microbatch, o.RecordsPerUnit, o.MaxMemory = 0, 64, Bytes(residentMemory()+256<<20)
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := unitOptions(t, fewUsers())
			o.Valid, o.ValidPublic, o.Debug = o.Train, true, true
			change(&o)
			stop := make(chan struct{})
			close(stop)
			o.Stop = stop
			if _, err := Finetune(t.Context(), o); err == nil {
				t.Fatal("the run was not stopped")
			}
			o.Stop, o.Resume = nil, true
			r, err := Finetune(t.Context(), o)
			if err != nil || r.Steps != 3 {
				t.Fatalf("%+v, %v", r, err)
			}
			if equalWeights(t, filepath.Join(o.Model, "model.onnx"), filepath.Join(o.Out, "model.onnx")) {
				t.Error("the written model has the weights it began with")
			}
			record, err := dpadam.ReadLedger(filepath.Join(o.Out, "ledger"))
			if err != nil {
				t.Fatal(err)
			}
			if s := record.Plan().Spec(); s.Unit != `one user: all records that share a value of "who"` || s.Records != 6 || s.RecordsPerUnit != o.recordsPerUnit() {
				t.Errorf("%+v", s)
			}
		})
	}
}

// Long vectors are summed in stretches, whatever the number of processors.
func TestSquaresAndSums(t *testing.T) {
	v, w := make([]float32, 3*stretch+17), make([]float32, 3*stretch+17)
	want := 0.0
	for i := range v {
		v[i], w[i] = float32(i%7)-3, float32(i%5)
		want += float64(v[i]) * float64(v[i])
	}
	if got := squares(v); got != want {
		t.Errorf("%g, want %g", got, want)
	}
	addTo(w, v)
	for i := range w {
		if w[i] != float32(i%5)+float32(i%7)-3 {
			t.Fatalf("%d: %g", i, w[i])
		}
	}
	if squares(nil) != 0 {
		t.Error("the empty vector")
	}
	v[2*stretch] = float32(math.NaN())
	if finite(squares(v)) {
		t.Error("NaN is lost")
	}
}
