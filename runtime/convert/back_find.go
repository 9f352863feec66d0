package convert

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// recover finds the class and where its parameters lie: of the candidates the
// first that is complete and, run beside the model, gives the same; those that
// account for every matrix of the model before others.
func (b *back) recover(ctx context.Context) error {
	classes, err := b.classes()
	if err != nil {
		return err
	}
	var first error
	var complete []*recovery
	for _, class := range classes {
		b.r = newRecovery(class, b.uses, b.like)
		b.r.unread = b.unread
		err := b.r.run()
		if err == nil {
			err = b.build()
		}
		if err == nil {
			complete = append(complete, b.r)
		} else if first == nil {
			first = err
		}
	}
	slices.SortStableFunc(complete, func(x, y *recovery) int { return cmp.Compare(len(x.free()), len(y.free())) })
	for _, r := range complete {
		b.r = r
		if err := b.build(); err != nil {
			return err
		}
		if err = b.check(ctx); err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// classes are the candidates: what the model's own record or config.json says,
// then that of a base model.
func (b *back) classes() ([]*expectedClass, error) {
	arch, err := ArchitectureOf(b.config.ModelType)
	if b.known = err == nil; !b.known {
		if b.like == nil {
			return nil, bad("%w; with --like, naming a checkpoint of the model, its parameters can be found by name", err)
		}
		e, err := expectedLike(b.config, b.like)
		return []*expectedClass{e}, err
	}
	var heads []Head
	record, ok, err := ReadRecord(b.models[0].Metadata())
	switch {
	case err != nil:
		return nil, err
	case ok:
		heads = []Head{record.Head}
	case len(b.config.Strs("architectures")) == 0:
		heads = sortedHeads(arch.Classes)
	default:
		head, err := arch.headOf(b.config, "")
		if err != nil {
			return nil, err
		}
		heads = []Head{head}
		if _, has := arch.Classes[HeadNone]; has && head != HeadNone {
			heads = append(heads, HeadNone)
		}
	}
	var out []*expectedClass
	for _, h := range heads {
		e, err := expectedOf(b.config, h)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// build makes the graph that our converter writes of what was found, which also
// checks that the class is complete.
func (b *back) build() error {
	b.fillFromLike()
	if !b.known {
		b.final = b.config
		if len(b.r.missing()) > 0 {
			return b.incomplete(nil)
		}
		return nil
	}
	w := recovered{b.r, b.options.DType}
	g, config, report, err := Build(b.config, w, Options{Head: b.r.class.head})
	if err != nil || len(report.Fresh) > 0 {
		return b.incomplete(err)
	}
	b.graph, b.final = g, config
	return nil
}

// incomplete names every parameter that is missing.
func (b *back) incomplete(err error) error {
	missing := b.r.missing()
	if len(missing) == 0 {
		return err
	}
	var names []string
	for _, p := range missing {
		names = append(names, fmt.Sprintf("%s %v", p.name, p.shape))
	}
	hint := "; name the checkpoint that it was exported from with --like"
	if b.like != nil {
		hint = ""
	}
	return bad("%d of %d parameters of %s are not found in the model: %s%s", len(names), len(b.r.class.parameters), b.r.class.class, strings.Join(names, ", "), hint)
}

// fillFromLike takes parameters that the model does not read from the checkpoint
// given by --like: an export without them can't have changed them.
func (b *back) fillFromLike() {
	if b.like == nil || len(b.r.free()) > 0 {
		return
	}
	for _, p := range b.r.missing() {
		name, info, ok := findIn(b.like, b.r.class.arch, p.name)
		elements := int64(1)
		for _, d := range p.shape {
			elements *= d
		}
		if !ok || !slices.Equal(info.Shape, p.shape) || b.r.unread[elements] {
			continue
		}
		t := ir.NewLazy(p.name, info.DType, p.shape, func() ([]byte, error) { return b.like.Bytes(name) })
		b.r.found[p.name] = match{&paramUse{tensor: t, role: roleTable}, FromLike}
	}
}
