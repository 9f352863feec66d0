package tokenize

import "strings"

// dialog is the format of responses in dialogues; see NewDialog.
type dialog struct {
	t         *Tokenizer
	bos, eos  int32 // bos -1 for none
	maxLength int
}

// NewDialog makes the format of Persona-Chat,
//
//	{persona}{eos}{turn}{eos}…{turn}{eos}{response}{eos}
//
// the sentences of the persona joined by blanks, eos the end-of-text token, which also ends every turn, as DialoGPT was
// trained. (The format of Li et al. 2022 is not public.) The response and its eos are scored. What comes before the
// response has at most three quarters of maxLength: the oldest turns are left out until it fits, persona and last turn
// are kept; so it does not depend on the response, and generation starts from the same ids as training. A record longer
// than maxLength is dropped: it stays in N and contributes zero.
func NewDialog(t *Tokenizer, maxLength int) (Prompter, error) {
	eos, err := roleID(t.special.EOS, "end-of-text (eos)")
	if err != nil {
		return nil, err
	}
	if err := checkLength(maxLength, 4); err != nil {
		return nil, err
	}
	return &dialog{t: t, bos: t.leadingID(), eos: eos, maxLength: maxLength}, nil
}

func (f *dialog) MaxLength() int { return f.maxLength }

// Prompt gives the ids of everything before the response.
func (f *dialog) Prompt(rec Record) ([]int32, error) {
	d := rec.Dialog
	if d == nil {
		d = &Dialog{}
	}
	var start []int32
	if f.bos >= 0 {
		start = append(start, f.bos)
	}
	if len(d.Persona) > 0 {
		ids, err := f.encode("persona", strings.Join(d.Persona, " "))
		if err != nil {
			return nil, err
		}
		start = append(start, ids...)
	}
	room := f.maxLength - f.maxLength/4 - len(start)
	var turns [][]int32 // the newest first
	for i := len(d.History) - 1; i >= 0; i-- {
		ids, err := f.encode("history", d.History[i])
		if err != nil {
			return nil, err
		}
		if room -= len(ids); room < 0 && len(turns) > 0 {
			break
		}
		turns = append(turns, ids)
	}
	for i := len(turns) - 1; i >= 0; i-- {
		start = append(start, turns[i]...)
	}
	if len(start) == 0 { // the response's first token needs something to be predicted from
		start = append(start, f.eos)
	}
	return start, nil
}

// encode gives the ids of a text and eos.
func (f *dialog) encode(field, text string) ([]int32, error) {
	ids, err := f.t.EncodePlain(text)
	if err != nil {
		return nil, &RowError{Field: field, Problem: err.Error()}
	}
	return append(ids, f.eos), nil
}

func (f *dialog) Format(rec Record) (Example, error) {
	prompt, err := f.Prompt(rec)
	if err != nil {
		return Example{}, err
	}
	response, err := f.encode("response", rec.Target)
	if err != nil {
		return Example{}, err
	}
	return scoreAfter(rec, prompt, response, f.maxLength), nil
}
