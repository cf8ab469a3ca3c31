package load

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/quay/claircore"
	"github.com/quay/claircore/toolkit/types"
)

// clairStand answers as Clair 4.9 does (clair/testdata has what that answers): it knows what it was told to index.
type clairStand struct {
	findings func(number int) int // of an image
	numbers  map[string]int       // of images, by the digests of their manifests

	mu      sync.Mutex
	indexed map[string]bool
	// updates are when it got its data, the first one and newer ones.
	updates []time.Time
	// disclosed has the images of which newer data found one thing more.
	disclosed map[int]bool
	// notices are the digests of manifests that its notifications are about.
	notices map[uuid.UUID][]string
}

func newClairStand(numbers map[string]int, findings func(number int) int) *clairStand {
	return &clairStand{
		findings: findings, numbers: numbers,
		indexed: make(map[string]bool), disclosed: make(map[int]bool), notices: make(map[uuid.UUID][]string),
		updates: []time.Time{time.Now().Add(-24 * time.Hour)},
	}
}

// Disclose gives Clair newer data, which finds one thing more in some images.
func (c *Cluster) Disclose(images ...int) {
	c.stand.mu.Lock()
	defer c.stand.mu.Unlock()
	c.stand.updates = append(c.stand.updates, time.Now())
	for _, number := range images {
		c.stand.disclosed[number] = true
	}
}

// Notice has Clair keep a notification about some images, and returns its id.
func (c *Cluster) Notice(images ...int) uuid.UUID {
	c.stand.mu.Lock()
	defer c.stand.mu.Unlock()
	id := uuid.New()
	digests := make([]string, 0, len(images))
	for _, number := range images {
		_, digest := imageManifest(number)
		digests = append(digests, digest)
	}
	c.stand.notices[id] = digests
	return id
}

// foundIn is how many findings an image has now.
func (c *clairStand) foundIn(number int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.disclosed[number] {
		return c.findings(number) + 1
	}
	return c.findings(number)
}

const (
	statePath  = "/indexer/api/v1/index_state"
	indexPath  = "/indexer/api/v1/index_report"
	reportPath = "/matcher/api/v1/vulnerability_report/"
	updatePath = "/matcher/api/v1/internal/update_operation"
	noticePath = "/notifier/api/v1/notification/"
)

// kindAtClair is what a request asks of Clair.
func kindAtClair(r *http.Request) string {
	switch path := r.URL.Path; {
	case path == statePath:
		return "state"
	case path == indexPath && r.Method == http.MethodPost:
		return "index"
	case strings.HasPrefix(path, reportPath):
		return "report"
	case path == updatePath:
		return "updates"
	case strings.HasPrefix(path, noticePath) && r.Method == http.MethodDelete:
		return "delete notification"
	case strings.HasPrefix(path, noticePath):
		return "notification"
	}
	return "other"
}

const clairState = "5d0d5b1f6dc4f7cd1d1b2d0f6f3b3a1e"

// ServeHTTP implements http.Handler.
func (c *clairStand) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch kindAtClair(r) {
	case "state":
		answer(w, http.StatusOK, map[string]string{"state": clairState})
	case "index":
		c.index(w, r)
	case "report":
		c.report(w, strings.TrimPrefix(r.URL.Path, reportPath))
	case "updates":
		c.updated(w, r)
	case "notification":
		c.notified(w, strings.TrimPrefix(r.URL.Path, noticePath))
	case "delete notification":
		w.WriteHeader(http.StatusOK)
	default:
		http.NotFound(w, r)
	}
}

func (c *clairStand) index(w http.ResponseWriter, r *http.Request) {
	var manifest claircore.Manifest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&manifest); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	number, ok := c.numbers[manifest.Hash.String()]
	if !ok {
		http.Error(w, "an image that nothing runs", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	c.indexed[manifest.Hash.String()] = true
	c.mu.Unlock()
	full := reportOf(number, c.foundIn(number))
	answer(w, http.StatusCreated, claircore.IndexReport{
		Hash: manifest.Hash, State: "IndexFinished", Success: true,
		Packages: full.Packages, Distributions: full.Distributions, Environments: full.Environments,
	})
}

func (c *clairStand) report(w http.ResponseWriter, digest string) {
	c.mu.Lock()
	known := c.indexed[digest]
	c.mu.Unlock()
	hash, err := claircore.ParseDigest(digest)
	if !known || err != nil {
		answer(w, http.StatusNotFound, map[string]string{"code": "not-found", "message": "index report for manifest \"" + digest + "\" not found"})
		return
	}
	number := c.numbers[digest]
	report := reportOf(number, c.foundIn(number))
	report.Hash = hash
	text, err := json.Marshal(report)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/vnd.clair.vulnerability_report.v1+json")
	_, _ = w.Write(text)
}

// updated says which data it has: at first that is a day old.
func (c *clairStand) updated(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("kind") != "vulnerability" {
		answer(w, http.StatusOK, map[string]any{})
		return
	}
	c.mu.Lock()
	updates := c.updates
	c.mu.Unlock()
	entries := make([]map[string]any, 0, len(updates))
	for n, at := range slices.Backward(updates) { // the newest comes first
		entries = append(entries, map[string]any{
			"ref": refOf(n), "updater": "debian/updater", "fingerprint": fmt.Sprint(n), "date": at, "kind": "vulnerability",
		})
	}
	ref := refOf(len(updates) - 1)
	w.Header().Set("Etag", `"`+ref+`"`)
	if r.Header.Get("If-None-Match") == `"`+ref+`"` {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	answer(w, http.StatusOK, map[string]any{"debian/updater": entries})
}

// refOf is the reference of one of the updates.
func refOf(n int) string { return fmt.Sprintf("31ab85a3-1b73-4edc-aaf7-%012d", n) }

// notified answers what a notification is about, on one page. One that it does not know is about nothing.
func (c *clairStand) notified(w http.ResponseWriter, id string) {
	parsed, err := uuid.Parse(id)
	if err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"code": "bad-request", "message": "not an id"})
		return
	}
	c.mu.Lock()
	digests := c.notices[parsed]
	c.mu.Unlock()
	entries := make([]map[string]string, 0, len(digests))
	for _, digest := range digests {
		entries = append(entries, map[string]string{"id": uuid.NewString(), "manifest": digest, "reason": "added"})
	}
	answer(w, http.StatusOK, map[string]any{"page": map[string]int{"size": len(entries)}, "notifications": entries})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

const (
	// bases is how many base images there are: images that have the same one share half of their findings, as images of
	// one company do.
	bases = 20
	// packages is how many an image has.
	packages = 150
	// MostFindings is how many an image can have: each has a number of its own.
	MostFindings = 100_000
)

var severities = [...]claircore.Severity{claircore.Critical, claircore.High, claircore.High, claircore.Medium, claircore.Medium, claircore.Medium, claircore.Low, claircore.Negligible}

// reportOf makes the report of an image, by its number, without its digest. It has the size of those of Debian.
func reportOf(number, findings int) *claircore.VulnerabilityReport {
	debian := &claircore.Distribution{ID: "1", DID: "debian", Name: "Debian GNU/Linux", Version: "12 (bookworm)", VersionCodeName: "bookworm", VersionID: "12", PrettyName: "Debian GNU/Linux 12 (bookworm)"}
	r := &claircore.VulnerabilityReport{
		Packages:               make(map[string]*claircore.Package),
		Distributions:          map[string]*claircore.Distribution{"1": debian},
		Environments:           make(map[string][]*claircore.Environment),
		Vulnerabilities:        make(map[string]*claircore.Vulnerability),
		PackageVulnerabilities: make(map[string][]string),
	}
	layer := layerDigest(number % bases)
	for p := range packages {
		id, name := fmt.Sprint(p), fmt.Sprintf("libsample%d", p)
		source := &claircore.Package{ID: fmt.Sprint(1000 + p), Name: fmt.Sprintf("sample%d", p), Version: "1.36-9+deb12u4", Kind: types.SourcePackage}
		r.Packages[id] = &claircore.Package{ID: id, Name: name, Version: "1.36-9+deb12u4", Kind: types.BinaryPackage, Source: source, Arch: "amd64"}
		r.Environments[id] = []*claircore.Environment{{PackageDB: "var/lib/dpkg/status", IntroducedIn: layer, DistributionID: "1"}}
	}
	for f := range findings {
		cve := fmt.Sprintf("CVE-2026-%d", 10_000_000+number%bases*MostFindings+f)
		if f%2 == 1 {
			cve = fmt.Sprintf("CVE-2025-%d", 10_000_000+number*MostFindings+f)
		}
		id, pkg := fmt.Sprint(number*MostFindings+f), fmt.Sprint(f*7%packages)
		v := &claircore.Vulnerability{
			ID: id, Updater: "debian/updater", Name: cve, Issued: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC),
			Description:        "A flaw was found in " + r.Packages[pkg].Name + ". " + strings.Repeat("A crafted input can make it read beyond a buffer. ", 6),
			Links:              "https://security-tracker.debian.org/tracker/" + cve + " https://nvd.example.org/vuln/detail/" + cve,
			Severity:           "high",
			NormalizedSeverity: severities[f%len(severities)],
			Package:            &claircore.Package{Name: r.Packages[pkg].Source.Name, Kind: types.SourcePackage},
			Dist:               debian, Repo: &claircore.Repository{},
		}
		if f%3 != 0 {
			v.FixedInVersion = "1.36-9+deb12u7"
		}
		r.Vulnerabilities[id] = v
		r.PackageVulnerabilities[pkg] = append(r.PackageVulnerabilities[pkg], id)
	}
	return r
}
