package tokenize

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

var (
	dartFormat    = DataFormat{Task: TaskDART}
	webnlgFormat  = DataFormat{Task: TaskWebNLG}
	personaFormat = DataFormat{Task: TaskPersona}
)

const (
	dartJSON = `[{"tripleset": [["A B", "JOINED", "1973"], ["A B", "HomeTown", "C, D"]], "annotations": [{"source": "WikiSQL_lily", "text": "one"}, {"source": "e2e", "text": "two"}]},
		{"tripleset": [["E", "İs", "É"]], "subtree_was_extended": true, "annotations": [{"text": "three"}]}, {"tripleset": [["x", "y", "z"]], "annotations": []}]`
	webnlgJSON = `{"entries": [{"1": {"category": "Airport", "lexicalisations": [{"comment": "good", "lang": "", "lex": "one"}, {"comment": "toFix", "lex": "bad"}, {"comment": "good", "lang": "ru", "lex": "не"}],
		"modifiedtripleset": [{"object": "O_1", "property": "leaderName", "subject": "S"}]}}, {"modifiedtripleset": [{"object": "o", "property": "p", "subject": "s"}], "lexicalisations": [{"lex": "two"}]}]}`
	dartXML = `<?xml version='1.0' encoding='utf-8'?><benchmark><entries>
		<entry category="MISC" eid="Id7" size="1"><originaltripleset><otriple>no | no | no</otriple></originaltripleset>
		<modifiedtripleset><mtriple>A | TITLE | B &amp; C</mtriple><mtriple>A | |X| | D</mtriple></modifiedtripleset>
		<lex comment="WikiTableQuestions_lily" lid="Id1"> one </lex><lex comment="e2e">two</lex></entry>
		<entry category="Food"><modifiedtripleset><mtriple>s|p|o</mtriple></modifiedtripleset><lex comment="bad">x</lex><lex comment="good" lang="en">three</lex></entry>
		</entries></benchmark>`
	parlai = "1 your persona: i ski.\n2 your persona: i am old.\n3 hi there\thello|hey\t\ta|b\n4 __SILENCE__\tstill here ?\n\n" +
		"1 your persona: new.\n2 who ?\tme\r\n3 no answer\n4 really ?\tyes\n1 partner's persona: they swim.\n2 bare\tok\n"
	parlaiNamed = "text:your persona: a.\\nyour persona: b.\\nhi\tlabels:x__PIPE__y|z\treward:1\n" + "text:more\\tof it\teval_labels:w\tepisode_done:True\n" + "text:new\tlabels:v\n"
	splitJSON   = `{"valid": [{"personality": ["p"], "utterances": [{"candidates": ["no", "yes"], "history": ["q"]}]}],
		"train": [{"personality": ["a.", "b."], "utterances": [{"candidates": ["c", "r1"], "history": ["__ SILENCE __"]}, {"candidates": ["r2"], "history": ["h1", "r1", "h2"]}]}]}`
	responses = `{"persona": ["a."], "history": ["x", "y"], "response": "z", "user": 7}` + "\n\n" + `{"history": [], "response": "w", "user": "8"}`
)

// row is a record of two texts.
func row(n int, source, target, unit string) Record {
	return Record{Row: n, Source: source, Target: target, Label: -1, Unit: unit}
}

func said(n int, unit, response string, persona []string, history ...string) Record {
	return Record{Row: n, Target: response, Label: -1, Unit: unit, Dialog: &Dialog{persona, history}}
}

func with(f DataFormat, change func(f *DataFormat)) DataFormat { change(&f); return f }

// TestEntryReaders: every layout of sets of triples and of dialogues.
func TestEntryReaders(t *testing.T) {
	unit := func(column string) func(*DataFormat) { return func(f *DataFormat) { f.UnitColumn = column } }
	one, three := "A B : joined : 1973 | A B : hometown : C, D", "E : i̇s : É"
	for _, c := range []struct {
		name, text string
		format     DataFormat
		want       []Record
	}{
		{"dart", dartJSON, dartFormat, []Record{row(1, one, "one", ""), row(2, one, "two", ""), row(3, three, "three", "")}},
		{"dart by entry", dartJSON, with(dartFormat, unit("entry")), []Record{row(1, one, "one", "1"), row(2, one, "two", "1"), row(3, three, "three", "2")}},
		{"dart without e2e", dartJSON, with(dartFormat, func(f *DataFormat) { f.ExcludeSources = []string{"E2E"} }), []Record{row(1, one, "one", ""), row(3, three, "three", "")}},
		{"dart, one source", dartJSON, with(dartFormat, func(f *DataFormat) { f.Sources = []string{"wiki*"} }), []Record{row(1, one, "one", "")}},
		{"dart, a line each, columns", "{\"tripleset\":[[\"a\",\"B\",\"c\"]],\"annotations\":{\"source\":[\"e2e\"],\"text\":[\"t\"]}, \"id\": 3}\n\n{\"tripleset\":[[\"d\",\"E\",\"f\"]],\"annotations\":{\"source\":[],\"text\":[]}}", dartFormat,
			[]Record{row(1, "a : b : c", "t", "")}},
		{"webnlg", webnlgJSON, webnlgFormat, []Record{row(1, "S : leaderName : O_1", "one", ""), row(2, "s : p : o", "two", "")}},
		{"webnlg as dart", webnlgJSON, with(dartFormat, func(f *DataFormat) { f.Sources = []string{"webnlg"} }), []Record{row(1, "S : leadername : O_1", "one", ""), row(2, "s : p : o", "two", "")}},
		{"xml", dartXML, dartFormat, []Record{row(1, "A : title : B & C | A : |x| : D", "one", ""), row(2, "A : title : B & C | A : |x| : D", "two", ""), row(3, "s : p : o", "three", "")}},
		{"xml, unit and source", dartXML, with(webnlgFormat, func(f *DataFormat) { f.UnitColumn, f.Sources = "category", []string{"e2e", "webnlg"} }),
			[]Record{row(2, "A : TITLE : B & C | A : |X| : D", "two", "MISC"), row(3, "s : p : o", "three", "Food")}},
		{"xml by entry", dartXML, with(dartFormat, func(f *DataFormat) { f.UnitColumn, f.ExcludeSources = "entry", []string{"*e*"} }), nil},
		{"parlai", parlai, personaFormat, []Record{
			said(1, "", "hello", []string{"i ski.", "i am old."}, "hi there"), said(2, "", "still here ?", []string{"i ski.", "i am old."}, "hi there", "hello"),
			said(3, "", "me", []string{"new."}, "who ?"), said(4, "", "yes", []string{"new."}, "who ?", "me", "no answer", "really ?"),
			said(5, "", "ok", []string{"partner's persona: they swim."}, "bare")}},
		{"parlai by dialogue", parlai[strings.Index(parlai, "\n\n"):], with(personaFormat, unit("dialog")),
			[]Record{said(1, "1", "me", []string{"new."}, "who ?"), said(2, "1", "yes", []string{"new."}, "who ?", "me", "no answer", "really ?"), said(3, "2", "ok", []string{"partner's persona: they swim."}, "bare")}},
		{"parlai, named", parlaiNamed, with(personaFormat, unit("dialog")), []Record{
			said(1, "1", "x|y", []string{"a.", "b."}, "hi"), said(2, "1", "w", []string{"a.", "b."}, "hi", "x|y", "more\tof it"), said(3, "2", "v", nil, "new")}},
		{"split, train", splitJSON, with(personaFormat, unit("dialog")), []Record{said(1, "1", "r1", []string{"a.", "b."}), said(2, "1", "r2", []string{"a.", "b."}, "h1", "r1", "h2")}},
		{"split, valid", splitJSON, with(personaFormat, func(f *DataFormat) { f.Split = "valid" }), []Record{said(1, "", "yes", []string{"p"}, "q")}},
		{"responses", responses, with(personaFormat, unit("user")), []Record{said(1, "7", "z", []string{"a."}, "x", "y"), said(2, "8", "w", nil)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, in := range map[string]func(string) *strings.Reader{"": strings.NewReader, "with a mark": func(s string) *strings.Reader { return strings.NewReader("\ufeff" + s) }} {
				got, err := readEntries(iotest.OneByteReader(in(c.text)), c.format)
				if c.want == nil {
					if err == nil || !strings.Contains(err.Error(), "there are no rows") {
						t.Fatalf("%s: error %v, want that nothing is left", name, err)
					}
					continue
				}
				if err != nil || len(got) != len(c.want) {
					t.Fatalf("%s: %d records, %v; want %d", name, len(got), err, len(c.want))
				}
				for i, rec := range got {
					if d := rec.Dialog; d != nil && len(d.History) == 0 {
						d.History = nil
					}
					if d := rec.Dialog; d != nil && len(d.Persona) == 0 {
						d.Persona = nil
					}
					if !reflect.DeepEqual(rec, c.want[i]) {
						t.Errorf("%s: record %d: %+v %+v, want %+v %+v", name, i, rec, rec.Dialog, c.want[i], c.want[i].Dialog)
					}
				}
			}
		})
	}
}

// TestEntryErrors: what is wrong is named by entry and field, never by content, here "secret".
func TestEntryErrors(t *testing.T) {
	long := strings.Repeat("secret", MaxRowBytes/6+10)
	ok := `{"tripleset": [["a","b","c"]], "annotations": [{"source": "e2e", "text": "t"}]}`
	xml := func(entry string) string { return "<b><entries>\n<entry>" + entry + "</entry></entries></b>" }
	for _, c := range []struct {
		name, text string
		format     DataFormat
		want       string
	}{
		{"empty", "", dartFormat, "data.file: there are no rows"},
		{"empty array", "[]", dartFormat, "data.file: there are no rows"},
		{"no layout", "secret", dartFormat, "data.file: the file is neither JSON nor XML; task dart reads"},
		{"cut off", "[" + ok + ", {\"secret\"", dartFormat, "data.file: entry 2: row 2: the file ends inside of it"},
		{"array not ended", "[" + ok, dartFormat, "entry 2: row 2: the file ends inside of it"},
		{"not JSON", "[" + ok + " secret]", dartFormat, "entry 2: row 2: is not JSON (near byte"},
		{"more behind", "[" + ok + "] secret", dartFormat, "is not JSON"},
		{"a value behind", "[" + ok + `] "secret"`, dartFormat, "something follows the end of the array"},
		{"not UTF-8", "[" + strings.Replace(ok, `"t"`, "\"secret\xff\"", 1) + "]", dartFormat, "entry 1: row 1: is not UTF-8"},
		{"too long", `[` + ok + `,{"tripleset": "` + long + `"}]`, dartFormat, "entry 2: row 2: is longer than 1048576 bytes"},
		{"a string that never ends", `[{"tripleset": "` + long + long, dartFormat, "entry 1: row 1: is longer than"},
		{"blanks without end", strings.Repeat(" ", 2*MaxRowBytes) + "secret", dartFormat, "is not JSON"},
		{"no tripleset", `[{"secret": 1}]`, dartFormat, `entry 1: row 1: field "tripleset": is missing`},
		{"empty tripleset", `[{"tripleset": [], "annotations": []}]`, dartFormat, `field "tripleset": is empty`},
		{"two parts", `[{"tripleset": [["secret", "b"]], "annotations": []}]`, dartFormat, `field "tripleset[0]": has 2 parts; a triple is subject, relation, object`},
		{"a number", `[{"tripleset": [["a", "b", 7]], "annotations": []}]`, dartFormat, `field "tripleset[0][2]": must be a string, not a number`},
		{"half a pair", `[{"tripleset": [["a", "b", "secret\ud800"]], "annotations": []}]`, dartFormat, `field "tripleset[0][2]": has half a surrogate pair`},
		{"no text", `[{"tripleset": [["a", "b", "c"]], "annotations": [{"source": "secret"}]}]`, dartFormat, `field "annotations[0].text": is missing`},
		{"columns of two lengths", `[{"tripleset": [["a", "b", "c"]], "annotations": {"text": ["secret"], "source": []}}]`, dartFormat, `field "annotations": has 1 texts but 0 sources`},
		{"no unit", "[" + ok + "]", with(dartFormat, func(f *DataFormat) { f.UnitColumn = "user" }), `entry 1: row 1: field "user": is missing`},
		{"webnlg without triples", `{"entries": [{"1": {"secret": 1}}]}`, webnlgFormat, `field "modifiedtripleset": is missing`},
		{"webnlg, no property", `{"entries": [{"modifiedtripleset": [{"subject": "secret"}]}]}`, webnlgFormat, `field "modifiedtripleset[0].property": is missing`},
		{"webnlg, no array", `{"entries": "secret"}`, webnlgFormat, `field "entries": is not an array`},
		{"xml not closed", "<b><entry><lex>secret", dartFormat, "data.file: entry 1: row 1 (line 1): is not well-formed XML"},
		{"xml entity", xml("<lex>&secret;</lex>"), dartFormat, "entry 1: row 1 (line 2): is not well-formed XML"},
		{"xml not UTF-8", xml("<lex>secret\xff</lex>"), dartFormat, "entry 1: row 1 (line 2): is not well-formed XML"},
		{"xml, other encoding", `<?xml version="1.0" encoding="latin1"?><b/>`, dartFormat, "line 1: the file declares another encoding"},
		{"xml without triples", xml("<lex>secret</lex>"), dartFormat, `entry 1: row 1: field "modifiedtripleset": is empty or missing`},
		{"xml, two parts", xml("<mtriple>secret | b</mtriple>"), dartFormat, `field "mtriple 1": is not of the form`},
		{"xml, no unit", xml(""), with(dartFormat, func(f *DataFormat) { f.UnitColumn = "user" }), `field "user": is missing`},
		{"xml too long", xml("<lex>" + long + "</lex>"), dartFormat, "entry 1: row 1"},
		{"xml, many short texts", xml("<mtriple>a|b|c</mtriple>" + strings.Repeat("<lex>secret</lex>", MaxRowBytes/16)), dartFormat, "is longer than 1048576 bytes"},
		{"parlai, no number", "1 hi\tho\nsecret line\n", personaFormat, "data.file: row 2 (line 2): is neither a numbered line nor text:"},
		{"parlai, no name", "text:hi\tsecret\n", personaFormat, "row 1 (line 1): has a part that is not of the form name:value"},
		{"parlai not UTF-8", "1 secret\xff\tho\n", personaFormat, "row 1 (line 1): is not UTF-8"},
		{"parlai too long", "1 hi\tho\n2 " + long, personaFormat, "row 2 (line 2): the row is longer"},
		{"parlai without responses", "1 hi\n2 secret\n", personaFormat, "there are no rows"},
		{"parlai, unit", "1 hi\tsecret\n", with(personaFormat, func(f *DataFormat) { f.UnitColumn = "user" }), `row 1 (line 1): field "user": is not there`},
		{"no such part", `{"train": [{"secret": [{}]}]}`, with(personaFormat, func(f *DataFormat) { f.Split = "test" }), `the file has no part "test"`},
		{"no history", `{"response": "secret"}`, personaFormat, `entry 1: row 1: field "history": is missing`},
		{"no response", `{"history": ["secret"]}`, personaFormat, `field "response": is missing`},
		{"no candidates", `[{"personality": [], "utterances": [{"candidates": [], "history": ["secret"]}]}]`, personaFormat, `entry 1: row 1: field "utterances[0].candidates": is empty`},
		{"persona no list", `{"persona": "secret", "history": [], "response": ""}`, personaFormat, `field "persona": must be an array, not a string`},
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
	for _, f := range []DataFormat{{Task: TaskE2E, Sources: []string{"e2e"}}, {Task: TaskDART, ExcludeSources: []string{"[a"}}, {Task: TaskDART, Sources: []string{""}}} {
		if _, err := readAll(dartJSON, f); err == nil || !strings.Contains(err.Error(), "source") {
			t.Errorf("%+v: error %v, want one about sources", f, err)
		}
	}
}

// TestLargeFilesStream: a value that is not wanted may be of any size, and files of many entries are read one at a time.
func TestLargeFilesStream(t *testing.T) {
	text := `{"valid": [` + strings.Repeat(`{"personality": ["`+strings.Repeat("x", 1000)+`"]},`, 3000) + `1], "train": [{"utterances": [{"candidates": ["yes"], "history": ["h"]}]}]}`
	if got, err := readAll(text, personaFormat); err != nil || len(got) != 1 || got[0].Target != "yes" {
		t.Errorf("%d records, %v", len(got), err)
	}
	entry := `{"tripleset": [["a","b","` + strings.Repeat("c", 1000) + `"]], "annotations": [{"text": "t"}]}`
	if got, err := readAll("["+entry+strings.Repeat(",\n"+entry, 3000)+"]", dartFormat); err != nil || len(got) != 3001 {
		t.Errorf("%d records, %v", len(got), err)
	}
}

// TestRecordsAreAllThatIsKept: what a file has beside the records, such as MNLI's parses, ParlAI's candidates or sources that
// are left out, is given back.
func TestRecordsAreAllThatIsKept(t *testing.T) {
	const rows, waste = 40, 100 << 10
	long := strings.Repeat("x", waste)
	for name, c := range map[string]struct {
		head, row, tail string
		format          DataFormat
		records         int
	}{
		"mnli":      {"sentence1\tsentence2\tparse\tgold_label\n", "a\tb\t" + long + "\tneutral\n", "", DataFormat{Task: TaskMNLI}, rows},
		"e2e":       {"mr,ref,more\n", "a[b],c," + long + "\n", "", e2eFormat, rows},
		"lm":        {"", `{"text": "a", "more": "` + long + "\"}\n", "", lmFormat, rows},
		"parlai":    {"", "1 your persona: a.\n2 hi\tho\t\t" + long + "\n", "", personaFormat, rows},
		"dialogues": {`{"train": [`, `{"utterances": [{"candidates": ["` + long + `", "yes"], "history": ["h"]}]},`, `{"utterances": []}]}`, personaFormat, rows},
		"dart": {"[", `{"tripleset": [["a","b","c"]], "annotations": [{"source": "e2e", "text": "` + long + `"}]},`, `{"tripleset": [["a","b","c"]], "annotations": [{"text": "t"}]}]`,
			with(dartFormat, func(f *DataFormat) { f.ExcludeSources = []string{"e2e"} }), 1},
		"xml": {"<b>", "<entry><more>" + long + "</more><mtriple>a|b|c</mtriple><lex>t</lex></entry>", "</b>", dartFormat, rows},
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		parts := []io.Reader{strings.NewReader(c.head)}
		for range rows {
			parts = append(parts, strings.NewReader(c.row))
		}
		records, err := readEntries(io.MultiReader(append(parts, strings.NewReader(c.tail))...), c.format)
		if err != nil || len(records) != c.records {
			t.Fatalf("%s: %d records, %v", name, len(records), err)
		}
		parts = nil
		runtime.GC()
		runtime.ReadMemStats(&after)
		if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > rows*waste/4 {
			t.Errorf("%s: %d records keep %d bytes", name, len(records), kept)
		}
		runtime.KeepAlive(records)
	}
}

func readEntries(r interface{ Read([]byte) (int, error) }, f DataFormat) ([]Record, error) {
	var out []Record
	for rec, err := range Stream(context.Background(), "data.file", r, f) {
		if err != nil {
			return out, err
		}
		out = append(out, rec)
	}
	return out, nil
}

// TestEntryReadersPassErrorsOn: a disk that breaks is not taken for a bad row.
func TestEntryReadersPassErrorsOn(t *testing.T) {
	broken := errors.New("broken disk")
	for name, c := range map[string]struct {
		text string
		f    DataFormat
	}{
		"json": {dartJSON[:200], dartFormat}, "webnlg": {webnlgJSON[:100], webnlgFormat}, "xml": {dartXML[:300], dartFormat}, "parlai": {parlai[:60], personaFormat}, "nothing": {"", dartFormat},
	} {
		_, err := readEntries(&failAfter{strings.NewReader(c.text), broken}, c.f)
		if !errors.Is(err, broken) {
			t.Errorf("%s: error %v, want the reader's", name, err)
		}
	}
}

// failAfter reads r and then fails.
type failAfter struct {
	r   *strings.Reader
	err error
}

func (f *failAfter) Read(p []byte) (int, error) {
	if f.r.Len() == 0 {
		return 0, f.err
	}
	return f.r.Read(p)
}

// TestSharedEntries counts the records of the real files, by source.
func TestSharedEntries(t *testing.T) {
	const root = "../../shared/data"
	for _, c := range []struct {
		file   string
		format DataFormat
		rows   int
	}{
		{"dart/dart-v1.1.1-full-dev.json", dartFormat, 6980},
		{"dart/dart-v1.1.1-full-dev.json", with(dartFormat, func(f *DataFormat) { f.ExcludeSources = []string{"e2e"} }), 2690},
		{"dart/dart-v1.1.1-full-dev.json", with(dartFormat, func(f *DataFormat) { f.Sources = []string{"Wiki*"} }), 422},
		{"dart/dart-v1.1.1-full-test.xml", dartFormat, 12552},
		{"dart/dart-v1.1.1-full-test.xml", with(dartFormat, func(f *DataFormat) { f.Sources = []string{"webnlg"} }), 7361},
		{"webnlg/dev.json", webnlgFormat, 2258},
		{"persona/BoB_train_self_original_no_cands.txt", personaFormat, 66},
		{"persona/BoB_valid_self_original_no_cands.txt", personaFormat, 66},
	} {
		path := filepath.Join(root, c.file)
		if _, err := os.Stat(path); err != nil {
			t.Skipf("%s is not there: the shared test material is missing", path)
		}
		records, err := ReadFile(context.Background(), path, c.format)
		if err != nil {
			t.Fatal(err)
		}
		if len(records) != c.rows {
			t.Errorf("%s %v %v: %d rows, want %d", c.file, c.format.Sources, c.format.ExcludeSources, len(records), c.rows)
		}
		empty := 0
		for _, rec := range records {
			if rec.Source == "" && rec.Dialog == nil {
				t.Fatalf("%s: row %d has no source", c.file, rec.Row)
			}
			if rec.Target == "" {
				empty++
			}
		}
		if empty > 2 { // DART's test set has two such texts
			t.Errorf("%s: %d empty texts", c.file, empty)
		}
	}
}
