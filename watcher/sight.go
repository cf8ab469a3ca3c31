package watcher

import (
	"cmp"

	"github.com/clairwatch/clairwatch/findings"
)

// sight is what is known of an image at one Clair.
type sight struct {
	// state is its index_state when the image was last indexed; edition that of its data when its report was last read.
	state   string
	edition uint64
	// found is what that report says; nil while there was none.
	found *reported
}

// markIndexedUnder notes with which index_state a Clair has indexed an image.
func (p *progress) markIndexedUnder(img image, clair, state string) {
	p.sight(img, clair, func(s *sight) { s.state = state })
}

// isIndexedUnder says whether markIndexedUnder has noted that index_state last.
func (p *progress) isIndexedUnder(img image, clair, state string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sights[img][clair].state == state
}

// packedMost bounds the findings of all images that are kept, in bytes: whoever may run pods chooses what is in their
// images. 5,000 images with 300 findings each are 60 MiB. What is shared by namespaces counts in each of them.
const packedMost = 96 << 20

// markFound notes what a Clair reports of an image. What is the same in another namespace is kept once. It says whether
// there was room for the findings themselves; otherwise they are only counted.
func (p *progress) markFound(img image, clair string, found reported) (kept bool) {
	kept = true
	p.sight(img, clair, func(s *sight) {
		p.packedSize -= s.packedSize()
		if size := found.packed.Size(); p.packedSize+size > packedMost {
			found.packed, kept = &findings.Packed{}, false
		}
		found.packed = p.samePacked(img, clair, found.packed)
		s.found = &found
		p.packedSize += s.packedSize()
	})
	return kept
}

// packedSize is how many bytes its findings take.
func (s sight) packedSize() int {
	if s.found == nil {
		return 0
	}
	return s.found.packed.Size()
}

// samePacked returns the findings that another namespace has of the same image from the same Clair, if they are equal:
// what is in every pod, as a sidecar, is in every namespace. p.mu is held.
func (p *progress) samePacked(img image, clair string, packed *findings.Packed) *findings.Packed {
	for img.namespace = range p.images {
		if other := p.sights[img][clair].found; other != nil && *other.packed == *packed {
			return other.packed
		}
	}
	return packed
}

// packedOf are the findings of an image.
type packedOf struct {
	image  image
	packed *findings.Packed
}

// packed returns what is reported of the images that have a report, of each of those Clairs that count for their namespace.
func (p *progress) packed(counts func(namespace, clair string) bool) []packedOf {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]packedOf, 0, len(p.sights))
	for img, sights := range p.sights {
		for clair, s := range sights {
			if s.found != nil && counts(img.namespace, clair) {
				all = append(all, packedOf{img, s.found.packed})
			}
		}
	}
	return all
}

// found returns what is reported of the images that have a report, of those Clairs that count for their namespace.
// Where several report on an image it is what the one says that finds the worst.
func (p *progress) found(counts func(namespace, clair string) bool) map[image]reported {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[image]reported, len(p.sights))
	for img, sights := range p.sights {
		for clair, s := range sights {
			if s.found == nil || !counts(img.namespace, clair) {
				continue
			}
			if other, has := all[img]; !has || s.found.compare(other.breakdown) < 0 {
				all[img] = *s.found
			}
		}
	}
	return all
}

// worst returns the Clair that reports the worst of some images, as found has it; empty where none does.
func (p *progress) worst(imgs []image, counts func(namespace, clair string) bool) (clair string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var worst breakdown
	for _, img := range imgs {
		for at, s := range p.sights[img] {
			if s.found == nil || !counts(img.namespace, at) {
				continue
			}
			if clair == "" || cmp.Or(s.found.compare(worst), cmp.Compare(at, clair)) < 0 {
				clair, worst = at, s.found.breakdown
			}
		}
	}
	return clair
}

// markRead notes with which edition of a Clair's data, or a younger one, the report of an image was made.
func (p *progress) markRead(img image, clair string, edition uint64) {
	p.sight(img, clair, func(s *sight) { s.edition = edition })
}

// isRead says whether the report of an image was made with that edition of a Clair's data. Of one that does not say
// what data it has nobody knows.
func (p *progress) isRead(img image, clair string, edition uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return edition != 0 && p.sights[img][clair].edition == edition
}

func (p *progress) sight(img image, clair string, change func(*sight)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.images[img.namespace][img]; !known {
		return
	}
	if p.sights[img] == nil {
		p.sights[img] = make(map[string]sight)
	}
	s := p.sights[img][clair]
	change(&s)
	p.sights[img][clair] = s
}
