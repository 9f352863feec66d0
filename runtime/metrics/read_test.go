package metrics

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// write puts a file into a folder of the test.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSystems scores six systems of the E2E challenge. The values are those of pymteval's and pycocoevalcap 1.2's own code
// (Java's tokenizer included) and sacrebleu 2.6.0.
func TestSystems(t *testing.T) {
	if testing.Short() {
		t.Skip("computes for long")
	}
	references := filepath.Join(shared, "e2e/testset_w_refs.csv")
	if _, err := os.Stat(references); err != nil {
		t.Skipf("%s is not here", references)
	}
	groups, err := ReadE2EReferences(references)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]TextScores{
		"adapt":  {BLEU: 0.5092298573297693, NIST: 7.195364168809713, Padded: 7.195364168809713, ROUGEL: 0.5871714583460849, CIDEr: 1.5038901249439693},
		"harv":   {BLEU: 0.6496177066351849, NIST: 8.461482504417202, Padded: 8.57304367572323, ROUGEL: 0.6872323713040539, CIDEr: 2.0850224906065966},
		"sheff1": {BLEU: 0.6015126901400714, NIST: 8.224728059162492, Padded: 8.394202847095464, ROUGEL: 0.6777935736696755, CIDEr: 2.1775423327710492},
		"tgen":   {BLEU: 0.6592719327817853, NIST: 8.59226711918862, Padded: 8.609505733908774, ROUGEL: 0.685022628460141, CIDEr: 2.2338463877854293},
		"tuda":   {BLEU: 0.5657254795407035, NIST: 7.454427436004092, Padded: 7.454427436004092, ROUGEL: 0.6613615918258803, CIDEr: 1.8206004020262103},
		"zhaw1":  {BLEU: 0.5864093892565012, NIST: 8.021192418178044, Padded: 8.021192418178044, ROUGEL: 0.5998489390713375, CIDEr: 1.8172690706662702},
	} {
		if !allSystems && name != "tgen" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			o, err := ReadOutputs(filepath.Join(shared, "e2e-outputs", name+".tsv"))
			if err != nil {
				t.Fatal(err)
			}
			items, err := Pair(groups, references, o)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ScoreText(items)
			if err != nil {
				t.Fatal(err)
			}
			if got.Outputs != 630 {
				t.Errorf("%d outputs", got.Outputs)
			}
			near(t, "BLEU", got.BLEU, want.BLEU, 1e-14)
			near(t, "NIST", got.NIST, want.NIST, 1e-12)
			near(t, "NIST, padded", got.Padded, want.Padded, 1e-12)
			near(t, "ROUGE-L", got.ROUGEL, want.ROUGEL, 1e-13)
			near(t, "CIDEr", got.CIDEr, want.CIDEr, 1e-12)
		})
	}
}

// TestSplitTable holds the lenient form of Python's csv reader.
func TestSplitTable(t *testing.T) {
	for _, c := range []struct {
		in   string
		want [][]string
	}{
		{"a\tb\nc\td\n", [][]string{{"a", "b"}, {"c", "d"}}},
		{"\"a, b\"\t\"say \"\"x\"\"\"\r\r\n\n c\t\n", [][]string{{"a, b", `say "x"`}, {" c", ""}}},
		{"\"a\"b\tc\"d\"\n", [][]string{{"ab", `c"d"`}}},
		{"\"a\nb\"\tc", [][]string{{"a\nb", "c"}}},
		{"a\t\"b", nil},
		{"", [][]string{}},
	} {
		if got := splitTable(c.in, '\t'); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}

// TestReferencesOfTables pairs tables with outputs with and without sources, in any order.
func TestReferencesOfTables(t *testing.T) {
	refs := write(t, "refs.csv", "\ufeffmr,ref\n\"name[A], x[1]\",a one\n\"name[A], x[1]\",a two\nname[B],costs Â£5\nname[A],third\nname[B],b two\n")
	groups, err := ReadE2EReferences(refs)
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{
		"table.tsv": "MR\toutput\nname[B]\tB\nname[A], x[1]\tA\nname[A]\tC\n",
		"bare.tsv":  "name[B]\tB\n\"name[A], x[1]\"\tA\nname[A]\tC\n",
		"headed":    "source\tsystem output\nname[B]\tB\nname[A], x[1]\tA\nname[A]\tC\n",
	} {
		o, err := ReadOutputs(write(t, name, file))
		if err != nil {
			t.Fatal(err)
		}
		items, err := Pair(groups, refs, o)
		if err != nil {
			t.Fatal(err)
		}
		want := []Item{{"B", []string{"costs £5", "b two"}}, {"A", []string{"a one", "a two"}}, {"C", []string{"third"}}}
		if !reflect.DeepEqual(items, want) {
			t.Errorf("%s: %q", name, items)
		}
	}
	for file, want := range map[string][]int{"w\nx\ny\nz\n": {2, 1, 1, 1}, "w\nx\ny\n": {2, 2, 1}} { // adjacent, or all equal ones
		o, err := ReadOutputs(write(t, "lines.txt", file))
		if err != nil {
			t.Fatal(err)
		}
		items, err := Pair(groups, refs, o)
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range want {
			if len(items[i].References) != n {
				t.Errorf("%q: output %d has references %q, want %d", file, i+1, items[i].References, n)
			}
		}
	}
}

// TestEntries pairs lines with the entries of a file, two of which have equal sources.
func TestEntries(t *testing.T) {
	groups := []Group{
		{Source: "s", References: []string{"a"}, Row: 1, Entry: "1"}, {Source: "s", References: []string{"b"}, Row: 2, Entry: "1"},
		{Source: "s", References: []string{"c"}, Row: 3, Entry: "2"}, {Source: "t", References: []string{"d"}, Row: 4, Entry: "3"},
		{Source: "s", References: []string{"e"}, Row: 5, Entry: "4"},
	}
	for _, want := range [][]string{{"a b", "c", "d", "e"}, {"a b c", "d", "e"}, {"a b c e", "d"}} {
		items, err := Pair(groups, "refs.json", Outputs{Name: "out.txt", Texts: make([]string, len(want))})
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			if got := strings.Join(items[i].References, " "); got != w {
				t.Errorf("of %d outputs, %d has references %q, want %q", len(want), i+1, got, w)
			}
		}
	}
	_, err := Pair(groups, "refs.json", Outputs{Name: "out.txt", Texts: make([]string, 5)})
	if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "2 different sources in 4 entries") {
		t.Errorf("%v", err)
	}
}

// TestTextItems reads references in groups, as single lines and in several files.
func TestTextItems(t *testing.T) {
	outputs := write(t, "out.txt", "one\n\nthree \r\n")
	for name, c := range map[string]struct {
		refs []string
		want []Item
	}{
		"groups":  {[]string{"a\nb\n\nc\n\nd\ne\n"}, []Item{{"one", []string{"a", "b"}}, {"", []string{"c"}}, {"three", []string{"d", "e"}}}},
		"single":  {[]string{"a\nb\nc"}, []Item{{"one", []string{"a"}}, {"", []string{"b"}}, {"three", []string{"c"}}}},
		"several": {[]string{"a\n\nc\n", "x\ny\n\n"}, []Item{{"one", []string{"a", "x"}}, {"", []string{"y"}}, {"three", []string{"c"}}}},
	} {
		var paths []string
		for _, r := range c.refs {
			paths = append(paths, write(t, "refs.txt", r))
		}
		items, err := TextItems(outputs, paths...)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(items, c.want) {
			t.Errorf("%s: %q, want %q", name, items, c.want)
		}
	}
	one := write(t, "one.txt", "alone\n")
	if items, err := TextItems(one, write(t, "refs.txt", "a\nb\n")); err != nil || len(items[0].References) != 2 {
		t.Errorf("%q, %v", items, err)
	}
}

// TestBadFiles checks that errors name file and row, and never the text.
func TestBadFiles(t *testing.T) {
	groups := []Group{{Source: "s1", References: []string{"a"}, Row: 1}, {Source: "s2", References: []string{"b"}, Row: 2}}
	pair := func(file string) error {
		o, err := ReadOutputs(write(t, "out.tsv", file))
		if err != nil {
			return err
		}
		_, err = Pair(groups, "refs.csv", o)
		return err
	}
	text := func(outputs string, refs ...string) error {
		var paths []string
		for _, r := range refs {
			paths = append(paths, write(t, "refs.txt", r))
		}
		_, err := TextItems(write(t, "out.txt", outputs), paths...)
		return err
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{pair("MR\toutput\ns1\tsecret\nzz\tsecret\n"), "row 2: refs.csv has no reference"},
		{pair("MR\toutput\ns1\tsecret\n"), "refs.csv: the source of row 2 has no output"},
		{pair("secret\nsecret\nsecret\n"), "has 3 lines, refs.csv has references for 2"},
		{pair(""), "out.tsv is empty"},
		{pair("MR\toutput\n"), "no rows"},
		{pair("MR\toutput\ns1\tsecret\tsecret\n"), "row 1: it has 3 columns"},
		{pair("MR\toutput\ns1\t\"secret\n"), "never ends"},
		{pair("MR\toutput\tsystem\ns1\tsecret\tsecret\n"), "2 of texts"},
		{pair("MR\toutput\ns1\t\xff\n"), "line 2 is not UTF-8"},
		{text("secret\nsecret\n", "a\n\nb\n\nc\n"), "references for 3 outputs"},
		{text("secret\nsecret\n", "a\n\n\nb\n"), "references for 3 outputs"},
		{text("secret\nsecret\nsecret\n", "a\n\n\nb\n"), "no reference for output 2"},
		{text("secret\nsecret\n", "a\nb\n", "c\n"), "has 1 lines"},
		{text("secret\nsecret\n", "a\n\n", "c\n\n"), "line 2 of"},
		{text("secret\n"), "no references"},
		{text("", "a\n"), "out.txt is empty"},
		{text("secret\n", ""), "refs.txt is empty"},
	} {
		switch {
		case !errors.Is(c.err, ErrInput):
			t.Errorf("want %q, got %v", c.want, c.err)
		case !strings.Contains(c.err.Error(), c.want), strings.Contains(c.err.Error(), "secret"):
			t.Errorf("want %q, got %q", c.want, c.err)
		}
	}
	if _, err := ReadE2EReferences(filepath.Join(t.TempDir(), "none.csv")); !errors.Is(err, ErrInput) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// FuzzSplitTable checks that a table of any bytes ends, and that its rows have columns.
func FuzzSplitTable(f *testing.F) {
	f.Add("mr\tref\n\"a\"\"b\"\t\"c\nd\"\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, row := range splitTable(s, '\t') {
			if len(row) == 0 {
				t.Error("a row without columns")
			}
		}
	})
}
