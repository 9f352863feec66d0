//go:build slow

package metrics

const allSystems = true
