// Package pld computes tight (epsilon, delta) of compositions of subsampled Gaussian
// mechanisms from their privacy loss distributions. It knows pairs of one-dimensional
// distributions and counts; what they stand for is the business of package dpadam.
//
// # From a mechanism to delta
//
// A step is dominated by a pair (P, Q) of mixtures of normal distributions on the line
// (pair.go). Its privacy loss is L = log dP/dQ at x ~ P. For the sum of the independent
// losses of all steps, Lambda,
//
//	delta(epsilon) = P(Lambda = +Inf) + E[(1 - e^(epsilon-Lambda))_+]
//
// (Sommer, Meiser, Mohammadi 2019; Koskela, Jalko, Honkela 2020), and with the moment
// generating function M(t) = prod_i M_i(t)^T_i of Lambda, the Laplace transform
// int_0^inf (1-e^-x) e^(-tx) dx = 1/(t(t+1)) and any c > 0,
//
//	E[(1 - e^(epsilon-Lambda))_+] = 1/(2 pi i) int_(c-i inf)^(c+i inf) M(t) e^(-epsilon t)/(t(t+1)) dt.
//
// c is the exponential tilt: at the saddle point the integrand is as small as the result
// is, so a delta of 1e-12 has as many correct digits as one of 1e-2.
//
// # The upper bound, and why it is one
//
// 1. Connect the dots (Doroshenko et al. 2022). The line is cut into cells; the mass of a
// cell is moved to the losses at its two ends so that both its P-mass and its Q-mass
// stay what they are (dots.go). The result dominates the pair; mass in the far
// tail goes to +Inf. Nothing demands a lattice here: the cells are equal in x, not in the
// loss, which makes them fine where the loss hardly moves and wide where it is steep.
//
// 2. A very small Gaussian mechanism, of mean mu, is composed on top. Releasing more can only
// raise delta, and |M(c+iy)| is now at most M(c) e^(mu^2 (c^2+c-y^2)/2): what the
// integral has beyond a known |y| is bounded.
//
// 3. The integral is replaced by the trapezoid sum of step 2 pi/W. By Poisson's summation
// formula that sum is exactly
//
//	sum_m e^(cmW) f(epsilon + mW),   f(e) = E[(1-e^(e-Lambda))_+] >= 0,
//
// the value wanted and other terms that are not negative: it cannot fall below it. W is
// chosen so that they are small too (contour.go).
//
// 4. The bound of the cut of 2, a bound of every rounding error, and T times the mass at +Inf are
// added.
//
// This does with a direct Fourier sum over some thousand frequencies what the tilted fast Fourier
// transform on a lattice does with all of them; it needs neither a lattice fine enough for
// a million steps nor a window wide enough for them.
//
// # The estimate
//
// The same integral with the exact moment generating function, by the trapezoid rule in x,
// which converges exponentially for such integrands (Trefethen, Weideman 2014), and without
// the small Gaussian. It carries no proof; it agrees with 40-digit evaluations to about 1e-9
// where those exist.
package pld
