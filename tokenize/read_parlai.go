package tokenize

import (
	"bufio"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// parlaiReader reads the two text layouts of ParlAI. The older one numbers the lines of a dialogue,
//
//	1 your persona: i like to ski.
//	2 hi , how are you ?<TAB>great , just back from the slopes .<TAB><TAB>candidate|candidate
//
// and a number that does not grow begins another; the newer one names its fields,
//
//	text:your persona: i like to ski.\nhi , how are you ?<TAB>labels:great !<TAB>episode_done:True
//
// in which \n, \t and __PIPE__ stand for characters. Of several labels, parted by bars, the first is the response.
type parlaiReader struct {
	in     *lineReader
	format DataFormat
	row    int
	dialog int // number of the present one
	last   int // line number inside of it; 0 when it is over
	// The present dialogue so far. Its history only grows, so that records share it.
	persona, history []string
}

func newParlAIReader(r io.Reader, f DataFormat) *parlaiReader {
	return &parlaiReader{in: &lineReader{r: bufio.NewReader(r)}, format: f}
}

func (p *parlaiReader) next() (Record, error) {
	for {
		line, err := p.in.read()
		switch {
		case err == errLineTooLong:
			return Record{}, p.at(&RowError{Problem: problemTooLong})
		case err != nil:
			return Record{}, err
		case !utf8.Valid(line):
			return Record{}, p.at(&RowError{Problem: problemUTF8})
		}
		text := string(line)
		if strings.TrimSpace(text) == "" {
			continue
		}
		rec, ok, err := p.line(text)
		if err != nil {
			return Record{}, p.at(err)
		}
		if ok {
			if rec.Unit, err = p.unit(); err != nil {
				return Record{}, p.at(err)
			}
			p.row++
			rec.Row = p.row
			return rec, nil
		}
	}
}

// at places an error: a line may give no row, so the row is the one that would come next.
func (p *parlaiReader) at(err error) error { return at(p.row+1, p.in.line, err) }

func (p *parlaiReader) unit() (string, error) {
	switch p.format.UnitColumn {
	case "":
		return "", nil
	case unitDialog:
		return strconv.Itoa(p.dialog), nil
	}
	return "", &RowError{Field: p.format.UnitColumn, Problem: "is not there: the unit of ParlAI's text can only be " + unitDialog + ", the number of the dialogue"}
}

// line reads a line; ok says whether it holds a response.
func (p *parlaiReader) line(text string) (rec Record, ok bool, err error) {
	if strings.HasPrefix(text, "text:") {
		return p.named(strings.Split(text, "\t"))
	}
	digits, rest, found := strings.Cut(text, " ")
	n, err := strconv.Atoi(digits)
	if !found || err != nil || n < 1 {
		return rec, false, &RowError{Problem: "is neither a numbered line nor text:… of ParlAI, nor JSON"}
	}
	if n <= p.last || p.dialog == 0 {
		p.begin()
	}
	p.last = n
	fields := strings.Split(rest, "\t")
	label := ""
	if len(fields) > 1 {
		label = fields[1]
	}
	rec, ok = p.turn(fields[:1], label)
	return rec, ok, nil
}

func (p *parlaiReader) begin() {
	p.dialog++
	p.last, p.persona, p.history = 0, nil, nil
}

// named reads a line of named fields.
func (p *parlaiReader) named(fields []string) (rec Record, ok bool, err error) {
	if p.last == 0 {
		p.begin()
	}
	p.last = 1
	var text, label string
	done := false
	for _, field := range fields {
		name, value, found := strings.Cut(field, ":")
		if !found {
			return rec, false, &RowError{Problem: "has a part that is not of the form name:value"}
		}
		switch name {
		case "text":
			text = value
		case "labels", "eval_labels":
			label = value
		case "episode_done":
			done = value == "True"
		}
	}
	rec, ok = p.turn(strings.Split(unescape(text), "\n"), label)
	rec.Target = unescape(rec.Target)
	if n := len(p.history); ok {
		p.history[n-1] = rec.Target
	}
	if done {
		p.last = 0
	}
	return rec, ok, nil
}

var parlaiEscapes = strings.NewReplacer(`\n`, "\n", `\t`, "\t", "__PIPE__", "|")

func unescape(s string) string { return parlaiEscapes.Replace(s) }

// turn takes what one side says, personas among it, and what the other responds, if it does.
func (p *parlaiReader) turn(said []string, labels string) (rec Record, ok bool) {
	var turn []string
	for _, line := range said {
		persona, own := strings.CutPrefix(line, "your persona: ")
		if own || strings.HasPrefix(line, "partner's persona: ") {
			p.persona = append(p.persona, strings.Clone(persona)) // not the line, which may have long candidates
		} else {
			turn = append(turn, line)
		}
	}
	if text := strings.Join(turn, "\n"); text != "" && !isSilence(text) {
		p.history = append(p.history, strings.Clone(text))
	}
	response, _, _ := strings.Cut(labels, "|")
	if response == "" {
		return rec, false
	}
	response = strings.Clone(response)
	rec = Record{Target: response, Label: -1, Dialog: &Dialog{Persona: p.persona[:len(p.persona):len(p.persona)], History: p.history[:len(p.history):len(p.history)]}}
	p.history = append(p.history, response)
	return rec, true
}
