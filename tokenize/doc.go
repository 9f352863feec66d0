// Package tokenize turns text into token ids and records into training examples. It knows no ONNX.
//
// It has three layers, each usable alone:
//
//   - Tokenizers: [Load] opens a tokenizer.json, a vocabulary, a SentencePiece model or a model directory; a [Tokenizer]
//     encodes and decodes text, [Tokenizer.EncodeDetailed] with offsets, truncation and padding, [Tokenizer.Stream] id by
//     id. The ids are those of the reference implementation, the Hugging Face tokenizers library 0.22, and of transformers
//     4.57 for directories. docs/tokenizers.md says what is supported and how that is held against them.
//   - Readers: [Stream] and [ReadFile] turn E2E csv, GLUE tsv, DART and WebNLG JSON and XML, Persona-Chat and JSON lines
//     into [Record] values, one at a time (docs/tasks.md).
//     Their errors name file, row and field, never content: the data are private.
//   - Formats: a [Formatter] turns a record into an [Example], token ids with labels or a loss mask; [Pad] puts
//     examples of one length bucket into the flat int64 arrays that a model takes.
//
// # What comes from sugarme/tokenizer
//
// The base is github.com/sugarme/tokenizer: its Model interface, its BPE and WordPiece vocabularies and its byte
// alphabet. Where version 0.3.0 gives wrong ids or text, a corrected part stands in:
//
//   - BPE merges of equal rank are applied from left to right (there: in the order of their time stamps), with byte
//     fallback, prefixes and suffixes; a model without a cache works (there: a nil pointer).
//   - Added tokens, special ones among them, are cut out of the text before anything else sees it (there: dropped by
//     the byte-level pre-tokenizer, and matched by a regular expression that mixes up several in one text).
//   - Normalizers and pre-tokenizers are our own, on text that knows where it came from: strip_accents: null follows
//     lowercase, accents go, and the character classes are the reference's (there: NBSP, U+2028 and U+3000 are not white
//     space, and byte-level patterns lose their look-ahead, for Go's regexp has none).
//   - Token offsets are bytes of the pre-token (there: runes, for WordPiece).
//   - Decoders give text as soon as it is certain, and leave tokens outside the byte alphabet alone (there: zero bytes).
//   - Unigram is our own (there: with byte fallback every text becomes bytes).
//   - The file loader checks what it reads (there: panics and log.Fatal on malformed files).
//
// sugarme_test.go holds each against its version 0.3.0.
package tokenize
