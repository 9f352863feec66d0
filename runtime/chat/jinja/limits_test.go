package jinja

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

// TestLimits renders templates that would run for ever or fill the memory.
func TestLimits(t *testing.T) {
	for _, source := range []string{
		"{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
		"{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
		"{{ 'x' * 1000000000 }}", "{{ [1] * 1000000000000 }}", "{{ 9223372036854775807 * 'ab' }}", "{{ range(1000000) }}",
		"{% set ns = namespace(s='x') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
		"{% set ns = namespace(s=[1]) %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
		"{% set ns = namespace(s=[]) %}{% for i in range(300) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
		"{% set ns = namespace(s=[]) %}{% for i in range(150) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s|tojson }}",
		"{% set ns = namespace(s=[]) %}{% for i in range(150) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s == ns.s }}",
		"{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "{{ 'a'.replace('', 'b' * 10000000) }}",
		"{% set x = 'a' * 5000000 %}{{ x.replace('a', x) }}", "{{ 'a'.center(10000000000) }}", "{{ 'a'|indent('x' * 10000000, true) * 100 }}",
		"{{ [1,2,3]|tojson(indent='x' * 10000000) }}", "{{ [1]|batch(10000000000, 1)|list }}", "{{ ('a' * 10000000).split('a') }}",
	} {
		template, err := Parse(source)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		_, err = template.Render(context.Background(), Dict(), Limits{Work: 500_000})
		var limit *LimitError
		if !errors.As(err, &limit) && !errors.Is(err, errDepth) {
			t.Errorf("%s: %v, want a limit", source, err)
		}
	}
}

func TestRenderEndsWithItsContext(t *testing.T) {
	template, err := Parse("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := template.Render(ctx, Dict(), Limits{Work: 1 << 40}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestSyntax parses what is no template. Nothing may be taken for something else in silence.
func TestSyntax(t *testing.T) {
	for _, source := range []string{
		"{{", "{{ a", "{% if a %}", "{% endif %}", "{% if %}{% endif %}", "{{ a b }}", "{{ 'a }}", "{# a", "{% raw %}", "{{ a. }}", "{{ a[ }}", "{{ a[] }}",
		"{{ (1, }}", "{% for in x %}{% endfor %}", "{% for a x %}{% endfor %}", "{% set %}", "{% set 1 = 2 %}", "{% set true = 2 %}", "{% break %}", "{% macro f( %}",
		"{% macro f(a=1, b) %}{% endmacro %}", "{% call 1 %}{% endcall %}", "{% include 'a' %}", "{% import 'a' as b %}", "{% extends 'a' %}", "{% from 'a' import b %}",
		"{% for a in b recursive %}{% endfor %}", "{{ f(*a) }}", "{{ f(**a) }}", "{{ f(a=1, 2) }}", "{{ 1 is odd is even }}", "{{ a | }}", "{{ ] }}", "{{ $ }}",
		`{{ "\N{DASH}" }}`, `{{ "\ud800" }}`, `{{ "\xZ" }}`, "{{ 99999999999999999999 }}", "{% nosuch %}", "{% %}", "{{ }}",
		"{{ " + strings.Repeat("(", 500) + " }}", "{{ " + strings.Repeat("-", 500) + "1 }}", "{{ " + strings.Repeat("not ", 500) + "1 }}",
		"{{ 1" + strings.Repeat("+1", 20000) + " }}", "{{ a" + strings.Repeat(".b", 20000) + " }}", strings.Repeat("{% if a %}", 500) + strings.Repeat("{% endif %}", 500),
		strings.Repeat("x", maxSource+1),
	} {
		if _, err := Parse(source); err == nil {
			t.Errorf("%.60s: no error", source)
		} else if syntax := new(SyntaxError); !errors.As(err, &syntax) {
			t.Errorf("%.60s: %T", source, err)
		}
	}
}

// FuzzRender parses and renders anything: no panic, and an end in time.
func FuzzRender(f *testing.F) {
	data, err := os.ReadFile("testdata/probes.py")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		f.Add(strings.TrimSuffix(line, "\n"))
	}
	messages, err := FromJSON([]byte(`[{"role":"user","content":"Hi é"},{"role":"assistant","content":[{"type":"text","text":"x"}],"n":[1,2.5,null,true]}]`))
	if err != nil {
		f.Fatal(err)
	}
	vars := Dict("messages", messages, "bos_token", "<s>", "eos_token", "</s>", "tools", nil)
	f.Fuzz(func(t *testing.T, source string) {
		template, err := Parse(source)
		if err != nil {
			return
		}
		if text, err := template.Render(t.Context(), vars, Limits{Work: 100_000, Text: 1 << 16}); err == nil && len(text) > 1<<16 {
			t.Errorf("%d bytes", len(text))
		}
	})
}

// FuzzFromJSON reads anything as JSON.
func FuzzFromJSON(f *testing.F) {
	f.Add([]byte(`{"a":[1,2.5,"x",null,{"b":true}]}`))
	f.Add([]byte(`[[[[`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := FromJSON(data)
		if err != nil {
			return
		}
		s := &state{ctx: t.Context(), limits: Limits{Work: defaultWork, Text: defaultText}}
		if _, err := s.str(v); err != nil {
			t.Errorf("%v can't be printed: %v", v, err)
		}
	})
}
