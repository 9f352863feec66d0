package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

const stamp = "NOT PRIVATE"

// A run whose random numbers come from a seed, or that has no noise, says NOT PRIVATE in every file that it writes, in the
// model's metadata, on standard error and in its report. A private run says it nowhere.
func TestStampIsEverywhere(t *testing.T) {
	for name, c := range map[string]struct {
		flags   []string
		stamped bool
	}{
		"seeded":     {[]string{"--target-epsilon", "3", "--seed", "7"}, true},
		"no privacy": {[]string{"--no-privacy"}, true},
		"private":    {[]string{"--target-epsilon", "3"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			args := append([]string{"train", "--model", b.path("model"), "--task", "classify", "--train", b.path("train.jsonl"), "--out", b.path("out"),
				"--valid", b.path("train.jsonl"), "--valid-public", "--debug", "--steps", "2", "--expected-batch", "4", "--max-length", "16",
				"--microbatch", "4", "--threads", "1", "--json"}, c.flags...)
			code, stdout, stderr := command(t, args...)
			if code != 0 {
				t.Fatalf("exit %d: %s", code, stderr)
			}
			checkStamp(t, "standard error", []byte(stderr), c.stamped)
			var report trainReport
			if err := json.Unmarshal([]byte(stdout), &report); err != nil || strings.HasPrefix(report.NotPrivate, stamp) != c.stamped || (report.Epsilon == nil) != c.stamped {
				t.Errorf("report %s, %v", stdout, err)
			}
			checkStampedFiles(t, b, c.stamped)
			checkModelMetadata(t, b, c.stamped)
			code, stdout, _ = command(t, "privacy", "statement", b.path("out"))
			if code != 0 {
				t.Errorf("privacy statement: exit %d", code)
			}
			checkStamp(t, "privacy statement", []byte(stdout), c.stamped)
		})
	}
}

func checkStamp(t *testing.T, what string, text []byte, wanted bool) {
	t.Helper()
	if bytes.Contains(text, []byte(stamp)) != wanted {
		t.Errorf("%s: NOT PRIVATE is there: %t, want %t\n%.2000q", what, !wanted, wanted, text)
	}
}

// checkStampedFiles looks at every file of the output directory but copies of what lay beside the model, and the lines of
// debug/, whose README has the stamp.
func checkStampedFiles(t *testing.T, b bench, wanted bool) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(b.path("out"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "vocab.txt" || e.Name() == "steps.jsonl" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		checkStamp(t, path, data, wanted)
		if e.Name() == "metrics.jsonl" {
			for line := range bytes.Lines(data) {
				checkStamp(t, path, line, wanted)
			}
		}
		return nil
	})
	if err != nil || seen < 15 { // model, ledger, card, options, 3 of release/, 1 of debug/, 2 checkpoints of 4
		t.Errorf("%d files, %v", seen, err)
	}
}

func checkModelMetadata(t *testing.T, b bench, wanted bool) {
	t.Helper()
	data, err := os.ReadFile(b.path("out/model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	var m onnxpb.ModelProto
	if err := proto.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	for _, p := range m.MetadataProps {
		if p.GetKey() == "ghostwriter.privacy" {
			checkStamp(t, "the model's metadata", []byte(p.GetValue()), wanted)
			return
		}
	}
	t.Error("the model's metadata say nothing about privacy")
}
