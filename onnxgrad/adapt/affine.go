package adapt

import "math"

func root(n int64) float64 { return math.Sqrt(float64(n)) }

func tanh(v float32) float32 { return float32(math.Tanh(float64(v))) }

// affine is x·w + b for x of that many rows, summed in float64.
func affine(x, w, b []float32, rows int64) []float32 {
	in, out := int64(len(x))/rows, int64(len(b))
	y, sum := make([]float32, rows*out), make([]float64, out)
	for i := range rows {
		for j, v := range b {
			sum[j] = float64(v)
		}
		for k := range in {
			f := float64(x[i*in+k])
			for j, v := range w[k*out : (k+1)*out] {
				sum[j] += f * float64(v)
			}
		}
		for j, v := range sum {
			y[i*out+int64(j)] = float32(v)
		}
	}
	return y
}
