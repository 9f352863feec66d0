package tokenize

import (
	"errors"
	"strings"
	"testing"
)

// TestUnits: every layout names the unit of its rows, as an exact string.
func TestUnits(t *testing.T) {
	with := func(f DataFormat) DataFormat { f.UnitColumn = "user"; return f }
	for _, c := range []struct {
		name, text string
		format     DataFormat
		want       []string
	}{
		{"e2e", "user,mr,ref\n a ,x,y\n\"A\",x,y\na,x,y\n", e2eFormat, []string{" a ", "A", "a"}},
		{"e2e, the unit is a column of its own", "mr,ref\nx,y\n", DataFormat{Task: TaskE2E, UnitColumn: "mr"}, []string{"x"}},
		{"sst2", "label\tuser\tsentence\r\n1\tu 1\ta\r\n0\tu\tb\r\n", sst2Format, []string{"u 1", "u"}},
		{"qnli", "index\tquestion\tsentence\tlabel\tuser\n0\tWho?\tShe.\tentailment\tz\n", DataFormat{Task: TaskQNLI}, []string{"z"}},
		{"lm", `{"text": "a", "user": "\u0061"}` + "\n" + `{"text": "b", "user": "a\n"}`, lmFormat, []string{"a", "a\n"}},
		{"lm, numbers", `{"text": "a", "user": 7}` + "\n" + `{"text": "b", "user": "7"}` + "\n" + `{"text": "b", "user": -12345678901234567890}`, lmFormat,
			[]string{"7", "7", "-12345678901234567890"}},
		{"classify", `{"text": "a", "label": 0, "user": "0"}`, classFormat, []string{"0"}},
		{"instruct", `{"prompt": "a", "completion": "b", "user": "é"}`, chatFormat, []string{"é"}},
	} {
		f := c.format
		if f.UnitColumn == "" {
			f = with(f)
		}
		records, err := readAll(c.text, f)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for i, rec := range records {
			if rec.Unit != c.want[i] {
				t.Errorf("%s: unit of row %d is %q, want %q", c.name, i+1, rec.Unit, c.want[i])
			}
		}
		if len(records) != len(c.want) {
			t.Errorf("%s: %d records", c.name, len(records))
		}
	}
}

// TestUnitErrors: a missing or empty unit names the row and the column, never content.
func TestUnitErrors(t *testing.T) {
	for _, c := range []struct{ name, text, task, want string }{
		{"csv without the column", "mr,ref\nsecret,b\n", "e2e", `line 1: the header lacks the column "user"`},
		{"csv, another case", "mr,ref,User\nsecret,b,c\n", "e2e", `line 1: the header lacks the column "user"`},
		{"csv, twice", "mr,ref,user,user\nsecret,b,c,d\n", "e2e", `has the column "user" twice`},
		{"csv, empty", "mr,ref,user\na,b,c\nsecret,b,\n", "e2e", `row 2 (line 3): field "user": is empty`},
		{"csv, not UTF-8", "mr,ref,user\na,b,secret\xff\n", "e2e", `row 1 (line 2): field "user": is not UTF-8`},
		{"tsv without the column", "label\tsentence\n1\tsecret\n", "sst2", `the header lacks the column "user"`},
		{"tsv without a header", "1\tsecret\n", "sst2", "the header lacks a column"},
		{"tsv, empty", "label\tsentence\tuser\n1\tsecret\t\n", "sst2", `row 1 (line 2): field "user": is empty`},
		{"json, missing", `{"text": "secret"}`, "lm", `row 1 (line 1): field "user": is missing`},
		{"json, null", `{"text": "secret", "user": null}`, "lm", `field "user": is missing`},
		{"json, empty", `{"text": "secret", "user": ""}`, "lm", `field "user": is empty`},
		{"json, half a surrogate pair", `{"text": "a", "user": "secret\ud800"}`, "lm", `field "user": has half a surrogate pair`},
		{"json, a fraction", `{"text": "secret", "user": 1.0}`, "lm", "must be a string or an integer without fraction"},
		{"json, an exponent", `{"text": "secret", "user": 1e3}`, "lm", "must be a string or an integer without fraction"},
		{"json, minus nothing", `{"text": "secret", "user": -0}`, "lm", "must be a string or an integer without fraction"},
		{"json, an object", `{"text": "a", "user": {"secret": 1}}`, "lm", "must be a string or an integer, not an object"},
		{"json, a truth value", `{"text": "secret", "user": true}`, "lm", "must be a string or an integer, not a boolean"},
	} {
		_, err := readAll(c.text, DataFormat{Task: Task(c.task), UnitColumn: "user"})
		var row *RowError
		if !errors.As(err, &row) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q and no content", c.name, err, c.want)
		}
	}
	f := DataFormat{Task: "nested", UnitColumn: "user"}
	if err := f.check(); err == nil || !strings.Contains(err.Error(), `can't be grouped by "user"`) {
		t.Errorf("a layout without columns: %v", err)
	}
}
