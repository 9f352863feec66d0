package tokenize

// sequence numbers of a template piece
const (
	pieceSpecial = -1 // fixed ids
	pieceA       = 0  // the text
	pieceB       = 1  // the second text of a pair
)

// piece is one part of what a post-processor builds.
type piece struct {
	sequence int
	ids      []int32 // of a special piece
	typeID   int32
	// sameType gives what overflowed of a text the piece's type as well. Otherwise it has the text's number, as in the
	// reference, whose templates do not reach it.
	sameType bool
}

// template is what a post-processor makes of one text, and of a pair.
type template struct {
	single, pair []piece
}

// plainTemplate adds nothing; the second text of a pair has type 1.
func plainTemplate() template {
	return template{
		single: []piece{{sequence: pieceA}},
		pair:   []piece{{sequence: pieceA}, {sequence: pieceB, typeID: 1}},
	}
}

// bertTemplate is [CLS] A [SEP] and [CLS] A [SEP] B [SEP], the second text and its [SEP] with type 1.
func bertTemplate(cls, sep int32) template {
	special := func(id, typeID int32) piece {
		return piece{sequence: pieceSpecial, ids: []int32{id}, typeID: typeID}
	}
	return template{
		single: []piece{special(cls, 0), {sequence: pieceA}, special(sep, 0)},
		pair: []piece{special(cls, 0), {sequence: pieceA}, special(sep, 0),
			{sequence: pieceB, typeID: 1}, special(sep, 1)},
	}
}

// robertaTemplate is <s> A </s> and <s> A </s></s> B </s>, all of type 0.
func robertaTemplate(cls, sep int32) template {
	special := func(ids ...int32) piece { return piece{sequence: pieceSpecial, ids: ids} }
	return template{
		single: []piece{special(cls), {sequence: pieceA, sameType: true}, special(sep)},
		pair: []piece{special(cls), {sequence: pieceA, sameType: true}, special(sep, sep),
			{sequence: pieceB, sameType: true}, special(sep)},
	}
}

// added is the number of special ids among pieces.
func added(pieces []piece) int {
	n := 0
	for _, p := range pieces {
		n += len(p.ids)
	}
	return n
}

// apply puts the ids of the sequences into pieces.
func apply(pieces []piece, sequences ...[]int32) Encoding {
	n := added(pieces)
	for _, s := range sequences {
		n += len(s)
	}
	e := Encoding{IDs: make([]int32, 0, n), TypeIDs: make([]int32, 0, n)}
	for _, p := range pieces {
		ids := p.ids
		if p.sequence != pieceSpecial {
			ids = sequences[p.sequence]
		}
		e.IDs = append(e.IDs, ids...)
		for range ids {
			e.TypeIDs = append(e.TypeIDs, p.typeID)
		}
	}
	return e
}
