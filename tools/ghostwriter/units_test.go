package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// users writes records of a few users, the last of whom has most.
func (b bench) users(t *testing.T, column string) {
	t.Helper()
	var rows strings.Builder
	for i := range 40 {
		fmt.Fprintf(&rows, "{\"text\": \"ab cd%c\", \"label\": %d, %q: \"patient %d\"}\n", 'a'+i%20, i%3, column, min(i, 9))
	}
	b.write(t, "train.jsonl", []byte(rows.String()))
}

// Users instead of records, from the command to the statement: N, delta and the unit count users.
func TestTrainOverUsers(t *testing.T) {
	b := newBench(t)
	b.users(t, "who")
	code, stdout, stderr := b.train(t, "--unit-column", "who", "--records-per-unit", "4", "--json")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var report trainReport
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatal(err)
	}
	if report.Steps != 2 || report.Delta == nil || *report.Delta != 1.0/20 || report.Epsilon == nil || *report.Epsilon > 3 {
		t.Errorf("%s", stdout)
	}
	for _, want := range []string{`unit of privacy: one user: all records that share a value of "who"`, "of 10 users, at most 4 records of each in a step",
		"N = 10, the number of users read, is treated as public"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("standard error does not say %q:\n%s", want, stderr)
		}
	}
	code, again, stderr := command(t, "privacy", "statement", b.path("out"))
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	for _, name := range []string{"out/release/statement.txt", "out/README.md", ""} {
		text := []byte(again)
		if name != "" {
			var err error
			if text, err = os.ReadFile(b.path(name)); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []string{`one user: all records that share a value of "who"`, "at most 4, chosen anew in each step", "two names are two units"} {
			if !strings.Contains(strings.Join(strings.Fields(string(text)), " "), want) {
				t.Errorf("%q does not say %q:\n%s", name, want, text)
			}
		}
		if strings.Contains(string(text), "patient") {
			t.Errorf("%q holds the name of a user", name)
		}
	}
	if code, _, stderr := command(t, "train", "--resume", "--out", b.path("out")); code != 0 {
		t.Errorf("resuming: exit %d: %s", code, stderr)
	}
}

// What does not fit users is refused with exit code 2, naming row and column, never a user.
func TestTrainOverUsersRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		flags []string
		says  string
	}{
		"no such column":       {[]string{"--unit-column", "whom"}, `row 1 (line 1): field "whom": is missing`},
		"a size without one":   {[]string{"--records-per-unit", "4"}, "--records-per-unit 4 needs --unit-column"},
		"no records of a user": {[]string{"--unit-column", "who", "--records-per-unit", "0"}, "--records-per-unit 0 must be positive"},
		"two passes":           {[]string{"--unit-column", "who", "--two-pass"}, "--two-pass is for records"},
		"too few users":        {[]string{"--unit-column", "who", "--records", "9"}, "has 10 users, more than --records 9"},
		"clipping per layer":   {[]string{"--unit-column", "who", "--clip-per", "layer"}, "--clip-per layer is for records"},
		"noised evaluations":   {[]string{"--unit-column", "who", "--dp-evaluate", "2", "--valid", "VALID"}, "one user may have several records in --valid"},
	} {
		b := newBench(t)
		b.users(t, "who")
		for i, f := range c.flags {
			if f == "VALID" {
				c.flags[i] = b.path("train.jsonl")
			}
		}
		code, _, stderr := b.train(t, c.flags...)
		if code != 2 || !strings.Contains(stderr, c.says) || strings.Contains(stderr, "patient") {
			t.Errorf("%s: exit %d: %s", name, code, stderr)
		}
	}
	b := newBench(t)
	b.write(t, "train.jsonl", []byte("{\"text\": \"a\", \"label\": 0, \"who\": \"patient 1\"}\n{\"text\": \"secret\", \"label\": 0, \"who\": \"\"}\n"))
	code, _, stderr := b.train(t, "--unit-column", "who")
	if code != 2 || !strings.Contains(stderr, `row 2 (line 2): field "who": is empty`) || strings.Contains(stderr, "secret") {
		t.Errorf("a row without a user: exit %d: %s", code, stderr)
	}
}
