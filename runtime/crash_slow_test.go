//go:build slow

package runtime

const randomKills = 50
