package runtime

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// announced keeps what a run says of itself before it starts.
type announced struct {
	silent
	begin Begin
}

func (a *announced) Begin(b Begin) { a.begin = b }

// No parameter is dropped in silence (mistake 8): everything that PyTorch trains is trained, or
// named as something that the loss does not depend on, or frozen by a pattern that the run
// repeats.
func TestNoParameterIsDropped(t *testing.T) {
	language, classifier := languageDir(t), crashOptions(crashDir(t))
	language.Steps, language.NoiseMultiplier = 1, 1
	classifier.Steps = 1
	frozen := classifier
	frozen.Out, frozen.Freeze = classifier.Out+"2", []string{"*embeddings*"}
	for _, c := range []struct {
		options FinetuneOptions
		names   string // PyTorch's
		frozen  string
	}{{language, "gpt2-ts17", ""}, {classifier, "distilbert-optimum", ""}, {frozen, "distilbert-optimum", "embeddings"}} {
		var says announced
		c.options.Progress = &says
		if _, err := Finetune(t.Context(), c.options); err != nil {
			t.Fatal(err)
		}
		var names map[string]struct {
			Initializers []struct{ Name string } `json:"initializers"`
		}
		readJSON(t, filepath.Join(models, c.names, "names.json"), &names)
		count := 0
		for parameter, in := range names {
			for _, init := range in.Initializers {
				named := slices.Contains(says.begin.Trained, init.Name) || slices.Contains(says.begin.Unreached, init.Name)
				if c.frozen != "" && strings.Contains(parameter, c.frozen) {
					named = !named && len(says.begin.Selected) > 0
				}
				if !named && !aliasOfNamed(in.Initializers, says.begin) {
					t.Errorf("%s: %s (%s) is trained by PyTorch and not mentioned", c.names, parameter, init.Name)
				}
				count++
			}
		}
		if count < 20 {
			t.Errorf("%s: %d parameters were looked for", c.names, count)
		}
	}
}

// aliasOfNamed reports a parameter one of whose initializers is named: a tied weight is one
// parameter under its first name.
func aliasOfNamed(all []struct{ Name string }, b Begin) bool {
	return slices.ContainsFunc(all, func(i struct{ Name string }) bool { return slices.Contains(b.Trained, i.Name) })
}

// Nothing that a run writes or says holds text of the training data, and what it samples starts from
// the public prompts and nothing else: no demonstration is taken from private data (mistake 14).
func TestNothingHoldsTrainingText(t *testing.T) {
	o := languageDir(t)
	o.Steps, o.NoiseMultiplier, o.CheckpointEvery = 2, 1, 1
	const secret = "qzxjq"
	rows := strings.Repeat("{\"text\": \""+secret+" "+secret+"\"}\n", 24)
	prompts := filepath.Join(t.TempDir(), "prompts.txt")
	for path, text := range map[string]string{o.Train: rows, prompts: "ab c\nde\n"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o.SamplePrompts, o.MaxNewTokens = prompts, 4
	var says spoken
	o.Progress = &says
	if _, err := Finetune(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	files := filesOf(t, o.Out)
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join(o.Out, name))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(secret)) {
			t.Errorf("%s holds text of the training data", name)
		}
	}
	if strings.Contains(says.text.String(), secret) || says.text.Len() == 0 {
		t.Errorf("the run says %q", says.text.String())
	}
	if !slices.Contains(files, "release/samples.jsonl") || len(files) < 12 {
		t.Errorf("files %q", files)
	}
	data, err := os.ReadFile(filepath.Join(o.Out, "release", "samples.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	dec := json.NewDecoder(bytes.NewReader(data))
	for dec.More() {
		var line struct{ Prompt string }
		if err := dec.Decode(&line); err != nil {
			t.Fatal(err)
		}
		got = append(got, line.Prompt)
	}
	if !slices.Equal(got, []string{"ab c", "de"}) {
		t.Errorf("prompts of the samples: %q", got)
	}
}

// spoken keeps everything that a run says.
type spoken struct{ text strings.Builder }

func (s *spoken) Begin(b Begin)     { s.add(b) }
func (s *spoken) Step(r StepReport) { s.add(struct{ Step int64 }{r.Step}) }
func (s *spoken) Message(m string)  { s.text.WriteString(m) }
func (s *spoken) add(v any) {
	data, _ := json.Marshal(v)
	s.text.Write(data)
}
