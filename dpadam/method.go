package dpadam

import "strings"

// maxMethod bounds the words that say what a run trains.
const maxMethod = 400

// checkMethod holds Spec.Method to plain words and patterns: the statement prints them.
func checkMethod(s string) error {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,:;'()-_.*?+/=<>"
	if len(s) > maxMethod || strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(plain, r) }) {
		return invalid("method", s, "must be at most 400 letters, digits and plain punctuation")
	}
	return nil
}
