package clair

import (
	"context"
	stdjson "encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/quay/claircore"
	"github.com/quay/claircore/toolkit/types"
	"github.com/quay/claircore/toolkit/types/cpe"
)

const (
	// reportLimit is the size of a report in bytes, uncompressed, above which it is refused as too
	// large. The largest seen from a real Clair has 1 MiB for 940 vulnerabilities.
	reportLimit = 32 << 20
	// largeReport is the size in bytes above which reports are decoded one at a time: what comes out of
	// decoding takes memory too.
	largeReport = 4 << 20
)

var errTooLarge = fmt.Errorf("body is larger than %d MiB", reportLimit>>20)

// body reads the body of an answer up to reportLimit. A large one waits for its turn.
type body struct {
	ctx   context.Context
	from  io.Reader
	large chan struct{} // see Config
	size  int           // bytes that were read
	turn  bool          // whether it has its turn
	err   error         // why there is no more: io.EOF when all was read
}

// Read implements io.Reader. Once it has failed it fails in the same way.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.size == largeReport && !b.turn {
		select {
		case b.large <- struct{}{}:
			b.turn = true
		case <-b.ctx.Done():
			b.err = b.ctx.Err()
			return 0, b.err
		}
	}
	limit := largeReport
	if b.turn {
		limit = reportLimit + 1
	}
	n, err := b.from.Read(p[:min(len(p), limit-b.size)])
	b.size += n
	if b.size > reportLimit {
		err = errTooLarge
	}
	b.err = err
	return n, err
}

// end lets the next large body in.
func (b *body) end() {
	if b.turn {
		<-b.large
	}
}

// leniently takes what others write into the texts that Clair passes on as it is.
var leniently = json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))

// unmarshal decodes JSON while it is read, and turns a panic into an error: claircore's Severity panics at a text that
// is a part of a severity's name, such as "igh" (claircore severity.go, UnmarshalText).
func unmarshal(from io.Reader, into any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decoding panicked: %v", p)
		}
	}()
	of := unmarshalers
	if _, ok := into.(*claircore.IndexReport); ok {
		of = indexUnmarshalers
	}
	return json.UnmarshalRead(from, into, leniently, json.WithUnmarshalers(of))
}

// What is not needed of a report is passed over: it would be most of its memory, and of the time to decode it. The types
// below are claircore's own with other tags, and stop to compile when claircore's get other fields.

var unmarshalers = json.JoinUnmarshalers(
	json.UnmarshalFromFunc(func(d *jsontext.Decoder, v *claircore.Vulnerability) error {
		return json.UnmarshalDecode(d, (*vulnerability)(v))
	}),
	json.UnmarshalFromFunc(func(d *jsontext.Decoder, p *claircore.Package) error {
		return json.UnmarshalDecode(d, (*installed)(p))
	}),
	json.UnmarshalFromFunc(func(d *jsontext.Decoder, e *claircore.Environment) error {
		return json.UnmarshalDecode(d, (*environment)(e))
	}),
	json.UnmarshalFromFunc(func(d *jsontext.Decoder, r *claircore.Repository) error {
		return json.UnmarshalDecode(d, (*repository)(r))
	}),
	json.UnmarshalFromFunc(func(d *jsontext.Decoder, r *claircore.VulnerabilityReport) error {
		return json.UnmarshalDecode(d, (*vulnerabilityReport)(r))
	}),
)

// indexUnmarshalers keep of a package that there is one.
var indexUnmarshalers = json.JoinUnmarshalers(
	json.UnmarshalFromFunc(func(d *jsontext.Decoder, _ **claircore.Package) error { return d.SkipValue() }),
	json.UnmarshalFromFunc(func(d *jsontext.Decoder, r *claircore.IndexReport) error {
		return json.UnmarshalDecode(d, (*indexReport)(r))
	}),
)

type vulnerabilityReport struct {
	Hash                   claircore.Digest                    `json:"manifest_hash"`
	Packages               map[string]*claircore.Package       `json:"packages"`
	Distributions          map[string]*claircore.Distribution  `json:"distributions"`
	Repositories           map[string]*claircore.Repository    `json:"repository"`
	Environments           map[string][]*claircore.Environment `json:"environments"`
	Vulnerabilities        map[string]*claircore.Vulnerability `json:"vulnerabilities"`
	PackageVulnerabilities map[string][]string                 `json:"package_vulnerabilities"`
	Enrichments            map[string][]stdjson.RawMessage     `json:"enrichments"`
	PackageNotVulnerable   map[string][]string                 `json:"-"`
}

type vulnerability struct {
	ID                 string                  `json:"-"`
	Updater            string                  `json:"updater"`
	Name               string                  `json:"name"`
	Description        string                  `json:"description"`
	Issued             time.Time               `json:"-"`
	Links              string                  `json:"links"`
	Severity           string                  `json:"-"`
	NormalizedSeverity claircore.Severity      `json:"normalized_severity"`
	Package            *claircore.Package      `json:"-"`
	Dist               *claircore.Distribution `json:"-"`
	Repo               *claircore.Repository   `json:"-"`
	FixedInVersion     string                  `json:"fixed_in_version"`
	Range              *claircore.Range        `json:"-"`
	ArchOperation      claircore.ArchOp        `json:"-"`
	Self               claircore.Alias         `json:"-"`
	Aliases            []claircore.Alias       `json:"-"`
	Invert             bool                    `json:"-"`
}

type installed struct {
	ID                string              `json:"-"`
	Name              string              `json:"name"`
	Version           string              `json:"version"`
	Kind              types.PackageKind   `json:"-"`
	Source            *claircore.Package  `json:"source"`
	PackageDB         string              `json:"-"`
	Filepath          string              `json:"-"`
	RepositoryHint    string              `json:"-"`
	NormalizedVersion claircore.Version   `json:"-"`
	Module            string              `json:"-"`
	Arch              string              `json:"-"`
	CPE               cpe.WFN             `json:"-"`
	Detector          *claircore.Detector `json:"-"`
}

type environment struct {
	PackageDB      string           `json:"-"`
	IntroducedIn   claircore.Digest `json:"introduced_in"`
	DistributionID string           `json:"distribution_id"`
	RepositoryIDs  []string         `json:"repository_ids"`
}

type repository struct {
	ID   string  `json:"-"`
	Name string  `json:"name"`
	Key  string  `json:"key"`
	URI  string  `json:"-"`
	CPE  cpe.WFN `json:"-"`
}

type indexReport struct {
	Hash          claircore.Digest                         `json:"manifest_hash"`
	State         string                                   `json:"state"`
	Packages      map[string]*claircore.Package            `json:"packages"`
	Distributions map[string]*claircore.Distribution       `json:"distributions"`
	Repositories  map[string]*claircore.Repository         `json:"-"`
	Environments  map[string][]*claircore.Environment      `json:"-"`
	Success       bool                                     `json:"success"`
	Err           string                                   `json:"err"`
	Files         map[string]map[string]claircore.FileKind `json:"-"`
}
