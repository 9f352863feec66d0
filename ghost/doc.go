// Package ghost makes the differentially private part of a training step as
// ONNX nodes: per-example gradient norms without per-example gradients, clip
// factors, and the sum of clipped gradients.
//
// A parameter's gradient for one record is a sum over its uses, and each use
// contributes one of three forms (contribution.go):
//
//	outer   Σ_t a_t b_tᵀ          a linear map's input and output gradient, row by row
//	rows    Σ_t e_{id_t} g_tᵀ     an embedding look-up: g_t added to row id_t
//	dense   D                     instantiated: biases, scales, shifts, everything small
//
// The squared norm of the sum is Σ_u ‖u‖² + 2 Σ_{u<v} ⟨u,v⟩, and every pairing of
// forms has a closed expression that never builds a matrix of the parameter's
// size (norm.go). That makes a weight exact however many times it is used, the
// tied embedding and head of a language model included. (Goodfellow 2015; Li et
// al. 2022, §4; the tied term is ours.)
//
// The clipped sum comes from the same pass by book-keeping (Bu et al. 2023,
// 2210.00038): Σ_i c_i g_i is Aᵀ(c∘B) over all rows at once. The paper's two-pass
// form (a norm pass, then a pass whose loss is weighted by c) needs half the
// memory and is the other choice.
package ghost
