// Package registry finds the manifest that a container runs, at the registry it
// came from, and says how Clair can fetch the layers of it.
package registry

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// Identity says which image a container runs and where it may be found.
type Identity struct {
	// ID is the digest (of an index or a manifest) or the config id that imageID
	// shows, always with its algorithm: "sha256:…". It is the same for the same
	// content whatever repository the runtime named. Where only spec tells of a
	// registry's digest it is that one: ID is always what is asked for.
	ID string
	// Candidates are the places to ask, best first. There is at least one.
	Candidates []Candidate
	// Config is the config digest that the found manifest must have, or "" where
	// a candidate's digest is proof enough.
	Config string
}

// Candidate is one place where an image may be found.
type Candidate struct {
	Repo   string // host and path, normalised: "docker.io/library/nginx"
	Digest string // of an index or a manifest; "" where only a tag is known
	Tag    string // only where Digest is ""
}

// String is the reference as people write it.
func (c Candidate) String() string {
	if c.Digest != "" {
		return c.Repo + "@" + c.Digest
	}
	return c.Repo + ":" + c.Tag
}

var (
	bareID = regexp.MustCompile(`^[0-9a-f]{64}$`)
	// importRepo is what `ctr images import --digests`, and so `kind load`, names
	// an image: a repository that exists nowhere.
	importRepo = regexp.MustCompile(`^docker\.io/library/import-\d{4}-\d{2}-\d{2}$`)
)

// Identify reads a container's image from spec, the image as the pod's spec
// names it, and imageID, as its status shows it.
//
// imageID decides what runs. containerd and CRI-O may name another repository
// there than the pod asked for, because they keep one image under many names, so
// the repository of spec is asked first; credentials belong to it too. A bare
// config id (an image without a repository digest) is looked for under the tag
// of spec and counts only if the manifest's config has that id.
//
// A digest in spec is not asked for beside another in imageID: spec can be changed in
// place, and what is found by one digest would be taken for what runs by the other. Only
// where imageID names an import into the node, whose digest no registry has, it counts
// instead.
//
// Its errors are [ErrNotPulled] (imageID is empty), [ErrLocalOnly] (no registry
// can have the image) and [ErrInvalid].
func Identify(spec, imageID string) (Identity, error) {
	if imageID == "" {
		return Identity{}, ErrNotPulled
	}
	id := imageID
	for _, scheme := range []string{"docker-pullable://", "docker://"} { // cri-dockerd
		id = strings.TrimPrefix(id, scheme)
	}
	wanted := parseSpec(spec)
	if bareID.MatchString(id) { // CRI-O, bare
		id = "sha256:" + id
	}
	if validDigest(id) {
		if wanted.Repo == "" {
			return Identity{}, fmt.Errorf("image %q, id %s: %w", spec, id, ErrLocalOnly)
		}
		return Identity{ID: id, Candidates: []Candidate{wanted}, Config: id}, nil
	}

	running, err := parseImageID(id, wanted.Repo)
	if err != nil {
		return Identity{}, fmt.Errorf("reading imageID %q: %w: %w", imageID, ErrInvalid, err)
	}

	imported := importRepo.MatchString(running.Repo)
	if imported && wanted.Digest != "" {
		return Identity{ID: wanted.Digest, Candidates: []Candidate{wanted}}, nil
	}
	var found []Candidate
	if wanted.Repo != "" {
		found = append(found, Candidate{Repo: wanted.Repo, Digest: running.Digest})
	}
	if running.Repo != wanted.Repo && !imported {
		found = append(found, running)
	}
	if len(found) == 0 {
		return Identity{}, fmt.Errorf("image %q, id %s: %w", spec, running.Digest, ErrLocalOnly)
	}
	return Identity{ID: running.Digest, Candidates: found}, nil
}

// parseImageID reads a repository and a digest in it. The repository is mostly that of the spec, repo, whose name has been
// read already: that takes longer than all else here, and there are many pods.
func parseImageID(id, repo string) (Candidate, error) {
	if d, ok := strings.CutPrefix(id, repo+"@"); ok && repo != "" && validDigest(d) {
		return Candidate{Repo: repo, Digest: d}, nil
	}
	named, err := reference.ParseNormalizedNamed(id)
	if err != nil {
		return Candidate{}, err
	}
	digested, ok := named.(reference.Digested)
	if !ok || !validDigest(digested.Digest().String()) {
		return Candidate{}, errors.New("no sha256 or sha512 digest")
	}
	return Candidate{Repo: named.Name(), Digest: digested.Digest().String()}, nil
}

// parseSpec reads the image of a pod's spec; the zero Candidate where it names
// no repository (an id of the node's store, or nothing readable).
func parseSpec(spec string) Candidate {
	if validDigest(spec) {
		return Candidate{}
	}
	named, err := reference.ParseNormalizedNamed(spec)
	if err != nil {
		return Candidate{}
	}
	c := Candidate{Repo: named.Name()}
	if d, ok := named.(reference.Digested); ok {
		if !validDigest(d.Digest().String()) {
			return Candidate{}
		}
		c.Digest = d.Digest().String()
		return c
	}
	if t, ok := reference.TagNameOnly(named).(reference.Tagged); ok {
		c.Tag = t.Tag()
	}
	return c
}

// validDigest admits what Clair takes for a digest.
func validDigest(s string) bool {
	d := digest.Digest(s)
	if d.Validate() != nil {
		return false
	}
	return d.Algorithm() == digest.SHA256 || d.Algorithm() == digest.SHA512
}
