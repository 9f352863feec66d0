package tokenize

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// A chainOracle is a decoder as the reference writes it: a list of tokens in, a list of tokens out. The stages, which
// take tokens in parts and give text out early, must come to the same text.
type chainOracle func(tokens []string) []string

func each(f func(i int, token string) string) chainOracle {
	return func(tokens []string) []string {
		out := make([]string, len(tokens))
		for i, token := range tokens {
			out[i] = f(i, token)
		}
		return out
	}
}

func fuseOracle(tokens []string) []string { return []string{strings.Join(tokens, "")} }

func byteLevelOracle(tokens []string) []string {
	var b []byte
	for _, token := range tokens {
		var own []byte
		for _, r := range token {
			c, ok := alphabetByte[r]
			if !ok {
				own = []byte(token)
				break
			}
			own = append(own, c)
		}
		b = append(b, own...)
	}
	return []string{lossyUTF8(b)}
}

func byteFallbackOracle(tokens []string) (out []string) {
	for i := 0; i < len(tokens); i++ {
		var run []byte
		for i < len(tokens) {
			b, ok := fallbackByte(tokens[i])
			if !ok {
				break
			}
			run = append(run, b)
			i++
		}
		if len(run) > 0 && utf8.Valid(run) {
			out = append(out, string(run))
		} else {
			for range run {
				out = append(out, "\ufffd")
			}
		}
		if i < len(tokens) {
			out = append(out, tokens[i])
		}
	}
	return out
}

func stripOracle(content rune, start, stop int) chainOracle {
	return each(func(_ int, token string) string {
		chars := []rune(token)
		for i := 0; i < start && len(chars) > 0 && chars[0] == content; i++ {
			chars = chars[1:]
		}
		for i := 0; i < stop && len(chars) > 0 && chars[len(chars)-1] == content; i++ {
			chars = chars[:len(chars)-1]
		}
		return string(chars)
	})
}

func bpeOracle(tokens []string) (out []string) {
	for i, token := range tokens {
		blank := " "
		if i == len(tokens)-1 {
			blank = ""
		}
		out = append(out, strings.ReplaceAll(token, "</w>", blank))
	}
	return out
}

func ctcOracle(tokens []string) (out []string) {
	for _, token := range slices.Compact(slices.Clone(tokens)) {
		token = strings.ReplaceAll(replaceAll(strings.ReplaceAll(token, "<pad>", ""), wordPieceCleanUps), "|", " ")
		if token != "" {
			out = append(out, token)
		}
	}
	return out
}

func metaspaceOracle(tokens []string) []string {
	return each(func(i int, token string) string {
		if i == 0 {
			return strings.ReplaceAll(token, "▁", "")
		}
		return strings.ReplaceAll(token, "▁", " ")
	})(tokens)
}

func wordPieceOracle(tokens []string) []string {
	return each(func(i int, token string) string {
		if rest, ok := strings.CutPrefix(token, "##"); ok && i > 0 {
			token = rest
		} else if i > 0 {
			token = " " + token
		}
		return replaceAll(token, wordPieceCleanUps)
	})(tokens)
}

func spacedOracle(tokens []string) []string { return []string{strings.Join(tokens, " ")} }

func replaceOracle(pattern, content string) chainOracle {
	return each(func(_ int, token string) string { return strings.ReplaceAll(token, pattern, content) })
}

// decoderPairs are the stages beside their oracles.
var decoderPairs = []struct {
	stages decoder
	oracle []chainOracle
}{
	{decoder{spacedStage}, []chainOracle{spacedOracle}},
	{decoder{byteLevelStage}, []chainOracle{byteLevelOracle}},
	{decoder{byteFallbackStage}, []chainOracle{byteFallbackOracle}},
	{decoder{fuseStage}, []chainOracle{fuseOracle}},
	{decoder{wordPieceStage("##", true)}, []chainOracle{wordPieceOracle}},
	{decoder{metaspaceStage("▁", false)}, []chainOracle{metaspaceOracle}},
	{decoder{bpeStage("</w>")}, []chainOracle{bpeOracle}},
	{decoder{ctcStage("<pad>", "|", true)}, []chainOracle{ctcOracle}},
	{decoder{stripStage(' ', 1, 0)}, []chainOracle{stripOracle(' ', 1, 0)}},
	{decoder{stripStage('a', 2, 2)}, []chainOracle{stripOracle('a', 2, 2)}},
	{decoder{replaceStage("aba", "X")}, []chainOracle{replaceOracle("aba", "X")}},
	{decoder{replaceStage("▁", " ")}, []chainOracle{replaceOracle("▁", " ")}},
	{decoder{fuseStage, trimStage}, []chainOracle{fuseOracle, each(func(_ int, s string) string { return strings.TrimFunc(s, isPythonSpace) })}},
	{cleanUpStages(), []chainOracle{func(tokens []string) []string { return []string{CleanUpSpaces(strings.Join(tokens, ""))} }}},
}

func TestStagesAgainstOracles(t *testing.T) {
	alphabet := []string{"a", "b", "ab", "aba", " ", "  ", "▁", "▁the", "##x", "</w>", "x</w>", "<pad>", "|", "<0xE2>", "<0x82>", "<0xAC>",
		"<0x41>", "<0x+A>", "é", "Ã©", "Ã", "©", "Ġ", "âĤ", "¬", ".", " .", "n't", "'", " '", "s", "\u00a0", "", "do not", " do", "not", "\x1c", "中"}
	rapid.Check(t, func(t *rapid.T) {
		tokens := rapid.SliceOfN(rapid.SampledFrom(alphabet), 0, 12).Draw(t, "tokens")
		picked := rapid.SliceOfN(rapid.IntRange(0, len(decoderPairs)-1), 1, 4).Draw(t, "stages")
		var stages decoder
		want := tokens
		for _, i := range picked {
			stages = append(stages, decoderPairs[i].stages...)
			for _, oracle := range decoderPairs[i].oracle {
				want = oracle(want)
			}
		}
		var out strings.Builder
		s := stages.open(&out)
		for _, token := range tokens {
			for rest := token; rest != ""; {
				n := rapid.IntRange(1, utf8.RuneCountInString(rest)).Draw(t, "part")
				part := string([]rune(rest)[:n])
				s.text(part)
				rest = rest[len(part):]
			}
			s.end()
		}
		s.close()
		if got := out.String(); got != strings.Join(want, "") {
			t.Fatalf("stages %v of %q give %q, want %q", picked, tokens, got, strings.Join(want, ""))
		}
	})
}

// checkStream holds the parts of a stream against Decode: together they are it, and each is UTF-8.
func checkStream(t testing.TB, tok *Tokenizer, ids []int32, skip bool) {
	t.Helper()
	var got strings.Builder
	s := tok.Stream(skip)
	for _, id := range ids {
		part := s.Push(id)
		if !utf8.ValidString(part) {
			t.Fatalf("id %d gives half a character: %q", id, part)
		}
		got.WriteString(part)
	}
	got.WriteString(s.Flush())
	if want := tok.Decode(ids, skip); got.String() != want {
		t.Fatalf("the stream of %v gives %q, Decode %q", ids, got.String(), want)
	}
	if again := s.Flush(); again != "" && tok.Decode(nil, skip) != again {
		t.Fatalf("a second Flush gives %q", again)
	}
}

func TestStreamEqualsDecode(t *testing.T) {
	dirs, err := filepath.Glob("testdata/*/")
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, dir := range dirs {
		tok := load(t, dir)
		for range 200 {
			ids := make([]int32, random.IntN(20))
			for i := range ids {
				ids[i] = int32(random.IntN(tok.VocabSize() + 2))
			}
			checkStream(t, tok, ids, random.IntN(2) == 0)
		}
	}
}

// TestStreamIsPrompt: text comes out with the id that makes it certain, and not a character of it earlier.
func TestStreamIsPrompt(t *testing.T) {
	tok := load(t, "testdata/bpe")
	id := func(token string) int32 {
		i, ok := tok.TokenToID(token)
		if !ok {
			t.Fatalf("no token %q", token)
		}
		return i
	}
	s := tok.Stream(false)
	for _, step := range []struct {
		token, want string
	}{{"a", "a"}, {"â", ""}, {"Ĥ", ""}, {"¬", "€"}, {"ð", ""}, {"b", "\ufffdb"}, {"ð", ""}, {"Ł", ""}} {
		if got := s.Push(id(step.token)); got != step.want {
			t.Errorf("%q gives %q, want %q", step.token, got, step.want)
		}
	}
	if got := s.Flush(); got != "\ufffd" {
		t.Errorf("Flush gives %q", got)
	}
}

// TestCleanUpOfConfig: clean_up_tokenization_spaces changes Decode and the stream alike.
func TestCleanUpOfConfig(t *testing.T) {
	files := map[string]string{"vocab.json": fixture(t, "bpe-vocab", "vocab.json"), "merges.txt": fixture(t, "bpe-vocab", "merges.txt")}
	for config, want := range map[string]string{`{"clean_up_tokenization_spaces": true}`: "is it? don't 'do",
		`{"clean_up_tokenization_spaces": false}`: "is it ? do n't 'do"} {
		files["tokenizer_config.json"] = config
		tok := load(t, write(t, files))
		ids := mustEncode(t, tok, "is it ? do n't 'do")
		if got := tok.Decode(ids, false); got != want {
			t.Errorf("%s: %q, want %q", config, got, want)
		}
		checkStream(t, tok, ids, false)
	}
}
