package watcher

import "github.com/clairwatch/clairwatch/findings"

// Having returns which of the images that run have a vulnerability, by the digest of their platform manifest: their
// findings that are called its name, as findings.Finding.IsCalled has it, and those that are called otherwise and have it
// among their findings.Finding.OtherNames, which link and description mention. They are worst first, each once of all
// Clairs that report on the image, and have neither Description nor Layer. It goes by the last reports, as far as
// findings.PackedLimit goes of each and packedMost of all, and asks nobody. A replica that does not lead returns nil.
func (w *Watcher) Having(name string) map[string][]findings.Finding {
	if name == "" || !w.leading.Load() {
		return nil
	}
	searched := make(map[*findings.Packed]bool)   // namespaces share those of an image
	having := make(map[string][]findings.Finding) // by digest
	for _, held := range w.progress.packed(w.inForce()) {
		if searched[held.packed] {
			continue
		}
		searched[held.packed] = true
		found := held.packed.About(name)
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
