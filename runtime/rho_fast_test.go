//go:build !slow

package runtime

// rhoRecords is the number of records of a step in TestRhoOfRepackedSteps, rhoLengths are their tokens; of the kept models
// TestRhoOverAllModels takes every rhoStride-th.
const rhoRecords, rhoStride = 96, 9

func rhoLengths() []int64 { return []int64{12} }
