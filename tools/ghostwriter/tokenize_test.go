package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

const wordPieceFixture = "../../tokenize/testdata/wordpiece"

// tokenizeCommand runs the verb on input.
func tokenizeCommand(t *testing.T, input io.Reader, args ...string) (stdout string, err error) {
	t.Helper()
	var out bytes.Buffer
	a := &app{stdout: &out, stderr: io.Discard}
	root := a.root()
	root.SetArgs(append([]string{"tokenize", "--tokenizer", wordPieceFixture}, args...))
	root.SetIn(input)
	root.SetOut(&out)
	err = root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestTokenizeVerb(t *testing.T) {
	for name, c := range map[string]struct {
		args        []string
		input, want string
	}{
		"lines":              {nil, "a [MASK]\n\nb", "{\"ids\":[2,42,4,3]}\n{\"ids\":[2,3]}\n{\"ids\":[2,43,3]}\n"},
		"json":               {[]string{"--json"}, "a\n", "{\"ids\":[2,42,3]}\n"},
		"carriage return":    {nil, "a\r\n", "{\"ids\":[2,42,3]}\n"},
		"json lines":         {[]string{"--json-lines"}, `"a\nb"` + "\n" + `""`, "{\"ids\":[2,42,43,3]}\n{\"ids\":[2,3]}\n"},
		"no special tokens":  {[]string{"--no-special-tokens"}, "\na\n", "{\"ids\":[]}\n{\"ids\":[42]}\n"},
		"offsets":            {[]string{"--offsets"}, "é a\n", `{"ids":[2,1,42,3],"offsets":[[0,0],[0,1],[2,3],[0,0]],"byte_offsets":[[0,0],[0,2],[3,4],[0,0]]}` + "\n"},
		"pair":               {[]string{"--pair"}, `["a","b"]` + "\n", `{"ids":[2,42,3,43,3],"token_type_ids":[0,0,0,1,1]}` + "\n"},
		"nothing":            {nil, "", ""},
		"decode":             {[]string{"--decode"}, "[2,42,3]\n[]\n", "{\"text\":\"[CLS] a [SEP]\"}\n{\"text\":\"\"}\n"},
		"decode and skip":    {[]string{"--decode", "--skip-special-tokens"}, "[2, 42, 3]", "{\"text\":\"a\"}\n"},
		"a long line":        {[]string{"--no-special-tokens"}, strings.Repeat("a ", 1<<20) + "\nb", "{\"ids\":[" + strings.TrimSuffix(strings.Repeat("42,", 1<<20), ",") + "]}\n{\"ids\":[43]}\n"},
		"more than one read": {[]string{"--no-special-tokens"}, strings.Repeat("a\n", 10000), strings.Repeat("{\"ids\":[42]}\n", 10000)},
	} {
		got, err := tokenizeCommand(t, strings.NewReader(c.input), c.args...)
		if err != nil || got != c.want {
			t.Errorf("%s: %.200q, %v, want %.200q", name, got, err, c.want)
		}
	}
}

// TestTokenizeVerbErrors: the line is named, and the lines before it are answered.
func TestTokenizeVerbErrors(t *testing.T) {
	for name, c := range map[string]struct {
		args        []string
		input, says string
		before      int
	}{
		"not UTF-8":          {nil, "a\nb\n\xff\nc\n", "line 3: text is not UTF-8 at byte 0", 2},
		"after a batch":      {nil, strings.Repeat("a\n", 5000) + "\xff", "line 5001", 5000},
		"not a JSON string":  {[]string{"--json-lines"}, "\"a\"\n7\n", "line 2: it is not a JSON string", 1},
		"null":               {[]string{"--json-lines"}, "null\n", "line 1: it is not a JSON string", 0},
		"not a pair":         {[]string{"--pair"}, `["a"]`, "line 1: it is not a JSON array of two strings", 0},
		"decode a pair":      {[]string{"--pair", "--decode"}, "", "--pair", 0},
		"not ids":            {[]string{"--decode"}, "[1]\n[1.5]\n", "line 2: it is not a JSON array", 1},
		"decode JSON lines":  {[]string{"--decode", "--json-lines"}, "", "--json-lines", 0},
		"skip without":       {[]string{"--skip-special-tokens"}, "", "--decode", 0},
		"no such tokenizer":  {[]string{"--tokenizer", "/nonexistent"}, "", "/nonexistent", 0},
		"a word too many":    {[]string{"text"}, "", "tokenize", 0},
		"tokenizer is empty": {[]string{"--tokenizer", ""}, "", "--tokenizer is needed", 0},
	} {
		got, err := tokenizeCommand(t, strings.NewReader(c.input), c.args...)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v does not name %q", name, err, c.says)
		}
		if n := strings.Count(got, "\n"); n != c.before {
			t.Errorf("%s: %d lines answered before the error, want %d", name, n, c.before)
		}
	}
	if code, _, _ := command(t, "tokenize", "--tokenizer", "/nonexistent"); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
}

// TestTokenizeVerbAnswersAtOnce: a program that writes a line and waits for its ids gets them.
func TestTokenizeVerbAnswersAtOnce(t *testing.T) {
	in, feed := io.Pipe()
	answers, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		a := &app{stdout: out, stderr: io.Discard}
		root := a.root()
		root.SetArgs([]string{"tokenize", "--tokenizer", wordPieceFixture})
		root.SetIn(in)
		done <- root.ExecuteContext(t.Context())
		_ = out.Close() // a pipe's Close gives no error
	}()
	deadline := time.AfterFunc(20*time.Second, func() { _ = answers.CloseWithError(fmt.Errorf("no answer")) })
	defer deadline.Stop()
	buf := make([]byte, 100)
	for range 3 {
		if _, err := feed.Write([]byte("a\n")); err != nil {
			t.Fatal(err)
		}
		n, err := answers.Read(buf)
		if err != nil || string(buf[:n]) != "{\"ids\":[2,42,3]}\n" {
			t.Fatalf("answer %q, %v", buf[:n], err)
		}
	}
	_ = feed.Close() // a pipe's Close gives no error
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
