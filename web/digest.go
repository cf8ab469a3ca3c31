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
