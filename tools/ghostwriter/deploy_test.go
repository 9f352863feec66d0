package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
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
	for kind, text := range map[string]string{
		"serving.kserve.io/v1beta1 InferenceService": `{"spec": {"predictor": {"modle": {}}}}`,
		"kubeflow.org/v2beta1 MPIJob":                `{"spec": {"mpiReplicaSpecs": {"Launcher": {"template": {"spec": {"containers": [{"nmae": "x"}]}}}}}}`,
	} {
		wrong, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if known[kind].Validate(wrong) == nil {
			t.Errorf("a misspelt field of %s passed", kind)
		}
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
	commands := map[string]int{}
	for _, m := range manifests(t) {
		walk(m.body, func(object map[string]any) {
			args, ok := object["args"].([]any)
			if !ok {
				return
			}
			if len(args) == 1 { // a script
				for _, line := range commandLines(args[0].(string)) {
					commands[takes(t, m.where, line)]++
				}
				return
			}
			var line []string
			for _, a := range args {
				line = append(line, a.(string))
			}
			commands[takes(t, m.where, line)]++
		})
	}
	if commands["serve"] < 3 || commands["train"] != 2 || len(commands) != 2 {
		t.Errorf("the manifests run %v, want serve at least three times and train twice", commands)
	}
}

// takes checks a verb and its flags, and returns the verb.
func takes(t *testing.T, where string, line []string) string {
	t.Helper()
	verb, _, err := (&app{}).root().Find(line[:1])
	if err != nil || verb.Name() != line[0] {
		t.Errorf("%s: no verb %s", where, line[0])
		return line[0]
	}
	if err := verb.ParseFlags(line[1:]); err != nil || verb.Flags().NArg() > 0 {
		t.Errorf("%s: %v: %v", where, line, err)
	}
	return line[0]
}

// commandLines are the arguments of ghostwriter in a script, by line.
func commandLines(script string) (out [][]string) {
	for line := range strings.Lines(strings.ReplaceAll(script, "\\\n", " ")) {
		words := strings.Fields(strings.ReplaceAll(line, "\"", ""))
		for i, w := range words {
			if !strings.HasPrefix(line, "#") && strings.HasPrefix(filepath.Base(w), "ghostwriter-mpi") && i+1 < len(words) {
				out = append(out, words[i+1:])
				break
			}
		}
	}
	return out
}

// The Slurm script's commands and options exist too, and a shell can read it.
func TestSlurmScript(t *testing.T) {
	path := filepath.Join(deploy, "slurm", "train.sbatch")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := commandLines(string(data))
	if len(lines) != 2 {
		t.Errorf("%d commands, want 2: %q", len(lines), lines)
	}
	for _, line := range lines {
		if verb := takes(t, path, line); verb != "train" {
			t.Errorf("it runs %s", verb)
		}
	}
	known := map[string]bool{"job-name": true, "nodes": true, "ntasks-per-node": true, "cpus-per-task": true, "mem": true, "time": true, "signal": true, "output": true}
	for line := range strings.Lines(string(data)) {
		if option, ok := strings.CutPrefix(line, "#SBATCH --"); ok {
			if name, value, _ := strings.Cut(strings.TrimSpace(option), "="); !known[name] || value == "" {
				t.Errorf("sbatch has no option %q, or it has no value", name)
			}
		}
	}
	if bash, err := exec.LookPath("bash"); err == nil {
		if out, err := exec.Command(bash, "-n", path).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
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
