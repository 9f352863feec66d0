package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

var deploy = filepath.Join("..", "..", "docs", "deploy")

// A manifest is one document of a file in docs/deploy.
type manifest struct {
	where string
	kind  string // "apps/v1 Deployment"
	body  any    // as JSON has it
}

// manifests reads every document of every .yaml file.
func manifests(t *testing.T) (out []manifest) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(deploy, "*", "*.yaml"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d := yaml.NewDecoder(bytes.NewReader(data))
		for i := 0; ; i++ {
			var v map[string]any
			if err := d.Decode(&v); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			body, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, manifest{fmt.Sprintf("%s, document %d", filepath.Base(file), i+1), fmt.Sprintf("%v %v", v["apiVersion"], v["kind"]), body})
		}
	}
	return out
}

// schemas compiles the shapes of the kinds that the schema file knows.
func schemas(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(deploy, "schema", "schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	out := map[string]*jsonschema.Schema{}
	for kind, name := range doc.(map[string]any)["kinds"].(map[string]any) {
		if out[kind], err = c.Compile("schema.json#/$defs/" + name.(string)); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestManifestsFitTheirSchemas(t *testing.T) {
	known := schemas(t)
	for _, m := range manifests(t) {
		s := known[m.kind]
		if s == nil {
			t.Errorf("%s: no schema of %s", m.where, m.kind)
			continue
		}
		if err := s.Validate(m.body); err != nil {
			t.Errorf("%s: %v", m.where, err)
		}
	}
	wrong, err := jsonschema.UnmarshalJSON(strings.NewReader(`{"spec": {"predictor": {"modle": {}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if known["serving.kserve.io/v1beta1 InferenceService"].Validate(wrong) == nil {
		t.Error("a misspelt field passed")
	}
}

// walk calls f with every object inside v.
func walk(v any, f func(object map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		f(v)
		for _, inner := range v {
			walk(inner, f)
		}
	case []any:
		for _, inner := range v {
			walk(inner, f)
		}
	}
}

// What the manifests tell the command to do, it can do.
func TestManifestsUseFlagsThatExist(t *testing.T) {
	serve, _, err := (&app{}).root().Find([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	containers := 0
	for _, m := range manifests(t) {
		walk(m.body, func(object map[string]any) {
			args, ok := object["args"].([]any)
			if !ok {
				return
			}
			containers++
			if args[0] != "serve" {
				t.Errorf("%s: the container does %v", m.where, args[0])
			}
			var flags []string
			for _, a := range args[1:] {
				flags = append(flags, a.(string))
			}
			if err := serve.ParseFlags(flags); err != nil {
				t.Errorf("%s: %v", m.where, err)
			}
		})
	}
	if containers < 3 {
		t.Errorf("%d containers have arguments, want at least 3", containers)
	}
}

// A probe or a service that names a port that no container has never works.
func TestManifestsNamePortsThatExist(t *testing.T) {
	for _, m := range manifests(t) {
		ports := map[any]bool{}
		walk(m.body, func(object map[string]any) {
			if n, ok := object["containerPort"]; ok {
				ports[n], ports[object["name"]] = true, true
			}
		})
		walk(m.body, func(object map[string]any) {
			if get, ok := object["httpGet"].(map[string]any); ok && !ports[get["port"]] {
				t.Errorf("%s: a probe asks port %v, which no container has", m.where, get["port"])
			}
		})
	}
}
