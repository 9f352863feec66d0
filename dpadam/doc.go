// Package dpadam holds everything that makes a training run differentially
// private and everything that proves it afterwards: the immutable [Plan], exact
// Poisson sampling, the rounded Gaussian on a lattice, the optimizers, the
// privacy events and the accountants that price them, the write-ahead ledger and
// the privacy statement. It knows no model and no ONNX; it sees flat float32
// vectors.
//
// # The order of a step
//
// A step is charged, then sampled, then summed, then noised, then applied:
//
//	plan, err := dpadam.NewPlan(config)                     // validates everything
//	ledger, err := dpadam.CreateLedger(path, plan, opts)    // fsynced, locked
//	stepper, err := dpadam.NewStepper(plan, ledger, rows, opts)
//	optimizer, err := dpadam.NewOptimizer(plan, nil)
//	for n := int64(1); n <= plan.Steps(); n++ {
//		step, err := stepper.Begin(ctx, n)              // ledger line synced, records drawn
//		for each microbatch of step.Records() {
//			err = step.Add(clippedSum, records)     // rounded to the lattice, exact
//		}
//		err = step.Release(ctx, gradient)               // noise, once
//		err = optimizer.Update(params, gradient, plan.LearningRate(n, plan.Steps()))
//	}
//
// No noise can be drawn without a [Permit], a permit is only made by a ledger that
// has synced the line charging it, and it works once. So noise per microbatch,
// noise drawn twice, or a release that the ledger does not know of cannot be
// written with this package by accident.
//
// # What the noise is
//
// Let C be the clipping norm, sigma the noise multiplier, d the number of trainable
// coordinates and gamma the lattice step, a power of two. Every microbatch's clipped
// sum S_m is rounded to the lattice, K = sum_m round(S_m/gamma), and what leaves is
//
//	float32(gamma * (K + Z)),   Z_j = round(G_j),   G_j ~ N(0, s^2) independent,
//	s = ceil(sigma * Delta_K),  Delta_K = C/gamma + M*sqrt(d).
//
// Claim: the release is a function of K+G alone, and G is a continuous Gaussian whose
// standard deviation is at least sigma times the L2 sensitivity of K. Hence every
// accountant of the (Poisson-subsampled) Gaussian mechanism with noise multiplier
// sigma applies unchanged.
//
// Proof (docs/noise.md has it at length; (5) is for units of several records). (1) K_j is an
// integer, so K_j + round(G_j) = round(K_j + G_j) for every rounding to nearest that breaks
// ties by adding one half and taking the floor (a tie has probability 0): the release is float32(gamma*round(K+G)), post-processing of
// K+G. (2) Let D' be D with one record added, and let both be sampled with the same
// coins for the records they share. If the extra record is not sampled K is the same
// (the microbatches are packed from the sample alone). If it is, write S and S' for the
// sums of all clipped gradients; |S - S'| <= C. Packing may put every record into
// another microbatch, so nothing is known about single S_m, but each rounding moves a
// coordinate by at most 1/2: |K_j - S_j/gamma| <= M/2 for M microbatches, hence
//
//	|K - K'|_2 <= |S - S'|_2/gamma + (M/2 + M'/2)*sqrt(d) <= C/gamma + M_max*sqrt(d),
//
// where M_max bounds the number of microbatches of any batch with certainty (it follows
// from the public N, the microbatch size and the number of padding buckets, and
// [Accumulator.Add] refuses one more). (3) Under replace-one, with R the common sample
// without the record, S(D) = R + g and S(D') = R + g' with |g|, |g'| <= C; measured
// from the same reference K(R) each lies within Delta_K, which is the mixture
// (1-q)N(0) + qN(+-1) that the replace-one accountant prices. (4) s is rounded up.
//
// (5) Units of several records (RecordsPerUnit > 0): every sampled unit is added alone,
// K = sum_u round(c_u/gamma), where c_u is a function of the weights, of the unit's own
// records and of coins of its own that choose some of them, and |c_u| <= C is checked in
// float64 when it is added. Adding a unit adds one term and leaves all others as they are:
// |K - K'|_2 = |round(c_u/gamma)|_2 <= C/gamma + sqrt(d)/2, which is Delta_K then, whatever
// the number of its records. For each value of the coins the two outputs are dominated by
// the subsampled Gaussian's pair; the hockey-stick divergence is jointly convex, so the
// mixture over the coins is too.
//
// # Clipping
//
// The proof asks of a record's contribution only that its norm is at most C:
//
//   - abadi: |g| min(1, C/|g|) <= C. Automatic: |g| C/(|g|+gamma) < C, because gamma > 0.
//   - Groups ([ClipGroup]): the coordinates are cut into disjoint groups k, every part g_k is
//     clipped by one of the rules to s_k*C, and sum s_k^2 <= 1. Then |clipped g|^2 =
//     sum |clipped g_k|^2 <= C^2 sum s_k^2 <= C^2.
//
// # Adaptive clipping
//
// Under [Adaptive] C is C_t, a function of what earlier steps released, and a step releases the
// pair (sum, count). Let C_1 be the plan's C, which fixes the lattice, and kappa = C_1/C_t. The
// sum is scaled by kappa before it is rounded and by 1/kappa after the noise is added; every
// record adds its bit as h = +-2^(-e-1), an integer, to the count's lattice of step 2^e; and
//
//	K = sum_m round(kappa S_m/gamma),  s   >= sigma_Delta * Delta_K,
//	H = sum_i (2 b_i - 1) 2^(-e-1),    s_b >= sigma_b * 2^-e,
//	sigma_Delta = (sigma^-2 - (2 sigma_b)^-2)^(-1/2),
//
// are noised with independent rounded Gaussians of standard deviations s and s_b.
//
// Claim: the pair is post-processing of one Gaussian mechanism with noise multiplier sigma (Andrew
// et al. 2021, Theorem 1), so that accounting is that of a plan with fixed C.
//
// Proof. As above the release is a function of K+G and H+G_b. Divide the sum's coordinates by s and
// the count by s_b: the noise is then N(0, I) on d+1 coordinates. Add/remove: if the extra record is
// sampled it moves K by at most Delta_K and H by exactly 2^(-e-1), whatever its bit, so the pair
// moves by at most
//
//	sqrt((Delta_K/s)^2 + (2^(-e-1)/s_b)^2) <= sqrt(1/sigma_Delta^2 + 1/(4 sigma_b^2)) = 1/sigma,
//
// and if it is not sampled by nothing. That every record has a bit of +-1/2 and none has 0 is what
// makes this hold for records without a finite gradient too ([Accumulator.AddCounted]); padding is
// no record. The other records' bits do not change: a bit is a function of the record, of C_t and of
// the weights. Replace-one: both data sets lie within 1/sigma of the pair of the common sample
// without the record, the mixture that the replace-one accountant prices. Composition over steps is
// adaptive, so C_t may depend on earlier releases.
//
// Scaling is done in float64: kappa is rounded once, which the linear map x -> kappa*x shares among
// all records (kappa*C_t <= C_1 (1+2^-53)), and each product once, which moves a data set's K by at
// most 2^-53 kappa sum_m |S_m|/gamma <= 2^-53 (1+2^-8) N C_1/gamma. For two data sets together both
// stay below 2^-51 N C_1/gamma, which Delta_K includes under adaptive clipping. kappa C_t <= C_1
// also bounds |K_j| as before. Of units that are added alone only the unit's own term is scaled
// differently, and its bit alone is new, in exact arithmetic and in single precision. C_t stays within public bounds, 2^20 either way of C_1.
//
// The single precision of the sums themselves is outside the proof: S_m is computed by
// the model's runtime in float32. The relative error rho is measured, the trainer clips
// to C*(1-rho) ([Plan.ClipTo]), and the statement prints rho as an assumption. Under (5)
// the norm is that of the numbers that are added, and rho only pays for the rounding of a
// sum in float64: nothing is assumed.
//
// No overflow: N records of norm at most C and M_max roundings give
// |K_j| <= N*C/gamma + M_max/2, and |Z_j| <= 128*s always (gauss_table.go). The plan
// picks gamma so that the sum of both stays below 2^62.
//
// Z is exact: gauss.go draws round(N(0, s^2)) by a rejection sampler on integers and
// rationals; decisions that float64 cannot prove are made with 768-bit arithmetic. The
// total variation distance to the ideal distribution is below 2^-600 a draw, so tau =
// 2^-507 for the largest run a plan admits (2^40 coordinates and a count, 2^52 steps). A mechanism within
// tau of an (epsilon, delta)-private one is (epsilon, delta + (1+e^epsilon)*tau)-private. A
// plan has delta >= 1e-30, and accounting is done at delta*(1 - 2^-40): for every epsilon up
// to 250 the difference, above 2^-140, exceeds (1+e^epsilon)*tau < 2^-146.
//
// # Evaluations, budgets, searches
//
// What a run releases beside its steps is charged in the same ledger: a noised evaluation
// ([EvaluationSpec]) is one more event of the same composition, with a line, a permit and a key of
// its own. A [Budget] bounds what several runs release together, also when later ones depend
// on earlier ones: a Renyi filter. A [SearchSpec] is a search for hyperparameters by random
// stopping; the plan of each of its runs holds it, so that no ledger can state the price of the one run
// that is released.
//
// # Distributed steps
//
// Several processes, the ranks of a [Comm], may take a step together. The mechanism is the one
// above, computed in parts:
//
//   - The sample is a function of (key, charge, record), the key drawn by rank 0 and given to all, so
//     every rank knows the whole sample. The microbatches are packed from it as by one process and
//     then dealt out whole, so M_max holds for their number over all ranks, which is checked.
//   - Each rank rounds the sums of its microbatches and adds them in int64. K is the sum over the
//     ranks, exact and in any order, and is the same integer vector for every number of ranks where
//     the float32 sums are. What one rank, or all, hold before that are sums of some of the same
//     terms, so the bound on |K_j| holds for them.
//   - Each coordinate belongs to one rank, which adds round(G_j) of the full standard deviation to
//     K_j, once. G_j comes from the stream of the coordinate's chunk under one key, so the noise is
//     independent over the coordinates whoever draws it. Noise is never divided: for shares G_r of
//     the variance, K + sum_r round(G_r) is not round(K + sum_r G_r), and (1) would not hold.
//   - Rank 0 alone holds the ledger. The others' permits are its broadcast, after the line is
//     synced. A failure on any rank fails the release on all before noise is drawn, and no part of
//     a release is used unless all ranks have drawn theirs.
//
// Keys and sums without noise travel between the ranks: their network is part of the trusted machine.
//
// # Time, and what is not hidden
//
// The sampler's running time depends on the noise it draws. An observer who can time
// single chunks of a step could learn something about the noise. The package assumes that
// nobody outside the trusted machine can.
package dpadam
