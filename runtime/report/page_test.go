package report

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

const hostile = `</pre></dd><script>alert(1)</script><img src=x onerror=alert(2)>" onmouseover="alert(3)" javascript:alert(4) {{.}} ]]> &lt; ` + "\u202e\x00"

// directory writes files below a folder of that name.
func directory(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	for path, text := range files {
		path = filepath.Join(dir, filepath.FromSlash(path))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// ran makes the directory of a run that was charged some steps, with everything that may be in one.
func ran(t *testing.T, name string, change func(*dpadam.Config)) string {
	t.Helper()
	line := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(data) + "\n"
	}
	var metrics, steps strings.Builder
	for n := range 40 {
		metrics.WriteString(line(map[string]any{"step": n + 1, "epsilon": 0.01 * float64(n), "learning_rate": 0.001}))
		steps.WriteString(line(map[string]any{"step": n + 1, "records": 7 + n%3, "loss": 12345.25 - float64(n), "norm_max": 3, "norm_mean": 2, "norm_quantiles": []float64{1, 1, 2, 2, 3}, "clipped_fraction": 0.5}))
	}
	metrics.WriteString(line(map[string]any{"step": 0, "valid_loss": 2.5, "valid_accuracy": 0.25}) + line(map[string]any{"step": 40, "epsilon": 1.5, "valid_loss": 1.75, "valid_accuracy": 0.625}))
	dir := directory(t, name, map[string]string{
		"train.yaml":            "model: /home/somebody/" + "secret-place/gpt2\ntask: lm\ntrain: /home/somebody/letters.jsonl\nlr: 0.001\ntrainable:\n- kind:bias\n",
		"release/metrics.jsonl": metrics.String(),
		"release/samples.jsonl": line(map[string]string{"prompt": hostile, "text": "Once " + hostile}) + line(map[string]string{"prompt": "b", "text": strings.Repeat("long ", 5000)}),
		"debug/steps.jsonl":     steps.String() + line(map[string]any{"step": 39, "records": 1, "loss": 777.125}) + line(map[string]any{"step": 40, "valid_loss": 4321.5}),
		"README.md":             "# card " + hostile,
	})
	c := dpadam.Config{Records: 1000, RecordsDeclared: true, ExpectedBatch: 20, Steps: 50, TargetEpsilon: 3, ClipNorm: 0.1, Dim: 10, Microbatch: 4, Buckets: 1,
		Optimizer: dpadam.Adam(1e-3), Accountant: "rdp"}
	c.Schedule.Name = "constant"
	if change != nil {
		change(&c)
	}
	p, err := dpadam.NewPlan(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := dpadam.CreateLedger(t.Context(), filepath.Join(dir, "ledger"), p, dpadam.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range int64(40) {
		if _, err := l.Charge(t.Context(), n+1); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(l.Finish(t.Context(), 40), l.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// render makes the page and holds it to what every page must be: whole, closed, loading and running nothing.
func render(t *testing.T, debug bool, dirs ...string) (p *Page, source string, text string) {
	t.Helper()
	p, err := Read(dirs, debug)
	if err != nil {
		t.Fatal(err)
	}
	data, err := p.HTML()
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.HTML()
	if err != nil || !bytes.Equal(data, again) {
		t.Error("the page is not a function of what it shows")
	}
	root, err := html.Parse(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var words strings.Builder
	checkNode(t, root, &words)
	return p, string(data), words.String()
}

var allowed = map[string]bool{"html": true, "head": true, "meta": true, "title": true, "style": true, "body": true, "header": true, "main": true, "footer": true, "section": true,
	"h1": true, "h2": true, "h3": true, "p": true, "strong": true, "code": true, "pre": true, "div": true, "table": true, "caption": true, "thead": true, "tbody": true, "tr": true,
	"th": true, "td": true, "figure": true, "figcaption": true, "img": true, "details": true, "summary": true, "dl": true, "dt": true, "dd": true, "bdi": true}

// checkNode finds elements that the page's template does not have, handlers of events, and
// anything that would be loaded; it collects the words.
func checkNode(t *testing.T, n *html.Node, words *strings.Builder) {
	t.Helper()
	if n.Type == html.ElementNode {
		if !allowed[n.Data] {
			t.Errorf("an element <%s>", n.Data)
		}
		alt := false
		for _, a := range n.Attr {
			alt = alt || a.Key == "alt" && a.Val != ""
			if a.Key == "src" {
				encoded, is := strings.CutPrefix(a.Val, "data:image/svg+xml;base64,")
				svg, err := base64.StdEncoding.DecodeString(encoded)
				if !is || err != nil {
					t.Errorf("a picture from %.40s (%v)", a.Val, err)
				}
				words.WriteString(svgText(t, svg))
			}
			if strings.HasPrefix(a.Key, "on") || a.Key == "href" || a.Key == "srcset" || a.Key == "style" {
				t.Errorf("an attribute %s of <%s>", a.Key, n.Data)
			}
		}
		if n.Data == "img" && !alt {
			t.Error("a picture without a text in its place")
		}
	}
	if n.Type == html.TextNode {
		words.WriteString(n.Data + "\n")
	}
	for c := range n.ChildNodes() {
		checkNode(t, c, words)
	}
}

func TestPageOfARun(t *testing.T) {
	dir := ran(t, "tuned", nil)
	p, source, text := render(t, false, dir)
	record, err := dpadam.ReadLedger(filepath.Join(dir, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	st, err := dpadam.NewStatement(record)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{st.Text(), "Privacy spent, from the ledger", "target", "(ε = " + upward(*st.Epsilon), "gpt2", "letters.jsonl", "kind:bias", "Validation loss (public data)",
		"1.75", "0.625", "Once </pre></dd><script>alert(1)</script>", "card </pre>", "1000 (declared)", "Learning rate"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, private := range []string{"12345", "777.125", "4321.5", "NOT COVERED", "not covered by ε:", "Training loss", "secret-place", "somebody"} {
		if strings.Contains(source, private) || strings.Contains(text, private) {
			t.Errorf("a page without debug output says %q", private)
		}
	}
	if p.Debug || strings.Contains(source, "http://") || strings.Contains(source, "https://") {
		t.Error("the page names something outside")
	}
	if len(text) > 200_000 || !strings.Contains(text, " …") {
		t.Error("long samples are not cut")
	}
}

func TestPageWithDebugOutput(t *testing.T) {
	dir := ran(t, "tuned", nil)
	p, source, text := render(t, true, dir)
	if !p.Debug || !strings.Contains(text, "This page contains values not covered by ε") || !strings.Contains(source, "<title>NOT COVERED BY ε: tuned") {
		t.Error("the page is not marked")
	}
	for _, want := range []string{"Training loss", "12345.2", "777.125", "Norms of the gradients", "Records in the batch", "Fraction of records clipped"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(text, "12307.25") { // step 39, taken again after a kill
		t.Error("the page shows a step that was taken again")
	}
}

func TestPageOfSeveralRuns(t *testing.T) {
	seed := uint64(3)
	one, two, open := ran(t, "tuned", nil), ran(t, "tuned", nil), ran(t, "open", func(c *dpadam.Config) { c.Seed = &seed })
	p, _, text := render(t, false, one, two)
	if p.Compare == nil || p.Compare.Notice != noticeApart || !strings.Contains(text, "tuned (2)") || len(p.Stamps) != 0 {
		t.Errorf("%+v", p.Compare)
	}
	p, _, text = render(t, false, one, open)
	if len(p.Stamps) != 1 || !strings.Contains(p.Stamps[0], "NOT PRIVATE") || !strings.Contains(text, "The runs beside each other") {
		t.Errorf("%v", p.Stamps)
	}
	if _, err := Read([]string{t.TempDir()}, false); runtime.ExitCode(err) != runtime.ExitUsage || !strings.Contains(err.Error(), "neither a run") {
		t.Errorf("an empty folder: %v", err)
	}
	broken := ran(t, "broken", nil)
	if err := os.WriteFile(filepath.Join(broken, "debug", "steps.jsonl"), []byte("{\"loss\": \"a private text\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read([]string{broken}, true); runtime.ExitCode(err) != runtime.ExitUsage || !strings.Contains(err.Error(), "line 1") || strings.Contains(err.Error(), "a private text") {
		t.Errorf("a damaged file: %v", err)
	}
}

func TestPageOfASweep(t *testing.T) {
	r := swept("valid_accuracy", []string{"expected-batch", "lr"}, grid()...)
	r.Notice = "Choosing among them costs. " + hostile
	epsilon := 1.0
	for i, g := range r.Groups {
		row := runtime.SweepRow{Cell: fmt.Sprintf("c%d", i), Settings: g.Settings, Status: runtime.CellDone, Epsilon: &epsilon, Metrics: map[string]float64{}, Out: "cells/x"}
		if g.Mean != nil {
			row.Metrics["valid_accuracy"] = *g.Mean
		}
		r.Rows = append(r.Rows, row)
	}
	r.Rows[3].Status, r.Rows[3].DataDeclared, r.Rows[4].Cell = runtime.CellFailed, "PUBLIC: nothing was charged to a budget", hostile
	r.Rows[5].Settings = map[string]any{"model": "/home/somebody/gpt2", "lr": hostile}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	dir := directory(t, "figure2", map[string]string{"sweep.json": string(data), "debug/times.jsonl": "{\"cell\": \"c0\", \"seconds\": 12.5}\n{\"cell\": \"c0\", \"seconds\": 1.25}\n"})
	if err := os.Rename(ran(t, "c0", nil), filepath.Join(dir, "cells-c0")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "cells"), 0o755), os.Rename(filepath.Join(dir, "cells-c0"), filepath.Join(dir, "cells", "c0"))); err != nil {
		t.Fatal(err)
	}
	p, source, text := render(t, false, dir)
	for _, want := range []string{"Choosing among them costs.", "Heat map", "0.66", "(best)", "failed", "declared PUBLIC", "c0: (ε = ", "DATA DECLARED PUBLIC"} {
		if !strings.Contains(text, want) && !strings.Contains(source, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if p.Debug || strings.Contains(text, "13.8") || strings.Contains(source, "somebody") {
		t.Error("the page tells a time or a place")
	}
	if p, _, text = render(t, true, dir); !p.Debug || !strings.Contains(text, "13.8") || !strings.Contains(text, "values not covered by ε") {
		t.Error("the times are not there, or not marked")
	}
	if err := os.WriteFile(filepath.Join(dir, "sweep.json"), []byte(`{"version": 2}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Read([]string{dir}, false); runtime.ExitCode(err) != runtime.ExitUsage {
		t.Errorf("another version: %v", err)
	}
}

func TestUpward(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 7.999995164583168: "8", 1: "1", 0.1: "0.1", 1.0000004: "1.00001", 123456.2: "123457"} {
		if got := upward(x); got != want {
			t.Errorf("%v: %s, want %s", x, got, want)
		}
	}
}
