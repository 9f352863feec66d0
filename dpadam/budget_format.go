package dpadam

import (
	"encoding/json"
	"fmt"
)

// A budget is a text file of JSON lines, chained like a ledger: every line but the first
// carries in "prev" the SHA-256 of the line before it. Beside it lies FILE.head, the number
// of its lines and the hash of the last one, rewritten after each line and before anything
// that the line pays for: lines missing at the end are noticed, and a torn line at the end that FILE.head does
// not count never paid for anything. Types:
//
//	budget   first line: format version, a random id, the terms
//	reserve  a run takes a part: its id, name and plan, and everything it will charge; a
//	         second one for the same run replaces the first and is not smaller
//	settle   what the run's own ledger charged, and that ledger's head; replaces what the run
//	         had reserved
//
// Any but the first may list the torn lines before it.
const budgetVersion = 1

const (
	lineBudget  = "budget"
	lineReserve = "reserve"
	lineSettle  = "settle"
)

// budgetLine is any line; the fields of the other types are absent.
type budgetLine struct {
	Type    string         `json:"type"`
	Version int            `json:"version,omitempty"`
	ID      string         `json:"id,omitempty"`
	Terms   *BudgetTerms   `json:"terms,omitempty"`
	Run     string         `json:"run,omitempty"`
	Name    string         `json:"name,omitempty"`
	Plan    string         `json:"plan,omitempty"` // hash
	Charges *Charges       `json:"charges,omitempty"`
	Events  []BudgetEvent  `json:"events,omitempty"`
	Ledger  *Head          `json:"ledger,omitempty"` // absent for merged branches
	Torn    []tornFragment `json:"torn,omitempty"`
	Prev    string         `json:"prev,omitempty"`
}

// tornFragment is what a crash left of a line that never paid for anything.
type tornFragment struct {
	Bytes int    `json:"bytes"`
	Hash  string `json:"sha256"`
}

func encodeBudgetLine(l budgetLine) ([]byte, error) {
	data, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("budget line: %w", err)
	}
	return data, checkLength(data)
}

// decodeBudgetLine reads one line (decodeObject).
func decodeBudgetLine(data []byte) (l budgetLine, torn bool, err error) {
	if torn, err = decodeObject(data, &l); err == nil && !torn {
		err = l.checkShape()
	}
	return l, torn, err
}

// checkShape refuses unknown types and fields that are missing or belong to another type.
func (l *budgetLine) checkShape() error {
	header := l.Version != 0 || l.ID != "" || l.Terms != nil
	reserve := l.Name != "" || l.Plan != ""
	both := l.Run != "" || l.Charges != nil || l.Events != nil
	var own, others bool
	switch l.Type {
	case lineBudget:
		own, others = l.Version != 0 && l.ID != "" && l.Terms != nil, reserve || both || l.Ledger != nil || l.Torn != nil || l.Prev != ""
	case lineReserve:
		own, others = l.Run != "" && l.Plan != "" && l.Charges != nil && len(l.Events) > 0, header || l.Ledger != nil
	case lineSettle:
		own, others = l.Run != "" && l.Charges != nil, header || reserve
	default:
		return fmt.Errorf("unknown line type %q (written by a newer version?)", l.Type)
	}
	if !own || others {
		return fmt.Errorf("a %s line with missing or foreign fields", l.Type)
	}
	if c := l.Charges; c != nil && (c.Steps < 0 || c.Steps > maxCount || c.Evaluations < 0 || c.Evaluations > maxCount) {
		return fmt.Errorf("a %s line with impossible charges", l.Type)
	}
	return nil
}
