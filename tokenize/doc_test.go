package tokenize_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

func ExampleLoad() {
	t, err := tokenize.Load("testdata/wordpiece")
	if err != nil {
		fmt.Println(err)
		return
	}
	ids, err := t.Encode("The [MASK] pub")
	if err != nil {
		fmt.Println(err)
		return
	}
	var tokens []string
	for _, id := range ids {
		token, _ := t.IDToToken(id)
		tokens = append(tokens, token)
	}
	fmt.Println(strings.Join(tokens, " "))
	fmt.Println(t.Decode(ids, true))
	// Output:
	// [CLS] the [MASK] p ##u ##b [SEP]
	// the pub
}

// From a csv to a padded batch of the table-to-text task.
func Example_tableToText() {
	data := "mr,ref\n\"name[Blue Heron], food[French]\",Blue Heron serves French food.\n"
	t, err := tokenize.Load("testdata/bpe")
	if err != nil {
		fmt.Println(err)
		return
	}
	format, err := tokenize.NewTableToText(t, 100)
	if err != nil {
		fmt.Println(err)
		return
	}
	for rec, err := range tokenize.Stream(context.Background(), "e2e.csv", strings.NewReader(data), tokenize.DataFormat{Task: tokenize.TaskE2E}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		e, err := format.Format(rec)
		if err != nil {
			fmt.Println(err)
			return
		}
		buckets, _ := tokenize.DefaultBuckets(format.MaxLength())
		edge, _ := buckets.Edge(e.Len())
		batch, err := tokenize.Pad([]*tokenize.Example{&e}, edge, 2, t.PadID())
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(t.Decode(e.IDs, false))
		fmt.Printf("%d tokens, %d scored, in a batch of %d by %d; rows that count: %v\n", e.Len(), e.Scored(), batch.Rows, batch.Length, batch.Real)
	}
	// Output:
	// name : Blue Heron | food : French <|endoftext|> Blue Heron serves French food. <|endoftext|>
	// 23 tokens, 11 scored, in a batch of 2 by 24; rows that count: [true false]
}

func ExampleE2ESource() {
	source, err := tokenize.E2ESource("name[The Vaults], eatType[pub], priceRange[more than £30]")
	fmt.Println(source, err)
	// Output: name : The Vaults | eatType : pub | priceRange : more than £30 <nil>
}
