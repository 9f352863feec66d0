package convert

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

const tinyGPT2 = `{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 11, "n_positions": 8,
	"n_embd": 6, "n_layer": 2, "n_head": 2, "unknown_field": {"kept": [1, 2]}}`

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A new model is one directory, the same for the same seed, with the config's
// unknown fields carried over.
func TestNewWritesADirectory(t *testing.T) {
	config := writeConfig(t, tinyGPT2)
	read := func(seed uint64, external bool) []float32 {
		dst := filepath.Join(t.TempDir(), "sub", "model")
		r, err := New(t.Context(), config, dst, Options{Seed: seed, External: external})
		if err != nil {
			t.Fatal(err)
		}
		m, err := ir.Open(dst)
		if err != nil {
			t.Fatal(err)
		}
		if r.Parameters != 11*6+8*6+2*(6*18+18+6*6+6+2*(6*24)+24+6+4*6)+12 {
			t.Errorf("%d parameters", r.Parameters)
		}
		_, err = os.Stat(filepath.Join(dst, "model.onnx_data"))
		if (err == nil) != external {
			t.Errorf("external %v: %v", external, err)
		}
		text, err := os.ReadFile(filepath.Join(dst, "config.json"))
		if err != nil || !strings.Contains(string(text), `"kept"`) {
			t.Errorf("config.json: %v\n%s", err, text)
		}
		left, _ := filepath.Glob(filepath.Join(filepath.Dir(dst), ".*"))
		if len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		values, err := m.Graph().Inits["transformer.h.1.attn.c_attn.weight"].Float32s()
		if err != nil {
			t.Fatal(err)
		}
		return values
	}
	a, b, c := read(1, false), read(1, true), read(2, false)
	if !slices.Equal(a, b) || slices.Equal(a, c) {
		t.Error("the weights must follow from the seed alone")
	}
}

func TestDestinationIsNotOverwritten(t *testing.T) {
	config, dst := writeConfig(t, tinyGPT2), t.TempDir()
	if err := os.WriteFile(filepath.Join(dst, "mine"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := New(t.Context(), config, dst, Options{})
	if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("got %v", err)
	}
}

// A conversion that is cancelled while it writes leaves nothing behind.
func TestCancelledConversion(t *testing.T) {
	config := writeConfig(t, edited(t, tinyGPT2, `{"vocab_size": 200000, "n_embd": 64}`))
	for _, external := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		checks := 0
		dst := filepath.Join(t.TempDir(), "out")
		_, err := New(interrupted{ctx, func() {
			if checks++; checks == 3 {
				cancel()
			}
		}}, config, dst, Options{External: external})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if left, _ := os.ReadDir(filepath.Dir(dst)); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		cancel()
	}
}

// interrupted is a context that calls a function each time it is asked.
type interrupted struct {
	context.Context
	asked func()
}

func (i interrupted) Err() error {
	i.asked()
	return i.Context.Err()
}
