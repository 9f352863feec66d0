package runtime

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// Problem types of a classifier, as config.json names them.
const (
	problemRegression = "regression"
	problemMulti      = "multi_label_classification"
)

// maxLabels bounds the classes of a configuration.
const maxLabels = 1 << 20

// A labelConfig is what config.json says of a classifier's outputs.
type labelConfig struct {
	names   map[int]string // id2label
	problem string         // problem_type, "" where it says nothing
}

// name is a class's name; LABEL_k, as transformers has it, where config.json
// gives none.
func (c labelConfig) name(k int) string {
	if n, ok := c.names[k]; ok {
		return n
	}
	return "LABEL_" + strconv.Itoa(k)
}

// readLabels reads dir/config.json; an absent file gives no names.
func readLabels(dir string) (labelConfig, error) {
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return labelConfig{}, nil
	}
	if err != nil {
		return labelConfig{}, usage("config.json: %w", err)
	}
	var file struct {
		Labels  map[string]string `json:"id2label"`
		Problem string            `json:"problem_type"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return labelConfig{}, usage("%s: %v", path, err)
	}
	c := labelConfig{names: make(map[int]string, len(file.Labels)), problem: file.Problem}
	for k, v := range file.Labels {
		i, err := strconv.Atoi(k)
		if err != nil || i < 0 || i >= maxLabels {
			return labelConfig{}, usage("%s: id2label: %q is not a class number", path, k)
		}
		c.names[i] = v
	}
	return c, nil
}

// Labels are the names of a classifier's classes, in their order; nil for a model
// that gives no scores of classes.
func (m *Model) Labels() ([]string, error) {
	output, err := m.classOutput()
	if errors.Is(err, ErrUsage) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	_, outputs, err := m.Signature()
	if err != nil {
		return nil, err
	}
	labels, err := m.readLabels()
	if err != nil {
		return nil, err
	}
	n := len(labels.names)
	for _, o := range outputs {
		switch {
		case o.Name != output:
		case o.HasShape && len(o.Dims) != 2:
			return nil, nil
		case o.HasShape && o.Dims[1] > 0:
			n = int(min(o.Dims[1], maxLabels))
		}
	}
	if n == 0 {
		return nil, nil
	}
	names := make([]string, n)
	for k := range names {
		names[k] = labels.name(k)
	}
	return names, nil
}
