package tokenize

import (
	"encoding/json"
	"fmt"
	"strings"
)

// sourceWebNLG is the source of texts of WebNLG's own files, the name that DART gives them.
const sourceWebNLG = "webnlg"

// webnlgSets reads {"entries": [{"1": {"modifiedtripleset": [{"subject", "property", "object"}, …], "lexicalisations":
// [{"comment", "lang", "lex"}, …]}}, …]}. Texts that the corpus marks as faulty, or that are not English, are no records.
type webnlgSets struct {
	in     *jsonElements
	format DataFormat
}

func (w *webnlgSets) next() ([]sourced, error) {
	raw, err := w.in.next()
	if err != nil {
		return nil, err
	}
	set, err := w.set(raw)
	return set, inEntry(w.in.n, err)
}

func (w *webnlgSets) set(raw json.RawMessage) ([]sourced, error) {
	fields, err := jsonObject(raw)
	if err != nil {
		return nil, err
	}
	if fields["modifiedtripleset"] == nil && len(fields) == 1 { // the entry's number, and the entry
		for _, inner := range fields {
			if fields, err = jsonObject(inner); err != nil {
				return nil, err
			}
		}
	}
	triples, err := webnlgTriples(fields["modifiedtripleset"])
	if err != nil {
		return nil, err
	}
	unit, err := entryUnit(fields, w.format.UnitColumn, unitEntry, w.in.n)
	if err != nil {
		return nil, err
	}
	texts, err := lexicalisations(fields["lexicalisations"])
	if err != nil {
		return nil, err
	}
	table := w.format.linear(triples)
	set := make([]sourced, len(texts))
	for i, text := range texts {
		set[i] = sourced{Record{Source: table, Target: text, Label: -1, Unit: unit}, sourceWebNLG}
	}
	return set, nil
}

func webnlgTriples(raw json.RawMessage) ([][3]string, error) {
	const name = "modifiedtripleset"
	list, err := jsonList(name, raw)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, &RowError{Field: name, Problem: "is empty"}
	}
	triples := make([][3]string, len(list))
	for i, item := range list {
		field := fmt.Sprintf("%s[%d]", name, i)
		fields, err := jsonObject(item)
		if err != nil {
			return nil, &RowError{Field: field, Problem: "is not a JSON object"}
		}
		for k, part := range []string{"subject", "property", "object"} {
			if triples[i][k], err = jsonString(field+"."+part, fields[part]); err != nil {
				return nil, err
			}
		}
	}
	return triples, nil
}

// lexicalisations are the good English texts of an entry.
func lexicalisations(raw json.RawMessage) ([]string, error) {
	const name = "lexicalisations"
	list, err := jsonList(name, raw)
	if err != nil {
		return nil, err
	}
	var texts []string
	for i, item := range list {
		field := fmt.Sprintf("%s[%d]", name, i)
		fields, err := jsonObject(item)
		if err != nil {
			return nil, &RowError{Field: field, Problem: "is not a JSON object"}
		}
		about := map[string]string{}
		for _, optional := range []string{"comment", "lang"} {
			if fields[optional] != nil {
				if about[optional], err = jsonString(field+"."+optional, fields[optional]); err != nil {
					return nil, err
				}
			}
		}
		text, err := jsonString(field+".lex", fields["lex"])
		if err != nil {
			return nil, err
		}
		if good, _ := quality(about["comment"]); good && isEnglish(about["lang"]) {
			texts = append(texts, text)
		}
	}
	return texts, nil
}

// quality reads WebNLG's verdict on a text; known is false for a comment that is none, such as the source of DART's XML.
func quality(comment string) (good, known bool) {
	switch strings.ToLower(comment) {
	case "good", "":
		return true, true
	case "bad", "tofix":
		return false, true
	}
	return false, false
}

func isEnglish(lang string) bool { return lang == "" || strings.HasPrefix(strings.ToLower(lang), "en") }
