package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// files writes files into a folder of the test and returns it.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// score runs the verb in a folder and returns exit code, standard output and standard error.
func score(t *testing.T, dir string, args ...string) (int, string, string) {
	t.Helper()
	var stdout, stderr strings.Builder
	line := []string{"score"}
	for _, a := range args {
		line = append(line, strings.ReplaceAll(a, "DIR", dir))
	}
	code := run(t.Context(), line, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// TestScore runs every form of the verb on small files.
func TestScore(t *testing.T) {
	dir := files(t, map[string]string{
		"refs.csv":    "mr,ref\n\"name[A], x[1]\",a pub in the city centre\n\"name[A], x[1]\",the pub\nname[B],it costs £20 at most\n",
		"outputs.tsv": "MR\toutput\nname[B]\tit costs £20 at most\nname[A], x[1]\ta pub in the city centre\n",
		"lines.txt":   "a pub in the city centre\nit costs £20 at most\n",
		"groups.txt":  "a pub in the city centre\nthe pub\n\nit costs £20 at most\n",
		"dart.json":   `[{"tripleset": [["A", "IS", "b"]], "annotations": [{"source": "x", "text": "a pub in the city centre"}, {"source": "x", "text": "the pub"}]}, {"tripleset": [["C", "IS", "d"]], "annotations": [{"source": "x", "text": "it costs £20 at most"}]}]`,
		"labels.txt":  "1\n0\n1\n0\n",
		"guess.txt":   "1\n1\n1\n0\n",
		"qqp.tsv":     "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t1\t2\ta\tb\t1\n2\t3\t4\tc\td\t0\n3\t3\t4\tc\td\t1\n4\t3\t4\tc\td\t0\n",
	})
	number := func(out, key string) float64 {
		var v map[string]any
		if err := json.Unmarshal([]byte(out), &v); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		n, ok := v[key].(float64)
		if !ok {
			t.Fatalf("no number %q in %s", key, out)
		}
		return n
	}
	for _, args := range [][]string{
		{"e2e", "--refs", "DIR/refs.csv", "--outputs", "DIR/outputs.tsv"},
		{"e2e", "--refs", "DIR/refs.csv", "--outputs", "DIR/lines.txt"},
		{"dart", "--refs", "DIR/dart.json", "--outputs", "DIR/lines.txt"},
		{"text", "--refs", "DIR/groups.txt", "--outputs", "DIR/lines.txt", "--sacrebleu"},
	} {
		code, out, errs := score(t, dir, append(args, "--json")...)
		if code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, errs)
		}
		for key, want := range map[string]float64{"bleu": 1, "rouge_l": 1, "outputs": 2} {
			if got := number(out, key); got != want {
				t.Errorf("%v: %s is %g, want %g", args, key, got, want)
			}
		}
		if number(out, "nist") <= 0 || number(out, "cider") <= 0 {
			t.Errorf("%v: %s", args, out)
		}
		if strings.Contains(out, "signature") != (args[0] == "text") {
			t.Errorf("%v: %s", args, out)
		}
	}
	for _, args := range [][]string{{"classify", "--refs", "DIR/labels.txt"}, {"classify", "--task", "qqp", "--refs", "DIR/qqp.tsv"}} {
		_, out, errs := score(t, dir, append(args, "--outputs", "DIR/guess.txt", "--json")...)
		if out == "" {
			t.Fatalf("%v: %s", args, errs)
		}
		if a, f := number(out, "accuracy"), number(out, "f1"); a != 0.75 || math.Abs(f-0.8) > 1e-15 {
			t.Errorf("%v: accuracy %g, F1 %g", args, a, f)
		}
	}
	if _, out, errs := score(t, dir, "dialog", "--refs", "DIR/groups.txt", "--outputs", "DIR/lines.txt", "--json"); out == "" || number(out, "f1") != 1 {
		t.Errorf("dialog: %s %s", out, errs)
	}
}

// TestScoreRefuses checks exit codes and messages.
func TestScoreRefuses(t *testing.T) {
	dir := files(t, map[string]string{"two.txt": "a secret\nb\n", "one.txt": "a\n", "empty.txt": ""})
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "score what"},
		{[]string{"text"}, "give --refs and --outputs"},
		{[]string{"text", "--refs", "DIR/one.txt", "--outputs", "DIR/two.txt"}, "references for 1 outputs"},
		{[]string{"text", "--refs", "DIR/empty.txt", "--outputs", "DIR/two.txt"}, "empty.txt is empty"},
		{[]string{"text", "--refs", "DIR/two.txt", "--outputs", "DIR/none.txt"}, "none.txt"},
		{[]string{"text", "--refs", "DIR/two.txt", "--outputs", "DIR/two.txt", "--lowercase"}, "add --sacrebleu"},
		{[]string{"text", "--refs", "DIR/two.txt", "--outputs", "DIR/two.txt", "--sacrebleu", "--tokenize", "zh"}, "13a, intl, char, none"},
		{[]string{"e2e", "--refs", "DIR/two.txt", "--refs", "DIR/two.txt", "--outputs", "DIR/two.txt"}, "given 2 times"},
		{[]string{"e2e", "--refs", "DIR/two.txt", "--outputs", "DIR/two.txt"}, "columns"},
		{[]string{"classify", "--refs", "DIR/one.txt", "--outputs", "DIR/two.txt"}, "has 2 predictions"},
		{[]string{"classify", "--task", "lm", "--refs", "DIR/one.txt", "--outputs", "DIR/two.txt"}, "no classes"},
	} {
		code, out, errs := score(t, dir, c.args...)
		if code != 2 || out != "" || !strings.Contains(errs, c.want) || strings.Contains(errs, "secret") {
			t.Errorf("%v: exit code %d, %q, %q; want %q", c.args, code, out, errs, c.want)
		}
	}
}
