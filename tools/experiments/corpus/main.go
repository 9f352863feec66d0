// Command corpus collects public English prose from Debian's documentation packages,
// as JSON lines {"text": …} for `ghostwriter train --task lm`: what the small models of
// docs/experiments.md are pretrained on.
//
// It needs a Debian system: apt-get downloads the packages, dpkg-deb unpacks them;
// nothing is installed. Beside the text it writes a manifest with the version, licence,
// size and SHA-256 of every package, so that what a model has read can be told.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
)

func main() {
	out := flag.String("out", "corpus.jsonl", "the JSON lines to write; the manifest goes to the same name with .manifest.json")
	work := flag.String("work", "", "a folder for the packages (default: a temporary one, removed at the end)")
	only := flag.String("packages", "", "some of the packages, separated by commas (default: all)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *out, *work, *only); err != nil {
		fmt.Fprintln(os.Stderr, "corpus:", err)
		os.Exit(1)
	}
}

// A manifest says what a corpus consists of.
type manifest struct {
	Texts    int        `json:"texts"`
	Bytes    int64      `json:"bytes"`
	Packages []gathered `json:"packages"`
}

// A gathered is one package's part of a corpus.
type gathered struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Licence string `json:"licence"`
	SHA256  string `json:"sha256"`
	Texts   int    `json:"texts"`
	Bytes   int64  `json:"bytes"`
}

func run(ctx context.Context, out, work, only string) (err error) {
	chosen, err := choose(sources(), only)
	if err != nil {
		return err
	}
	if work == "" {
		if work, err = os.MkdirTemp("", "corpus-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	}
	var m manifest
	err = durable.WriteFile(out, 0o644, func(w io.Writer) error {
		prose := newFilter()
		for _, s := range chosen {
			g, err := gather(ctx, s, work, prose, json.NewEncoder(w))
			if err != nil {
				return fmt.Errorf("package %s: %w", s.name, err)
			}
			fmt.Fprintf(os.Stderr, "%s %s: %d texts, %.1f MB\n", g.Name, g.Version, g.Texts, float64(g.Bytes)/1e6)
			m.Packages = append(m.Packages, g)
			m.Texts, m.Bytes = m.Texts+g.Texts, m.Bytes+g.Bytes
		}
		return nil
	})
	if err != nil {
		return err
	}
	return durable.WriteJSON(strings.TrimSuffix(out, filepath.Ext(out))+".manifest.json", 0o644, m)
}

// gather writes a package's paragraphs.
func gather(ctx context.Context, s source, work string, prose *filter, to *json.Encoder) (gathered, error) {
	p, err := fetch(ctx, s.name, work)
	if err != nil {
		return gathered{}, err
	}
	g := gathered{Name: s.name, Version: p.version, Licence: s.licence, SHA256: p.sha256}
	err = s.texts(p.root, func(text string) error {
		text, ok := prose.take(text)
		if !ok {
			return nil
		}
		g.Texts, g.Bytes = g.Texts+1, g.Bytes+int64(len(text))
		return to.Encode(map[string]string{"text": text})
	})
	return g, err
}

// choose picks the packages that were asked for.
func choose(all []source, only string) ([]source, error) {
	if only == "" {
		return all, nil
	}
	var chosen []source
	for name := range strings.SplitSeq(only, ",") {
		found := false
		for _, s := range all {
			if s.name == name {
				chosen, found = append(chosen, s), true
			}
		}
		if !found {
			return nil, fmt.Errorf("-packages: %q is none of the packages that sources.go lists", name)
		}
	}
	return chosen, nil
}
