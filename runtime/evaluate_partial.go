package runtime

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
)

// A partial holds the texts of an evaluation while they are generated, on disk where there is a file for them: JSON lines,
// the first of which says what the texts belong to, one more for each text. A line that a crash left torn is dropped.
type partial struct {
	path  string
	file  *os.File // nil without a file
	texts []string
	done  []bool
}

type partialHead struct {
	Evaluation string `json:"evaluation"` // hash of model, prompts and options
}

type partialLine struct {
	Source int    `json:"source"`
	Text   string `json:"text"`
}

// openPartial begins a file beside the outputs, or reads that of an earlier call.
func openPartial(o *EvaluateOptions, g GenerateOptions, sources []*sourcePrompt) (*partial, error) {
	p := &partial{texts: make([]string, len(sources)), done: make([]bool, len(sources))}
	if o.Outputs == "" {
		return p, nil
	}
	p.path = o.Outputs + ".partial"
	hash, err := evaluationHash(o, g, sources)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(p.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, usage("--outputs: %w", err)
	}
	whole := bytes.LastIndexByte(data, '\n') + 1
	if whole == 0 {
		return p, p.begin(hash)
	}
	if err := p.read(data[:whole], hash); err != nil {
		return nil, err
	}
	if p.file, err = os.OpenFile(p.path, os.O_WRONLY, 0); err == nil {
		if err = p.file.Truncate(int64(whole)); err == nil {
			_, err = p.file.Seek(0, 2)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("going on with %s: %w", p.path, err), p.close())
	}
	return p, nil
}

// begin writes the first line of a new file.
func (p *partial) begin(hash string) (err error) {
	if p.file, err = os.OpenFile(p.path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600); err != nil {
		return usage("--outputs: %w", err)
	}
	if err := p.line(partialHead{hash}); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(p.path))
}

func (p *partial) read(data []byte, hash string) error {
	lines := bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	var head partialHead
	if err := json.Unmarshal(lines[0], &head); err != nil || head.Evaluation != hash {
		return usage("%s belongs to another model, other data or other options: give those, or remove it", p.path)
	}
	for i, line := range lines[1:] {
		var l partialLine
		if err := json.Unmarshal(line, &l); err != nil || l.Source < 0 || l.Source >= len(p.texts) {
			return usage("%s: line %d is damaged; remove the file to begin anew", p.path, i+2)
		}
		p.texts[l.Source], p.done[l.Source] = l.Text, true
	}
	return nil
}

// add keeps a text.
func (p *partial) add(source int, text string) error {
	p.texts[source], p.done[source] = text, true
	return p.line(partialLine{source, text})
}

// line appends a line and syncs it: a text takes long enough to generate.
func (p *partial) line(v any) error {
	if p.file == nil {
		return nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := p.file.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("writing %s: %w", p.path, err)
	}
	return p.file.Sync()
}

func (p *partial) count() (n int) {
	for _, done := range p.done {
		if done {
			n++
		}
	}
	return n
}

func (p *partial) close() error {
	if p.file == nil {
		return nil
	}
	err := p.file.Close()
	p.file = nil
	return err
}

// remove deletes the file, whose texts are elsewhere.
func (p *partial) remove() error {
	if p.path == "" {
		return nil
	}
	return errors.Join(p.close(), os.Remove(p.path))
}

// evaluationHash identifies what texts belong to: the prompts, how they are continued, and the model, by its files' names,
// sizes and times.
func evaluationHash(o *EvaluateOptions, g GenerateOptions, sources []*sourcePrompt) (string, error) {
	g.Tokenizer, g.OnToken, g.OnDone = nil, nil, nil
	h := sha256.New()
	enc := json.NewEncoder(h)
	if err := enc.Encode(g); err != nil {
		return "", err
	}
	for _, s := range sources {
		if err := enc.Encode(s.prompt); err != nil {
			return "", err
		}
	}
	dir := o.Model
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		dir = filepath.Dir(dir)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		if d.IsDir() && d.Name() != "onnx" {
			return fs.SkipDir
		}
		info, err := d.Info()
		if err != nil || d.IsDir() || strings.HasPrefix(info.Name(), filepath.Base(o.Outputs)) {
			return err
		}
		return enc.Encode([]any{path, info.Size(), info.ModTime().UnixNano()})
	})
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", dir, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
