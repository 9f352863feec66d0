package tokenize

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// edit changes one part of a tokenizer.json by a path of keys.
func edit(t testing.TB, name string, value any, keys ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	var top map[string]any
	if err := json.Unmarshal(data, &top); err != nil {
		t.Fatal(err)
	}
	at := top
	for _, k := range keys[:len(keys)-1] {
		at = at[k].(map[string]any)
	}
	at[keys[len(keys)-1]] = value
	data, err = json.Marshal(top)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

type object = map[string]any

// TestRefusals: every part that is malformed or not supported is an error that names it.
func TestRefusals(t *testing.T) {
	nested := object{"type": "NFC"}
	for range maxSequenceDepth + 2 {
		nested = object{"type": "Sequence", "normalizers": []any{nested}}
	}
	token := func(id int, content string) object { return object{"id": id, "content": content, "special": true} }
	for _, c := range []struct {
		name  string
		data  []byte
		wants string
	}{
		{"model", edit(t, "bpe", object{"type": "Oracle"}, "model"), `"Oracle" is not supported`},
		{"empty unigram", edit(t, "bpe", object{"type": "Unigram", "vocab": []any{}, "unk_id": 0}, "model"), "unk_id 0"},
		{"unigram without unknown", edit(t, "bpe", object{"type": "Unigram", "vocab": []any{[]any{"a", -1}}, "unk_id": nil}, "model"), "unk_id is missing"},
		{"unigram with a piece of one", edit(t, "bpe", object{"type": "Unigram", "vocab": []any{[]any{"a"}}, "unk_id": 0}, "model"), "a piece and its score"},
		{"word level with merges", edit(t, "bpe", "WordLevel", "model", "type"), "merges does not belong to a WordLevel model"},
		{"word level without unknown", edit(t, "bpe", object{"type": "WordLevel", "vocab": object{"a": 0}, "unk_token": "b"}, "model"), `"b" is not in the vocabulary`},
		{"no model", edit(t, "bpe", nil, "model"), "model: it is missing"},
		{"empty vocabulary", edit(t, "bpe", object{}, "model", "vocab"), "empty"},
		{"vocabulary is a list", edit(t, "bpe", []any{1}, "model", "vocab"), "vocab"},
		{"negative id", edit(t, "bpe", -1, "model", "vocab", "!"), "-1"},
		{"huge id", edit(t, "bpe", 1<<31, "model", "vocab", "!"), "2147483648"},
		{"id beyond int64", edit(t, "bpe", 1e30, "model", "vocab", "!"), "vocab"},
		{"id is a fraction", edit(t, "bpe", 1.5, "model", "vocab", "!"), "1.5"},
		{"two tokens with one id", edit(t, "bpe", 2, "model", "vocab", "!"), "another token"},
		{"merge of an unknown token", edit(t, "bpe", []any{[]any{"a", "nowhere"}}, "model", "merges"), "merge 0"},
		{"merge into an unknown token", edit(t, "bpe", []any{[]any{"z", "z"}}, "model", "merges"), "merge 0"},
		{"merge of three", edit(t, "bpe", []any{"a b c"}, "model", "merges"), "this one 3"},
		{"merges are numbers", edit(t, "bpe", []any{5}, "model", "merges"), "merges"},
		{"dropout", edit(t, "bpe", 0.1, "model", "dropout"), "dropout"},
		{"prefix", edit(t, "bpe", "@@", "model", "continuing_subword_prefix"), "shorter than the prefix"},
		{"unknown token missing", edit(t, "bpe", "[nope]", "model", "unk_token"), "[nope]"},
		{"unknown model option", edit(t, "bpe", 1, "model", "new_option"), "new_option"},
		{"unknown part", edit(t, "bpe", 1, "tail"), "tail"},
		{"other version", edit(t, "bpe", "2.0", "version"), "2.0"},
		{"wordpiece without unknown", edit(t, "wordpiece", "[nope]", "model", "unk_token"), "[nope]"},
		{"wordpiece with a huge word limit", edit(t, "wordpiece", 1<<30, "model", "max_input_chars_per_word"), "max_input_chars_per_word"},
		{"wordpiece with merges", edit(t, "wordpiece", []any{"a b"}, "model", "merges"), "WordPiece"},
		{"normalizer", edit(t, "bpe", object{"type": "Precompiled", "precompiled_charsmap": "AAAA"}, "normalizer"), "precompiled_charsmap"},
		{"charsmap with a trie beyond its end", edit(t, "bpe", object{"type": "Precompiled", "precompiled_charsmap": "AAEAAAAAAAA="}, "normalizer"), "256 bytes"},
		{"normalizer in a sequence", edit(t, "bpe", object{"type": "Sequence", "normalizers": []any{object{"type": "Replace"}}}, "normalizer"), "Replace: a pattern"},
		{"unknown normalizer", edit(t, "bpe", object{"type": "Magic"}, "normalizer"), `normalizer: "Magic" is not supported`},
		{"normalizer nested deep", edit(t, "bpe", nested, "normalizer"), "nested"},
		{"normalizer without type", edit(t, "bpe", object{}, "normalizer"), "normalizer"},
		{"normalizer is a number", edit(t, "bpe", 7, "normalizer"), "normalizer"},
		{"normalizer option", edit(t, "wordpiece", true, "normalizer", "fancy"), "fancy"},
		{"pre-tokenizer", edit(t, "bpe", object{"type": "UnicodeScripts"}, "pre_tokenizer"), `pre_tokenizer: "UnicodeScripts" is not supported`},
		{"pre-tokenizer option", edit(t, "bpe", object{"type": "Metaspace"}, "pre_tokenizer"), "replacement"},
		{"Metaspace that contradicts itself", edit(t, "bpe", object{"type": "Metaspace", "replacement": "_", "add_prefix_space": false}, "pre_tokenizer"), "contradicts"},
		{"split behaviour", edit(t, "bpe", object{"type": "Split", "pattern": object{"String": "a"}, "behavior": "Shredded", "invert": false}, "pre_tokenizer"), "Shredded"},
		{"split by nothing", edit(t, "bpe", object{"type": "Split", "pattern": object{"String": ""}, "behavior": "Removed", "invert": false}, "pre_tokenizer"), "empty"},
		{"regular expression", edit(t, "bpe", object{"type": "Split", "pattern": object{"Regex": "a(b"}, "behavior": "Removed", "invert": false}, "pre_tokenizer"), "not closed"},
		{"regular expression with a back reference", edit(t, "bpe", object{"type": "Split", "pattern": object{"Regex": `(a)\1`}, "behavior": "Removed", "invert": false}, "pre_tokenizer"), "not supported"},
		{"two post-processors that add", edit(t, "wordpiece", object{"type": "Sequence", "processors": []any{object{"type": "BertProcessing", "sep": []any{"[SEP]", 3}, "cls": []any{"[CLS]", 2}}, object{"type": "BertProcessing", "sep": []any{"[SEP]", 3}, "cls": []any{"[CLS]", 2}}}}, "post_processor"), "several"},
		{"post-processor", edit(t, "bpe", object{"type": "Fancy"}, "post_processor"), `post_processor: "Fancy"`},
		{"post-processor with a wrong id", edit(t, "wordpiece", object{"type": "BertProcessing", "sep": []any{"[SEP]", 9}, "cls": []any{"[CLS]", 2}}, "post_processor"), `"[SEP]" has id 9 here and 3`},
		{"post-processor with an unknown token", edit(t, "wordpiece", object{"type": "BertProcessing", "sep": []any{"[NO]", 9}, "cls": []any{"[CLS]", 2}}, "post_processor"), "[NO]"},
		{"post-processor without sep", edit(t, "wordpiece", object{"type": "BertProcessing", "cls": []any{"[CLS]", 2}}, "post_processor"), "sep"},
		{"template without A", edit(t, "wordpiece", []any{}, "post_processor", "single"), "sequence A"},
		{"template with an undefined token", edit(t, "wordpiece", object{}, "post_processor", "special_tokens"), "not defined"},
		{"B in a single template", edit(t, "wordpiece", []any{object{"Sequence": object{"id": "B", "type_id": 0}}}, "post_processor", "single"), "B"},
		{"decoder", edit(t, "bpe", object{"type": "Telepathy"}, "decoder"), `decoder: "Telepathy"`},
		{"decoder option", edit(t, "bpe", object{"type": "Metaspace"}, "decoder"), "replacement"},
		{"decoder with a regular expression", edit(t, "bpe", object{"type": "Replace", "pattern": object{"Regex": "a+"}, "content": ""}, "decoder"), "regular expression"},
		{"added token with a wrong id", edit(t, "bpe", []any{token(7, "<|endoftext|>")}, "added_tokens"), "7"},
		{"added token beyond the next id", edit(t, "bpe", []any{token(1000, "<new>")}, "added_tokens"), "1000"},
		{"added token twice", edit(t, "bpe", []any{token(400, "<new>"), token(400, "<new>")}, "added_tokens"), "twice"},
		{"empty added token", edit(t, "bpe", []any{token(400, "")}, "added_tokens"), "0 bytes"},
		{"long added token", edit(t, "bpe", []any{token(400, strings.Repeat("x", 5000))}, "added_tokens"), "5000 bytes"},
		{"empty file", nil, "ends too early"},
		{"null", []byte("null"), "model"},
		{"a list", []byte("[]"), "tokenizer"},
		{"truncated", edit(t, "bpe", 1, "model", "merges")[:300], "ends too early"},
		{"two values", append(edit(t, "bpe", nil, "decoder"), "{}"...), "more than one"},
		{"deep nesting", []byte(`{"model":` + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + "}"), "depth"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseTokenizerJSON(c.data, settings{})
			var load *LoadError
			if !errors.As(err, &load) || !strings.Contains(err.Error(), c.wants) {
				t.Fatalf("error %v, want a LoadError that names %s", err, c.wants)
			}
			if strings.ContainsAny(err.Error(), "\n\r") || len(err.Error()) > 400 {
				t.Errorf("not one short line: %q", err)
			}
		})
	}
}

// write makes a directory with files.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func fixture(t testing.TB, parts ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{"testdata"}, parts...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestLoadPaths: files by name and content, directories, and what each refusal says.
func TestLoadPaths(t *testing.T) {
	vocab, merges := fixture(t, "bpe-vocab", "vocab.json"), fixture(t, "bpe-vocab", "merges.txt")
	words := fixture(t, "wordpiece-vocab", "vocab.txt")
	for _, c := range []struct {
		name  string
		files map[string]string
		load  string // "" for the directory
		wants string // "" for success
	}{
		{"encoder.json", map[string]string{"encoder.json": vocab, "vocab.bpe": merges}, "", ""},
		{"vocab.bpe named", map[string]string{"encoder.json": vocab, "vocab.bpe": merges}, "vocab.bpe", ""},
		{"vocab.json named", map[string]string{"vocab.json": vocab, "merges.txt": merges}, "vocab.json", ""},
		{"any .txt is WordPiece", map[string]string{"my-vocab.txt": words}, "my-vocab.txt", ""},
		{"carriage returns", map[string]string{"vocab.txt": strings.ReplaceAll(words, "\n", "\r\n")}, "", ""},
		{"no final newline", map[string]string{"vocab.txt": strings.TrimSuffix(words, "\n")}, "", ""},
		{"merges without a vocabulary", map[string]string{"merges.txt": merges}, "merges.txt", "vocab.json or encoder.json"},
		{"vocabulary without merges", map[string]string{"vocab.json": vocab}, "vocab.json", "merges.txt or vocab.bpe"},
		{"nothing", nil, "", "looked for tokenizer.json"},
		{"sentencepiece", map[string]string{"spiece.model": "x"}, "", "not a SentencePiece model"},
		{"sentencepiece named", map[string]string{"spiece.model": "\x0a\x7f"}, "spiece.model", "not a SentencePiece model"},
		{"sentencepiece without pieces", map[string]string{"tokenizer.model": ""}, "", "no pieces"},
		{"sentencepiece of another class", map[string]string{"spiece.model": "\x0a\x03\x0a\x01a", "tokenizer_config.json": `{"tokenizer_class": "AlbertTokenizer"}`}, "", "AlbertTokenizer"},
		{"class that adds a token it lacks", map[string]string{"vocab.json": vocab, "merges.txt": merges, "tokenizer_config.json": `{"tokenizer_class": "LlamaTokenizer"}`}, "", "LlamaTokenizer"},
		{"tiktoken", map[string]string{"x.tiktoken": "x"}, "x.tiktoken", "save_pretrained"},
		{"not UTF-8", map[string]string{"vocab.txt": "[UNK]\n\xff\n"}, "", "not UTF-8"},
		{"a text file", map[string]string{"vocab.txt": "hello\nworld\n"}, "", "[UNK]"},
		{"an empty file", map[string]string{"vocab.txt": ""}, "", "[UNK]"},
		{"a merge of one", map[string]string{"vocab.json": vocab, "merges.txt": "#version: 0.2\nab\n"}, "", "line 2"},
		{"config is no JSON", map[string]string{"vocab.txt": words, "tokenizer_config.json": "{"}, "", "tokenizer_config.json"},
		{"config with a role of a wrong type", map[string]string{"vocab.txt": words, "tokenizer_config.json": `{"cls_token": 7}`}, "", "cls_token"},
		{"config that splits special tokens", map[string]string{"vocab.txt": words, "tokenizer_config.json": `{"split_special_tokens": true}`}, "", "split_special_tokens"},
		{"config with an id that is none", map[string]string{"vocab.txt": words, "tokenizer_config.json": `{"added_tokens_decoder": {"x": {"content": "y"}}}`}, "", "not an id"},
		{"class of another family", map[string]string{"vocab.json": vocab, "merges.txt": merges, "tokenizer_config.json": `{"tokenizer_class": "CTRLTokenizer"}`}, "", "CTRLTokenizer"},
		{"added tokens with a gap", map[string]string{"vocab.txt": words, "added_tokens.json": `{"<new>": 5000}`}, "", "5000"},
		{"no added tokens", map[string]string{"vocab.txt": words, "added_tokens.json": `{}`}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, c.files)
			tok, err := Load(filepath.Join(dir, c.load))
			if c.wants == "" {
				if err != nil {
					t.Fatal(err)
				}
				if n := tok.VocabSize(); n < 250 {
					t.Errorf("VocabSize = %d", n)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.wants) || !strings.Contains(err.Error(), dir) {
				t.Fatalf("error %v, want one with the path that names %s", err, c.wants)
			}
		})
	}
	if _, err := Load(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want os.ErrNotExist", err)
	}
}

// TestDirectorySettings: what the files beside a vocabulary change.
func TestDirectorySettings(t *testing.T) {
	words := fixture(t, "wordpiece-vocab", "vocab.txt")
	count := strings.Count(words, "\n")
	plain := load(t, write(t, map[string]string{"vocab.txt": words}))
	for config, text := range map[string]string{
		`{"do_lower_case": false}`:          "The",
		`{"strip_accents": false}`:          "müller",
		`{"tokenize_chinese_chars": false}`: "中中",
	} {
		tok := load(t, write(t, map[string]string{"vocab.txt": words, "tokenizer_config.json": config}))
		if slices.Equal(mustEncode(t, tok, text), mustEncode(t, plain, text)) {
			t.Errorf("%s: no effect on %q", config, text)
		}
	}
	tok := load(t, write(t, map[string]string{"vocab.txt": words,
		"tokenizer_config.json":   `{"added_tokens_decoder": {"` + fmt.Sprint(count) + `": {"content": "<n>", "special": true}}, "bos_token": null, "eos_token": {"content": "<n>"}}`,
		"special_tokens_map.json": `{"pad_token": "<pad2>", "eos_token": "[SEP]"}`}))
	s := tok.Specials()
	if int(s.EOS) != count || int(s.PAD) != count+1 || s.BOS != -1 {
		t.Errorf("Specials = %+v, want EOS %d, PAD %d and no BOS", s, count, count+1)
	}
	if got := mustEncode(t, tok, "a<n>"); len(got) != 4 || int(got[2]) != count {
		t.Errorf("a<n> gives %v", got)
	}
	vocab, merges := fixture(t, "bpe-vocab", "vocab.json"), fixture(t, "bpe-vocab", "merges.txt")
	tok = load(t, write(t, map[string]string{"vocab.json": vocab, "merges.txt": merges, "tokenizer_config.json": `{"add_bos_token": true, "add_prefix_space": true}`}))
	want := append([]int32{tok.Specials().BOS}, mustEncode(t, load(t, "testdata/bpe-vocab"), " the")...)
	if got := mustEncode(t, tok, "the"); !slices.Equal(got, want) {
		t.Errorf("add_bos_token and add_prefix_space: %v, want %v", got, want)
	}
}

// TestBareVocabularyCase: upper-case pieces decide, special tokens aside.
func TestBareVocabularyCase(t *testing.T) {
	base := "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n"
	for more, wantLower := range map[string]bool{"": true, "b\n": true, "B\n": false, "##X\n": false, "É\n": false, "[unusedX]\n": true} {
		tok := load(t, write(t, map[string]string{"vocab.txt": base + more}))
		ids := mustEncode(t, tok, "A")
		if lower := ids[1] == 5; lower != wantLower {
			t.Errorf("with %q: A gives %v, lower-casing should be %v", more, ids, wantLower)
		}
	}
}

// TestVocabLines: an empty line takes an id, of equal lines the last counts.
func TestVocabLines(t *testing.T) {
	got, err := vocabLines("a\n\nb\na\n c \n")
	if err != nil || len(got) != 3 || got["a"] != 3 || got["b"] != 2 || got[" c "] != 4 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestFileSizeLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vocab.txt")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(maxTokenizerBytes + 1); err != nil { // a sparse file
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "larger than 64 MiB") {
		t.Errorf("error %v", err)
	}
}
