package dpadam

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// The ledger is a text file of JSON lines. Every line but the first carries in "prev" the
// SHA-256 of the line before it (its bytes without the newline), so that no line can be
// removed, changed or moved without breaking the chain; what the chain cannot see, lines
// missing at the end, the heads stored in checkpoints do. Types:
//
//	ledger  first line: format version, a random run id, the plan
//	step    one charge: its number, counting everything charged before, and the
//	        optimizer step it pays for
//	evaluation  one noised evaluation: its number, counting all before, and the optimizer
//	        step whose weights it evaluates
//	resume  another process goes on: a random session id, the number of charges so far,
//	        and of evaluations, the torn lines before it (each counts as a charge)
//	end     the run ended: optimizer steps taken by the model that was written
//
// The run and session ids make every branch of a copied ledger distinct, so that
// MergeLedgers can charge all of them.
const ledgerVersion = 1

const (
	lineLedger     = "ledger"
	lineStep       = "step"
	lineEvaluation = "evaluation"
	lineResume     = "resume"
	lineEnd        = "end"
)

// ledgerLine is any line; the fields of the other types are absent.
type ledgerLine struct {
	Type       string          `json:"type"`
	Version    int             `json:"version,omitempty"`
	Run        string          `json:"run,omitempty"`
	NotPrivate string          `json:"not_private,omitempty"`
	Plan       json.RawMessage `json:"plan,omitempty"`
	Session    string          `json:"session,omitempty"`
	Charge     int64           `json:"charge,omitempty"`
	Step       int64           `json:"step,omitempty"`
	Evaluation int64           `json:"evaluation,omitempty"`
	Charged    *int64          `json:"charged,omitempty"`
	Evaluated  int64           `json:"evaluated,omitempty"`
	Torn       []fragment      `json:"torn,omitempty"`
	Taken      *int64          `json:"taken,omitempty"`
	Prev       string          `json:"prev,omitempty"`
}

// fragment describes a torn line: what a crash left of a write. It counts as one charge, or as
// many as it has beginnings of step lines, should a damaged newline have joined several. In
// the ledger of a plan with evaluations it can have been either kind: beginnings of both are
// counted, and one that shows neither counts as a step and as an evaluation, which costs no
// less than the dearer of the two.
type fragment struct {
	Bytes       int    `json:"bytes"`
	Hash        string `json:"sha256"`
	Charges     int64  `json:"charges"` // of steps
	Evaluations int64  `json:"evaluations,omitempty"`
}

var (
	stepMark       = []byte(`"type":"step"`)
	evaluationMark = []byte(`"type":"evaluation"`)
)

// fragmentOf counts a torn line of a ledger with or without evaluations.
func fragmentOf(line []byte, evaluations bool) fragment {
	f := fragment{Bytes: len(line), Hash: hashLine(line), Charges: int64(bytes.Count(line, stepMark))}
	if evaluations {
		f.Evaluations = int64(bytes.Count(line, evaluationMark))
	}
	if f.Charges+f.Evaluations == 0 {
		f.Charges = 1
		if evaluations {
			f.Evaluations = 1
		}
	}
	return f
}

// hashLine returns the SHA-256 of a line without its newline, in hexadecimal.
func hashLine(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// encodeLine returns the line without its newline.
func encodeLine(l ledgerLine) ([]byte, error) {
	data, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("ledger line: %w", err)
	}
	return data, checkLength(data)
}

// checkLength refuses a line that could not be read back.
func checkLength(line []byte) error {
	if len(line) >= maxLine {
		return invalid("length of a line", len(line), fmt.Sprintf("must be below %d bytes; a search's grid may have too many cells of different cost", maxLine))
	}
	return nil
}

// decodeLine reads one line (decodeObject).
func decodeLine(data []byte) (l ledgerLine, torn bool, err error) {
	if torn, err = decodeObject(data, &l); err == nil && !torn {
		err = l.checkShape()
	}
	return l, torn, err
}

// checkShape refuses unknown types and fields that belong to another type.
func (l *ledgerLine) checkShape() error {
	header := l.Version != 0 || l.Run != "" || l.Plan != nil || l.NotPrivate != ""
	resume := l.Session != "" || l.Charged != nil || l.Evaluated != 0 || l.Torn != nil
	step := l.Charge != 0 || l.Step != 0
	evaluation := l.Evaluation != 0
	end := l.Taken != nil
	var own, others bool
	switch l.Type {
	case lineLedger:
		own, others = l.Version != 0 && l.Run != "" && l.Plan != nil, resume || step || evaluation || end || l.Prev != ""
	case lineStep:
		own, others = l.Charge > 0 && l.Step > 0, header || resume || evaluation || end
	case lineEvaluation:
		own, others = l.Evaluation > 0 && l.Step >= 0, header || resume || l.Charge != 0 || end
	case lineResume:
		own, others = l.Session != "" && l.Charged != nil, header || step || evaluation || end
	case lineEnd:
		own, others = l.Taken != nil && *l.Taken >= 0, header || resume || step || evaluation
	default:
		return fmt.Errorf("unknown line type %q (written by a newer version?)", l.Type)
	}
	if !own || others {
		return fmt.Errorf("a %s line with missing or foreign fields", l.Type)
	}
	return nil
}
