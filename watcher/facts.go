package watcher

import (
	"slices"
	"strings"
	"unique"

	"github.com/clairwatch/clairwatch/findings"
)

// mostFacts is how many findings of one report are kept, the worst ones. The largest images that people run have half of
// it. What they cost where no other image shares any of them, which takes a pod's author who invents packages, is 12 MiB
// an image; maxImages bounds how many images of a namespace are looked at.
const mostFacts = 20_000

// facts are the findings of a report in little memory: 10 bytes each, and its versions. What an advisory says of a package
// is the same in many images and kept once for all of them (some 600 bytes with what it takes to find it again), and only
// the installed versions are each image's own. They never change.
type facts struct {
	said []unique.Handle[said]
	// version is the number of each one's installed version.
	version []uint16
	// versions are the installed versions, each followed by a zero byte, which none has.
	versions string
}

// said is what findings of several images have in common.
type said struct {
	// finding has neither what is installed nor the layer, which are each image's own, and no description: the pages
	// show that of reports that they fetch.
	finding findings.Finding
	// otherNames are findings.Finding.OtherNames, joined by spaces.
	otherNames string
}

// factsOf keeps the findings of a report, which are sorted worst first.
func factsOf(fs []findings.Finding) *facts {
	fs = fs[:min(len(fs), mostFacts)]
	f := &facts{said: make([]unique.Handle[said], len(fs)), version: make([]uint16, len(fs))}
	numbers := make(map[string]uint16)
	otherNames := make(map[string]naming)
	var versions strings.Builder
	for i, finding := range fs {
		installed := strings.ReplaceAll(finding.Installed, "\x00", "")
		number, known := numbers[installed]
		if !known {
			number = uint16(len(numbers))
			numbers[installed] = number
			versions.WriteString(installed)
			versions.WriteByte(0)
		}
		f.version[i] = number
		by := otherNames[finding.Name]
		if !by.same(finding) {
			by = naming{finding.Link, finding.Description, strings.Join(finding.OtherNames(), " ")}
			otherNames[finding.Name] = by
		}
		finding.Installed, finding.Layer, finding.Description = "", "", ""
		f.said[i] = unique.Make(said{finding, by.otherNames})
	}
	f.versions = strings.Clone(versions.String()) // without what the builder has to spare
	return f
}

// naming is from what a finding's other names were read, and what they are. As a rule the packages that have a
// vulnerability share all of it, and a description can be long.
type naming struct{ link, description, otherNames string }

// same says whether the other names of a finding are these.
func (n naming) same(f findings.Finding) bool {
	return n.link == f.Link && n.description == f.Description
}

// equal says whether both are of the same findings.
func (f *facts) equal(o *facts) bool {
	return f.versions == o.versions && slices.Equal(f.said, o.said) && slices.Equal(f.version, o.version)
}

// finding is one of them, as a report has it but for its description and its layer.
func (f *facts) finding(i int) findings.Finding {
	finding := f.said[i].Value().finding
	finding.Installed = f.installed(int(f.version[i]))
	return finding
}

// installed is a version by its number.
func (f *facts) installed(number int) string {
	for v := range strings.SplitSeq(f.versions, "\x00") {
		if number == 0 {
			return v
		}
		number--
	}
	return ""
}

// isAbout says whether the finding is called a name, or has it in its link or among its other names.
func (s said) isAbout(name string) bool {
	if s.finding.IsCalled(name) || s.finding.Mentions(name) {
		return true
	}
	for other := range strings.SplitSeq(s.otherNames, " ") {
		if strings.EqualFold(other, name) {
			return true
		}
	}
	return false
}
