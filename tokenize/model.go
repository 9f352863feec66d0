package tokenize

import "github.com/sugarme/tokenizer"

// model is a sugarme Model that can also give the ids alone, without the tokens' text and offsets.
type model interface {
	tokenizer.Model
	// appendIDs appends the ids of one pre-token to dst.
	appendIDs(dst []int32, word string) []int32
}

var (
	_ model = (*bpeModel)(nil)
	_ model = (*wordPieceModel)(nil)
)
