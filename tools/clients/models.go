package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/ghostwriter-dp/ghostwriter/runtime/serve/servetest"
)

// models makes the model directories, by the command as a user would:
//
//	tree/writer    GPT-2, privately tuned for two steps, with a chat template
//	tree/feedback  a classifier, tree/vectors a model that gives vectors
//	hf/writer      the tuned writer in Hugging Face's layout
//	js/writer      that, converted again, with the keys and values of earlier tokens as inputs and outputs
//	js/sorter      a new BERT classifier, privately tuned for a step
func (j job) models(ctx context.Context) error {
	data := filepath.Join(j.root, "testdata")
	tree, pretrained := filepath.Join(j.work, "tree"), filepath.Join(data, "demo/pretrained")
	if err := servetest.WriteTree(tree, data); err != nil {
		return err
	}
	writer := filepath.Join(tree, servetest.Writer)
	if err := os.RemoveAll(writer); err != nil { // the tuned one takes its place
		return err
	}
	sorter := filepath.Join(j.work, "new")
	if err := j.sorterSource(sorter); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"train", "--model", pretrained, "--task", "e2e", "--train", filepath.Join(data, "demo/private-train.csv"), "--out", writer,
			"--target-epsilon", "4", "--steps", "2", "--expected-batch", "8", "--json"},
		{"convert", writer, "--to", "hf", "-o", filepath.Join(j.work, "hf/writer"), "--json"},
		{"convert", filepath.Join(j.work, "hf/writer"), "--to", "onnx", "--cache", "-o", filepath.Join(j.work, "js/writer"), "--json"},
		{"convert", "new", "--config", filepath.Join(sorter, "config.json"), "--head", "classify", "--labels", "3", "--seed", "1", "-o", filepath.Join(sorter, "model"), "--json"},
		{"train", "--model", filepath.Join(sorter, "model"), "--tokenizer", sorter, "--task", "classify", "--train", filepath.Join(sorter, "train.jsonl"),
			"--out", filepath.Join(j.work, "js/sorter"), "--mode", "head", "--noise-multiplier", "1", "--steps", "1", "--expected-batch", "4", "--json"},
	} {
		if err := j.ghostwriter(ctx, args...); err != nil {
			return err
		}
	}
	return j.finish(writer, sorter)
}

// finish adds what the clients read beside what the command writes: the writer's chat template, and the tokenizer
// configurations that transformers.js asks for.
func (j job) finish(writer, sorter string) error {
	if err := os.WriteFile(filepath.Join(writer, "chat_template.jinja"), []byte(servetest.ChatTemplate), 0o644); err != nil {
		return err
	}
	js := filepath.Join(j.work, "js")
	if err := copyMissing(filepath.Join(sorter, "tokenizer.json"), filepath.Join(js, "sorter/tokenizer.json")); err != nil {
		return err
	}
	for model, config := range map[string]any{
		"writer": map[string]any{"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|endoftext|>", "bos_token": "<|endoftext|>"},
		"sorter": map[string]any{"tokenizer_class": "BertTokenizer", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"},
	} {
		if err := writeJSON(filepath.Join(js, model, "tokenizer_config.json"), config); err != nil {
			return err
		}
	}
	// The served classifier is the one that transformers.js loads, so that their scores can be compared.
	return os.CopyFS(filepath.Join(j.work, "tree/sorter"), os.DirFS(filepath.Join(js, "sorter")))
}

func copyMissing(from, to string) error {
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

func writeJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

// sorterSource writes what the classifier is made of: a configuration, a tokenizer and texts.
func (j job) sorterSource(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(dir, "config.json"), map[string]any{
		"model_type": "bert", "architectures": []string{"BertForSequenceClassification"}, "vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2,
		"num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 64, "type_vocab_size": 2, "hidden_act": "gelu",
		"layer_norm_eps": 1e-12, "pad_token_id": 0, "id2label": map[string]string{"0": "no", "1": "maybe", "2": "yes"}, "label2id": map[string]int{"no": 0, "maybe": 1, "yes": 2},
	}); err != nil {
		return err
	}
	if err := copyMissing(filepath.Join(j.root, "tokenize/testdata/wordpiece/tokenizer.json"), filepath.Join(dir, "tokenizer.json")); err != nil {
		return err
	}
	var rows bytes.Buffer
	for i := range 40 {
		fmt.Fprintf(&rows, "{\"text\": \"the answer number %d\", \"label\": %d}\n", i, i%3)
	}
	return os.WriteFile(filepath.Join(dir, "train.jsonl"), rows.Bytes(), 0o644)
}

// ghostwriter runs the command; its error has what it said.
func (j job) ghostwriter(ctx context.Context, args ...string) error {
	c := exec.CommandContext(ctx, j.command, args...)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("ghostwriter %s: %w\n%s", args[0], err, out)
	}
	return nil
}
