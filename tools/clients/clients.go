package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// skipped says why a client was not tried.
type skipped struct{ why string }

func (s skipped) Error() string { return s.why }

// A client is tried against the server or the model directories. It returns what it did.
type client struct {
	name string
	try  func(ctx context.Context, j job, s *server) (string, error)
}

var clients = []client{
	{"openai", node("openai.mjs", "openai")},
	{"@huggingface/transformers", node("transformers.mjs", "@huggingface/transformers")},
	{"onnxruntime-node", node("onnxruntime.mjs", "onnxruntime-node")},
	{"chromium", chromium},
	{"promtool", promtool},
	{"grpcurl", grpcurl},
}

// node runs a script with Node.js where its package is installed.
func node(script, pkg string) func(context.Context, job, *server) (string, error) {
	return func(ctx context.Context, j job, s *server) (string, error) {
		dir := filepath.Join(j.root, "tools/clients")
		if _, err := exec.LookPath("node"); err != nil {
			return "", skipped{"node is not installed"}
		}
		if _, err := os.Stat(filepath.Join(dir, "node_modules", pkg)); err != nil {
			return "", skipped{"the package is not installed: npm ci --ignore-scripts in tools/clients"}
		}
		c := exec.CommandContext(ctx, "node", script)
		c.Dir = dir
		c.Env = append(os.Environ(), "URL="+s.url, "KEY="+s.key, "MODELS="+filepath.Join(j.work, "js"), "CHROMIUM="+j.chromium, "SHOTS="+os.Getenv("SHOTS"))
		return output(c)
	}
}

// output is a command's standard output; the error has what it said.
func output(c *exec.Cmd) (string, error) {
	var said, wrong bytes.Buffer
	c.Stdout, c.Stderr = &said, &wrong
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%w\n%s%s", err, said.Bytes(), wrong.Bytes())
	}
	return said.String(), nil
}

func chromium(ctx context.Context, j job, s *server) (string, error) {
	if j.chromium == "" {
		for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
			if path, err := exec.LookPath(name); err == nil {
				j.chromium = path
				break
			}
		}
	}
	if j.chromium == "" {
		return "", skipped{"no browser is installed: Debian's package chromium, for one"}
	}
	return node("page.mjs", "playwright-core")(ctx, j, s)
}

// promtool lets Prometheus' own tool read /metrics, after the other clients made some.
func promtool(ctx context.Context, _ job, s *server) (string, error) {
	if _, err := exec.LookPath("promtool"); err != nil {
		return "", skipped{"promtool is not installed: Debian's package prometheus has it"}
	}
	metrics, err := get(ctx, s, "/metrics")
	if err != nil {
		return "", err
	}
	c := exec.CommandContext(ctx, "promtool", "check", "metrics")
	c.Stdin = bytes.NewReader(metrics)
	if said, err := output(c); err != nil || said != "" {
		return "", fmt.Errorf("%v %s", err, said) // it complains on its output, too
	}
	return fmt.Sprintf("check metrics: nothing to complain of in %d lines", bytes.Count(metrics, []byte("\n"))), nil
}

func get(ctx context.Context, s *server, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+s.key)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // only read
	data, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, data)
	}
	return data, err
}

// grpcurl asks by gRPC, with the server's reflection, what REST answers too.
func grpcurl(ctx context.Context, j job, s *server) (string, error) {
	path, err := exec.LookPath("grpcurl")
	if err != nil {
		return "", skipped{"grpcurl is not installed: go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3"}
	}
	call := func(args ...string) (string, error) {
		return output(exec.CommandContext(ctx, path, append([]string{"-plaintext", "-H", "authorization: Bearer " + s.key}, args...)...))
	}
	services, err := call(s.grpc, "list")
	if err != nil {
		return "", err
	}
	const service = "inference.GRPCInferenceService"
	if !strings.Contains(services, service) {
		return "", fmt.Errorf("the services are %s", services)
	}
	for method, want := range map[string]string{"ServerLive": `"live": true`, "ServerReady": `"ready": true`} {
		if said, err := call(s.grpc, service+"/"+method); err != nil || !strings.Contains(said, want) {
			return "", fmt.Errorf("%s: %v %s", method, err, said)
		}
	}
	if said, err := call("-d", `{"name":"sorter"}`, s.grpc, service+"/ModelMetadata"); err != nil || !strings.Contains(said, `"logits"`) {
		return "", fmt.Errorf("ModelMetadata: %v %s", err, said)
	}
	input := func(name string, values string) string {
		return fmt.Sprintf(`{"name":%q,"datatype":"INT64","shape":[1,3],"contents":{"int64_contents":[%s]}}`, name, values)
	}
	said, err := call("-d", `{"model_name":"sorter","id":"7","inputs":[`+input("input_ids", "2,9,3")+","+input("attention_mask", "1,1,1")+","+input("token_type_ids", "0,0,0")+`]}`,
		s.grpc, service+"/ModelInfer")
	if err != nil {
		return "", err
	}
	var answer struct {
		ID      string
		Outputs []struct{ Shape []string }
	}
	if err := json.Unmarshal([]byte(said), &answer); err != nil || answer.ID != "7" || len(answer.Outputs) == 0 || strings.Join(answer.Outputs[0].Shape, ",") != "1,3" {
		return "", fmt.Errorf("ModelInfer: %v %s", err, said)
	}
	stranger, err := output(exec.CommandContext(ctx, path, "-plaintext", "-d", `{"name":"sorter"}`, s.grpc, service+"/ModelMetadata"))
	if err == nil {
		return "", errors.New("without a key it was answered " + stranger)
	}
	return "list, ServerLive, ServerReady, ModelMetadata, ModelInfer; refused without a key", nil
}
