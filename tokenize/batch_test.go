package tokenize

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func parseJSONVocab(vocab map[string]int) ([]byte, error) { return json.Marshal(vocab) }

func TestBuckets(t *testing.T) {
	b := must(DefaultBuckets(100))(t)
	if want := []int{8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 100}; !slices.Equal(b.Edges(), want) {
		t.Errorf("edges %v, want %v", b.Edges(), want)
	}
	for length, want := range map[int]int{0: 8, 1: 8, 8: 8, 9: 10, 16: 16, 17: 20, 96: 96, 97: 100, 100: 100} {
		if edge, ok := b.Edge(length); !ok || edge != want {
			t.Errorf("Edge(%d) = %d, %v, want %d", length, edge, ok, want)
		}
	}
	if _, ok := b.Edge(101); ok {
		t.Error("101 fits")
	}
	if e := must(DefaultBuckets(1))(t).Edges(); !slices.Equal(e, []int{1}) {
		t.Errorf("DefaultBuckets(1) = %v", e)
	}
	if _, err := DefaultBuckets(0); err == nil {
		t.Error("no error for a maximum length of 0")
	}
	for _, edges := range [][]int{nil, {0}, {4, 4}, {8, 4}} {
		if _, err := NewBuckets(edges...); err == nil {
			t.Errorf("no error for edges %v", edges)
		}
	}
	_, err := b.Group([]Example{{Row: 1, IDs: make([]int32, 20)}, {Row: 7, IDs: make([]int32, 200)}})
	if err == nil || !strings.Contains(err.Error(), "row 7") {
		t.Errorf("error %v, want one that names row 7", err)
	}
}

// TestPaddedLengthIsTheExamplesOwn: adding or removing records does not move another record to another bucket.
func TestPaddedLengthIsTheExamplesOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 300).Draw(t, "limit")
		b, err := DefaultBuckets(limit)
		if err != nil {
			t.Fatal(err)
		}
		var examples []Example
		for i, n := range rapid.SliceOf(rapid.IntRange(0, limit)).Draw(t, "lengths") {
			examples = append(examples, Example{Row: i + 1, IDs: make([]int32, n)})
		}
		groups, err := b.Group(examples)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for edge, members := range groups {
			for _, i := range members {
				alone, err := b.Group(examples[i : i+1])
				if err != nil || len(alone[edge]) != 1 {
					t.Fatalf("example %d is in bucket %d with others, in %v alone", i, edge, alone)
				}
				seen++
			}
		}
		if seen != len(examples) {
			t.Fatalf("%d examples in buckets, want %d", seen, len(examples))
		}
	})
}

func TestPad(t *testing.T) {
	examples := []*Example{
		{Row: 1, IDs: []int32{5, 6, 7}, TypeIDs: []int32{0, 0, 1}, Labels: []int32{Unscored, 6, 7}, Label: 2, MaskPosition: 1},
		{Row: 2, Dropped: DropTooLong, Label: 1, MaskPosition: -1},
		{Row: 3, IDs: []int32{8}, Label: -1, MaskPosition: -1},
	}
	b := must(Pad(examples, 4, 4, 9))(t)
	for name, c := range map[string]struct{ got, want []int64 }{
		"ids":       {b.InputIDs, []int64{5, 6, 7, 9, 9, 9, 9, 9, 8, 9, 9, 9, 9, 9, 9, 9}},
		"attention": {b.AttentionMask, []int64{1, 1, 1, 0, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1}},
		"types":     {b.TokenTypeIDs, []int64{0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
		"positions": {b.PositionIDs, []int64{0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3}},
		"labels":    {b.Labels, []int64{-100, 6, 7, -100, -100, -100, -100, -100, -100, -100, -100, -100, -100, -100, -100, -100}},
		"classes":   {b.ClassLabels, []int64{2, 0, 0, 0}},
		"masks":     {b.MaskPosition, []int64{1, 0, 0, 0}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if !slices.Equal(b.Real, []bool{true, false, true, false}) || b.Rows != 4 || b.Length != 4 {
		t.Errorf("real %v of %d by %d", b.Real, b.Rows, b.Length)
	}
	for name, bad := range map[string]func() (*Batch, error){
		"too many":     func() (*Batch, error) { return Pad(examples, 4, 2, 0) },
		"no rows":      func() (*Batch, error) { return Pad(nil, 4, 0, 0) },
		"no length":    func() (*Batch, error) { return Pad(nil, 0, 1, 0) },
		"too long":     func() (*Batch, error) { return Pad(examples, 2, 4, 0) },
		"labels short": func() (*Batch, error) { return Pad([]*Example{{IDs: []int32{1, 2}, Labels: []int32{1}}}, 4, 1, 0) },
	} {
		if _, err := bad(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if b := must(Pad(nil, 3, 2, 1))(t); slices.Contains(b.Real, true) || slices.Contains(b.AttentionMask, 0) {
		t.Errorf("an empty batch: %+v", b)
	}
}
