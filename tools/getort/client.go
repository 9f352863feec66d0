package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort/pinned"
)

// client says how a package client is called to put one archive into the current folder.
type client struct {
	commands [][]string // the ways to call it; the first that is installed and succeeds is enough
	args     func(p pinned.Package) []string
	archives string   // pattern of the archive's name
	env      []string // further environment
	missing  string   // what is not installed, for messages
}

// clients by the name a package gives. npm runs no install scripts: `npm pack` only downloads.
var clients = map[string]client{
	"npm": {
		commands: [][]string{{"npm"}},
		args: func(p pinned.Package) []string {
			return []string{"pack", p.Spec, "--ignore-scripts", "--loglevel=error"}
		},
		archives: "*.tgz",
		missing:  "npm is not installed",
	},
	"pip": {
		commands: [][]string{{"pip3"}, {"pip"}, {"python3", "-m", "pip"}, {"python", "-m", "pip"}},
		args: func(p pinned.Package) []string {
			return slices.Concat([]string{"download", p.Spec, "--dest", ".", "--quiet", "--no-input", "--disable-pip-version-check"}, p.Args)
		},
		archives: "*.whl",
		env:      []string{"PIP_REQUIRE_VIRTUALENV=false"}, // only a download, nothing is installed
		missing:  "pip is not installed",
	},
}

// download lets the package's client write the archive into dir and returns its path.
func download(ctx context.Context, p pinned.Package, dir string, log io.Writer) (string, error) {
	c, ok := clients[p.Client]
	if !ok {
		return "", fmt.Errorf("unknown package client %q", p.Client)
	}
	var failures []string
	for i, command := range c.commands {
		name, err := exec.LookPath(command[0])
		if err != nil {
			continue
		}
		args := append(slices.Clone(command[1:]), c.args(p)...)
		fmt.Fprintf(log, "getort: %s %s\n", command[0], strings.Join(args, " "))
		own := filepath.Join(dir, strconv.Itoa(i)) // nothing of a failed call is taken for the next one's
		if err := os.Mkdir(own, 0o700); err != nil {
			return "", err
		}
		archive, err := c.call(ctx, name, args, own, log)
		if err == nil || ctx.Err() != nil {
			return archive, err
		}
		failures = append(failures, fmt.Sprintf("%s failed: %v", command[0], err))
	}
	if len(failures) == 0 {
		return "", errors.New(c.missing)
	}
	return "", errors.New(strings.Join(failures, "; "))
}

// call runs the client in dir and returns the one archive it wrote. What a failing client said goes to the log.
func (c client) call(ctx context.Context, name string, args []string, dir string, log io.Writer) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), c.env...)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		log.Write(out)
		return "", fmt.Errorf("%w: %s", err, lastLine(string(out)))
	}
	found, err := filepath.Glob(filepath.Join(dir, c.archives))
	if err != nil {
		return "", err
	}
	if len(found) != 1 {
		return "", fmt.Errorf("it wrote %d files %s, want 1", len(found), c.archives)
	}
	return found[0], nil
}

// lastLine is the last line of a client's output that says something, cut to a readable length. npm ends with where its
// log is.
func lastLine(out string) string {
	const most = 300
	line := "it said nothing"
	for l := range strings.Lines(out) {
		if l = strings.TrimSpace(l); l != "" && !strings.Contains(l, "A complete log of this run") {
			line = l
		}
	}
	if len(line) > most {
		line = strings.ToValidUTF8(line[:most], "") + "…"
	}
	return line
}
