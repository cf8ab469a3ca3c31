package findings

import (
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/quay/claircore"
)

// Report is what Clair found in one image, flattened.
type Report struct {
	// Digest is the digest of the image's platform manifest.
	Digest string
	// Distribution names the operating system, for example "Debian 12"; empty when none was recognized.
	Distribution string
	// Packages is the number of installed packages that Clair recognized.
	Packages int
	// Covered says whether Clair could have found anything: packages of a distribution that its data
	// serves, or of a programming language. An image that is not covered must not be called clean.
	Covered bool
	// Findings are sorted worst first, each advisory once for each package.
	Findings []Finding
}

// FromClair flattens a vulnerability report. What the report refers to and does not hold is left out.
func FromClair(vr *claircore.VulnerabilityReport) Report {
	r := Report{
		Digest:       vr.Hash.String(),
		Distribution: distribution(vr.Distributions),
		Packages:     len(vr.Packages),
		Covered:      Covered(vr, nil),
	}
	scores := cvss(vr.Enrichments)

	most := 0
	for _, vulns := range vr.PackageVulnerabilities {
		most += len(vulns)
	}
	all := make([]Finding, 0, most)
	for id, vulns := range vr.PackageVulnerabilities {
		p := vr.Packages[id]
		if p == nil {
			continue
		}
		brought := layer(vr.Environments[id])
		for _, vid := range vulns {
			if v := vr.Vulnerabilities[vid]; v != nil && v.Name != "" {
				f := finding(p, v, scores[vid])
				f.Layer = brought
				all = append(all, f)
			}
		}
	}
	r.Findings = distinct(all)
	return r
}

// Indexed returns what an index report says of an image before there is a vulnerability report: no
// findings, and nothing about whether Clair has data for it.
func Indexed(ir *claircore.IndexReport) Report {
	return Report{Digest: ir.Hash.String(), Distribution: distribution(ir.Distributions), Packages: len(ir.Packages)}
}

// distinct keeps one finding for each advisory, source package and version, sorted worst first. One
// advisory can reach one source package on several ways: through several packages that were built from
// it, several updaters, several repositories. People have one thing to do, so it counts once.
func distinct(all []Finding) []Finding {
	ps := pointers(all)
	slices.SortFunc(ps, compare) // the input comes out of maps; from here on its order is fixed
	type key struct{ name, source, installed string }
	seen := make(map[key]*Finding, len(ps))
	fs := ps[:0]
	for _, f := range ps {
		k := key{f.Name, f.source, f.Installed}
		if first := seen[k]; first != nil {
			first.merge(f)
			continue
		}
		seen[k] = f
		fs = append(fs, f)
	}
	if len(fs) == 0 {
		return nil
	}
	return sorted(fs)
}

func finding(p *claircore.Package, v *claircore.Vulnerability, score float64) Finding {
	f := Finding{
		Name:      v.Name,
		Package:   p.Name,
		Installed: p.Version,
		FixedIn:   v.FixedInVersion,
		Severity:  rated(v.NormalizedSeverity, score),
		CVSS:      score,
		Updater:   v.Updater,
		Link:      link(v.Links),
		source:    p.Name,

		Description: v.Description,
	}
	// Distributions publish advisories for source packages, and their fixed versions are versions of
	// the source; language packages have none.
	if s := p.Source; s != nil && s.Name != "" {
		f.source = s.Name
		if s.Version != "" {
			f.Installed = s.Version
		}
	}
	// RHEL's VEX data and others say "0" or nothing where there is no fix.
	if f.FixedIn == "0" {
		f.FixedIn = ""
	}
	return f
}

// layer returns the digest of the layer that brought a package; empty when its environments name none, or several. A
// package has one for each database or file that lists it: a jar that two layers hold was brought by both, and is not
// gone when one of them is. Nothing but a digest can be in the report: claircore reads no other (digest.go).
func layer(environments []*claircore.Environment) string {
	brought, known := "", false
	for _, e := range environments {
		if e == nil {
			continue
		}
		in := e.IntroducedIn.String() // which it has written once, when it was read
		if known && in != brought {
			return ""
		}
		brought, known = in, true
	}
	return brought
}

// rated gives a finding that its distribution has not rated the severity of its score. Debian rates most
// advisories late or never, and Alpine none at all: without this a 9.8 would be unknown.
func rated(s Severity, score float64) Severity {
	if s != claircore.Unknown {
		return s
	}
	// The qualitative scale of https://www.first.org/cvss/v3.1/specification-document, table 14.
	switch {
	case score >= 9:
		return claircore.Critical
	case score >= 7:
		return claircore.High
	case score >= 4:
		return claircore.Medium
	case score > 0:
		return claircore.Low
	default:
		return claircore.Unknown
	}
}

// merge adds what another, no worse sight of the same advisory on the same source package knows.
func (f *Finding) merge(o *Finding) {
	if f.Package != o.Package {
		f.Package = f.source
	}
	if f.Layer != o.Layer {
		f.Layer = ""
	}
	f.CVSS = max(f.CVSS, o.CVSS)
	f.FixedIn = cmp.Or(f.FixedIn, o.FixedIn)
	f.Link = cmp.Or(f.Link, o.Link)
	f.Description = cmp.Or(f.Description, o.Description)
}

// distribution names the operating system briefly. An image has one in practice; with several the
// names are joined in order.
func distribution(ds map[string]*claircore.Distribution) string {
	var names []string
	for _, d := range ds {
		if d == nil {
			continue
		}
		if n := distributionName(d); n != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// distributionName turns os-release's fields, which repeat themselves differently in each distribution,
// into a name and a version: "Debian GNU/Linux" and "12 (bookworm)" into "Debian 12".
func distributionName(d *claircore.Distribution) string {
	name := strings.TrimSuffix(d.Name, " GNU/Linux")
	if d.DID == "alpine" { // others, such as Amazon Linux, are called by the whole name
		name = strings.TrimSuffix(name, " Linux")
	}
	name = cmp.Or(name, d.DID)
	version := d.VersionID
	if version == "" {
		version, _, _ = strings.Cut(d.Version, " ")
	}
	return strings.TrimSpace(name + " " + version)
}

// link returns the first usable address of a space-separated list; empty when there is none.
// Addresses come out of feeds: only plain http(s) ones without user information are taken.
func link(links string) string {
	const longest = 1000 // bytes; Slack refuses addresses of more than 3,000 characters
	for l := range strings.FieldsSeq(links) {
		u, err := url.Parse(l)
		if err != nil || len(l) > longest || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
			continue
		}
		return u.String()
	}
	return ""
}

// cvss returns the highest base score of each vulnerability by Clair's id of it. What cannot be read is
// left out: a score is an addition to the severity, never instead of it.
func cvss(enrichments map[string][]json.RawMessage) map[string]float64 {
	scores := make(map[string]float64)
	for kind, messages := range enrichments {
		// The schema in the kind has changed between versions, the enricher has not (claircore
		// enricher/cvss/cvss.go, const Type).
		if !strings.Contains(kind, "enricher=clair.cvss") {
			continue
		}
		for _, m := range messages {
			var byID map[string][]json.RawMessage
			if json.Unmarshal(m, &byID) != nil {
				continue
			}
			for id, records := range byID {
				for _, r := range records {
					scores[id] = max(scores[id], baseScore(r))
				}
			}
		}
	}
	return scores
}

// baseScore reads a CVSS object of the NVD; zero when it holds no score that there can be.
func baseScore(record json.RawMessage) float64 {
	var c struct {
		BaseScore float64 `json:"baseScore"`
	}
	if json.Unmarshal(record, &c) != nil || c.BaseScore < 0 || c.BaseScore > 10 {
		return 0
	}
	return c.BaseScore
}
