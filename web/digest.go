package web

import "strings"

// isDigest says whether a string is a digest of the kinds that images have.
func isDigest(s string) bool {
	algorithm, sum, _ := strings.Cut(s, ":")
	return (algorithm == "sha256" && len(sum) == 64 || algorithm == "sha512" && len(sum) == 128) &&
		strings.Trim(sum, "0123456789abcdef") == ""
}

// short is the beginning of a digest, as the tools of containers show it; anything else stays as it is.
func short(digest string) string {
	if !isDigest(digest) {
		return digest
	}
	algorithm, sum, _ := strings.Cut(digest, ":")
	return algorithm + ":" + sum[:12]
}

// fewestDigits is how many digits of a digest have to be given to mean one: fewer are a word of something else (db, cafe).
const fewestDigits = 6

// begins says whether a text in lower case is how a digest begins: with its algorithm ("sha256:3a"), or with some digits
// of its sum.
func begins(digest, text string) bool {
	algorithm, sum, isOne := strings.Cut(digest, ":")
	if digits, full := strings.CutPrefix(text, algorithm+":"); full && isOne {
		return strings.HasPrefix(sum, digits)
	}
	return len(text) >= fewestDigits && strings.HasPrefix(sum, text)
}
