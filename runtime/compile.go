package runtime

import "github.com/ghostwriter-dp/ghostwriter/ghost"

// CompileOptions say what step to write.
type CompileOptions struct {
	Loss                string
	Clip                ghost.ClipRule
	ClipNorm, ClipGamma float64
	ClipPer             ghost.Grouping
	ClipShares          ghost.Sharing
	Length              int64
	PerParameter        bool
	Memory              ghost.Memory // "" is normal
	Trainable, Freeze   []string
}

// Compile writes the differentially private step (losses, norms, factors and
// clipped sums in one pass) as a plain ONNX model to path and returns what its
// inputs and outputs mean. It needs no runtime library.
func (m *Model) Compile(path string, o CompileOptions) (*ghost.Program, error) {
	check := GradNormsOptions{ClipNorm: o.ClipNorm, ClipGamma: o.ClipGamma, Clip: o.Clip, ClipPer: o.ClipPer, ClipShares: o.ClipShares, Memory: o.Memory}
	if err := check.defaults(); err != nil {
		return nil, err
	}
	p, err := m.Prepared()
	if err != nil {
		return nil, err
	}
	program, err := p.Compile(ghost.Spec{
		Loss: o.Loss, Pass: ghost.Clipped, Clip: check.Clip, ClipNorm: float32(check.ClipNorm), ClipGamma: float32(check.ClipGamma),
		ClipPer: check.ClipPer, ClipShares: check.ClipShares, Length: o.Length, Trainable: o.Trainable, Freeze: o.Freeze, PerParameter: o.PerParameter, KeepWeights: true, Memory: o.Memory,
	})
	if err != nil {
		return nil, usageUnless(err)
	}
	return program, program.Graph.Save(path)
}
