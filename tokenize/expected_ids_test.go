package tokenize

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const sharedTokenizers = "../../shared/data/tokenizers"

// shared is a path below the shared tokenizers; the test is skipped where they are not.
func shared(t testing.TB, parts ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{sharedTokenizers}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not there: the shared test material is missing", path)
	}
	return path
}

var (
	jsString   = regexp.MustCompile(`^  ([A-Z0-9_]+): ("(?:[^"\\]|\\.)*"),?(?: //.*)?$`)
	jsSet      = regexp.MustCompile(`^export const ([A-Z0-9_]+) = \{$`)
	jsEntry    = regexp.MustCompile(`^  "?([^":\s]+)"?: \{$`)
	jsCase     = regexp.MustCompile(`^    ([A-Z0-9_]+): \{$`)
	jsProperty = regexp.MustCompile(`^      ([a-z_]+): (.+?),?$`)
)

// testStrings reads the string constants of test_strings.js as SET.NAME.
func testStrings(t *testing.T) map[string]string {
	data, err := os.ReadFile(shared(t, "expected-ids", "test_strings.js"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	set := ""
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\r\n")
		if m := jsSet.FindStringSubmatch(line); m != nil {
			set = m[1]
		} else if m := jsString.FindStringSubmatch(line); m != nil {
			var s string
			if json.Unmarshal([]byte(m[2]), &s) == nil {
				out[set+"."+m[1]] = s
			}
		}
	}
	return out
}

type idCase struct {
	name, text, pair, decoded string
	isPair                    bool
	ids                       []int32
}

// testCases reads the cases of one tokenizer out of a test_tokenization_*.js.
func testCases(t *testing.T, file, entry string) []idCase {
	data, err := os.ReadFile(shared(t, "expected-ids", file))
	if err != nil {
		t.Fatal(err)
	}
	constants := testStrings(t)
	str := func(expr string) string {
		var s string
		if strings.HasPrefix(expr, `"`) {
			if err := json.Unmarshal([]byte(expr), &s); err != nil {
				t.Fatalf("%s: %v", expr, err)
			}
			return s
		}
		s, ok := constants[expr]
		if !ok {
			t.Fatalf("%s is not in test_strings.js", expr)
		}
		return s
	}
	var out []idCase
	inside := false
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\r\n")
		if m := jsEntry.FindStringSubmatch(line); m != nil {
			inside = m[1] == entry
		}
		if !inside {
			continue
		}
		if m := jsCase.FindStringSubmatch(line); m != nil {
			out = append(out, idCase{name: m[1]})
		} else if m := jsProperty.FindStringSubmatch(line); m != nil && len(out) > 0 {
			c := &out[len(out)-1]
			switch m[1] {
			case "text":
				c.text = str(m[2])
			case "text_pair":
				c.pair, c.isPair = str(m[2]), true
			case "decoded":
				c.decoded = str(m[2])
			case "ids":
				if err := json.Unmarshal([]byte(m[2]), &c.ids); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return out
}

// TestExpectedIDs compares with the ids that transformers.js expects of the published tokenizers.
func TestExpectedIDs(t *testing.T) {
	for _, c := range []struct {
		file, entry string
		path        []string
		cases       int
	}{
		{"test_tokenization_gpt2.js", "Xenova/gpt2", []string{"gpt2", "tokenizer.json"}, 26},
		{"test_tokenization_gpt2.js", "Xenova/gpt2", []string{"gpt2", "vocab.json"}, 26},
		{"test_tokenization_gpt2.js", "Xenova/gpt2", []string{"gpt2"}, 26},
		{"test_tokenization_bert.js", "Xenova/bert-base-uncased", []string{"bert", "bert-base-uncased-vocab.txt"}, 30},
		{"test_tokenization_bert.js", "Xenova/bert-base-cased", []string{"bert", "bert-cased-vocab.txt"}, 8},
	} {
		t.Run(c.entry+"/"+strings.Join(c.path, "/"), func(t *testing.T) {
			tok := load(t, shared(t, c.path...))
			cases := testCases(t, c.file, c.entry)
			if len(cases) != c.cases {
				t.Fatalf("%d cases read, want %d", len(cases), c.cases)
			}
			for _, e := range cases {
				got := mustEncode(t, tok, e.text)
				if e.isPair {
					pair, err := tok.EncodePair(e.text, e.pair)
					if err != nil {
						t.Fatal(err)
					}
					got = pair.IDs
				}
				if !slices.Equal(got, e.ids) {
					t.Errorf("%s: %+q: ids %v, want %v", e.name, e.text, got, e.ids)
				}
				// These files decode with clean_up_tokenization_spaces.
				if got := CleanUpSpaces(tok.Decode(e.ids, false)); got != e.decoded {
					t.Errorf("%s: decoded %+q, want %+q", e.name, got, e.decoded)
				}
			}
		})
	}
}
