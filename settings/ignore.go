package settings

import (
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/clairwatch/clairwatch/findings"
)

const (
	// ignoreLimit bounds how many entries an ignore has.
	ignoreLimit = 500
	// keyIgnoreLimit bounds those of all Scanners of a key.
	keyIgnoreLimit = 2000
	// ignoredNameLimit and reasonLimit bound the texts of an entry, in letters.
	ignoredNameLimit = 256
	reasonLimit      = 500
)

// ignoreFields are the fields of an entry of ignore.
var ignoreFields = []field[findings.Ignore]{
	{name: "id", read: readID, also: []string{"cve", "vulnerability", "advisory"}},
	{name: "package", read: readPackage, also: []string{"pkg", "packageName"}},
	{name: "image", read: readImage},
	{name: "reason", read: readReason, also: []string{"comment", "why"}},
	{name: "until", read: readUntil, also: []string{"till", "expires", "end"}},
}

// readIgnore reads the list of what not to hear of. It replaces one that is inherited.
func readIgnore(r *reader, s *Scanner, at place) {
	const want = "want a list of entries such as {id: CVE-2023-4911, package: glibc, reason: not reachable, until: 2027-03-01}"
	if at.node.Kind != yaml.SequenceNode {
		r.wrong(at, want)
		return
	}
	if n := len(at.node.Content); n > ignoreLimit {
		r.wrong(at, "%d entries; want at most %d", n, ignoreLimit)
		return
	}
	if r.ignores += len(at.node.Content); r.ignores > keyIgnoreLimit {
		r.wrong(at, "the Scanners of one key have more than %d entries in all; what is for all of them belongs under %s", keyIgnoreLimit, DefaultsKey)
		return
	}
	var entries []findings.Ignore
	for _, at := range r.entries(at) {
		var entry findings.Ignore
		given := read(r, at, ignoreFields, &entry)
		_, id := given["id"]
		_, pkg := given["package"]
		if at.node.Kind == yaml.MappingNode && !id && !pkg {
			r.wrong(at, "want an id or a package, or both")
		}
		entries = append(entries, entry)
		s.written.ignore = append(s.written.ignore, at.line)
	}
	s.Rules.Ignore = entries
}

func readID(r *reader, i *findings.Ignore, at place) {
	id, ok := r.line(at, ignoredNameLimit)
	if !ok {
		return
	}
	// An advisory's name can have a title behind it, but its first word has no comma.
	if first, _, _ := strings.Cut(id, " "); strings.ContainsAny(first, ",;") {
		r.wrong(at, "want one name, such as CVE-2023-4911; give each an entry of its own")
		return
	}
	if r.whole(at, id) {
		i.ID = id
	}
}

func readPackage(r *reader, i *findings.Ignore, at place) {
	if name, ok := r.line(at, ignoredNameLimit); ok && r.whole(at, name) {
		i.Package = name
	}
}

// whole says whether a name is none of a pattern, which nothing would match.
func (r *reader) whole(at place, name string) bool {
	if strings.Contains(name, "*") {
		r.wrong(at, "want the whole name; only image is a pattern")
		return false
	}
	return true
}

func readImage(r *reader, i *findings.Ignore, at place) {
	pattern, ok := r.line(at, ignoredNameLimit)
	if !ok {
		return
	}
	const want = `want the image's name without registry, tag and digest, or a pattern of it such as "shop/*"`
	if strings.ContainsAny(pattern, ":@") { // no name has them, so that nothing would match
		r.wrong(at, want)
		return
	}
	// What container runtimes take for a registry. A cache has names that go on with another registry's, to which the
	// pattern that is proposed fits too.
	if first, _, more := strings.Cut(pattern, "/"); more && (strings.Contains(first, ".") || first == "localhost") {
		r.wrong(at, want+`; where the name itself begins with that of another registry, as in a cache, write * for that, such as "*/shop/*"`)
		return
	}
	if _, err := path.Match(pattern, ""); err != nil {
		r.wrong(at, `not a valid pattern: want one such as "shop/*"`)
		return
	}
	i.Image = pattern
}

func readReason(r *reader, i *findings.Ignore, at place) {
	if reason, ok := r.line(at, reasonLimit); ok {
		i.Reason = reason
	}
}

// line reads a text of bounded length, and makes one line of several.
func (r *reader) line(at place, limit int) (string, bool) {
	s, ok := r.text(at)
	if !ok {
		return "", false
	}
	s = strings.Join(strings.Fields(s), " ")
	if n := utf8.RuneCountInString(s); n > limit {
		r.wrong(at, "%d letters; want at most %d", n, limit)
		return "", false
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		r.wrong(at, "want a text without control characters")
		return "", false
	}
	return s, true
}

// readUntil reads when an entry ends. One that has ended is no mistake: it is there until somebody takes it out.
func readUntil(r *reader, i *findings.Ignore, at place) {
	s, ok := r.text(at)
	if !ok {
		return
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		t, err := time.Parse(layout, s)
		if t = t.UTC(); err == nil && !t.IsZero() { // which is never
			i.Until = t
			return
		}
	}
	r.wrong(at, "want a day such as 2027-03-01, which begins in UTC, or a time such as 2027-03-01T12:00:00Z")
}
