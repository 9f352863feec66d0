// Package evidence keeps documents true to the tests that they cite: a table in a document is
// compared with the rows that a test has just made, and a test that is named must exist. It is
// for tests.
package evidence

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Update is the environment variable that makes Table rewrite the document instead of comparing.
const Update = "GHOSTWRITER_UPDATE_DOCS"

// Table compares the Markdown table called name in the document, between the lines
// "<!-- begin NAME -->" and "<!-- end NAME -->", with header and rows. With Update set
// it writes them there.
func Table(t testing.TB, document, name string, header []string, rows [][]string) {
	t.Helper()
	data, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->\n"
	i, j := strings.Index(text, begin), strings.Index(text, end)
	if i < 0 || j < i {
		t.Fatalf("%s has no lines %q and %q", document, begin, end)
	}
	i += len(begin)
	want := markdown(header, rows)
	if text[i:j] == want {
		return
	}
	if os.Getenv(Update) == "" {
		t.Errorf("%s: the table %q is out of date: run this test with %s=1\nit says\n%s\nand should say\n%s", document, name, Update, text[i:j], want)
		return
	}
	if err := os.WriteFile(document, []byte(text[:i]+want+text[j:]), 0o644); err != nil {
		t.Fatal(err)
	}
}

func markdown(header []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(header)
	rule := make([]string, len(header))
	for i := range rule {
		rule[i] = "---"
	}
	line(rule)
	for _, r := range rows {
		line(r)
	}
	return b.String()
}

// Tests lists the test functions of the package in a folder, whatever build tags they stand
// behind.
func Tests(dir string) (map[string]bool, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return nil, err
	}
	have := map[string]bool{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz")) {
				have[f.Name.Name] = true
			}
		}
	}
	return have, nil
}
