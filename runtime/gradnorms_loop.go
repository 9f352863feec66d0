package runtime

import (
	"context"
	"math"
	"slices"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// loop is the oracle: each record alone through plain reverse mode, its dense
// gradient squared and summed in float64. It shares with ghost only the
// gradient rules; hooks, norms, clipping and selection are done here.
func (g *gradNorms) loop(ctx context.Context) (*GradNorms, error) {
	s, err := g.compile(ghost.Oracle)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	feeds, rows, err := s.feeds(g.batch)
	if err != nil {
		return nil, err
	}
	if err := g.prepared.CheckIndices(indexData(feeds)); err != nil {
		return nil, usage("%w", err)
	}
	w, err := loadWeights(g.prepared, s.program.Trained, append(slices.Clone(s.program.Unreached), s.program.Frozen...))
	if err != nil {
		return nil, err
	}
	r := &GradNorms{Shapes: shapes(s.program), Selection: s.program.Selection, Norms: map[string][]float64{}}
	total := map[string][]float64{}
	for _, list := range [][]ghost.Parameter{s.program.Trained, s.program.Unreached} {
		for _, p := range list {
			r.Norms[p.Name] = make([]float64, rows)
			total[p.Name] = make([]float64, p.Elements())
		}
	}
	for i := range rows {
		one, err := record(s.program, feeds, i)
		if err != nil {
			return nil, err
		}
		out, err := s.run(ctx, one, w, nil, nil)
		if err != nil {
			return nil, err
		}
		if err := g.addRecord(s.program, out, i, r, total); err != nil {
			return nil, err
		}
	}
	if g.options.Sum {
		r.Sum = map[string][]float32{}
		for name, v := range total {
			r.Sum[name] = make([]float32, len(v))
			for k, x := range v {
				r.Sum[name][k] = float32(x)
			}
		}
	}
	if !g.options.PerParameter {
		r.Norms = nil
	}
	return r, nil
}

// record cuts row i out of every tensor that has a batch axis.
func record(p *ghost.Program, feeds map[string]*ort.Tensor, i int64) (map[string]*ort.Tensor, error) {
	out := map[string]*ort.Tensor{}
	for _, port := range slices.Concat(p.Data, p.Labels) {
		t := feeds[port.Name]
		if len(port.Dims) == 0 || port.Dims[0].Param != "batch" {
			out[port.Name] = t
			continue
		}
		shape := t.Shape()
		row := slices.Clone(shape)
		row[0] = 1
		v, err := ort.NewZeros(t.DType(), row)
		if err != nil {
			return nil, err
		}
		size := int64(len(t.Bytes())) / shape[0]
		copy(v.Bytes(), t.Bytes()[i*size:(i+1)*size])
		out[port.Name] = v
	}
	return out, nil
}

// addRecord reads one record's loss and dense gradients.
func (g *gradNorms) addRecord(p *ghost.Program, out map[string]*ort.Tensor, i int64, r *GradNorms, total map[string][]float64) error {
	loss, err := floats(out[p.Loss])
	if err != nil {
		return err
	}
	square := 0.0
	grads := map[string][]float32{}
	for name, output := range p.Sums {
		if grads[name], err = ort.Data[float32](out[output]); err != nil {
			return err
		}
		own := 0.0
		for _, x := range grads[name] {
			own += float64(x) * float64(x)
		}
		r.Norms[name][i] = math.Sqrt(own)
		square += own
	}
	norm := math.Sqrt(square)
	counts := []bool{finite(loss[0]) && finite(norm)}
	factor := g.recordFactors(p, norm, counts, i, r)
	if counts[0] {
		for name, v := range grads {
			for k, x := range v {
				total[name][k] += factor(name) * float64(x)
			}
		}
	}
	r.Loss, r.Norm = append(r.Loss, loss[0]), append(r.Norm, norm)
	return nil
}

// recordFactors adds record i's factors to the result and returns them by parameter.
func (g *gradNorms) recordFactors(p *ghost.Program, norm float64, counts []bool, i int64, r *GradNorms) func(parameter string) float64 {
	if len(p.Groups) == 0 {
		factor := g.options.factors([]float64{norm}, counts)[0]
		r.Factor = append(r.Factor, factor)
		return func(string) float64 { return factor }
	}
	one := g.options.groupNorms(p.Groups, groupsOf(p.Groups, func(name string) float64 { return r.Norms[name][i] }), []float64{norm}, counts)
	if r.Groups == nil {
		r.Groups = make([]GroupNorms, len(one))
	}
	factors := map[string]float64{}
	for k, o := range one {
		into := &r.Groups[k]
		into.Group, into.ClipNorm = o.Group, o.ClipNorm
		into.Norm, into.Factor = append(into.Norm, o.Norm...), append(into.Factor, o.Factor...)
		for _, name := range o.Parameters {
			factors[name] = o.Factor[0]
		}
	}
	return func(name string) float64 { return factors[name] }
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
