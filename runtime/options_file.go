package runtime

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// mayBeZero are the options for which 0 is a value of its own; for all others it
// would silently stand for the default.
var mayBeZero = []string{"seed", "weight-decay", "momentum", "threads"}

// ParseOptions reads options from YAML, whose names are the command's flags. An
// unknown name is an error, and so is a number that is not positive where one
// must be.
func ParseOptions(data []byte) (FinetuneOptions, error) {
	var o FinetuneOptions
	if err := strictYAML(data, &o); err != nil {
		return o, usage("the configuration: %w", err)
	}
	given := map[string]any{}
	if err := yaml.Unmarshal(data, &given); err != nil {
		return o, usage("the configuration: %w", err)
	}
	for name := range given {
		if err := o.CheckGiven(name); err != nil {
			return o, err
		}
		o.mark(name)
	}
	return o, nil
}

// strictYAML decodes into v and refuses unknown names.
func strictYAML(data []byte, v any) error {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// field is the option of a name; the zero Value for an unknown one.
func (o *FinetuneOptions) field(name string) reflect.Value {
	v := reflect.ValueOf(o).Elem()
	for i := range v.NumField() {
		if optionName(v.Type().Field(i)) == name {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}

// CheckGiven refuses an option that was given a number that is not positive.
// Left out, it takes its default.
func (o *FinetuneOptions) CheckGiven(name string) error {
	v := o.field(name)
	positive := true
	switch {
	case !v.IsValid() || slices.Contains(mayBeZero, name):
	case v.CanInt():
		positive = v.Int() > 0
	case v.CanFloat():
		positive = v.Float() > 0
	}
	if !positive {
		return usage("--%s %v must be positive", name, v.Interface())
	}
	return nil
}

// Take copies the named option from other.
func (o *FinetuneOptions) Take(name string, other *FinetuneOptions) {
	if v := o.field(name); v.IsValid() {
		v.Set(other.field(name))
		o.mark(name)
	}
}

// mark remembers that a zero value was given, so that a recipe does not replace it.
func (o *FinetuneOptions) mark(name string) {
	if v := o.field(name); v.IsValid() && v.IsZero() {
		given := maps.Clone(o.given)
		if given == nil {
			given = map[string]bool{}
		}
		given[name] = true
		o.given = given
	}
}
