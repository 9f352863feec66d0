package ghost

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// describe fills the program's ports, forms and metadata.
func (c *compiler) describe() error {
	p := c.out
	for _, v := range p.Data {
		p.input(v, false, "input of the model")
	}
	for _, v := range p.Labels {
		p.input(v, false, labelMeaning(c.spec.Loss, v.Name))
	}
	for _, param := range slices.Concat(p.Trained, p.Unreached, p.Frozen) {
		v := &ir.ValueInfo{Name: param.Name, DType: ir.Float32, Dims: ir.NewRaw("", ir.Float32, param.Shape, nil).Info().Dims}
		p.input(v, c.spec.KeepWeights, "parameter")
	}
	c.describeOptions()
	for _, o := range c.Graph.Outputs {
		p.Outputs = append(p.Outputs, Port{Name: o.Name, DType: o.DType, Dims: o.Dims, Meaning: c.outputMeaning(o.Name)})
	}
	if c.collected != nil {
		for name, g := range c.collected.found {
			p.Forms[name] = formOf(g)
		}
	}
	c.Graph.Name = "ghostwriter_step"
	c.Graph.Metadata = map[string]string{
		"ghostwriter.loss":           c.spec.Loss,
		"ghostwriter.output_privacy": "the sums are clipped, not noised: not private by themselves",
	}
	if c.spec.Memory.IsLow() {
		c.Graph.Metadata["ghostwriter.memory"] = string(LowMemory)
	}
	if len(p.Groups) == 0 {
		return nil
	}
	groups, err := groupMetadata(p.Groups)
	c.Graph.Metadata["ghostwriter.clip_groups"] = groups
	return err
}

func (p *Program) input(v *ir.ValueInfo, optional bool, meaning string) {
	p.Inputs = append(p.Inputs, Port{Name: v.Name, DType: v.DType, Dims: v.Dims, Optional: optional, Meaning: meaning})
}

func (c *compiler) describeOptions() {
	p := c.out
	for _, o := range []struct{ name, meaning string }{
		{p.Valid, "false for padding rows; default: all rows count"},
		{p.ClipNorm, "C, the clipping norm"},
		{p.ClipGamma, "γ of automatic clipping"},
	} {
		if v := c.Graph.Overridable[o.name]; o.name != "" && v != nil {
			p.input(v, true, o.meaning)
		}
	}
	if p.Weight != "" {
		p.input(c.Graph.Input(p.Weight), false, "weight of each record's gradient; 0 for padding")
	}
}

func groupNames(groups []Group) string {
	names := make([]string, len(groups))
	for k, g := range groups {
		names[k] = g.Name
	}
	return strings.Join(names, ", ")
}

func labelMeaning(loss, name string) string {
	switch name {
	case "mask_position":
		return "position of the mask in each record"
	case "label_words":
		return "token ids that the labels choose among"
	}
	switch loss {
	case "causal-lm":
		return "token ids aligned with input_ids; the logits at t are scored against labels[t+1]; −100 is not scored"
	case "masked-lm", "seq2seq":
		return "token ids; the logits at t are scored against labels[t]; −100 is not scored"
	case "mse":
		return "targets, shaped like the output"
	}
	return "class of each record"
}

func (c *compiler) outputMeaning(name string) string {
	p := c.out
	switch name {
	case p.Loss:
		return "loss of each record"
	case p.Norm:
		return "L2 norm of each record's gradient over all trained parameters, before clipping"
	case p.Factor:
		if len(p.Groups) > 0 {
			return "clip factor of each record's gradient by group (" + groupNames(p.Groups) + "); 0 for padding and for records that are not finite"
		}
		return "clip factor of each record; 0 for padding and for records that are not finite"
	case p.GroupNorm:
		return "L2 norm of each record's gradient by group (" + groupNames(p.Groups) + "), before clipping"
	case p.Finite:
		return "whether loss and norm of each record are finite"
	}
	for param, n := range p.ByParameter {
		if n == name {
			return fmt.Sprintf("L2 norm of each record's gradient of %s", param)
		}
	}
	for param, n := range p.Sums {
		if n == name && c.spec.Pass == Clipped {
			return fmt.Sprintf("Σ factor·gradient of %s over the records; clipped, not noised: not private by itself", param)
		} else if n == name {
			return fmt.Sprintf("Σ weight·gradient of %s over the records; not private", param)
		}
	}
	for param, r := range p.Rows {
		switch name {
		case r.IDs:
			return fmt.Sprintf("the rows of %s that the rows of %s are to be added to; not private", param, r.Values)
		case r.Values:
			return fmt.Sprintf("weighted gradients of single rows of %s; not private", param)
		}
	}
	return ""
}

// formOf says in words how a parameter's norm is made.
func formOf(g *gathered) string {
	count := map[string]int{}
	for _, p := range g.parts {
		count[p.kind]++
	}
	words := map[string]string{
		"linear":       "Gram or direct",
		"embedding":    "rows with equal ids",
		"instantiated": "instantiated per example",
	}
	var parts []string
	for _, kind := range []string{"linear", "embedding", "instantiated"} {
		switch n := count[kind]; {
		case n == 1:
			parts = append(parts, words[kind])
		case n > 1:
			parts = append(parts, fmt.Sprintf("%s, %d uses joined", words[kind], n))
		}
	}
	if len(parts) > 1 {
		return strings.Join(parts, " + ") + " + exact cross terms"
	}
	return parts[0]
}
