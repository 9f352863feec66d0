package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// A tokenizeRequest is what the flags of tokenize say.
type tokenizeRequest struct {
	tokenizer   string
	jsonLines   bool
	decode      bool
	skipSpecial bool
	plain       bool
	offsets     bool
	pair        bool
}

func (a *app) tokenizeCommand() *cobra.Command {
	var r tokenizeRequest
	c := &cobra.Command{
		Use:   "tokenize --tokenizer DIR_OR_FILE",
		Short: "Turn text lines into token ids",
		Long: "Tokenize reads a text a line from standard input and writes one JSON object a line: {\"ids\": […]}, the ids of the\n" +
			"reference's encode(text), special tokens added and nothing truncated. A line ends with \\n or \\r\\n; with --json-lines\n" +
			"every line is a JSON string, which may hold line breaks, and with --pair a JSON array of two strings, encoded together.\n" +
			"--offsets adds where each token comes from, in characters (offsets) and bytes (byte_offsets). --decode goes the other way: a JSON array of ids a line in,\n" +
			"{\"text\": …} out. Input is read as it comes, in bounded memory; --json changes nothing.",
		Example: "  echo 'Hello world' | ghostwriter tokenize --tokenizer model/\n" +
			"  echo '[15496, 995]' | ghostwriter tokenize --tokenizer gpt2/tokenizer.json --decode",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case r.tokenizer == "":
				return fmt.Errorf("%w: --tokenizer is needed: a tokenizer's file or a model directory", errCommandLine)
			case r.decode && (r.jsonLines || r.plain || r.offsets || r.pair):
				return fmt.Errorf("%w: --decode reads JSON arrays of ids; it goes with none of --json-lines, --pair, --offsets and --no-special-tokens", errCommandLine)
			case r.skipSpecial && !r.decode:
				return fmt.Errorf("%w: --skip-special-tokens goes with --decode", errCommandLine)
			}
			t, err := tokenize.Load(r.tokenizer)
			if err != nil {
				return fmt.Errorf("%w: %v", errCommandLine, err)
			}
			return tokenizeLines(cmd.Context(), cmd.InOrStdin(), a.stdout, r.converter(t))
		},
	}
	fl := c.Flags()
	fl.StringVar(&r.tokenizer, "tokenizer", "", "tokenizer.json, vocabulary file or model directory")
	fl.BoolVar(&r.jsonLines, "json-lines", false, "every input line is a JSON string")
	fl.BoolVar(&r.plain, "no-special-tokens", false, "add no special tokens; those inside the text are still recognised")
	fl.BoolVar(&r.pair, "pair", false, "every input line is a JSON array of two strings; adds token_type_ids")
	fl.BoolVar(&r.offsets, "offsets", false, "add where in the text each token comes from")
	fl.BoolVar(&r.decode, "decode", false, "turn ids into text: every input line is a JSON array of ids")
	fl.BoolVar(&r.skipSpecial, "skip-special-tokens", false, "with --decode, leave special tokens out")
	return c
}

// A lineConverter turns one input line into the object that is printed for it.
type lineConverter func(line string) (any, error)

type tokenizedLine struct {
	IDs         []int32  `json:"ids"`
	TypeIDs     []int32  `json:"token_type_ids,omitempty"`
	Offsets     [][2]int `json:"offsets,omitempty"`
	ByteOffsets [][2]int `json:"byte_offsets,omitempty"`
}

type decodedLine struct {
	Text string `json:"text"`
}

func (r *tokenizeRequest) converter(t *tokenize.Tokenizer) lineConverter {
	if r.decode {
		return func(line string) (any, error) {
			var ids []int32
			if err := json.Unmarshal([]byte(line), &ids); err != nil || ids == nil {
				return nil, errors.New("it is not a JSON array of token ids")
			}
			return decodedLine{Text: t.Decode(ids, r.skipSpecial)}, nil
		}
	}
	if r.offsets || r.pair {
		return func(line string) (any, error) { return r.detailed(t, line) }
	}
	encode := t.Encode
	if r.plain {
		encode = t.EncodePlain
	}
	return func(line string) (any, error) {
		text, err := r.text(line)
		if err != nil {
			return nil, err
		}
		ids, err := encode(text.First)
		return tokenizedLine{IDs: list(ids)}, err
	}
}

// detailed is a line with type ids and offsets, as far as they were asked for.
func (r *tokenizeRequest) detailed(t *tokenize.Tokenizer, line string) (any, error) {
	text, err := r.text(line)
	if err != nil {
		return nil, err
	}
	d, err := t.EncodeDetailed(text, tokenize.EncodeOptions{NoSpecialTokens: r.plain})
	if err != nil {
		return nil, err
	}
	out := tokenizedLine{IDs: list(d.IDs)}
	if r.pair {
		out.TypeIDs = d.TypeIDs
	}
	if r.offsets {
		out.Offsets, out.ByteOffsets = places(d.Runes), places(d.Bytes)
	}
	return out, nil
}

func places(spans []tokenize.Span) [][2]int {
	out := make([][2]int, len(spans))
	for i, s := range spans {
		out[i] = [2]int{s.Start, s.End}
	}
	return out
}

// text reads an input line.
func (r *tokenizeRequest) text(line string) (tokenize.Text, error) {
	if r.pair {
		var both []*string
		if err := json.Unmarshal([]byte(line), &both); err != nil || len(both) != 2 || both[0] == nil || both[1] == nil {
			return tokenize.Text{}, errors.New("it is not a JSON array of two strings")
		}
		return tokenize.Text{First: *both[0], Second: *both[1], Pair: true}, nil
	}
	if !r.jsonLines {
		return tokenize.Text{First: line}, nil
	}
	var text *string
	if err := json.Unmarshal([]byte(line), &text); err != nil || text == nil {
		return tokenize.Text{}, errors.New("it is not a JSON string")
	}
	return tokenize.Text{First: *text}, nil
}

// Limits of what is read at once: a batch keeps the processors busy, and a line must fit into memory.
const (
	batchLines   = 4096
	batchBytes   = 1 << 20
	maxLineBytes = 256 << 20
)

// tokenizeLines converts the lines of in, batch by batch, and writes the results in order. A batch ends when nothing
// more is there to be read, so a pipe gets its answer at once.
func tokenizeLines(ctx context.Context, in io.Reader, out io.Writer, convert lineConverter) error {
	r, w := bufio.NewReaderSize(in, 1<<16), bufio.NewWriterSize(out, 1<<16)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for first := 1; ; {
		lines, last, readErr := readLines(r, first)
		results, err := tokenize.Map(ctx, lines, 0, convert)
		for _, result := range results {
			if err := enc.Encode(result); err != nil {
				return fmt.Errorf("writing the result: %w", err)
			}
		}
		if err := w.Flush(); err != nil {
			return fmt.Errorf("writing the result: %w", err)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("%w: standard input: line %d: %v", errCommandLine, first+len(results), err)
		case readErr != nil || last:
			return readErr
		}
		first += len(lines)
	}
}

// readLines reads the lines from number first on that are there, at least one; last says that the input ended.
func readLines(r *bufio.Reader, first int) (lines []string, last bool, err error) {
	for size := 0; ; {
		line, err := readLine(r)
		switch {
		case err == io.EOF && line == "":
			return lines, true, nil
		case errors.Is(err, errLongLine):
			return lines, true, fmt.Errorf("%w: standard input: line %d is longer than %d MiB", errCommandLine, first+len(lines), maxLineBytes>>20)
		case err != nil && err != io.EOF:
			return lines, true, fmt.Errorf("standard input: line %d: %w", first+len(lines), err)
		}
		lines = append(lines, strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"))
		size += len(line)
		if err == io.EOF || len(lines) == batchLines || size >= batchBytes || r.Buffered() == 0 {
			return lines, err == io.EOF, nil
		}
	}
}

var errLongLine = errors.New("the line is too long")

// readLine reads up to the next \n, which is kept.
func readLine(r *bufio.Reader) (string, error) {
	var line strings.Builder
	for {
		part, err := r.ReadSlice('\n')
		if line.Len()+len(part) > maxLineBytes {
			return "", errLongLine
		}
		line.Write(part)
		if err != bufio.ErrBufferFull {
			return line.String(), err
		}
	}
}
