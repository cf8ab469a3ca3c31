package watcher

import (
	"unique"

	"github.com/clairwatch/clairwatch/findings"
)

// Having returns which of the images that run have a vulnerability, by the digest of their platform manifest: their
// findings that are called its name, as findings.Finding.IsCalled has it, and those that are called otherwise and mention
// it in their link or, as one of findings.Finding.OtherNames, in their description. They are worst first, each once of all
// Clairs that report on the image, and have neither Description nor Layer. It goes by the last reports, as far as the
// watcher keeps their findings (the 20,000 worst of each), and asks nobody. A replica that does not lead returns nil.
func (w *Watcher) Having(name string) map[string][]findings.Finding {
	if name == "" || !w.leading.Load() {
		return nil
	}
	is := make(map[unique.Handle[said]]bool)      // whether it is about the name
	of := make(map[*facts][]findings.Finding)     // which of them are: namespaces share those of an image
	having := make(map[string][]findings.Finding) // by digest
	for _, held := range w.progress.facts(w.counts()) {
		found, searched := of[held.facts]
		if !searched {
			found = held.facts.about(name, is)
			of[held.facts] = found
		}
		if len(found) == 0 {
			continue
		}
		if digest := w.book.Manifest(held.image.inLedger()); digest != "" {
			having[digest] = append(having[digest], found...)
		}
	}
	for digest, found := range having {
		findings.Sort(found)
		having[digest] = eachOnce(found)
	}
	return having
}

// about returns the findings that are about a name. is remembers which are, of any image.
func (f *facts) about(name string, is map[unique.Handle[said]]bool) []findings.Finding {
	var found []findings.Finding
	for i, h := range f.said {
		about, known := is[h]
		if !known {
			about = h.Value().isAbout(name)
			is[h] = about
		}
		if about {
			found = append(found, f.finding(i))
		}
	}
	return found
}

// eachOnce keeps the first of those findings that are of the same version of a package.
func eachOnce(fs []findings.Finding) []findings.Finding {
	type installed struct {
		id      findings.ID
		version string
	}
	seen := make(map[installed]bool, len(fs))
	var kept []findings.Finding
	for _, f := range fs {
		if k := (installed{f.ID(), f.Installed}); !seen[k] {
			seen[k] = true
			kept = append(kept, f)
		}
	}
	return kept
}
