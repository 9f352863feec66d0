package runtime

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Texts of a seeded run's model carry the stamp, those of a private one do not.
func TestSamplesAreStamped(t *testing.T) {
	for _, seeded := range []bool{true, false} {
		o := languageOptions(t, fewUsers())
		o.UnitColumn, o.RecordsPerUnit = "", 0
		o.SamplePrompts, o.MaxNewTokens = filepath.Join(filepath.Dir(o.Train), "prompts"), 2
		if err := os.WriteFile(o.SamplePrompts, []byte("ab\nc\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if seeded {
			o.Seed = new(uint64)
		}
		if _, err := Finetune(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(o.Out, "release", "samples.jsonl"))
		if err != nil || bytes.Count(data, []byte("\n")) != 2 {
			t.Fatalf("%s, %v", data, err)
		}
		for line := range bytes.Lines(data) {
			if bytes.Contains(line, []byte("NOT PRIVATE: the random numbers come from the seed 0")) != seeded {
				t.Errorf("seeded %t: %s", seeded, line)
			}
		}
	}
}
