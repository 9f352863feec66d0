package tokenize

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// Limits of what a tokenizer's files may hold; the largest public ones stay below a third of them.
const (
	maxTokenizerBytes = 64 << 20 // bytes of one file
	maxVocabTokens    = 2 << 20  // tokens of a vocabulary
	maxMerges         = 2 << 20
	maxAddedTokens    = 1 << 16
)

// maxID keeps ids, and the largest id + 1, within int32.
const maxID = 1<<31 - 2

// Load opens the tokenizer at path:
//
//   - a tokenizer.json of the Hugging Face tokenizers library;
//   - a WordPiece vocabulary (vocab.txt, a token a line), which lower-cases and strips accents unless it holds
//     upper-case pieces;
//   - a byte-level BPE vocabulary (vocab.json or encoder.json, merges.txt or vocab.bpe; either may be named, the other
//     lies beside it);
//   - a SentencePiece model (spiece.model, tokenizer.model), as transformers converts it: a Unigram model is T5's, a BPE
//     model Llama's;
//   - a directory with one of these, where tokenizer_config.json, special_tokens_map.json and added_tokens.json count
//     as well, as they do for transformers' AutoTokenizer.
//
// Truncation and padding stored in a tokenizer.json are not applied. A component that is not supported is an error that
// names it. Errors are of type *LoadError, or those of opening a file.
func Load(path string) (*Tokenizer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	var t *Tokenizer
	if info.IsDir() {
		t, err = loadDirectory(path)
	} else {
		t, err = loadFile(path)
	}
	var load *LoadError
	if errors.As(err, &load) && load.Path == "" {
		load.Path = path
	}
	return t, err
}

// problem makes a LoadError, whose path the caller of the loader fills in.
func problem(format string, args ...any) *LoadError {
	return &LoadError{Problem: fmt.Sprintf(format, args...)}
}

// readFile reads a text file of a tokenizer; more than maxTokenizerBytes, or what is not UTF-8, is an error.
func readFile(path string) ([]byte, error) {
	data, err := readBytes(path)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(data) {
		return nil, &LoadError{Path: path, Problem: "file is not UTF-8"}
	}
	return data, nil
}

func readBytes(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(f, maxTokenizerBytes+1))
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if len(data) > maxTokenizerBytes {
		return nil, &LoadError{Path: path, Problem: fmt.Sprintf("file is larger than %d MiB", maxTokenizerBytes>>20)}
	}
	return data, nil
}

// readOptional is readFile, with nil for a file that does not exist.
func readOptional(path string) ([]byte, error) {
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// inFile says in which file a problem is.
func inFile(path string, err error) error {
	var load *LoadError
	if errors.As(err, &load) && load.Path == "" {
		load.Path = path
	}
	return err
}

var (
	bpeVocabNames = []string{"vocab.json", "encoder.json"}
	bpeMergeNames = []string{"merges.txt", "vocab.bpe"}
	spmNames      = []string{"spiece.model", "tokenizer.model", "sentencepiece.bpe.model", "spm.model"}
)

func loadFile(path string) (*Tokenizer, error) {
	name := filepath.Base(path)
	switch ext := strings.ToLower(filepath.Ext(name)); {
	case name == "merges.txt" || ext == ".bpe":
		vocab := beside(path, bpeVocabNames)
		if vocab == "" {
			return nil, problem("a merges file needs its vocabulary beside it: %s", strings.Join(bpeVocabNames, " or "))
		}
		return loadBPE(vocab, path, settings{})
	case ext == ".json":
		data, err := readFile(path)
		if err != nil {
			return nil, err
		}
		if isTokenizerJSON(data) {
			return parseTokenizerJSON(data, settings{})
		}
		merges := beside(path, bpeMergeNames)
		if merges == "" {
			return nil, problem("neither a tokenizer.json (no \"model\" in it) nor a vocabulary with its merges beside it: %s",
				strings.Join(bpeMergeNames, " or "))
		}
		return loadBPE(path, merges, settings{})
	case ext == ".model":
		return loadSPM(path, settings{})
	case ext == ".tiktoken":
		return nil, problem("%s files are not supported; save the tokenizer as tokenizer.json (save_pretrained of transformers does)", ext)
	}
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return parseWordPiece(data, settings{})
}

func loadDirectory(dir string) (*Tokenizer, error) {
	s, err := readSettings(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "tokenizer.json")
	if data, err := readOptional(path); err != nil {
		return nil, err
	} else if data != nil {
		t, err := parseTokenizerJSON(data, s)
		return t, inFile(path, err)
	}
	if vocab, merges := firstIn(dir, bpeVocabNames), firstIn(dir, bpeMergeNames); vocab != "" && merges != "" {
		return loadBPE(vocab, merges, s)
	}
	path = filepath.Join(dir, "vocab.txt")
	if data, err := readOptional(path); err != nil {
		return nil, err
	} else if data != nil {
		t, err := parseWordPiece(data, s)
		return t, inFile(path, err)
	}
	if spm := firstIn(dir, spmNames); spm != "" {
		return loadSPM(spm, s)
	}
	return nil, problem("no tokenizer here: looked for tokenizer.json, vocab.json with merges.txt, vocab.txt, and %s", strings.Join(spmNames, ", "))
}

func loadSPM(path string, s settings) (*Tokenizer, error) {
	data, err := readBytes(path)
	if err != nil {
		return nil, err
	}
	t, err := loadSentencePiece(data, s)
	return t, inFile(path, err)
}

func loadBPE(vocabPath, mergesPath string, s settings) (*Tokenizer, error) {
	vocab, err := readFile(vocabPath)
	if err != nil {
		return nil, err
	}
	merges, err := readFile(mergesPath)
	if err != nil {
		return nil, err
	}
	t, err := parseBPE(vocab, merges, s)
	return t, inFile(vocabPath, err)
}

// beside is the first of names that exists in the folder of path, or "".
func beside(path string, names []string) string { return firstIn(filepath.Dir(path), names) }

func firstIn(dir string, names []string) string {
	for _, name := range names {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path
		}
	}
	return ""
}
