package dpadam

import "strings"

// maxArithmetic bounds the words that say what computed a run's sums.
const maxArithmetic = 200

// checkArithmetic holds Spec.Arithmetic to plain words: the statement prints them.
func checkArithmetic(s string) error {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,:;'()-"
	if len(s) > maxArithmetic || strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(plain, r) }) {
		return invalid("arithmetic", s, "must be at most 200 letters, digits and plain punctuation")
	}
	return nil
}

// arithmeticNote says that rho was measured on something else than computed the sums.
func (st *Statement) arithmeticNote() string {
	if st.Arithmetic == "" || st.RecordsPerUnit > 0 {
		return ""
	}
	return " It was measured on the processor in single precision; this run computed with " + st.Arithmetic + "."
}
