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
	factor := 0.0
	if finite(loss[0]) && finite(norm) {
		factor = g.options.factor(norm)
		for name, v := range grads {
			for k, x := range v {
				total[name][k] += factor * float64(x)
			}
		}
	}
	r.Loss, r.Norm, r.Factor = append(r.Loss, loss[0]), append(r.Norm, norm), append(r.Factor, factor)
	return nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
