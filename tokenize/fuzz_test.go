package tokenize

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// checkTokenizer encodes and decodes with a tokenizer that was built from hostile files.
func checkTokenizer(t *testing.T, tok *Tokenizer) {
	for _, text := range []string{"", "a", " the <|endoftext|> café 中\u00a0!!! ", "[CLS] x [MASK]", "\x00\ufffd😀"} {
		ids, err := tok.Encode(text)
		if err != nil {
			if strings.Contains(err.Error(), "timeout") || strings.Contains(err.Error(), "grows") {
				continue
			}
			t.Fatalf("%q: %v", text, err)
		}
		checkStream(t, tok, ids, false)
		d, err := tok.EncodeDetailed(Text{First: text}, EncodeOptions{})
		if err != nil || !slices.Equal(d.IDs, ids) {
			t.Fatalf("%q: ids %v, with offsets %v, %v", text, ids, d, err)
		}
		for _, id := range ids {
			if id < 0 || int(id) >= tok.VocabSize() {
				t.Fatalf("%q: id %d outside 0 to %d", text, id, tok.VocabSize()-1)
			}
		}
		if back := tok.Decode(ids, true); !utf8.ValidString(back) {
			t.Fatalf("%q decodes to what is not UTF-8", text)
		}
		if _, err := tok.EncodePairTruncated(text, text, 64); err != nil && len(tok.template.pair) < 10 {
			t.Fatalf("%q: %v", text, err)
		}
	}
}

func FuzzTokenizerJSON(f *testing.F) {
	names, err := filepath.Glob("testdata/*/tokenizer.json")
	if err != nil || len(names) == 0 {
		f.Fatal("no seeds")
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	kinds, err := filepath.Glob("testdata/kinds/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range kinds {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"],"unk_token":"a"},"added_tokens":[{"id":3,"content":" x","lstrip":true,"rstrip":true,"single_word":true,"normalized":true}],"normalizer":{"type":"NFKD"},"pre_tokenizer":{"type":"BertPreTokenizer"}}`))
	f.Add([]byte(`{"model":{"type":"WordPiece","vocab":{"[UNK]":0,"a":7},"max_input_chars_per_word":1},"post_processor":{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A","type_id":0}}],"pair":[{"Sequence":{"id":"B","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"special_tokens":{}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if !utf8.Valid(data) {
			t.Skip("readFile refuses it")
		}
		tok, err := parseTokenizerJSON(data, settings{})
		if err == nil {
			checkTokenizer(t, tok)
		}
	})
}

func FuzzVocabularyFiles(f *testing.F) {
	f.Add(fixture(f, "bpe-vocab", "vocab.json"), fixture(f, "bpe-vocab", "merges.txt"), `{"add_bos_token":true}`)
	f.Add(fixture(f, "wordpiece-vocab", "vocab.txt"), "", fixture(f, "wordpiece-config", "tokenizer_config.json"))
	f.Add(`{"a":0}`, "a a", `{"bos_token":{"content":"x"},"added_tokens_decoder":{"1":{"content":"y","special":true}}}`)
	f.Fuzz(func(t *testing.T, vocab, merges, config string) {
		if !utf8.ValidString(vocab) || !utf8.ValidString(merges) || !utf8.ValidString(config) {
			t.Skip("readFile refuses it")
		}
		var s settings
		if s.parseConfig([]byte(config)) != nil {
			s = settings{}
		}
		if tok, err := parseBPE([]byte(vocab), []byte(merges), s); err == nil {
			checkTokenizer(t, tok)
		}
		if tok, err := parseWordPiece([]byte(vocab), s); err == nil {
			checkTokenizer(t, tok)
		}
	})
}

func FuzzEncodeDecode(f *testing.F) {
	for _, c := range readExpected(f)["bpe"].Texts {
		f.Add(c.Text)
	}
	exact, words := load(f, "testdata/bpe"), load(f, "testdata/wordpiece")
	options := load(f, "testdata/bpe-options")
	f.Fuzz(func(t *testing.T, text string) {
		ids, err := exact.EncodePlain(text)
		if (err == nil) != utf8.ValidString(text) {
			t.Fatalf("error %v for valid=%v", err, utf8.ValidString(text))
		}
		if err != nil {
			return
		}
		if back := exact.Decode(ids, false); back != text {
			t.Fatalf("%+q comes back as %+q", text, back)
		}
		for _, tok := range []*Tokenizer{words, options} {
			ids, err := tok.Encode(text)
			if err != nil {
				t.Fatal(err)
			}
			if back := tok.Decode(ids, true); !utf8.ValidString(back) {
				t.Fatalf("%+q decodes to what is not UTF-8", text)
			}
		}
	})
}

func FuzzSentencePiece(f *testing.F) {
	for _, path := range []string{"dir-t5/spiece.model", "dir-llama/tokenizer.model"} {
		f.Add([]byte(fixture(f, "kinds", path)), false)
	}
	f.Add([]byte("\x0a\x03\x0a\x01a\x0a\x03\x0a\x01b\x0a\x04\x0a\x02ab\x12\x02\x18\x02"), true)
	f.Fuzz(func(t *testing.T, data []byte, modern bool) {
		legacy := !modern
		for _, class := range []string{"", "T5Tokenizer", "LlamaTokenizer", "XLMRobertaTokenizer"} {
			if tok, err := loadSentencePiece(data, settings{class: class, legacy: &legacy}); err == nil {
				checkTokenizer(t, tok)
			}
		}
	})
}

func FuzzRegex(f *testing.F) {
	for source := range knownPatterns {
		f.Add(source, "I'm 12345 \n\n ok")
	}
	f.Add(`(?i)[a-z&&[^aeiou]]+|(?<=\s)\p{Han}{1,3}+?$`, "x\n")
	f.Fuzz(func(t *testing.T, source, text string) {
		if !utf8.ValidString(source) || !utf8.ValidString(text) || len(text) > 100 {
			t.Skip()
		}
		p, err := newRegexPattern(source)
		if err != nil {
			return
		}
		p.re.MatchTimeout = 100 * time.Millisecond
		found, err := p.findAll(text)
		if err != nil {
			return
		}
		at := 0
		for _, m := range found {
			if m.start < at || m.end < m.start || m.end > len(text) || !utf8.ValidString(text[m.start:m.end]) {
				t.Fatalf("%q in %q: match %v after %d", source, text, m, at)
			}
			at = m.end
		}
	})
}

// FuzzStream decodes any ids, two bytes each, with every kind of tokenizer.
func FuzzStream(f *testing.F) {
	var all []*Tokenizer
	for name := range readKinds(f) {
		all = append(all, load(f, "testdata/kinds/"+name))
	}
	f.Add([]byte{1, 2, 3, 4, 0, 1}, false)
	f.Fuzz(func(t *testing.T, data []byte, skip bool) {
		for _, tok := range all {
			var ids []int32
			for i := 0; i+1 < len(data); i += 2 {
				ids = append(ids, int32(int(data[i])<<8|int(data[i+1]))%int32(tok.VocabSize()+1))
			}
			checkStream(t, tok, ids, skip)
		}
	})
}

// FuzzKinds encodes any text with every kind of tokenizer.
func FuzzKinds(f *testing.F) {
	var all []*Tokenizer
	for name, want := range readKinds(f) {
		all = append(all, load(f, "testdata/kinds/"+name))
		if name == "t5.json" {
			for _, c := range want.Texts {
				f.Add(c.Text)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			t.Skip()
		}
		for _, tok := range all {
			ids, err := tok.Encode(text)
			if err != nil {
				t.Fatal(err)
			}
			d, err := tok.EncodeDetailed(Text{First: text}, EncodeOptions{})
			if err != nil || !slices.Equal(d.IDs, ids) {
				t.Fatalf("%+q: ids %v, with offsets %v, %v", text, ids, d, err)
			}
			checkSpans(t, text, d)
			checkStream(t, tok, ids, true)
		}
	})
}

// checkReader reads hostile data: what comes out is UTF-8 and numbered, and an error is one line about a row.
func checkReader(t *testing.T, data string, formats ...DataFormat) {
	for _, f := range formats {
		records, err := readAll(data, f)
		var row *RowError
		if err != nil && !errors.As(err, &row) {
			t.Fatalf("%s: error %T is not a RowError: %v", f.Task, err, err)
		}
		if err != nil && (strings.ContainsAny(err.Error(), "\r\n") || !strings.HasPrefix(err.Error(), "data.file: ")) {
			t.Fatalf("%s: not one line with the file's name: %q", f.Task, err)
		}
		if err == nil && len(records) == 0 {
			t.Fatalf("%s: neither records nor an error", f.Task)
		}
		for i, r := range records {
			if r.Row != i+1 {
				t.Fatalf("%s: record %d has row %d", f.Task, i, r.Row)
			}
			texts := []string{r.Source, r.Target, r.Text, r.Pair, r.Unit}
			if r.Dialog != nil {
				texts = append(append(texts, r.Dialog.Persona...), r.Dialog.History...)
			}
			for _, s := range texts {
				if !utf8.ValidString(s) || len(s) > 3*MaxRowBytes { // lower case may be longer
					t.Fatalf("%s: row %d is not UTF-8 or too long", f.Task, r.Row)
				}
			}
			if c := f.classes(); c > 0 && (r.Label < 0 || r.Label >= c) {
				t.Fatalf("%s: row %d has label %d of %d", f.Task, r.Row, r.Label, c)
			}
		}
	}
}

func FuzzCSV(f *testing.F) {
	f.Add("mr,ref\n\"name[A], food[B]\",\"He said \"\"hi\"\"\"\n")
	f.Add("\ufeffref,mr,x\r\n\"a\nb\",name[C],7\r\n")
	f.Add("mr,ref\n\"a")
	f.Add("mr,ref\na\"b,c\n\"d\"e,f\n")
	f.Fuzz(func(t *testing.T, data string) {
		checkReader(t, data, e2eFormat)
		records, _ := readAll(data, e2eFormat)
		for _, r := range records {
			if source, err := E2ESource(r.Source); err == nil && !utf8.ValidString(source) {
				t.Fatal("a source that is not UTF-8")
			}
		}
	})
}

func FuzzTSV(f *testing.F) {
	f.Add("label\tsentence\r\n1\ta good one\r\n0\tbad")
	f.Add("1\ta\n\n0\tb\n")
	f.Add("index\tquestion\tsentence\tlabel\n0\tWho?\tShe.\tentailment\n")
	f.Add("id\tquestion1\tquestion2\tis_duplicate\n0\tA\tB\t1\n")
	f.Add("sentence1\tsentence2\tgold_label\nA\tB\tneutral\n")
	f.Fuzz(func(t *testing.T, data string) {
		checkReader(t, data, sst2Format, DataFormat{Task: TaskQNLI}, DataFormat{Task: TaskQQP}, DataFormat{Task: TaskMNLI})
	})
}

func FuzzJSONLines(f *testing.F) {
	f.Add("{\"text\": \"a\\nb\", \"label\": 1}\n\n{\"text\": \"\\ud83d\\ude00\", \"label\": \"good\"}")
	f.Add(`{"prompt": "p", "completion": "c", "text": null}`)
	f.Add(`{"text": "\ud83d\u0041", "label": 1e0}`)
	f.Add(`[{"text": {}}]`)
	f.Fuzz(func(t *testing.T, data string) {
		checkReader(t, data, lmFormat, classFormat, namedFormat, chatFormat)
	})
}

// FuzzTriples reads sets of triples in their three layouts.
func FuzzTriples(f *testing.F) {
	for _, seed := range []string{dartJSON, webnlgJSON, dartXML} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data string) {
		checkReader(t, data, dartFormat, webnlgFormat, with(dartFormat, func(f *DataFormat) { f.UnitColumn = unitEntry }))
	})
}

// FuzzPersona reads dialogues as JSON and as ParlAI's text.
func FuzzPersona(f *testing.F) {
	for _, seed := range []string{parlai, parlaiNamed, splitJSON, responses} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data string) {
		checkReader(t, data, personaFormat, with(personaFormat, func(f *DataFormat) { f.UnitColumn, f.Split = unitDialog, "valid" }))
	})
}
