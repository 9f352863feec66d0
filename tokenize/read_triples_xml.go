package tokenize

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// xmlSets reads the XML of WebNLG, in which DART's test set comes too:
//
//	<entry category="MISC" eid="Id1" size="2">
//	  <modifiedtripleset><mtriple>subject | relation | object</mtriple>…</modifiedtripleset>
//	  <lex comment="e2e" lid="Id1">text</lex>…
//	</entry>
//
// The comment of a text is the source in DART and a verdict in WebNLG: good (or nothing), bad, toFix.
type xmlSets struct {
	dec    *xml.Decoder
	budget *budgetReader
	format DataFormat
	n      int // of the entry
}

func newXMLSets(r io.Reader, f DataFormat) *xmlSets {
	budget := &budgetReader{r: r, left: MaxRowBytes + readAhead}
	return &xmlSets{dec: xml.NewDecoder(budget), budget: budget, format: f}
}

func (x *xmlSets) next() ([]sourced, error) {
	for {
		x.budget.left = MaxRowBytes + readAhead
		token, err := x.dec.Token()
		if err != nil {
			return nil, x.problem(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "entry" {
			x.n++
			set, err := x.entry(start)
			return set, x.at(err)
		}
	}
}

// at says in which entry an error is.
func (x *xmlSets) at(err error) error {
	if x.n == 0 {
		return err
	}
	return inEntry(x.n, err)
}

// problem words what encoding/xml found wrong; its own messages may hold content. io.EOF stays what it is.
func (x *xmlSets) problem(err error) error {
	line, _ := x.dec.InputPos()
	var syntax *xml.SyntaxError
	switch {
	case err == io.EOF:
		return err
	case errors.Is(err, errBudget):
		return &RowError{Line: line, Problem: fmt.Sprintf("is longer than %d bytes", MaxRowBytes)}
	case errors.As(err, &syntax):
		return &RowError{Line: syntax.Line, Problem: "is not well-formed XML in UTF-8"}
	case strings.HasPrefix(err.Error(), "xml: "): // about the declaration; a reader's own error is another
		return &RowError{Line: line, Problem: "the file declares another encoding than UTF-8, or another XML than 1.0"}
	}
	return err
}

// lexText is a text of an entry.
type lexText struct{ text, comment, lang string }

// entry reads to the end of an entry.
func (x *xmlSets) entry(start xml.StartElement) ([]sourced, error) {
	from := x.dec.InputOffset()
	unit, err := x.unit(start)
	if err != nil {
		return nil, err
	}
	var triples [][3]string
	var texts []lexText
	for {
		token, err := x.dec.Token()
		if err != nil {
			return nil, x.problem(err)
		}
		if x.dec.InputOffset()-from > MaxRowBytes {
			return nil, x.problem(errBudget)
		}
		switch e := token.(type) {
		case xml.StartElement:
			switch e.Name.Local {
			case "mtriple":
				triple, err := x.triple(len(triples))
				if err != nil {
					return nil, err
				}
				triples = append(triples, triple)
			case "lex":
				text, err := x.text()
				if err != nil {
					return nil, err
				}
				texts = append(texts, lexText{text, attribute(e, "comment"), attribute(e, "lang")})
			}
		case xml.EndElement:
			if e.Name.Local == "entry" {
				return x.records(triples, texts, unit)
			}
		}
	}
}

// unit is the unit of an entry's texts: an attribute, or the entry's number.
func (x *xmlSets) unit(start xml.StartElement) (string, error) {
	column := x.format.UnitColumn
	switch value := attribute(start, column); {
	case column == "" || value != "":
		return value, nil
	case column == unitEntry:
		return strconv.Itoa(x.n), nil
	}
	return "", &RowError{Field: column, Problem: "is missing; every record needs the unit that it belongs to"}
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// text is the text of the element that was just opened, to its end, without the white space around it.
func (x *xmlSets) text() (string, error) {
	var b strings.Builder
	for depth := 1; depth > 0; {
		token, err := x.dec.Token()
		if err != nil {
			return "", x.problem(err)
		}
		switch e := token.(type) {
		case xml.CharData:
			if depth == 1 {
				b.Write(e)
			}
		case xml.StartElement:
			depth++
		case xml.EndElement:
			depth--
		}
	}
	return strings.TrimSpace(b.String()), nil
}

// triple reads `subject | relation | object`; the parts may hold bars without blanks around them.
func (x *xmlSets) triple(i int) (triple [3]string, err error) {
	text, err := x.text()
	if err != nil {
		return triple, err
	}
	for _, separator := range []string{" | ", "|"} {
		if parts := strings.Split(text, separator); len(parts) == 3 {
			for k, p := range parts {
				triple[k] = strings.TrimSpace(p)
			}
			return triple, nil
		}
	}
	return triple, &RowError{Field: fmt.Sprintf("mtriple %d", i+1), Problem: "is not of the form subject | relation | object"}
}

// records are those of the texts that are wanted.
func (x *xmlSets) records(triples [][3]string, texts []lexText, unit string) ([]sourced, error) {
	if len(triples) == 0 {
		return nil, &RowError{Field: "modifiedtripleset", Problem: "is empty or missing"}
	}
	table := x.format.linear(triples)
	var set []sourced
	for _, t := range texts {
		source := t.comment
		if good, known := quality(t.comment); known {
			if !good {
				continue
			}
			source = sourceWebNLG
		}
		if isEnglish(t.lang) {
			set = append(set, sourced{Record{Source: table, Target: t.text, Label: -1, Unit: unit}, source})
		}
	}
	return set, nil
}
