//go:build slow

package runtime

const rhoRecords, rhoStride = 4096, 1

func rhoLengths() []int64 { return []int64{4, 48} }
