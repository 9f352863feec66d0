package canon

import (
	"fmt"
	"math"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// relativePositionBias expands com.microsoft.RelativePositionBias, T5's bias by the
// distance r = key − query (Raffel et al. 2020), from a table of b buckets for each
// head, to [1,heads,queries,keys]. In one direction n = max(−r, 0); in both the first
// half of the buckets is for r ≤ 0, the second for r > 0, and n = |r|. With b the
// buckets of a direction, e = b/2 and D the largest distance,
//
//	bucket = n                                       for n < e
//	         min(e + ⌊ln(n/e)/ln(D/e)·(b − e)⌋, b − 1)   else
//
// The operator reads its table column by column: as [heads,b] in the file's order.
func (x *expander) relativePositionBias() error {
	buckets, okb := x.extent(0, 0)
	heads, okh := x.extent(0, 1)
	distance, both := x.n.Int("max_distance", 0), x.n.Int("is_bidirectional", 0) != 0
	each := buckets
	if both {
		each /= 2
	}
	exact := each / 2
	if !okb || !okh || exact < 1 || distance <= exact {
		return fmt.Errorf("its table is %v, its largest distance %d", x.info(0), distance)
	}
	zero, one := x.int("zero", 0), x.int("one", 1)
	count := func(i int, name string, axis int64) string {
		n := x.op("Reshape", name+"_count", nil, x.n.Input(i), x.ints(name+"_scalar"))
		return x.op("Unsqueeze", name+"_places", nil, x.op("Range", name+"_range", nil, zero, n, one), x.ints(name+"_axis", axis))
	}
	r := x.op("Sub", "distance", nil, count(2, "key", 0), count(1, "query", 1))
	n := x.op("Abs", "length", nil, r)
	if !both {
		n = x.op("Neg", "length_back", nil, x.op("Min", "back", nil, r, zero))
	}
	bucket := x.op("Where", "bucket", nil, x.op("Less", "near", nil, n, x.int("exact", exact)), n, x.farBucket(n, each, exact, distance))
	if both {
		ahead := x.cast(x.op("Greater", "ahead", nil, r, zero), "ahead_count", ir.Int64)
		bucket = x.op("Add", "bucket_of_direction", nil, bucket, x.op("Mul", "direction", nil, ahead, x.int("half", each)))
	}
	columns := x.op("Reshape", "columns", nil, x.n.Input(0), x.ints("columns_shape", heads, buckets))
	table := x.op("Transpose", "table", ir.Attrs{"perm": []int64{1, 0}}, columns)
	values := x.op("Gather", "values", ir.Attrs{"axis": int64(0)}, table, bucket)
	byHead := x.op("Transpose", "by_head", ir.Attrs{"perm": []int64{2, 0, 1}}, values)
	x.into(x.n.Output(0), "Unsqueeze", nil, byHead, x.ints("record", 0))
	return nil
}

// farBucket emits min(e + ⌊ln(n/e)/ln(D/e)·(b − e)⌋, b − 1) for n ≥ 1.
func (x *expander) farBucket(n string, each, exact, distance int64) string {
	length := x.cast(x.op("Max", "at_least_one", nil, n, x.int("least", 1)), "length_number", ir.Float32)
	log := x.op("Log", "log", nil, x.op("Div", "of_exact", nil, length, x.scalar("exact_number", float32(exact))))
	whole := float32(math.Log(float64(distance) / float64(exact)))
	share := x.op("Div", "share", nil, log, x.scalar("whole", whole))
	steps := x.cast(x.op("Mul", "steps", nil, share, x.scalar("far", float32(each-exact))), "step", ir.Int64)
	return x.op("Min", "far_bucket", nil, x.op("Add", "beyond", nil, steps, x.int("first_far", exact)), x.int("last", each-1))
}
