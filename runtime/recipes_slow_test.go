//go:build slow

package runtime

// everyRecipe says whether all recipes are estimated.
const everyRecipe = true
