package web

import (
	"net/url"
	"slices"
	"strings"

	"github.com/clairwatch/clairwatch/findings"
)

// filter says which images are shown; its zero value shows all.
type filter struct {
	// Namespace and State are whole words. Text is a part of what names the image or a workload, in any case, or how the
	// digest begins, or the name of a vulnerability. Empty: whichever.
	Namespace, State, Text string
	// Severity is the word of a severity: the image has a finding that is as bad, or worse, or that nobody has rated where
	// it is "unknown". Empty: it need have none.
	Severity string
	// Fixable says that the image has a finding that a published fix ends.
	Fixable bool
}

// parseFilter reads the query of an address. What it cannot read does not filter.
func parseFilter(q url.Values) filter {
	return filter{
		Namespace: brief(strings.TrimSpace(q.Get("namespace"))),
		State:     brief(strings.TrimSpace(q.Get("state"))),
		Text:      brief(strings.TrimSpace(q.Get("q"))),
		Severity:  parseSeverity(q),
		Fixable:   q.Get("fixable") == "yes",
	}
}

// active says whether it leaves anything out.
func (f filter) active() bool { return f != filter{} }

// Words say it to people; empty: it leaves nothing out.
func (f filter) Words() string {
	var words []string
	if f.Namespace != "" {
		words = append(words, "in namespace "+f.Namespace)
	}
	if f.State != "" {
		words = append(words, "state "+stateWords(f.State))
	}
	if f.Severity != "" {
		words = append(words, "with "+orWorse(f.Severity))
	}
	if f.Fixable {
		words = append(words, "with something fixable")
	}
	if f.Text != "" {
		words = append(words, "with “"+f.Text+"”")
	}
	return strings.Join(words, ", ")
}

// values writes it as the query of an address.
func (f filter) values() url.Values {
	q := make(url.Values)
	for name, value := range map[string]string{"namespace": f.Namespace, "state": f.State, "q": f.Text, "severity": f.Severity} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.Fixable {
		q.Set("fixable", "yes")
	}
	return q
}

// pick returns those of the images that pass, in their order. Having are the digests of those that have the
// vulnerability that the text may name.
func (f filter) pick(images []Image, having map[string][]findings.Finding) []Image {
	if !f.active() {
		return images
	}
	f.Text = strings.ToLower(f.Text)
	var picked []Image
	for i := range images {
		if f.passes(&images[i], having) {
			picked = append(picked, images[i])
		}
	}
	return picked
}

// passes looks at one image. The text is in lower case.
func (f filter) passes(img *Image, having map[string][]findings.Finding) bool {
	switch {
	case f.Namespace != "" && !slices.Contains(img.Namespaces, f.Namespace):
		return false
	case f.State != "" && img.State != f.State:
		return false
	case f.Severity != "" && !(img.Found && reaches(img.Counts, f.Severity)):
		return false
	case f.Fixable && !(img.Found && img.Counts.Fixable > 0):
		return false
	case f.Text == "":
		return true
	}
	if _, has := having[img.Digest]; has && img.Digest != "" {
		return true
	}
	has := func(s string) bool { return strings.Contains(strings.ToLower(s), f.Text) }
	return has(img.Name) || begins(img.Digest, f.Text) ||
		slices.ContainsFunc(img.Workloads, func(w Workload) bool { return has(w.Name) })
}

// reaches says whether any finding is as bad as a severity, or worse. What nobody has rated is neither better nor worse
// than anything else.
func reaches(c findings.Counts, severity string) bool {
	if unknown := findings.Severity(0); severity == word(unknown) {
		return c.Of(unknown) > 0
	}
	for _, s := range findings.Severities {
		if c.Of(s) > 0 {
			return s != findings.Severity(0)
		}
		if word(s) == severity {
			return false
		}
	}
	return false
}
