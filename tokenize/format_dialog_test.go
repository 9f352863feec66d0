package tokenize

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestDialog: the ids are those of `{persona}{eos}{turn}{eos}…{response}{eos}`, and the oldest turns go first.
func TestDialog(t *testing.T) {
	tok := load(t, "testdata/bpe")
	eos := tok.Specials().EOS
	enc := func(text string) []int32 { return append(must(tok.EncodePlain(text))(t), eos) }
	rec := Record{Row: 4, Target: "the pub", Dialog: &Dialog{[]string{"i ski.", "i am old."}, []string{"the river", "is", "good"}}}
	e := must(must(NewDialog(tok, 200))(t).Format(rec))(t)
	want := slices.Concat(enc("i ski. i am old."), enc("the river"), enc("is"), enc("good"), enc("the pub"))
	if !slices.Equal(e.IDs, want) || e.Scored() != len(enc("the pub")) || e.Labels[len(e.Labels)-1] != eos || e.Row != 4 {
		t.Errorf("%+v, want ids %v", e, want)
	}
	// Three quarters of the length hold the persona and the last two turns, not the first.
	start := slices.Concat(enc("i ski. i am old."), enc("is"), enc("good"))
	length := (len(start)*4 + 2) / 3
	short := must(NewDialog(tok, length))(t)
	if got := must(short.Prompt(rec))(t); !slices.Equal(got, start) {
		t.Errorf("prompt %v of %d tokens, want %v", got, length, start)
	}
	for _, target := range []string{"", strings.Repeat("x", length)} { // the prompt does not depend on the response
		other := rec
		other.Target = target
		e := must(short.Format(other))(t)
		if got := must(short.Prompt(other))(t); !slices.Equal(got, start) || (target == "") != (e.Dropped == Kept) {
			t.Errorf("a response of %d letters: prompt %v, %s", len(target), got, e.Dropped)
		}
	}
	// Persona and last turn stay, however long.
	if got := must(must(NewDialog(tok, 4))(t).Prompt(rec))(t); !slices.Equal(got, slices.Concat(enc("i ski. i am old."), enc("good"))) {
		t.Errorf("prompt %v", got)
	}
	if e := must(must(NewDialog(tok, 4))(t).Format(rec))(t); e.Dropped != DropTooLong {
		t.Errorf("%+v, want it dropped", e)
	}
	if got := must(must(NewDialog(tok, 40))(t).Prompt(Record{Target: "a"}))(t); !slices.Equal(got, []int32{eos}) {
		t.Errorf("prompt of nothing %v", got)
	}
	for _, bad := range []Record{{Target: "\xff"}, {Dialog: &Dialog{Persona: []string{"\xff"}}}, {Dialog: &Dialog{History: []string{"\xff"}}}} {
		if _, err := must(NewDialog(tok, 40))(t).Format(bad); err == nil || !strings.Contains(err.Error(), "is not UTF-8") {
			t.Errorf("error %v", err)
		}
	}
}

// TestTriplesToText: DART's example as the public code writes it.
func TestTriplesToText(t *testing.T) {
	tok := load(t, "testdata/bpe")
	f := must(NewTriplesToText(tok, 200))(t)
	e := must(f.Format(Record{Source: "A : is : B | C : in : D", Target: "the river"}))(t)
	if want := mustEncode(t, tok, " A : is : B | C : in : D <|endoftext|> the river <|endoftext|>"); !slices.Equal(e.IDs, want) || e.Scored() != len(mustEncode(t, tok, " the river <|endoftext|>")) {
		t.Errorf("%+v, want ids %v", e, want)
	}
	if _, err := f.Format(Record{Source: "\xff"}); err == nil || !strings.Contains(err.Error(), `field "tripleset"`) {
		t.Errorf("error %v", err)
	}
}

// TestSequenceToSequenceSources: what the encoder of each task reads.
func TestSequenceToSequenceSources(t *testing.T) {
	tok := load(t, "testdata/bpe")
	for _, c := range []struct {
		task Task
		rec  Record
		want string
	}{
		{TaskE2E, Record{Source: "name[A]"}, "name : A"},
		{TaskDART, Record{Source: "a : b : c"}, "a : b : c"},
		{TaskInstruct, Record{Source: "do"}, "do"},
		{TaskPersona, Record{Dialog: &Dialog{[]string{"a.", "b."}, []string{"x", "y"}}}, "a. b.\nx\ny"},
		{TaskPersona, Record{}, ""},
	} {
		f := must(NewSequenceToSequence(tok, c.task, 100))(t)
		got := must(f.Prompt(c.rec))(t)
		if want := append(mustEncode(t, tok, c.want), tok.Specials().EOS); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", c.task, got, want)
		}
	}
	if _, err := NewSequenceToSequence(tok, TaskLM, 100); err == nil {
		t.Error("lm has a source and a target")
	}
}

// TestTooLongOfTheShared counts what the paper's lengths drop of real files: 100 tokens for E2E, 120 for DART.
func TestTooLongOfTheShared(t *testing.T) {
	tok := load(t, shared(t, "gpt2", "tokenizer.json"))
	path := shared(t, "..", "dart", "dart-v1.1.1-full-dev.json")
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not there", path)
	}
	records := must(ReadFile(context.Background(), path, dartFormat))(t)
	examples := must(FormatAll(context.Background(), must(NewTriplesToText(tok, 120))(t), records, 0))(t)
	if n := DropCounts(examples)[DropTooLong]; len(examples) != 6980 || n != 272 { // as counted with the reference tokenizer
		t.Errorf("%d of %d are too long", n, len(examples))
	}
}
