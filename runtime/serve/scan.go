package serve

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// The tree's layout: TREE/NAME is a model directory, or has numbered folders
// TREE/NAME/VERSION that are. A path is only ever made of names that reading a
// folder gave, never of a name that a client sent, so no request can point out of
// the tree. Symbolic links are followed: who can write into the tree decides
// what is served, and Kubernetes mounts volumes as links.

// onlyVersion is the version of a model directory without numbered folders.
const onlyVersion = "1"

// A place is where a version of a model lies.
type place struct {
	name, version, dir string
	bad                error // why it can't be loaded
}

// CheckTree says what is wrong with a folder of models as a whole.
func CheckTree(tree string) error {
	info, err := os.Stat(tree)
	switch {
	case err != nil:
		return fmt.Errorf("the folder of models: %w", err)
	case !info.IsDir():
		return fmt.Errorf("the folder of models %s is a file; give the folder that holds one folder for each model", tree)
	}
	if _, err := ir.Locate(tree); err == nil {
		return fmt.Errorf("%s is itself a model directory; give the folder above it, whose folders are the models", tree)
	}
	return nil
}

// scan lists every version of the tree's models and of those named beside it.
func (r *Repository) scan() (map[string][]place, error) {
	found := map[string][]place{}
	if r.tree != "" {
		var err error
		if found, err = scan(r.tree); err != nil {
			return nil, err
		}
	}
	for name, dir := range r.options.Models {
		if _, ok := found[name]; ok {
			return nil, fmt.Errorf("model %s is in the folder of models and named beside it, as %s; give it one place", name, dir)
		}
		found[name] = scanModel(name, dir)
	}
	return found, nil
}

// scan lists every version in the tree by name, in order.
func scan(tree string) (map[string][]place, error) {
	entries, err := os.ReadDir(tree)
	if err != nil {
		return nil, fmt.Errorf("the folder of models: %w", err)
	}
	found := map[string][]place{}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") {
			continue // half-written folders, and what Kubernetes keeps beside its links
		}
		dir := filepath.Join(tree, name)
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			found[name] = scanModel(name, dir)
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) || e.Type()&fs.ModeSymlink != 0 && err != nil {
			found[name] = []place{{name: name, version: onlyVersion, dir: dir, bad: fmt.Errorf("model %s: %w", name, err)}}
		}
	}
	return found, nil
}

// scanModel lists the versions of one model. One that is both a model directory
// and has versions is refused: nobody could say which is meant.
func scanModel(name, dir string) []place {
	if err := checkName(name); err != nil {
		return []place{{name: name, version: onlyVersion, dir: dir, bad: err}}
	}
	versions, err := versionsOf(dir)
	if err != nil {
		return []place{{name: name, version: onlyVersion, dir: dir, bad: err}}
	}
	_, located := ir.Locate(dir)
	switch {
	case located == nil && len(versions) > 0:
		return []place{{name: name, version: onlyVersion, dir: dir,
			bad: fmt.Errorf("model %s holds both a model and version folders (%s); move the model into a version folder", name, strings.Join(versions, ", "))}}
	case len(versions) == 0:
		return []place{{name: name, version: onlyVersion, dir: dir}}
	}
	places := make([]place, len(versions))
	for i, v := range versions {
		places[i] = place{name: name, version: v, dir: filepath.Join(dir, v)}
	}
	return places
}

// versionsOf lists the numbered folders of dir in numeric order.
func versionsOf(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var versions []string
	for _, e := range entries {
		if _, ok := versionNumber(e.Name()); !ok {
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && info.IsDir() {
			versions = append(versions, e.Name())
		}
	}
	slices.SortFunc(versions, compareVersions)
	return versions, nil
}

// versionNumber reads a version: a positive number without leading zeros, so that
// each has one spelling.
func versionNumber(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	return n, err == nil && n > 0 && s[0] != '0' && s[0] != '+'
}

func compareVersions(a, b string) int {
	x, _ := versionNumber(a)
	y, _ := versionNumber(b)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// maxName bounds a model's name, which is a label of metrics.
const maxName = 128

// checkName refuses names of folders that can't stand in a path of the API.
func checkName(name string) error {
	bad := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-+@=", r))
	}
	if name == "" || name[0] == '.' || len(name) > maxName || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("%q can't be a model's name; use letters, digits and . _ - + @ =, at most %d", name, maxName)
	}
	return nil
}
