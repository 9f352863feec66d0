package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A Statement is what a model directory says about the privacy of the records that
// the model was trained on: release/privacy.json and release/statement.txt, as
// `train --out` writes them. It is what the directory says; nothing here checks
// that the weights beside it are those it speaks of.
type Statement struct {
	// Kind is "private", "not private" (the directory says that its run was not),
	// "none" (it says nothing) or "unreadable".
	Kind       string   `json:"kind"`
	Epsilon    *float64 `json:"epsilon,omitempty"`
	Delta      *float64 `json:"delta,omitempty"`
	Unit       string   `json:"unit,omitempty"`     // "one record", or what a user's records have in common
	Relation   string   `json:"relation,omitempty"` // what neighbouring data sets are
	Accountant string   `json:"accountant,omitempty"`
	NotPrivate string   `json:"not_private,omitempty"` // why a run was not private
	Text       string   `json:"statement"`             // for people
}

// The kinds of statements.
const (
	Private         = "private"
	NotPrivate      = "not private"
	NoStatement     = "none"
	UnreadStatement = "unreadable"
)

// noStatementText is what a model without a statement is said to promise.
const noStatementText = "None. This model came without a privacy statement: nothing is known or promised about what it reveals of the data that it was trained on."

// maxStatement bounds each of the two files.
const maxStatement = 1 << 20

// ReadStatement reads the statement of a model directory. A damaged one is said to
// be so; it never becomes a claim.
func ReadStatement(dir string) Statement {
	data, err := readBounded(filepath.Join(dir, "release", "privacy.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return Statement{Kind: NoStatement, Text: noStatementText}
	}
	var s Statement
	if err == nil {
		s, err = parseStatement(data)
	}
	if err == nil && s.Kind != "" {
		var text []byte
		if text, err = readBounded(filepath.Join(dir, "release", "statement.txt")); err == nil {
			s.Text = strings.ToValidUTF8(string(text), "\uFFFD")
			return s
		}
	}
	return Statement{Kind: UnreadStatement, Text: "Unknown. The privacy statement that came with this model can't be read, so nothing is promised."}
}

// parseStatement reads privacy.json.
func parseStatement(data []byte) (Statement, error) {
	var file struct {
		Private    *bool    `json:"private"`
		NotPrivate string   `json:"not_private"`
		Epsilon    *float64 `json:"epsilon"`
		Delta      *float64 `json:"delta"`
		Unit       string   `json:"unit_of_privacy"`
		Relation   string   `json:"relation"`
		Accountant string   `json:"accountant"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return Statement{}, err
	}
	switch {
	case file.Private == nil:
		return Statement{}, fmt.Errorf("it does not say whether the run was private")
	case !*file.Private:
		return Statement{Kind: NotPrivate, NotPrivate: file.NotPrivate}, nil
	case file.Epsilon == nil || file.Delta == nil:
		return Statement{}, fmt.Errorf("it says private without an epsilon and a delta")
	}
	return Statement{Kind: Private, Epsilon: file.Epsilon, Delta: file.Delta, Unit: file.Unit, Relation: file.Relation, Accountant: file.Accountant}, nil
}

// readBounded reads a small file.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxStatement+1))
	if err == nil && len(data) > maxStatement {
		err = fmt.Errorf("%s has more than %d bytes", path, maxStatement)
	}
	return data, err
}

// Summary is the statement in a line.
func (s Statement) Summary() string {
	switch s.Kind {
	case Private:
		return fmt.Sprintf("epsilon %g, delta %g, unit %s, accountant %s", *s.Epsilon, *s.Delta, s.Unit, s.Accountant)
	case NotPrivate:
		return "not private: " + s.NotPrivate
	}
	return s.Kind
}
