package metrics

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Headers of tables, as e2e-metrics knows them.
var (
	sourceHeader    = regexp.MustCompile(`(?i)^(mr|src|source|meaning([_ .-]rep(resentation)?)?|da|dial(ogue)?[_ .-]act)s?$`)
	outputHeader    = regexp.MustCompile(`(?i)^(out(put)?|ref(erence)?|sys(tem)?([_ .-](out(put)?|ref(erence)?))?)s?$`)
	referenceHeader = regexp.MustCompile(`(?i)^(trg|tgt|target|ref(erence)?|human([_ .-](ref(erence)?))?)s?$`)
)

// mojibake are characters that files of the E2E challenge have in a wrong encoding; e2e-metrics mends them too.
var mojibake = strings.NewReplacer("Ł", "£", "Â£", "£", "Ã©", "é", "ã©", "é")

// ReadE2EReferences reads a table of sources and references, tabs or commas between them, in the form of the E2E data.
func ReadE2EReferences(path string) ([]Group, error) {
	s, err := readFile(path)
	if err != nil {
		return nil, err
	}
	rows, err := readTable(path, s, referenceHeader)
	if err != nil {
		return nil, err
	}
	groups := make([]Group, len(rows))
	for i, r := range rows {
		groups[i] = Group{Source: r.source, References: []string{r.text}, Row: i + 1}
	}
	return groups, nil
}

// ReadOutputs reads the outputs of a system: a table of sources and outputs, which a header or the name .tsv or .csv
// tells, or one output a line.
func ReadOutputs(path string) (Outputs, error) {
	s, err := readFile(path)
	if err != nil {
		return Outputs{}, err
	}
	first, _, _ := strings.Cut(s, "\n")
	header := splitTable(first, delimiterOf(first))
	headed := len(header) > 0 && slices.ContainsFunc(header[0], sourceHeader.MatchString) && slices.ContainsFunc(header[0], outputHeader.MatchString)
	extension := strings.ToLower(filepath.Ext(path))
	if headed || (extension == ".tsv" || extension == ".csv") && len(header) > 0 && len(header[0]) > 1 {
		return tableOutputs(path, s)
	}
	texts, err := ReadLines(path)
	if err != nil {
		return Outputs{}, err
	}
	if (extension == ".tsv" || extension == ".csv") && outputHeader.MatchString(texts[0]) {
		texts = texts[1:]
	}
	return Outputs{Name: path, Texts: texts}, nil
}

func tableOutputs(path, s string) (Outputs, error) {
	rows, err := readTable(path, s, outputHeader)
	if err != nil {
		return Outputs{}, err
	}
	o := Outputs{Name: path, Sources: make([]string, len(rows)), Texts: make([]string, len(rows))}
	for i, r := range rows {
		o.Sources[i], o.Texts[i] = r.source, r.text
	}
	return o, nil
}

// A tableRow is a source and a text.
type tableRow struct{ source, text string }

// readTable reads the columns of sources and texts: those that the header names, or of a table of two columns without a
// header the first and the second.
func readTable(path, s string, textHeader *regexp.Regexp) ([]tableRow, error) {
	s = mojibake.Replace(s)
	first, _, _ := strings.Cut(s, "\n")
	rows := splitTable(s, delimiterOf(first))
	if rows == nil {
		return nil, inputError("%s: a quote in it never ends", path)
	}
	source, text, err := tableColumns(path, rows[0], textHeader)
	if err != nil {
		return nil, err
	}
	columns := len(rows[0])
	if source.named {
		rows = rows[1:]
	}
	if len(rows) == 0 {
		return nil, inputError("%s has a header and no rows", path)
	}
	out := make([]tableRow, len(rows))
	for i, r := range rows {
		if len(r) != columns {
			return nil, rowError(path, i+1, "it has %d columns, the first line has %d", len(r), columns)
		}
		out[i] = tableRow{strings.TrimFunc(r[source.at], isSpace), strings.TrimFunc(r[text.at], isSpace)}
	}
	return out, nil
}

// A column is a place in a row, and whether a header names it.
type column struct {
	at    int
	named bool
}

func tableColumns(path string, header []string, textHeader *regexp.Regexp) (source, text column, err error) {
	find := func(pattern *regexp.Regexp) (at []int) {
		for i, name := range header {
			if pattern.MatchString(strings.TrimFunc(name, isSpace)) {
				at = append(at, i)
			}
		}
		return at
	}
	sources, texts := find(sourceHeader), find(textHeader)
	switch {
	case len(sources) == 1 && len(texts) == 1:
		return column{sources[0], true}, column{texts[0], true}, nil
	case len(sources)+len(texts) == 0 && len(header) == 2:
		return column{at: 0}, column{at: 1}, nil
	case len(sources)+len(texts) == 0:
		return source, text, inputError("%s: the first line has %d columns and is no header; without a header there are two, source and text", path, len(header))
	}
	return source, text, inputError("%s: the header names %d columns of sources and %d of texts; one of each is needed", path, len(sources), len(texts))
}

// delimiterOf is a tab where the first line has one.
func delimiterOf(line string) rune {
	if strings.ContainsRune(line, '\t') {
		return '\t'
	}
	return ','
}

// splitTable splits a table as Python's csv reader does, which is more lenient than RFC 4180: a quote counts at the start
// of a field only, and text behind a closing quote belongs to the field. Empty lines are no rows. It is nil where a quote
// never ends.
func splitTable(s string, delimiter rune) [][]string {
	rows := [][]string{}
	var row []string
	var field strings.Builder
	quoted, begun := false, false // inside quotes; the field has a character or had a quote
	end := func() {
		row = append(row, field.String())
		field.Reset()
		begun = false
	}
	runes := []rune(s)
	for i := 0; i < len(runes); i++ {
		r := runes[i]
		switch {
		case quoted && r == '"' && i+1 < len(runes) && runes[i+1] == '"':
			field.WriteRune('"')
			i++
		case quoted && r == '"':
			quoted = false
		case quoted:
			field.WriteRune(r)
		case r == '"' && !begun:
			quoted, begun = true, true
		case r == delimiter:
			end()
		case r == '\r':
		case r == '\n':
			if len(row) > 0 || begun {
				end()
				rows = append(rows, row)
				row = nil
			}
		default:
			begun = true
			field.WriteRune(r)
		}
	}
	if quoted {
		return nil
	}
	if len(row) > 0 || begun {
		end()
		rows = append(rows, row)
	}
	return rows
}
