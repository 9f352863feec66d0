package gradcheck

import (
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
)

// image has a batch of two images of four channels.
func image() *irtest.Builder { return p(2, 4, 6, 5) }

// imageCases slide windows or normalise by channel.
var imageCases = map[string]*irtest.Builder{
	"Conv 1d":                     p(2, 3, 8).Fill("w", 4, 3, 3).Fill("b", 4).Node("y = Conv(a,w,b)"),
	"Conv 1d, remainder":          p(2, 3, 9).Fill("w", 4, 3, 2).Node("y = Conv(a,w)", attrs{"strides": []int64{3}}),
	"Conv 1d, causal":             p(2, 3, 7).Fill("w", 3, 1, 3).Node("y = Conv(a,w)", attrs{"pads": []int64{4, 0}, "dilations": []int64{2}, "group": int64(3)}),
	"Conv 2d":                     image().Fill("w", 6, 4, 3, 2).Fill("b", 6).Node("y = Conv(a,w,b)", attrs{"strides": []int64{2, 1}, "pads": []int64{1, 0, 2, 1}}),
	"Conv 2d, groups":             image().Fill("w", 6, 2, 3, 3).Node("y = Conv(a,w)", attrs{"group": int64(2), "dilations": []int64{2, 1}, "strides": []int64{1, 2}}),
	"Conv 2d, pads beyond kernel": image().Fill("w", 2, 4, 2, 2).Node("y = Conv(a,w)", attrs{"pads": []int64{3, 3, 3, 3}, "strides": []int64{2, 3}}),
	"Conv 2d, same upper":         image().Fill("w", 2, 4, 3, 2).Node("y = Conv(a,w)", attrs{"auto_pad": "SAME_UPPER", "strides": []int64{2, 2}}),
	"Conv 2d, same lower":         image().Fill("w", 2, 4, 3, 2).Node("y = Conv(a,w)", attrs{"auto_pad": "SAME_LOWER", "strides": []int64{2, 2}}),
	"Conv 3d":                     p(2, 2, 4, 3, 5).Fill("w", 4, 1, 2, 2, 3).Node("y = Conv(a,w)", attrs{"group": int64(2), "strides": []int64{1, 1, 2}, "pads": []int64{1, 0, 0, 0, 1, 1}}),
	"ConvTranspose":               p(2, 4, 3, 3).Fill("w", 4, 3, 3, 2).Fill("b", 6).Node("y = ConvTranspose(a,w,b)", attrs{"group": int64(2), "strides": []int64{2, 3}, "pads": []int64{1, 0, 0, 1}, "output_padding": []int64{1, 2}}),
	"ConvTranspose dilated":       p(2, 2, 4).Fill("w", 2, 3, 3).Node("y = ConvTranspose(a,w)", attrs{"dilations": []int64{2}}),
	"AveragePool":                 image().Node("y = AveragePool(a)", attrs{"kernel_shape": []int64{3, 2}, "strides": []int64{2, 2}, "pads": []int64{1, 1, 1, 0}}),
	"AveragePool with padding":    image().Node("y = AveragePool(a)", attrs{"kernel_shape": []int64{3, 2}, "pads": []int64{1, 1, 1, 0}, "count_include_pad": int64(1)}),
	"AveragePool 1d, ceil":        p(2, 3, 8).Node("y = AveragePool(a)", attrs{"kernel_shape": []int64{3}, "strides": []int64{2}, "ceil_mode": int64(1)}),
	"MaxPool":                     image().Node("y = MaxPool(a)", attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 1}}),
	"GlobalAveragePool":           image().Node("r = GlobalAveragePool(a)").Node("y = Exp(r)"),
	"GlobalMaxPool":               image().Node("r = GlobalMaxPool(a)").Node("y = Exp(r)"),
	"DepthToSpace":                p(2, 8, 2, 3).Node("r = DepthToSpace(a)", attrs{"blocksize": int64(2)}).Node("y = Exp(r)"),
	"DepthToSpace CRD":            p(2, 8, 2, 3).Node("r = DepthToSpace(a)", attrs{"blocksize": int64(2), "mode": "CRD"}).Node("y = Exp(r)"),
	"SpaceToDepth":                p(2, 3, 4, 6).Node("r = SpaceToDepth(a)", attrs{"blocksize": int64(2)}).Node("y = Exp(r)"),
	"BatchNormalization":          image().Fill("s", 4).Fill("b", 4).Fill("m", 4).Floats("v", []int64{4}, .3, 1.2, .7, 2.5).Node("y = BatchNormalization(a,s,b,m,v)"),
	"BatchNormalization of rows":  p(3, 4).Fill("s", 4).Fill("b", 4).Fill("m", 4).Floats("v", []int64{4}, .3, 1.2, .7, 2.5).Node("y = BatchNormalization(a,s,b,m,v)", attrs{"epsilon": float32(.1)}),
	"InstanceNormalization":       image().Fill("s", 4).Fill("b", 4).Node("y = InstanceNormalization(a,s,b)"),
	"GroupNormalization":          irtest.New(21).Output("y").Fill("a", 2, 4, 3, 2).Fill("s", 4).Fill("b", 4).Node("y = GroupNormalization(a,s,b)", attrs{"num_groups": int64(2)}),
	"MeanVarianceNormalization":   image().Node("y = MeanVarianceNormalization(a)", attrs{"axes": []int64{2, -1}}),
	"LpNormalization 2":           p(3, 4).Node("y = LpNormalization(a)", attrs{"axis": int64(1)}),
	"LpNormalization 1":           p(3, 4).Node("y = LpNormalization(a)", attrs{"axis": int64(0), "p": int64(1)}),
}

func TestImageRules(t *testing.T) {
	checkAll(t, imageCases, Single, 2e-3)
}
