package ledger

import (
	"cmp"
	"slices"

	"github.com/clairwatch/clairwatch/findings"
)

// maxUnrecorded is how many manifests are kept that no destination has a record of: images that are about to
// be told, and those that never will be. To forget one costs a question to a registry.
const maxUnrecorded = 1 << 15

// manifest is what is known of a platform manifest, whoever asks. It is stored with its records.
type manifest struct {
	digest  string
	images  []Image       // what is it, in order
	created []findings.ID // the Clairs in which our POST created it, in order
	records []*item
}

// Manifest returns the digest of the platform manifest that an image is; empty when it has not been found
// out.
func (b *Book) Manifest(i Image) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := b.images[i]; m != nil {
		return m.digest
	}
	return ""
}

// SetManifest says which platform manifest an image is; with an empty digest, that it is not known any more. It
// is stored with the records of that digest, and therefore not before there is one.
func (b *Book) SetManifest(i Image, digest string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := b.images[i]; m != nil {
		if m.digest == digest {
			return
		}
		m.images = slices.DeleteFunc(m.images, func(o Image) bool { return o == i })
		delete(b.images, i)
		b.touchRecords(m)
	}
	if digest == "" {
		return
	}
	m := b.manifest(digest)
	b.addImage(m, i)
	b.touchRecords(m)
}

func (b *Book) addImage(m *manifest, i Image) {
	at, _ := slices.BinarySearchFunc(m.images, i, Image.compare)
	m.images = slices.Insert(m.images, at, i)
	b.images[i] = m
}

// Images returns all that Manifest says is a digest, in order.
func (b *Book) Images(digest string) []Image {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := b.manifests[digest]; m != nil {
		return slices.Clone(m.images)
	}
	return nil
}

func (i Image) compare(o Image) int {
	return cmp.Or(cmp.Compare(i.ID, o.ID), cmp.Compare(i.Platform, o.Platform))
}

// Created says whether our POST created a manifest in a Clair.
func (b *Book) Created(clair findings.ID, digest string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.manifests[digest]
	return m != nil && slices.Contains(m.created, clair)
}

// SetCreated says whether our POST created a manifest in a Clair. It is stored with the records of that
// digest, and therefore not before there is one.
func (b *Book) SetCreated(clair findings.ID, digest string, created bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.manifests[digest]
	if m == nil && !created {
		return
	}
	m = b.manifest(digest)
	at, is := slices.BinarySearch(m.created, clair)
	switch {
	case is == created:
		return
	case created:
		m.created = slices.Insert(m.created, at, clair)
	default:
		m.created = slices.Delete(m.created, at, at+1)
	}
	b.touchRecords(m)
}

// manifest returns the manifest of a digest, a new one if need be.
func (b *Book) manifest(digest string) *manifest {
	m := b.manifests[digest]
	if m == nil {
		m = &manifest{digest: digest}
		b.manifests[digest] = m
		b.keepUnrecorded(m)
	}
	return m
}

// keepUnrecorded keeps a manifest without a record for a while.
func (b *Book) keepUnrecorded(m *manifest) {
	if len(m.records) > 0 {
		return
	}
	b.unrecorded = append(b.unrecorded, m)
	if len(b.unrecorded) <= maxUnrecorded {
		return
	}
	oldest := b.unrecorded[0]
	b.unrecorded = b.unrecorded[1:]
	if len(oldest.records) > 0 || b.manifests[oldest.digest] != oldest {
		return
	}
	delete(b.manifests, oldest.digest)
	for _, i := range oldest.images {
		delete(b.images, i)
	}
}

// touchRecords makes the shards dirty that hold a record of a manifest.
func (b *Book) touchRecords(m *manifest) {
	for _, it := range m.records {
		b.touch(it.shard)
	}
}
