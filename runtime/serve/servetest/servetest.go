// Package servetest makes model trees and servers for tests of the protocols and for the real clients in tools/clients.
// The models are small and real: a writer that continues and chats, a classifier of feedback, and one that gives vectors.
package servetest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The models of a tree.
const (
	Writer   = "writer"   // GPT-2, pretrained on public tables, with a chat template
	Feedback = "feedback" // a BERT that sorts feedback into complaint, praise and question
	Vectors  = "vectors"  // a base GPT-2 with random weights
)

// ChatTemplate is the writer's: its turns are lines with the role in front.
const ChatTemplate = `{% for m in messages %}{% if m.role not in ['system', 'user', 'assistant'] %}{{ raise_exception('unknown role') }}{% endif %}` +
	`{{ m.role }} : {{ m.content }}{{ '\n' }}{% endfor %}{% if add_generation_prompt %}assistant :{% endif %}`

// WriteTree writes the models into dir from the testdata folder of the repository.
func WriteTree(dir, testdata string) error {
	for name, from := range map[string]string{Writer: "demo/pretrained", Feedback: "demo/feedback", Vectors: "models/gpt2-base-ts17"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(testdata, from))); err != nil {
			return fmt.Errorf("model %s: %w", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, Writer, "chat_template.jinja"), []byte(ChatTemplate), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, Vectors, "vocab.txt"), []byte(letters()), 0o644)
}

// letters is a WordPiece vocabulary of single letters.
func letters() string {
	tokens := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
	for _, prefix := range []string{"", "##"} {
		for c := 'a'; c <= 'z'; c++ {
			tokens = append(tokens, prefix+string(c))
		}
	}
	return strings.Join(tokens, "\n") + "\n"
}
