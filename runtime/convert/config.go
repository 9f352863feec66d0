package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// A Config is a model's config.json. Its values are read by name; a value of the
// wrong type or out of range is remembered as an error, which Err returns, so
// that an architecture can be described without a check after each line.
//
// null means absent, as transformers reads it.
type Config struct {
	ModelType string

	fields map[string]json.RawMessage
	within string // how errors name the object: "config.json"
	errs   *[]error
}

// Bounds of the file, of each extent that it gives, and of the number of layers.
const (
	maxConfig = 16 << 20
	maxExtent = 1 << 31
	maxLayers = 1024
)

// ParseConfig reads a config.json, of transformers 4 or 5.
func ParseConfig(data []byte) (*Config, error) {
	if len(data) > maxConfig {
		return nil, bad("config.json has %d bytes; at most %d are read", len(data), maxConfig)
	}
	c := &Config{within: "config.json", errs: new([]error)}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&c.fields); err != nil {
		return nil, bad("config.json is not a JSON object: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, bad("config.json goes on behind its object")
	}
	if c.fields == nil {
		return nil, bad("config.json is null, not an object")
	}
	c.ModelType = c.Str("", "model_type")
	if err := c.Err(); err != nil {
		return nil, err
	}
	if c.ModelType == "" {
		return nil, bad("config.json names no model_type; written are %s", strings.Join(ModelTypes(), ", "))
	}
	return c, nil
}

// Err returns what was wrong with the values read so far.
func (c *Config) Err() error { return errors.Join(*c.errs...) }

// Fail remembers that a field has a value that can't be converted.
func (c *Config) Fail(field, format string, args ...any) {
	*c.errs = append(*c.errs, bad("%s: %s = %s: %s", c.within, field, brief(c.fields[field]), fmt.Sprintf(format, args...)))
}

// brief is a value for an error message.
func brief(raw json.RawMessage) string {
	if raw == nil {
		return "(absent)"
	}
	if s := string(raw); len(s) <= 80 {
		return s
	}
	return string(raw[:77]) + "..."
}

// Has reports that a field is there and not null.
func (c *Config) Has(field string) bool {
	raw, ok := c.fields[field]
	return ok && string(bytes.TrimSpace(raw)) != "null"
}

// Null reports that a field is there and null, which for some fields is a value
// of its own.
func (c *Config) Null(field string) bool {
	_, ok := c.fields[field]
	return ok && !c.Has(field)
}

// present returns the first of the names that the file holds.
func (c *Config) present(names []string) (string, bool) {
	i := slices.IndexFunc(names, c.Has)
	if i < 0 {
		return "", false
	}
	return names[i], true
}

// value reads the first of the names that is there into dst, or leaves dst alone.
func (c *Config) value(dst any, kind string, names []string) (string, bool) {
	name, ok := c.present(names)
	if !ok {
		return "", false
	}
	if err := json.Unmarshal(c.fields[name], dst); err != nil {
		c.Fail(name, "it must be %s", kind)
		return name, false
	}
	return name, true
}

// Size reads a positive extent under the first of the names that is there; with
// def 0 one of them must be.
func (c *Config) Size(def int64, names ...string) int64 {
	v := def
	name, ok := c.value(&v, "a whole number", names)
	switch {
	case name == "" && def == 0:
		*c.errs = append(*c.errs, bad("%s: %s is missing", c.within, names[0]))
		return 1
	case name == "" || ok && v >= 1 && v <= maxExtent:
		return v
	case ok:
		c.Fail(name, "it must lie between 1 and %d", maxExtent)
	}
	return 1
}

// Layers reads the number of layers.
func (c *Config) Layers(def int64, names ...string) int64 {
	n := c.Size(def, names...)
	if name, ok := c.present(names); ok && n > maxLayers {
		c.Fail(name, "at most %d layers are written", maxLayers)
		return 1
	}
	return n
}

// ID reads a token id; −1 where it is absent. A list gives its first.
func (c *Config) ID(name string) int64 {
	if !c.Has(name) {
		return -1
	}
	var one int64
	if json.Unmarshal(c.fields[name], &one) == nil {
		return one
	}
	var many []int64
	if json.Unmarshal(c.fields[name], &many) == nil && len(many) > 0 {
		return many[0]
	}
	c.Fail(name, "it must be a token id")
	return -1
}

// Float reads a finite number.
func (c *Config) Float(def float64, names ...string) float64 {
	v := def
	if name, ok := c.value(&v, "a number", names); ok && (math.IsNaN(v) || math.IsInf(v, 0)) {
		c.Fail(name, "it must be finite")
	}
	return v
}

// Positive reads a number above 0.
func (c *Config) Positive(def float64, names ...string) float64 {
	v := c.Float(def, names...)
	if name, ok := c.present(names); ok && v <= 0 {
		c.Fail(name, "it must be above 0")
		return 1
	}
	return v
}

// Bool reads true or false.
func (c *Config) Bool(def bool, names ...string) bool {
	v := def
	c.value(&v, "true or false", names)
	return v
}

// Str reads a text.
func (c *Config) Str(def string, names ...string) string {
	v := def
	c.value(&v, "a text", names)
	return v
}

// Strs reads a list of texts.
func (c *Config) Strs(name string) []string {
	var v []string
	c.value(&v, "a list of texts", []string{name})
	return v
}

// Object reads a nested object, nil where it is absent. Its errors are c's.
func (c *Config) Object(name string) *Config {
	o := &Config{ModelType: c.ModelType, within: c.within + ": " + name, errs: c.errs}
	if _, ok := c.value(&o.fields, "an object", []string{name}); !ok || o.fields == nil {
		return nil
	}
	return o
}

// Only refuses a field whose value is anything but the given one, which is also
// what its absence means.
func (c *Config) Only(name string, want any, why string) {
	if !c.Has(name) {
		return
	}
	var got any
	w, _ := json.Marshal(want)
	var wanted any
	if json.Unmarshal(w, &wanted) != nil || json.Unmarshal(c.fields[name], &got) != nil || got != wanted {
		c.Fail(name, "%s; only %s is converted", why, w)
	}
}

// With returns a copy in which fields are replaced; a nil value removes one.
func (c *Config) With(fields map[string]any) (*Config, error) {
	out := *c
	out.fields = maps.Clone(c.fields)
	for name, v := range fields {
		if v == nil {
			delete(out.fields, name)
			continue
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		out.fields[name] = raw
	}
	return &out, nil
}

// JSON returns the file: every field that was read, whether it is known here or
// not, in the order of their names.
func (c *Config) JSON() ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(c.fields)
	return out.Bytes(), err
}
