package tokenize

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestE2ESource(t *testing.T) {
	for mr, want := range map[string]string{
		"name[The Vaults], eatType[pub], priceRange[more than £30]": "name : The Vaults | eatType : pub | priceRange : more than £30",
		"name[A]":             "name : A",
		"name[]":              "name : ",
		"name[a]b], food[[x]": "name : a]b | food : [x",
		"customer rating[5 out of 5], near[Café, Adriatic]": "customer rating : 5 out of 5 | near : Café, Adriatic",
	} {
		if got, err := E2ESource(mr); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", mr, got, err, want)
		}
	}
	for _, mr := range []string{"", "secret", "secret[", "secret[a", "[secret]", "a[b],c[secret]x", "a[b], ", "a[b], [secret]"} {
		_, err := E2ESource(mr)
		var row *RowError
		if !errors.As(err, &row) || row.Field != "mr" || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: error %v, want one of field mr without content", mr, err)
		}
	}
}

// TestTableToText: the ids are those of ` {source} {bos} {target} {eos}` as one text, and labels start after bos.
func TestTableToText(t *testing.T) {
	tok := load(t, "testdata/bpe")
	f := must(NewTableToText(tok, 1000))(t)
	eos := tok.Specials().EOS
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringMatching(`[a-zé ]{0,12}(<\|endoftext\|>)?`).Draw(t, "value")
		target := rapid.OneOf(rapid.String(), rapid.Just("a<|endoftext|>b")).Draw(t, "target")
		rec := Record{Row: 7, Source: "name[" + value + "]", Target: target, Label: -1}
		e, err := f.Format(rec)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := tok.Encode(" name : " + value + " <|endoftext|> " + target + " <|endoftext|>")
		if !slices.Equal(e.IDs, want) || e.Row != 7 || e.Dropped != Kept || len(e.Labels) != len(e.IDs) {
			t.Fatalf("ids %v, want %v", e.IDs, want)
		}
		prompt, err := f.Prompt(rec)
		if err != nil || !slices.Equal(prompt, e.IDs[:len(prompt)]) || prompt[len(prompt)-1] != eos {
			t.Fatalf("prompt %v, %v does not start %v", prompt, err, e.IDs)
		}
		for i, l := range e.Labels {
			if i < len(prompt) && l != Unscored || i >= len(prompt) && l != e.IDs[i] {
				t.Fatalf("label %d is %d for prompt %d", i, l, len(prompt))
			}
		}
		if e.Scored() != len(e.IDs)-len(prompt) || e.Labels[len(e.Labels)-1] != eos {
			t.Fatalf("%d scored labels", e.Scored())
		}
	})
}

func TestTooLongIsDroppedInPlace(t *testing.T) {
	tok := load(t, "testdata/bpe")
	rec := Record{Row: 3, Source: "name[A]", Target: "the river", Label: -1}
	long := must(NewTableToText(tok, 1000))(t)
	n := must(long.Format(rec))(t).Len()
	exact, short := must(NewTableToText(tok, n))(t), must(NewTableToText(tok, n-1))(t)
	if e := must(exact.Format(rec))(t); e.Len() != n || e.Dropped != Kept {
		t.Errorf("length %d does not fit %d: %+v", n, n, e)
	}
	e := must(short.Format(rec))(t)
	if e.Dropped != DropTooLong || e.IDs != nil || e.Row != 3 || e.Scored() != 0 {
		t.Errorf("%+v, want a dropped example of row 3", e)
	}
	records := []Record{{Row: 1, Source: "a[b]", Target: "c"}, rec, {Row: 4, Source: "a[b]", Target: "c"}}
	all := must(FormatAll(context.Background(), short, records, 2))(t)
	if len(all) != 3 || all[1].Dropped != DropTooLong || all[2].Row != 4 || DropCounts(all)[DropTooLong] != 1 {
		t.Errorf("%+v", all)
	}
}

func TestFormatAllErrors(t *testing.T) {
	f := must(NewTableToText(load(t, "testdata/bpe"), 100))(t)
	records := make([]Record, 2000)
	for i := range records {
		records[i] = Record{Row: i + 1, Source: "a[b]", Target: "c"}
	}
	records[1500].Source, records[600].Source, records[601].Target = "secret", "secret", "\xff"
	_, err := FormatAll(context.Background(), f, records, 4)
	if err == nil || !strings.HasPrefix(err.Error(), `row 601: field "mr"`) || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v, want the first bad row", err)
	}
	records[600].Source = "a[b]"
	if _, err := FormatAll(context.Background(), f, records, 4); err == nil || !strings.HasPrefix(err.Error(), `row 602: field "ref": text is not UTF-8`) {
		t.Errorf("error %v", err)
	}
}

func TestInstruct(t *testing.T) {
	tok := load(t, "testdata/bpe")
	eos := tok.Specials().EOS
	f := must(NewInstruct(tok, 50))(t)
	prompt, completion := must(tok.EncodePlain("the river"))(t), must(tok.EncodePlain(" is good"))(t)
	e := must(f.Format(Record{Source: "the river", Target: " is good"}))(t)
	if want := slices.Concat(prompt, completion, []int32{eos}); !slices.Equal(e.IDs, want) {
		t.Errorf("ids %v, want %v", e.IDs, want)
	}
	if e.Scored() != len(completion)+1 || e.Labels[len(prompt)-1] != Unscored || e.Labels[len(prompt)] != completion[0] {
		t.Errorf("labels %v for a prompt of %d", e.Labels, len(prompt))
	}
	empty := must(f.Format(Record{}))(t)
	if !slices.Equal(empty.IDs, []int32{eos, eos}) || empty.Scored() != 1 {
		t.Errorf("empty record: %+v", empty)
	}
	if e := must(f.Format(Record{Source: strings.Repeat("x ", 60)}))(t); e.Dropped != DropTooLong {
		t.Errorf("%+v, want it dropped", e)
	}
	// A post-processor that puts a token before a text puts it before the prompt.
	options := load(t, "testdata/bpe-options")
	e = must(must(NewInstruct(options, 50))(t).Format(Record{Source: "a", Target: "b"}))(t)
	if e.IDs[0] != options.Specials().BOS || e.IDs[len(e.IDs)-1] != options.Specials().EOS {
		t.Errorf("%v does not start with BOS and end with EOS", e.IDs)
	}
}

func TestLM(t *testing.T) {
	tok := load(t, "testdata/bpe")
	ids := mustEncode(t, tok, "the river is good")
	f := must(NewLM(tok, 100))(t)
	e := must(f.Format(Record{Text: "the river is good"}))(t)
	if want := append(slices.Clone(ids), tok.Specials().EOS); !slices.Equal(e.IDs, want) || e.Scored() != len(ids) || e.Labels[0] != Unscored {
		t.Errorf("%+v, want ids %v", e, want)
	}
	if e := must(f.Format(Record{Text: "a<|endoftext|>"}))(t); len(e.IDs) != 2 {
		t.Errorf("a text that ends with the token gets it twice: %v", e.IDs)
	}
	cut := must(must(NewLM(tok, 3))(t).Format(Record{Text: "the river is good"}))(t)
	if !slices.Equal(cut.IDs, ids[:3]) || cut.Scored() != 2 {
		t.Errorf("cut to %v, want %v", cut.IDs, ids[:3])
	}
	if e := must(f.Format(Record{Row: 5}))(t); e.Dropped != DropUnscored || e.Row != 5 {
		t.Errorf("empty text: %+v", e)
	}
}

func TestClassify(t *testing.T) {
	tok := load(t, "testdata/wordpiece")
	f := must(NewClassify(tok, false, 6))(t)
	e := must(f.Format(Record{Row: 2, Text: "the quiet pub near the river", Label: 1}))(t)
	want := must(tok.EncodeTruncated("the quiet pub near the river", 6))(t)
	if !slices.Equal(e.IDs, want.IDs) || e.Len() != 6 || e.IDs[5] != tok.Specials().SEP || e.Label != 1 || e.Labels != nil || len(e.TypeIDs) != 6 {
		t.Errorf("%+v, want ids %v", e, want.IDs)
	}
	pair := must(NewClassify(tok, true, 40))(t)
	e = must(pair.Format(Record{Text: "the", Pair: "pub", Label: 0}))(t)
	both := must(tok.EncodePair("the", "pub"))(t)
	if !slices.Equal(e.IDs, both.IDs) || !slices.Equal(e.TypeIDs, both.TypeIDs) || e.TypeIDs[len(e.TypeIDs)-1] != 1 {
		t.Errorf("%+v, want %+v", e, both)
	}
	if !TaskQNLI.Pairs() || !TaskMNLI.Pairs() || !TaskQQP.Pairs() || TaskSST2.Pairs() || TaskLM.Pairs() {
		t.Error("Pairs is wrong for a task")
	}
	if _, err := NewClassify(tok, false, 2); err == nil {
		t.Error("no error for a maximum length that holds only special tokens")
	}
}

// infillTokenizer is a RoBERTa-like tokenizer whose vocabulary has the label words.
func infillTokenizer(t *testing.T) *Tokenizer {
	vocab := map[string]int{"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4}
	var merges []string
	add := func(token string) {
		if _, ok := vocab[token]; !ok {
			vocab[token] = len(vocab)
		}
	}
	for _, c := range byteAlphabet {
		add(c)
	}
	for _, word := range []string{"Ġgreat", "Ġterrible", "Ġno", "Ġyes", "Ġmaybe"} {
		runes := []rune(word)
		for i := 1; i < len(runes); i++ {
			left, right := string(runes[:i]), string(runes[i])
			if _, known := vocab[left+right]; !known {
				merges = append(merges, left+" "+right)
			}
			add(left + right)
		}
	}
	data := must(parseJSONVocab(vocab))(t)
	return must(parseBPE(data, []byte(strings.Join(merges, "\n")), settings{}))(t)
}

func TestInfill(t *testing.T) {
	tok := infillTokenizer(t)
	enc := func(text string) []int32 { return must(tok.EncodePlain(text))(t) }
	id := func(token string) int32 {
		i, ok := tok.TokenToID(token)
		if !ok {
			t.Fatalf("%q is not in the vocabulary", token)
		}
		return i
	}
	cls, sep, mask := []int32{0}, []int32{2}, []int32{4}
	for _, c := range []struct {
		task  Task
		rec   Record
		want  []int32
		words []string
	}{
		{TaskSST2, Record{Text: "a fine film", Label: 1}, slices.Concat(cls, enc("a fine film"), enc(" It was"), mask, enc("."), sep), []string{"Ġterrible", "Ġgreat"}},
		{TaskMNLI, Record{Text: "It rains.", Pair: "The sun shines.", Label: 2}, slices.Concat(cls, enc("It rains"), enc("?"), mask, enc(","), enc(" the sun shines."), sep), []string{"Ġno", "Ġyes", "Ġmaybe"}},
		{TaskQNLI, Record{Text: "Who?", Pair: "Éa.", Label: 1}, slices.Concat(cls, enc("Who"), enc("?"), mask, enc(","), enc(" éa."), sep), []string{"Ġyes", "Ġno"}},
		{TaskQQP, Record{Text: "Who?", Pair: "What?", Label: 0}, slices.Concat(cls, enc("Who"), mask, enc(","), enc(" what?"), sep), []string{"Ġno", "Ġyes"}},
		{TaskMNLI, Record{}, slices.Concat(cls, enc("?"), mask, enc(","), enc(" "), sep), []string{"Ġno", "Ġyes", "Ġmaybe"}},
	} {
		f := must(NewInfill(tok, must(InfillTemplateOf(c.task))(t), InfillOptions{MaxLength: 256, SentenceLimit: 200}))(t)
		e := must(f.Format(c.rec))(t)
		if !slices.Equal(e.IDs, c.want) || e.IDs[e.MaskPosition] != 4 || int(e.Label) != c.rec.Label {
			t.Errorf("%s: %+v, want ids %v", c.task, e, c.want)
		}
		for i, w := range c.words {
			if f.LabelWords()[i] != id(w) {
				t.Errorf("%s: label word %d is %d, want %s", c.task, i, f.LabelWords()[i], w)
			}
		}
	}
}

// TestInfillLimits: the tail of a sentence goes first, then the head of the whole; without its mask a record is dropped.
func TestInfillLimits(t *testing.T) {
	tok := infillTokenizer(t)
	template := must(InfillTemplateOf(TaskSST2))(t)
	rec := Record{Row: 9, Text: "abcdefghij", Label: 0}
	full := must(must(NewInfill(tok, template, InfillOptions{MaxLength: 100}))(t).Format(rec))(t)
	tail := must(must(NewInfill(tok, template, InfillOptions{MaxLength: 100, SentenceLimit: 4}))(t).Format(rec))(t)
	if want := slices.Concat(full.IDs[:5], full.IDs[11:]); !slices.Equal(tail.IDs, want) || tail.MaskPosition != full.MaskPosition-6 {
		t.Errorf("%+v, want ids %v", tail, want)
	}
	head := must(must(NewInfill(tok, template, InfillOptions{MaxLength: 5}))(t).Format(rec))(t)
	if want := full.IDs[len(full.IDs)-5:]; !slices.Equal(head.IDs, want) || head.IDs[head.MaskPosition] != 4 {
		t.Errorf("%+v, want ids %v", head, want)
	}
	pair := must(InfillTemplateOf(TaskQQP))(t)
	f := must(NewInfill(tok, pair, InfillOptions{MaxLength: 6}))(t)
	if e := must(f.Format(Record{Row: 9, Text: "a?", Pair: "long enough"}))(t); e.Dropped != DropMaskCut || e.Row != 9 || e.IDs != nil {
		t.Errorf("%+v, want it dropped", e)
	}
}

func TestInfillRefusals(t *testing.T) {
	tok, bert, gpt := infillTokenizer(t), load(t, "testdata/wordpiece"), load(t, "testdata/bpe")
	sst2 := must(InfillTemplateOf(TaskSST2))(t)
	o := InfillOptions{MaxLength: 20}
	with := func(words ...string) InfillTemplate { return InfillTemplate{Parts: sst2.Parts, LabelWords: words} }
	for name, c := range map[string]struct {
		tok      *Tokenizer
		template InfillTemplate
		options  InfillOptions
		want     string
	}{
		"two tokens":    {tok, with(" great", " wonderful"), o, "is not one token"},
		"unknown":       {bert, with(" the", " 中"), o, "is not one token"},
		"one word":      {tok, with(" great"), o, "at least 2"},
		"twice":         {tok, with(" great", " great"), o, "same token"},
		"no mask token": {gpt, sst2, o, "no cls token"},
		"no mask":       {tok, InfillTemplate{Parts: []InfillPart{{Kind: InfillFirst}}, LabelWords: sst2.LabelWords}, o, "one mask"},
		"no room":       {tok, sst2, InfillOptions{}, "maximum length"},
		"negative":      {tok, sst2, InfillOptions{MaxLength: 9, SentenceLimit: -1}, "sentence limit"},
	} {
		if _, err := NewInfill(c.tok, c.template, c.options); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
	if _, err := InfillTemplateOf(TaskE2E); err == nil {
		t.Error("a template for e2e")
	}
	f := must(NewInfill(tok, sst2, o))(t)
	if _, err := f.Format(Record{Label: 2}); err == nil || !strings.Contains(err.Error(), "outside 0 to 1") {
		t.Errorf("error %v", err)
	}
}

func TestFormatsNeedTheirTokens(t *testing.T) {
	words, bpe := load(t, "testdata/wordpiece"), load(t, "testdata/bpe")
	for name, f := range map[string]func(t *Tokenizer, n int) error{
		"table-to-text": func(t *Tokenizer, n int) error { _, err := NewTableToText(t, n); return err },
		"instruct":      func(t *Tokenizer, n int) error { _, err := NewInstruct(t, n); return err },
		"lm":            func(t *Tokenizer, n int) error { _, err := NewLM(t, n); return err },
	} {
		if err := f(words, 100); err == nil || !strings.Contains(err.Error(), "eos") {
			t.Errorf("%s: error %v, want one that names eos", name, err)
		}
		if err := f(bpe, 1); err == nil || !strings.Contains(err.Error(), "maximum length") {
			t.Errorf("%s: error %v, want one about the length", name, err)
		}
	}
}

// TestE2EAgainstWholeText: on the real E2E rows and the real GPT-2 vocabulary the parts equal the whole text's ids, and
// no row is lost.
func TestE2EAgainstWholeText(t *testing.T) {
	tok := load(t, shared(t, "gpt2", "tokenizer.json"))
	records := must(ReadFile(context.Background(), shared(t, "..", "e2e", "devset.csv"), e2eFormat))(t)
	f := must(NewTableToText(tok, 100))(t)
	examples := must(FormatAll(context.Background(), f, records, 0))(t)
	if len(examples) != 4672 || tok.CheckVocab(50257) != nil || CheckIDs(examples, 50257) != nil {
		t.Fatalf("%d examples", len(examples))
	}
	for i, e := range examples {
		source := must(E2ESource(records[i].Source))(t)
		want := mustEncode(t, tok, " "+source+" <|endoftext|> "+records[i].Target+" <|endoftext|>")
		if e.Dropped == DropTooLong && len(want) > 100 {
			continue
		}
		if !slices.Equal(e.IDs, want) {
			t.Fatalf("row %d: ids differ from the whole text's", e.Row)
		}
	}
	if got := CheckIDs(examples, 50256); got == nil || !strings.Contains(got.Error(), "50256") {
		t.Errorf("CheckIDs = %v, want an error that names the id", got)
	}
}

func TestBertInfillWords(t *testing.T) {
	tok := load(t, filepath.Join(sharedTokenizersOrSkip(t), "bert", "bert-base-uncased-vocab.txt"))
	for _, task := range []Task{TaskSST2, TaskMNLI, TaskQNLI, TaskQQP} {
		must(NewInfill(tok, must(InfillTemplateOf(task))(t), InfillOptions{MaxLength: 128}))(t)
	}
	roberta := load(t, shared(t, "roberta", "tokenizer.json"))
	f := must(NewInfill(roberta, must(InfillTemplateOf(TaskSST2))(t), InfillOptions{MaxLength: 256, SentenceLimit: 200}))(t)
	e := must(f.Format(Record{Text: "a fine film", Label: 1}))(t)
	// <s>a fine film It was<mask>.</s> by the reference; its ids for " terrible" and " great" are 6587 and 372.
	if want := mustEncode(t, roberta, "a fine film It was<mask>."); !slices.Equal(e.IDs, want) || !slices.Equal(f.LabelWords(), []int32{6587, 372}) {
		t.Errorf("%v with label words %v, want %v", e.IDs, f.LabelWords(), want)
	}
}

func sharedTokenizersOrSkip(t *testing.T) string { return shared(t) }
