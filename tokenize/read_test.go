package tokenize

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// readAll collects what a reader gives.
func readAll(text string, f DataFormat) ([]Record, error) {
	var out []Record
	for rec, err := range Stream(context.Background(), "data.file", strings.NewReader(text), f) {
		if err != nil {
			return out, err
		}
		out = append(out, rec)
	}
	return out, nil
}

var (
	e2eFormat   = DataFormat{Task: TaskE2E}
	sst2Format  = DataFormat{Task: TaskSST2}
	lmFormat    = DataFormat{Task: TaskLM}
	classFormat = DataFormat{Task: TaskClassify, Classes: 3}
	namedFormat = DataFormat{Task: TaskClassify, LabelNames: []string{"bad", "good"}}
	chatFormat  = DataFormat{Task: TaskInstruct}
)

// TestReaders: rows of every layout.
func TestReaders(t *testing.T) {
	for _, c := range []struct {
		name, text string
		format     DataFormat
		want       []Record
	}{
		{"e2e", "mr,ref\n\"name[A], food[B]\",\"He said \"\"hi\"\", twice\"\nname[C],plain\n", e2eFormat,
			[]Record{{Row: 1, Source: "name[A], food[B]", Target: `He said "hi", twice`, Label: -1}, {Row: 2, Source: "name[C]", Target: "plain", Label: -1}}},
		{"e2e, other order, quoted header, mark, CRLF, a line in a field", "\ufeff\"ref\",\"MR\",id\r\n\"a\nb\",name[C],7\r\n", e2eFormat,
			[]Record{{Row: 1, Source: "name[C]", Target: "a\nb", Label: -1}}},
		{"sst2", "label\tsentence\r\n1\ta good one\r\n0\t\"bad\r\n", sst2Format,
			[]Record{{Row: 1, Text: "a good one", Label: 1}, {Row: 2, Text: `"bad`, Label: 0}}},
		{"sst2 of GLUE", "sentence\tlabel\na good one \t1\n\nbad\t0", sst2Format,
			[]Record{{Row: 1, Text: "a good one ", Label: 1}, {Row: 2, Text: "bad", Label: 0}}},
		{"sst2 without header", "1\ta good one\n0\tbad\n", sst2Format,
			[]Record{{Row: 1, Text: "a good one", Label: 1}, {Row: 2, Text: "bad", Label: 0}}},
		{"sst2 without header, label last", "a good one\t1\n", sst2Format, []Record{{Row: 1, Text: "a good one", Label: 1}}},
		{"qnli", "index\tquestion\tsentence\tlabel\n0\tWho?\tShe.\tentailment\n", DataFormat{Task: TaskQNLI},
			[]Record{{Row: 1, Text: "Who?", Pair: "She.", Label: 0}}},
		{"qqp", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\tA?\tB?\t1\n", DataFormat{Task: TaskQQP},
			[]Record{{Row: 1, Text: "A?", Pair: "B?", Label: 1}}},
		{"qqp, a torn question", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\tA \"x\t\"B\t1\n1\t1\t2\tA\nB?\tC\t0\n2\t1\t2\tD\tE\t0\n3\tF", DataFormat{Task: TaskQQP},
			[]Record{{Row: 1, Text: `A "x`, Pair: `"B`, Label: 1}, {Row: 2, Text: "D", Pair: "E", Label: 0}}},
		{"mnli of GLUE", "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label\n" +
			"0\t31193\t31193n\tgovernment\t( x )\t( y )\t(ROOT x)\t(ROOT y)\tConceptually \"cream\" skims.\tProduct and geography.\tentailment\tneutral\n", DataFormat{Task: TaskMNLI},
			[]Record{{Row: 1, Text: `Conceptually "cream" skims.`, Pair: "Product and geography.", Label: 2}}},
		{"mnli dev_mismatched", "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label\n" +
			"0\t1\t1c\tletters\t( x )\t( y )\t(ROOT x)\t(ROOT y)\t\"A\tB\tneutral\tentailment\tneutral\tneutral\tcontradiction\tcontradiction\n", DataFormat{Task: TaskMNLI},
			[]Record{{Row: 1, Text: `"A`, Pair: "B", Label: 0}}},
		{"qnli of GLUE", "index\tquestion\tsentence\tlabel\n0\tWhen \"did\" it?\t\"He\tnot_entailment\n", DataFormat{Task: TaskQNLI},
			[]Record{{Row: 1, Text: `When "did" it?`, Pair: `"He`, Label: 1}}},
		{"mnli, the model's order", "index\tsentence1\tsentence2\tgold_label\n0\tA.\tB.\tneutral\n", DataFormat{Task: TaskMNLI, Classes: 3, LabelNames: []string{"entailment", "neutral", "contradiction"}},
			[]Record{{Row: 1, Text: "A.", Pair: "B.", Label: 1}}},
		{"mnli", "index\tsentence1\tsentence2\tgold_label\n0\tA.\tB.\tneutral\n", DataFormat{Task: TaskMNLI},
			[]Record{{Row: 1, Text: "A.", Pair: "B.", Label: 2}}},
		{"lm", "{\"text\": \"a\\nb\", \"other\": [1]}\n\n  \n{\"text\": \"\\ud83d\\ude00\"}", lmFormat,
			[]Record{{Row: 1, Text: "a\nb", Label: -1}, {Row: 2, Text: "😀", Label: -1}}},
		{"classify", `{"text": "a", "label": 2}` + "\n" + `{"label": 0, "text": ""}`, classFormat,
			[]Record{{Row: 1, Text: "a", Label: 2}, {Row: 2, Text: "", Label: 0}}},
		{"classify by name", `{"text": "a", "label": "good"}` + "\n" + `{"text": "b", "label": 0}`, namedFormat,
			[]Record{{Row: 1, Text: "a", Label: 1}, {Row: 2, Text: "b", Label: 0}}},
		{"instruct", `{"prompt": "p", "completion": "c"}`, chatFormat, []Record{{Row: 1, Source: "p", Target: "c", Label: -1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readAll(c.text, c.format)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(c.want) {
				t.Fatalf("%d records, want %d", len(got), len(c.want))
			}
			for i := range got {
				if got[i] != c.want[i] {
					t.Errorf("record %d: %+v, want %+v", i, got[i], c.want[i])
				}
			}
		})
	}
}

// TestReaderErrors: every bad row is one line that names file, row and field, and never the content, here "secret".
func TestReaderErrors(t *testing.T) {
	long := strings.Repeat("secret", MaxRowBytes/6+10)
	for _, c := range []struct {
		name, text string
		format     DataFormat
		want       string
	}{
		{"empty file", "", e2eFormat, "data.file: there are no rows"},
		{"header alone", "mr,ref\n", e2eFormat, "data.file: there are no rows"},
		{"empty sst2", "label\tsentence\n", sst2Format, "data.file: there are no rows"},
		{"blank lines alone", "\n \n", lmFormat, "data.file: there are no rows"},
		{"no such columns", "secret,ref\na,b\n", e2eFormat, "data.file: line 1: the header lacks the columns mr and ref"},
		{"a field too few", "mr,ref\na,b\nsecret\n", e2eFormat, "data.file: row 2 (line 3): there are 1 fields, but the header has 2"},
		{"a field too many", "mr,ref\nsecret,b,c\n", e2eFormat, "data.file: row 1 (line 2): there are 3 fields"},
		{"a quote that never ends", "mr,ref\na,b\nsecret,\"secret\nc,d\n", e2eFormat, "data.file: row 2 (line 3): a quote never ends"},
		{"a quote that never ends in a large file", "mr,ref\nsecret,\"" + strings.Repeat("secret,secret\n", MaxRowBytes/7), e2eFormat, "data.file: row 1: the row is longer than 1048576 bytes; perhaps a quote in it never ends"},
		{"a quote amid a field", "mr,ref\nse\"cret,b\n", e2eFormat, "data.file: row 1 (line 2): a quote inside an unquoted field"},
		{"text after a quote", "mr,ref\n\"secret\"secret,b\nc,d\n", e2eFormat, "data.file: row 1 (line 2): a quoted field goes on"},
		{"csv not UTF-8", "mr,ref\na,b\nc,secret\xff\n", e2eFormat, `data.file: row 2 (line 3): field "ref": is not UTF-8`},
		{"csv not UTF-8, later lines", "mr,ref\n\"a\nb\",c\nsecret\xff,d\n", e2eFormat, `data.file: row 2 (line 4): field "mr": is not UTF-8`},
		{"csv too long", "mr,ref\na," + long + "\n", e2eFormat, "data.file: row 1: the row is longer"},
		{"tsv too long", "label\tsentence\n0\t" + long + "\n", sst2Format, "data.file: row 1 (line 2): the row is longer"},
		{"tsv header too long", long, sst2Format, "data.file: line 1: the row is longer"},
		{"json too long", `{"text":"` + long + `"}`, lmFormat, "data.file: row 1 (line 1): the row is longer"},
		{"sst2 without columns", "a\tb\tc\nsecret\n", sst2Format, "data.file: line 1: the header lacks a column; task sst2 needs sentence, label"},
		{"sst2 test set", "index\tsentence\n0\tsecret\n", sst2Format, "data.file: line 1: the header lacks"},
		{"qnli without columns", "question\tlabel\nsecret\tb\n", DataFormat{Task: TaskQNLI}, "needs question, sentence, label"},
		{"tsv field too many", "label\tsentence\n0\ta\n1\tsecret\tsecret\n", sst2Format, "data.file: row 2 (line 3): there are 3 fields, but the first line has 2"},
		{"sst2 label out of range", "label\tsentence\n0\ta\n\n2\tsecret\n", sst2Format, `data.file: row 2 (line 4): field "label": is none of the 2 labels`},
		{"sst2 label a word", "label\tsentence\nsecret\ta\n", sst2Format, `field "label": is none of the 2 labels`},
		{"sst2 not UTF-8", "label\tsentence\n0\tsecret\xc3\n", sst2Format, `data.file: row 1 (line 2): field "sentence": is not UTF-8`},
		{"pair not UTF-8", "question\tsentence\tlabel\na\tsecret\xc3\tentailment\n", DataFormat{Task: TaskQNLI}, `row 1 (line 2): field "sentence": is not UTF-8`},
		{"json not UTF-8", "{\"text\": \"secret\xff\"}", lmFormat, "data.file: row 1 (line 1): is not UTF-8"},
		{"not json", "{\"text\": \"a\"}\n{secret}", lmFormat, "data.file: row 2 (line 2): is not JSON (at byte 2)"},
		{"json cut off", `{"text": "secret`, lmFormat, "row 1 (line 1): is not JSON"},
		{"two objects", `{"text": "secret"} {"text": "secret"}`, lmFormat, "row 1 (line 1): is not JSON"},
		{"json list", `["secret"]`, lmFormat, "is not a JSON object"},
		{"json null", `null`, lmFormat, "is not a JSON object"},
		{"json too deep", `{"text": ` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, lmFormat, "row 1 (line 1): is not JSON"},
		{"text missing", `{"txt": "secret"}`, lmFormat, `data.file: row 1 (line 1): field "text": is missing`},
		{"text a number", `{"text": 7}`, lmFormat, `field "text": must be a string, not a number`},
		{"text null", `{"text": null}`, lmFormat, `field "text": must be a string, not null`},
		{"half a surrogate pair", `{"text": "secret \ud83d"}`, lmFormat, `field "text": has half a surrogate pair`},
		{"the other half", `{"text": "\udc00 secret"}`, lmFormat, `field "text": has half a surrogate pair`},
		{"completion missing", `{"prompt": "secret"}`, chatFormat, `field "completion": is missing`},
		{"label missing", `{"text": "secret"}`, classFormat, `field "label": is missing`},
		{"label out of range", `{"text": "secret", "label": 3}`, classFormat, `field "label": is outside 0 to 2`},
		{"label negative", `{"text": "secret", "label": -1}`, classFormat, `field "label": is outside 0 to 2`},
		{"label negative, classes unknown", `{"text": "secret", "label": -1}`, DataFormat{Task: TaskClassify}, `field "label": is negative`},
		{"label a fraction", `{"text": "secret", "label": 1.0}`, classFormat, `field "label": must be an integer`},
		{"label huge", `{"text": "secret", "label": 99999999999}`, classFormat, `field "label": must be an integer`},
		{"label a boolean", `{"text": "secret", "label": true}`, classFormat, `field "label": must be an integer or a string, not a boolean`},
		{"label a name without names", `{"text": "a", "label": "secret"}`, classFormat, `field "label": is a string, but no label names are given`},
		{"label an unknown name", `{"text": "a", "label": "secret"}`, namedFormat, `field "label": is none of the 2 labels`},
		{"label beyond the names", `{"text": "secret", "label": 2}`, namedFormat, `field "label": is outside 0 to 1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := readAll(c.text, c.format)
			var row *RowError
			if !errors.As(err, &row) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want a RowError with %q", err, c.want)
			}
			if strings.Contains(err.Error(), "secret") || strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("the error holds content or several lines: %v", err)
			}
		})
	}
}

func TestFormatOfDataIsChecked(t *testing.T) {
	for _, f := range []DataFormat{
		{Task: "nothing"}, {}, {Task: TaskClassify, Classes: -1}, {Task: TaskMNLI, Classes: 2},
		{Task: TaskClassify, LabelNames: []string{"a", "a"}}, {Task: TaskQNLI, LabelNames: []string{"entailment", "else"}}, {Task: TaskClassify, LabelNames: []string{"a", "b", "c"}, Classes: 2},
	} {
		if _, err := readAll("{}", f); err == nil {
			t.Errorf("%+v: no error", f)
		}
	}
}

// TestStreamStops: on cancellation, on a reader's error, and when the caller has enough.
func TestStreamStops(t *testing.T) {
	text := strings.Repeat("{\"text\": \"a\"}\n", 100)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n := 0
	var last error
	for _, err := range Stream(ctx, "x", strings.NewReader(text), lmFormat) {
		if n++; n == 10 {
			cancel()
		}
		last = err
	}
	if n != 11 || !errors.Is(last, context.Canceled) {
		t.Errorf("%d elements, last %v; want 10 records and context.Canceled", n, last)
	}
	broken := errors.New("broken disk")
	for head, f := range map[string]DataFormat{"{\"text\":\"a\"}\n": lmFormat, "mr,ref\n": e2eFormat, "label\tsentence\n": sst2Format} {
		for _, err := range Stream(context.Background(), "x", io.MultiReader(strings.NewReader(head), iotest.ErrReader(broken)), f) {
			last = err
		}
		if !errors.Is(last, broken) {
			t.Errorf("%s: error %v, want the reader's", f.Task, last)
		}
	}
	n = 0
	for range Stream(context.Background(), "x", strings.NewReader(text), lmFormat) {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d elements after a break", n)
	}
}

// TestOneByteAtATime: a reader that trickles changes nothing.
func TestOneByteAtATime(t *testing.T) {
	for text, f := range map[string]DataFormat{
		"\ufeffmr,ref\nname[A],\"b\nc\"\n": e2eFormat, "label\tsentence\r\n1\tx\r\n": sst2Format, "{\"text\":\"é\"}\n": lmFormat,
	} {
		want, err := readAll(text, f)
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		for rec, err := range Stream(context.Background(), "x", iotest.OneByteReader(strings.NewReader(text)), f) {
			if err != nil || rec != want[i] {
				t.Errorf("%s: %+v, %v, want %+v", f.Task, rec, err, want[i])
			}
			i++
		}
		if i != len(want) {
			t.Errorf("%s: %d records, want %d", f.Task, i, len(want))
		}
	}
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.jsonl")
	if err := os.WriteFile(path, []byte("{\"text\":\"a\"}\n{\"text\":7}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := ReadFile(context.Background(), path, lmFormat)
	if err == nil || !strings.HasPrefix(err.Error(), path+": row 2 (line 2)") {
		t.Errorf("error %v, want one that starts with the path and the row", err)
	}
	if _, err := ReadFile(context.Background(), path+".absent", lmFormat); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want os.ErrNotExist", err)
	}
}

// TestSharedDataSets counts the rows of the real files.
func TestSharedDataSets(t *testing.T) {
	const root = "../../shared/data"
	for _, c := range []struct {
		file string
		task Task
		rows int
	}{
		{"e2e/trainset.csv", TaskE2E, 42061}, {"e2e/devset.csv", TaskE2E, 4672}, {"e2e/testset_w_refs.csv", TaskE2E, 4693},
		{"sst2/train.tsv", TaskSST2, 67349}, {"sst2/dev.tsv", TaskSST2, 872},
	} {
		path := filepath.Join(root, c.file)
		if _, err := os.Stat(path); err != nil {
			t.Skipf("%s is not there: the shared test material is missing", path)
		}
		records, err := ReadFile(context.Background(), path, DataFormat{Task: c.task, Classes: 2})
		if err != nil {
			t.Fatal(err)
		}
		if len(records) != c.rows || records[c.rows-1].Row != c.rows {
			t.Errorf("%s: %d rows, the last is %d; want %d", c.file, len(records), records[len(records)-1].Row, c.rows)
		}
		for _, rec := range records {
			if c.task == TaskE2E {
				if _, err := E2ESource(rec.Source); err != nil || rec.Target == "" {
					t.Fatalf("%s: row %d: %v", c.file, rec.Row, err)
				}
			} else if rec.Text == "" || rec.Label < 0 || rec.Label > 1 {
				t.Fatalf("%s: row %d", c.file, rec.Row)
			}
		}
	}
}
