package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

type inspectReport struct {
	Opset       int64             `json:"opset"`
	Inputs      []valueReport     `json:"inputs"`
	Outputs     []valueReport     `json:"outputs"`
	Parameters  []parameterReport `json:"parameters"`
	Aliases     [][]string        `json:"aliases"`
	Unsupported []gapReport       `json:"unsupported"`
	Separable   bool              `json:"separable"`
	Constants   []constantReport  `json:"constants"`
	Repairs     []string          `json:"repairs"`
	Matches     []matchReport     `json:"matches"`
	Mixed       string            `json:"mixed,omitempty"`
}

type valueReport struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape []any  `json:"shape"`
}

type parameterReport struct {
	Name      string      `json:"name"`
	Shape     []int64     `json:"shape"`
	DType     string      `json:"dtype"`
	Trainable bool        `json:"trainable"`
	Norm      string      `json:"norm"`
	Layer     *int        `json:"layer"` // null outside the stack
	Uses      []useReport `json:"uses"`
}

// A matchReport is what one pattern of --trainable or --freeze matched.
type matchReport struct {
	Flag       string   `json:"flag"`
	Pattern    string   `json:"pattern"`
	Parameters []string `json:"parameters"`
}

type useReport struct {
	Node string `json:"node"`
	Op   string `json:"op"`
	Kind string `json:"kind"`
}

type gapReport struct {
	Node string `json:"node"`
	Op   string `json:"op"`
	Why  string `json:"why"`
}

type constantReport struct {
	Name  string  `json:"name"`
	Shape []int64 `json:"shape"`
	Why   string  `json:"why"`
}

func (a *app) inspectCommand() *cobra.Command {
	var f modelFlags
	var method runtime.MethodOptions
	c := &cobra.Command{
		Use:     "inspect MODEL",
		Short:   "List every parameter, its uses and how its per-example norm is computed",
		Long:    "Inspect analyses MODEL, an ONNX file or a model directory, without running it.\nIt exits with 3 when a node has no gradient or the records of a batch are not proven separate.",
		Example: "  ghostwriter inspect model/\n  ghostwriter inspect model.onnx --json | jq '.parameters[] | {name, norm}'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := a.open(args[0], f.output, f.head)
			if err != nil {
				return err
			}
			defer m.Close()
			trainable, err := m.Adapt(cmd.Context(), method, f.trainable)
			if err != nil {
				return err
			}
			r, err := m.Inspect(trainable, f.freeze)
			if err != nil {
				return err
			}
			report := inspected(r)
			if err := a.print(report, func() { a.inspectText(report, r) }); err != nil {
				return err
			}
			return r.Gaps()
		},
	}
	f.add(c)
	methodFlags(c.Flags(), "method", &method)
	return c
}

// modelFlags are the flags of verbs that train or analyse a model.
type modelFlags struct {
	output, head      string
	trainable, freeze []string
}

// patternsHelp explains patterns of parameters.
const patternsHelp = "train only parameters that match: a name with * and ?, layers:8-11, layers:top2, part:head, attention:q+v, or kind:linear, embedding, bias, scale, shift, token, other (kind:bias+shift); may be repeated (docs/models.md)"

func (f *modelFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.output, "output", "", "the output that the loss reads (default: logits, or the only one)")
	c.Flags().StringVar(&f.head, "head", "", "tied: give a base model a head tied to its token embedding")
	c.Flags().StringSliceVar(&f.trainable, "trainable", nil, patternsHelp)
	c.Flags().StringSliceVar(&f.freeze, "freeze", nil, "leave parameters that match as they are (kind:quantised too); may be repeated")
}

func inspected(r *runtime.Report) inspectReport {
	out := inspectReport{
		Opset: r.File.Opset(), Aliases: r.Aliases, Separable: r.Mixed == nil, Repairs: list(r.Repairs),
		Matches: []matchReport{}, Parameters: []parameterReport{}, Unsupported: []gapReport{}, Constants: []constantReport{},
	}
	g := r.File.Graph()
	out.Inputs, out.Outputs = values(g.Inputs), values(g.Outputs)
	for _, p := range r.Parameters {
		pr := parameterReport{Name: p.Name, Shape: list(p.Shape), DType: fileType(g, p), Trainable: p.Trainable, Norm: p.Norm}
		if p.Layer != ghost.NoLayer {
			pr.Layer = &p.Layer
		}
		for _, u := range p.Uses {
			pr.Uses = append(pr.Uses, useReport{u.Node, u.Op, string(u.Kind)})
		}
		out.Parameters = append(out.Parameters, pr)
	}
	for _, x := range r.Unsupported {
		out.Unsupported = append(out.Unsupported, gapReport{x.Node, x.Op, x.Why})
	}
	for _, x := range r.Constants {
		out.Constants = append(out.Constants, constantReport{x.Name, list(x.Shape), x.Why})
	}
	for _, m := range r.Matches {
		out.Matches = append(out.Matches, matchReport{m.Flag, m.Pattern, m.Names})
	}
	if r.Mixed != nil {
		out.Mixed = r.Mixed.Error()
	}
	return out
}

// fileType is the element type of a parameter in the file; training widens it.
func fileType(g *ir.Graph, p ghost.ParameterReport) string {
	if t, ok := g.Inits[p.Name]; ok {
		return t.DType.String()
	}
	return p.DType.String()
}

func values(vs []*ir.ValueInfo) []valueReport {
	out := []valueReport{}
	for _, v := range vs {
		r := valueReport{Name: v.Name, DType: v.DType.String(), Shape: []any{}}
		for _, d := range v.Dims {
			switch {
			case d.Param != "":
				r.Shape = append(r.Shape, d.Param)
			case d.Value >= 0:
				r.Shape = append(r.Shape, d.Value)
			default:
				r.Shape = append(r.Shape, nil)
			}
		}
		out = append(out, r)
	}
	return out
}

func (a *app) inspectText(r inspectReport, full *runtime.Report) {
	a.printf("opset %d, exported by %s\n", r.Opset, full.File.Producer())
	for _, v := range r.Inputs {
		a.printf("input   %-28s %s %v\n", v.Name, v.DType, v.Shape)
	}
	for _, v := range r.Outputs {
		a.printf("output  %-28s %s %v\n", v.Name, v.DType, v.Shape)
	}
	total := int64(0)
	for i, p := range r.Parameters {
		kinds := map[string]bool{}
		var names []string
		for _, u := range p.Uses {
			if !kinds[u.Kind] {
				kinds[u.Kind] = true
				names = append(names, u.Kind)
			}
		}
		mark := "train "
		if !p.Trainable {
			mark = "frozen"
		}
		total += full.Parameters[i].Elements()
		a.printf("%s  %-60s %-16s %-18s norm: %s\n", mark, p.Name, fmt.Sprint(p.Shape), strings.Join(names, "+"), p.Norm)
	}
	a.printf("%d parameters, %d numbers\n", len(r.Parameters), total)
	for _, group := range r.Aliases {
		a.printf("tied    %s\n", strings.Join(group, " = "))
	}
	why := map[string]int{}
	for _, c := range r.Constants {
		why[c.Why]++
	}
	for _, c := range r.Constants {
		if why[c.Why] > 0 {
			a.printf("constant %q and %d more: %s\n", c.Name, why[c.Why]-1, c.Why)
			why[c.Why] = 0
		}
	}
	for _, line := range full.Lines() {
		a.printf("%s\n", line)
	}
	for _, s := range r.Repairs {
		a.printf("repaired: %s\n", s)
	}
	for _, p := range r.Parameters {
		if n := len(p.Uses); n > 1 && !slices.ContainsFunc(p.Uses, func(u useReport) bool { return u.Kind == string(ghost.Linear) || u.Kind == string(ghost.Embedding) }) {
			a.printf("note: %s is one parameter in %d places; exporters merge parameters whose initial values are equal\n", p.Name, n)
		}
	}
	if r.Separable {
		a.printf("records do not mix: proven\n")
	}
}
