package evidence

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recorder takes what Table would fail with.
type recorder struct {
	testing.TB
	failed string
}

func (r *recorder) Helper()                   {}
func (r *recorder) Errorf(f string, a ...any) { r.failed = fmt.Sprintf(f, a...) }
func (r *recorder) Fatal(a ...any)            { r.failed = fmt.Sprint(a...); panic(r) }
func (r *recorder) Fatalf(f string, a ...any) { r.failed = fmt.Sprintf(f, a...); panic(r) }

func compare(t *testing.T, document string, rows ...[]string) (failed string) {
	r := &recorder{TB: t}
	defer func() {
		if e := recover(); e != nil && e != any(r) {
			panic(e)
		}
		failed = r.failed
	}()
	Table(r, document, "x", []string{"a", "b"}, rows)
	return r.failed
}

// A stale table is an error, updating mends it and nothing else, and a document without the
// lines is an error.
func TestTable(t *testing.T) {
	document := filepath.Join(t.TempDir(), "x.md")
	if err := os.WriteFile(document, []byte("before\n<!-- begin x -->\n<!-- end x -->\nafter\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv(Update, "")
	if failed := compare(t, document, []string{"1", "2"}); !strings.Contains(failed, "out of date") {
		t.Errorf("a stale table: %q", failed)
	}
	t.Setenv(Update, "1")
	if failed := compare(t, document, []string{"1", "2"}); failed != "" {
		t.Errorf("updating: %q", failed)
	}
	t.Setenv(Update, "")
	if failed := compare(t, document, []string{"1", "2"}); failed != "" {
		t.Errorf("after updating: %q", failed)
	}
	data, err := os.ReadFile(document)
	if want := "before\n<!-- begin x -->\n| a | b |\n| --- | --- |\n| 1 | 2 |\n<!-- end x -->\nafter\n"; err != nil || string(data) != want {
		t.Errorf("document %q, %v", data, err)
	}
	if err := os.WriteFile(document, []byte("nothing\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if failed := compare(t, document); !strings.Contains(failed, "has no lines") {
		t.Errorf("no lines: %q", failed)
	}
}

func TestTestsAreFound(t *testing.T) {
	have, err := Tests(".")
	if err != nil || !have["TestTable"] || !have["TestTestsAreFound"] || have["compare"] {
		t.Errorf("%v, %v", have, err)
	}
}
