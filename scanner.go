package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/watcher"
)

// scanner looks at images for people, with the clients of the daemon and without what it remembers.
type scanner struct {
	clair       watcher.Clair
	registry    watcher.Registry
	credentials registry.Credentials // nil: none
	platform    registry.Platform
	shown       visible
	// indexing is called before Clair is asked to index an image, which can take minutes. It may be called by several
	// goroutines at once.
	indexing func(name string)

	// updaters are those whose data Clair has; nil when it does not say.
	updaters []string
}

// readData reads what data Clair has, without which nobody can say what is clean. While it is loading that data its
// reports are incomplete: then nothing is reported.
func (s *scanner) readData(ctx context.Context, base string, quiet, most time.Duration) error {
	updates, err := s.clair.Updates(ctx, "")
	switch {
	case clair.IsKind(err, clair.NotFound), clair.IsKind(err, clair.Invalid), clair.IsKind(err, clair.Unauthorized):
		return nil // a gateway before it hides that; who may see nothing at all hears so with each image
	case err != nil:
		return fmt.Errorf("asking Clair at %s: %w", base, withNetwork(err))
	}
	left, loading := loadingFor(updates, quiet, most)
	switch {
	case loading && left == 0:
		return fmt.Errorf("asking Clair at %s: it has no vulnerability data yet: wait until it has loaded some (its log says when), or see whether it has any updaters", base)
	case loading:
		return fmt.Errorf("asking Clair at %s: it is still loading its vulnerability data, so reports would be incomplete: a source of it was new less than %s ago (dataQuiet). Try again in %s, or have what there is reported with --data-quiet 0s",
			base, quiet, max(left.Round(time.Second), time.Second))
	}
	s.updaters = make([]string, 0, len(updates.Updaters))
	for _, u := range updates.Updaters {
		s.updaters = append(s.updaters, u.Name)
	}
	return nil
}

// loadingFor says whether a Clair is still being set up, by the same times as the daemon: the last of its sources has
// come less than quiet ago, and the first less than most. left is for how long that is so if no further one comes; zero
// when there is none of vulnerabilities at all.
func loadingFor(updates clair.Updates, quiet, most time.Duration) (left time.Duration, loading bool) {
	if quiet <= 0 {
		return 0, false
	}
	if updates.Newest().IsZero() {
		return 0, true
	}
	now := updates.Now // its clock, as the times are
	if now.IsZero() {
		now = time.Now()
	}
	oldest, newest := updates.Updaters[0].First, updates.Updaters[0].First
	for _, u := range updates.Updaters {
		if u.First.Before(oldest) {
			oldest = u.First
		}
		if u.First.After(newest) {
			newest = u.First
		}
	}
	left = min(quiet-now.Sub(newest), most-now.Sub(oldest))
	return left, left > 0
}

// scan looks at one image. What is wrong is in the report.
func (s *scanner) scan(ctx context.Context, name string) imageReport {
	image, vr, err := s.report(ctx, name)
	if clair.IsKind(err, clair.NotReady) {
		err = fmt.Errorf("%w: try again when it has, which its log says", err)
	}
	if err != nil {
		return imageReport{Image: name, Error: err.Error(), err: err}
	}
	r := findings.FromClair(vr)
	r.Covered = findings.Covered(vr, s.updaters)
	return imageReport{Image: name, scanned: s.shown.of(r, image, s.platform)}
}

// report gets the report of an image, and has it indexed first where Clair does not know it.
func (s *scanner) report(ctx context.Context, name string) (*registry.Image, *claircore.VulnerabilityReport, error) {
	identity, host, err := identify(name)
	if err != nil {
		return nil, nil, err
	}
	image, err := s.registry.Resolve(ctx, identity, s.platform, s.credentials)
	if err != nil {
		return nil, nil, forPeople(err, host)
	}
	vr, err := s.clair.Report(ctx, image.Digest)
	if clair.IsKind(err, clair.NotFound) {
		s.indexing(name)
		if err = s.index(ctx, image); err != nil {
			return nil, nil, forPeople(err, host)
		}
		vr, err = s.clair.Report(ctx, image.Digest)
	}
	return image, vr, err
}

// index has Clair index an image. A token that Clair's first request comes too late for is made anew once.
func (s *scanner) index(ctx context.Context, image *registry.Image) error {
	err := s.submit(ctx, image)
	if clair.IsKind(err, clair.LayerUnauthorized) {
		s.registry.Renew(image)
		err = s.submit(ctx, image)
	}
	return err
}

// submit gives Clair an image with freshly made layer addresses and tokens.
func (s *scanner) submit(ctx context.Context, image *registry.Image) error {
	sources, _, err := s.registry.Sources(ctx, image, s.credentials, 0)
	if err != nil {
		return err
	}
	layers := make([]clair.Layer, len(image.Layers))
	for i, l := range image.Layers {
		layers[i] = clair.Layer{Digest: l.Digest, URI: sources[i].URI, Header: sources[i].Header}
	}
	_, err = s.clair.Index(ctx, image.Digest, layers)
	return err
}

// identify reads the name of an image as people write it. host is that of its registry.
func identify(name string) (id registry.Identity, host string, err error) {
	const want = "want one such as quay.io/team/app:1.2 or quay.io/team/app@sha256:0123…, by its digest"
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return registry.Identity{}, "", errors.New("this is not the name of an image: " + want)
	}
	c := registry.Candidate{Repo: named.Name()}
	switch named := reference.TagNameOnly(named).(type) {
	case reference.Digested:
		if a := named.Digest().Algorithm(); a != digest.SHA256 && a != digest.SHA512 {
			return registry.Identity{}, "", fmt.Errorf("its digest is a %s one, which Clair does not know: %s", a, want)
		}
		c.Digest = named.Digest().String()
	case reference.Tagged:
		c.Tag = named.Tag()
	}
	return registry.Identity{ID: c.String(), Candidates: []registry.Candidate{c}}, reference.Domain(named), nil
}

// forPeople says what to do about an error to who has no pods, whose image pull secrets the registry's own words are
// about.
func forPeople(err error, host string) error {
	switch {
	case errors.Is(err, registry.ErrCredentials): // first: without them a registry says unauthorized
	case errors.Is(err, registry.ErrUnauthorized):
		return fmt.Errorf("the registry %s refuses access: log in (docker login %[1]s), or name a docker config that may pull with --docker-config", host)
	case errors.Is(err, registry.ErrNotFound):
		return fmt.Errorf("the registry %s does not have it, or hides it from who may not see it: see whether the name is right, or log in (docker login %[1]s)", host)
	case errors.Is(err, registry.ErrDenied):
		return fmt.Errorf("%w, in the file of --config", err)
	}
	return err
}
