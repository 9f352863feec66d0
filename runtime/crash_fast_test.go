//go:build !slow

package runtime

// randomKills is how often TestKilledAtRandomMoments kills; `make slow-test` has
// the full number.
const randomKills = 8
