package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/registry"
)

// scanRig is a registry with images, and a Clair that has reports of them.
type scanRig struct {
	clair   *clairStand
	address string // of the Clair
	config  string // the file that says where the registry is
}

// images are those of the registry, and what Clair says of each. All have the same digests at each run.
var images = map[string]string{
	"shop/web": "report-debian", "shop/cart": "report-alpine", "shop/job": "report-distroless", "shop/tool": "report-scratch",
}

// inRegistry is the name of an image of the rig.
func inRegistry(image string) string { return "registry.example/" + image + ":1" }

func newScanRig(t *testing.T) *scanRig {
	t.Helper()
	server := httptest.NewServer(guarded(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))))
	t.Cleanup(server.Close)
	r := &scanRig{clair: &clairStand{t: t, clock: settledClock, reports: make(map[string]string)}}
	for image, report := range images {
		r.clair.reports[push(t, server.URL, image, "1", types.OCIManifestSchema1, imageWith(image))] = report
	}
	var children []string
	for image, architecture := range map[string]string{"shop/web": "amd64", "shop/cart": "arm64"} {
		digest := push(t, server.URL, "shop/many", "child", types.OCIManifestSchema1, imageWith(image))
		children = append(children, fmt.Sprintf(`{"mediaType": %q, "digest": %q, "size": 9, "platform": {"os": "linux", "architecture": %q}}`,
			types.OCIManifestSchema1, digest, architecture))
	}
	slices.Sort(children)
	push(t, server.URL, "shop/many", "1", types.OCIImageIndex, fmt.Sprintf(`{"schemaVersion": 2, "manifests": [%s]}`, strings.Join(children, ", ")))
	r.address = r.clair.serve(t)
	r.config = writeFile(t, "config.yaml", fmt.Sprintf("registries:\n- host: registry.example\n  endpoint: %s\n", server.URL))
	return r
}

// guarded lets nobody see the repository "secret" but who has the password.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if strings.Contains(r.URL.Path, "/secret/") && (user != "reader" || password != scanPassword) {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// scanPassword is what no output may hold.
const scanPassword = "hunter2-hunter2"

// imageWith is the manifest of an image of one layer with a text.
func imageWith(text string) string {
	blob := digest.FromString(text)
	return fmt.Sprintf(`{"schemaVersion": 2, "config": {"mediaType": %q, "digest": %q, "size": 9}, "layers": [{"mediaType": %q, "digest": %q, "size": 9}]}`,
		types.OCIConfigJSON, blob, types.OCILayer, blob)
}

// push puts a manifest into the registry, without the layers, which nobody fetches, and returns its digest.
func push(t *testing.T, server, repository, tag string, kind types.MediaType, manifest string) string {
	t.Helper()
	at := digest.FromString(manifest).String()
	for _, ref := range []string{at, tag} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server+"/v2/"+repository+"/manifests/"+ref, strings.NewReader(manifest))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", string(kind))
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusCreated {
			t.Fatalf("pushing %s: %s", repository, answer.Status)
		}
	}
	return at
}

// scan runs clairwatch scan against the rig.
func (r *scanRig) scan(t *testing.T, args ...string) said {
	t.Helper()
	s := clairwatch(t, "", append([]string{"scan", "--clair", r.address, "--config", r.config, "--platform", "linux/amd64"}, args...)...)
	s.harmless(t)
	if strings.Contains(s.out+s.errs, scanPassword) {
		t.Errorf("it shows the password: %+v", s)
	}
	return s
}

func TestScan(t *testing.T) {
	for golden, args := range map[string][]string{
		"scan":                  {inRegistry("shop/web")},
		"scan-json":             {inRegistry("shop/web"), "-o", "json"},
		"scan-several":          {inRegistry("shop/web"), inRegistry("shop/missing"), "not an image", inRegistry("shop/tool"), inRegistry("shop/job"), inRegistry("shop/cart")},
		"scan-several-json":     {inRegistry("shop/job"), inRegistry("shop/missing"), inRegistry("shop/tool"), "-o", "json"},
		"scan-min-severity":     {inRegistry("shop/web"), "--min-severity", "high"},
		"scan-only-fixable":     {inRegistry("shop/web"), "--only-fixable", "--min-severity", "medium"},
		"scan-nothing-shown":    {inRegistry("shop/cart"), "--only-fixable", "--min-severity", "high"},
		"scan-fail-on":          {inRegistry("shop/web"), inRegistry("shop/missing"), inRegistry("shop/job"), "--fail-on", "Critical"},
		"scan-fail-on-one":      {inRegistry("shop/web"), "--fail-on", "High"},
		"scan-fail-on-unsure":   {inRegistry("shop/tool"), "--fail-on", "High"},
		"scan-platform":         {inRegistry("shop/many"), "--platform", "linux/arm64"},
		"scan-no-such-platform": {inRegistry("shop/many"), "--platform", "linux/s390x"},
		"scan-unauthorized":     {inRegistry("secret/app")},
		"scan-denied":           {"127.0.0.1:5000/a:1"},
	} {
		t.Run(golden, func(t *testing.T) {
			newScanRig(t).scan(t, args...).golden(t, golden)
		})
	}
}

// Of an image that is not in --fail-on's way the exit code is 0.
func TestScanDoesNotFail(t *testing.T) {
	r := newScanRig(t)
	for _, args := range [][]string{
		{inRegistry("shop/cart"), "--fail-on", "High"}, {inRegistry("shop/tool")}, {inRegistry("shop/web")},
	} {
		if s := r.scan(t, args...); s.code != 0 || s.errs != "" {
			t.Errorf("%q: %+v", args, s)
		}
	}
}

// The Clair of the variable is asked; the flag wins.
func TestScanClairVariable(t *testing.T) {
	r := newScanRig(t)
	t.Setenv(clairVariable, r.address)
	if s := clairwatch(t, "", "scan", "--config", r.config, inRegistry("shop/tool")); s.code != 0 {
		t.Errorf("by the variable: %+v", s)
	}
	t.Setenv(clairVariable, gone(t))
	if s := r.scan(t, inRegistry("shop/tool")); s.code != 0 {
		t.Errorf("by the flag: %+v", s)
	}
}

func TestScanWithoutClair(t *testing.T) {
	r := newScanRig(t)
	r.address = gone(t)
	r.scan(t, inRegistry("shop/web"), "-o", "json").golden(t, "scan-no-clair")
}

// A Clair that is being set up is not asked for reports, whatever it would say.
func TestScanWhileClairIsLoading(t *testing.T) {
	for golden, change := range map[string]func(*clairStand){
		"scan-loading":        func(c *clairStand) { c.clock = "" },
		"scan-no-data":        func(c *clairStand) { c.updates = "updates-none" },
		"scan-not-ready":      func(c *clairStand) { c.reports = withAll(c.reports, "report-loading") },
		"scan-updates-hidden": func(c *clairStand) { c.updates = "no-such-path" },
	} {
		t.Run(golden, func(t *testing.T) {
			r := newScanRig(t)
			change(r.clair)
			r.scan(t, inRegistry("shop/tool")).golden(t, golden)
		})
	}
}

// What decides whether Clair is loading can be set by hand, and in the config.
func TestScanDataQuiet(t *testing.T) {
	r := newScanRig(t)
	r.clair.clock = ""
	if s := r.scan(t, inRegistry("shop/tool"), "--data-quiet", "0s"); s.code != 0 || !strings.Contains(s.out, "shop/tool") {
		t.Errorf("by the flag: %+v", s)
	}
	t.Setenv("CLAIRWATCH_DATAQUIET", "0s")
	if s := r.scan(t, inRegistry("shop/tool")); s.code != 0 {
		t.Errorf("by the environment: %+v", s)
	}
	r.clair.clock = settledClock
	t.Setenv("CLAIRWATCH_DATAMAX", "4h")
	if s := r.scan(t, inRegistry("shop/tool"), "--data-quiet", "3h"); s.code != exitFailed || !strings.Contains(s.errs, "new less than 3h0m0s ago") {
		t.Errorf("by a longer one: %+v", s)
	}
}

func withAll(reports map[string]string, name string) map[string]string {
	all := make(map[string]string)
	for digest := range reports {
		all[digest] = name
	}
	return all
}

// An image that Clair does not know is indexed; one layer that is refused is asked for once more, with another token.
func TestScanIndexes(t *testing.T) {
	for name, c := range map[string]struct {
		answers []string // before it is indexed
		posts   int
		code    int
	}{
		"at once":           {nil, 1, 0},
		"refused once":      {[]string{"index-layer-401"}, 2, 0},
		"refused each time": {[]string{"index-layer-401", "index-layer-401"}, 2, exitFailed},
		"busy":              {[]string{"index-busy"}, 1, exitFailed},
		"no tar":            {[]string{"index-layer-not-tar"}, 1, exitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			r := newScanRig(t)
			r.clair.indexes = make(map[string]func(http.ResponseWriter, *http.Request) bool)
			for digest := range r.clair.reports {
				r.clair.indexes[digest] = func(w http.ResponseWriter, _ *http.Request) bool {
					if int(r.clair.posted.Load()) > len(c.answers) {
						return true
					}
					e := recordedExchange(t, c.answers[r.clair.posted.Load()-1])
					e.answer(w, e.Body)
					return false
				}
			}
			s := r.scan(t, inRegistry("shop/cart"))
			if s.code != c.code || int(r.clair.posted.Load()) != c.posts {
				t.Errorf("asked to index %d times: %+v", r.clair.posted.Load(), s)
			}
			if !strings.HasPrefix(s.errs, "clairwatch: registry.example/shop/cart:1: Clair is indexing it\n") {
				t.Errorf("it does not say that Clair indexes it: %q", s.errs)
			}
			if c.code == 0 && !strings.Contains(s.out, "Alpine 3.20") {
				t.Errorf("no report: %q", s.out)
			}
		})
	}
}

// Credentials are those of the file that is named, otherwise people's own.
func TestScanCredentials(t *testing.T) {
	r := newScanRig(t)
	config := fmt.Sprintf(`{"auths": {"registry.example": {"username": "reader", "password": %q}}}`, scanPassword)
	file := writeFile(t, "config.json", config)
	// The stand-in's registry serves layers itself, for a password: that is as far as it gets.
	const opened = "the registry registry.example does not have it"
	for name, args := range map[string][]string{"named": {"--docker-config", file}, "none": {"--docker-config", ""}} {
		s := r.scan(t, append(args, inRegistry("secret/app"))...)
		if strings.Contains(s.errs, opened) != (name == "named") {
			t.Errorf("%s: %+v", name, s)
		}
	}
	for name, env := range map[string]string{"HOME": filepath.Dir(file), "DOCKER_CONFIG": filepath.Dir(file)} {
		t.Run(name, func(t *testing.T) {
			for _, other := range []string{"HOME", "DOCKER_CONFIG"} {
				t.Setenv(other, "")
			}
			t.Setenv(name, env)
			want := file
			if name == "HOME" {
				want = filepath.Join(env, ".docker", "config.json")
			}
			if got, err := peoplesDockerConfig(defaults().DockerConfig, false); got != want || err != nil {
				t.Errorf("got %s, %v, want %s", got, err, want)
			}
			if got, err := peoplesDockerConfig("/of/the/config.json", false); got != "/of/the/config.json" || err != nil {
				t.Errorf("what is set: got %s, %v", got, err)
			}
		})
	}
}

// Who ends it hears that it was stopped, and nothing is left behind.
func TestScanStopped(t *testing.T) {
	r := newScanRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.clair.indexes = make(map[string]func(http.ResponseWriter, *http.Request) bool)
	for digest := range r.clair.reports {
		r.clair.indexes[digest] = func(_ http.ResponseWriter, r *http.Request) bool {
			cancel()
			<-r.Context().Done()
			return false
		}
	}
	var out, errs bytes.Buffer
	cmd := command(io.Discard)
	cmd.SetArgs([]string{"scan", "--clair", r.address, "--config", r.config, inRegistry("shop/web"), inRegistry("shop/job")})
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	err := cmd.ExecuteContext(ctx)
	if err == nil || err.Error() != "stopped before all images were looked at" || exitCode(err) != exitFailed || out.Len() > 0 {
		t.Errorf("got %v, %q", err, out.String())
	}
}

// hostile are texts that would do something to a terminal.
const hostile = "\x1b[31mred\x1b]0;title\a\x07\u202egnp.exe\u009b2Jx\u2028y\tz\r\nclairwatch: all is well\xff\u200b"

// Whatever registries and Clair say, a terminal gets no more than characters.
func TestScanIsHarmless(t *testing.T) {
	finding := findings.Finding{Name: hostile, Package: hostile, Installed: hostile, FixedIn: hostile, Severity: claircore.High, Updater: hostile, Link: hostile}
	bare := finding
	bare.FixedIn = ""
	report := findings.Report{Distribution: hostile, Packages: 1, Covered: true, Findings: []findings.Finding{finding, bare}}
	image := &registry.Image{Repo: hostile, Digest: hostile}
	r := imageReport{Image: hostile, scanned: visible{}.of(report, image, registry.Platform{OS: hostile})}
	var table, document, errs bytes.Buffer
	if err := r.writeTable(&table, false); err != nil {
		t.Fatal(err)
	}
	if err := writeJSON(&document, scanDocument{Images: []imageReport{r, {Image: hostile, Error: hostile}}}); err != nil {
		t.Fatal(err)
	}
	complain(&errs, fmt.Errorf("%s", hostile))
	said{out: table.String() + document.String(), errs: errs.String()}.harmless(t)
	if n := strings.Count(table.String(), "\n"); n != 7 {
		t.Errorf("a table of %d lines, so that a line could be forged:\n%s", n, table.String())
	}
	var back struct{ Images []struct{ Image string } }
	if err := json.Unmarshal(document.Bytes(), &back); err != nil {
		t.Fatalf("no JSON any more: %v", err)
	}
	if got, want := back.Images[0].Image, strings.ToValidUTF8(hostile, "\ufffd"); got != want {
		t.Errorf("the JSON says %q, want %q", got, want)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"3.0.17-1~deb12u3":       "3.0.17-1~deb12u3",
		"bücher 日本":              "bücher 日本",
		"a\x1b[2Jb":              "a\ufffd[2Jb",
		"a\tb\nc\u2028d":         "a b c d",
		"a\u202eb\u009bc\u200dd": "a\ufffdb\ufffdc\ufffdd",
		"\xff":                   "\ufffd",
		strings.Repeat("ä", 400): strings.Repeat("ä", 400),
		strings.Repeat("a", 300) + strings.Repeat("b", 300): strings.Repeat("a", 239) + "…" + strings.Repeat("b", 160),
	} {
		if got := printable(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// Each vulnerability is named with the update that ends it, however many there are.
func TestUpdatesNameAllVulnerabilities(t *testing.T) {
	for _, report := range []string{"report-debian", "report-alpine", "report-distroless"} {
		var vr claircore.VulnerabilityReport
		if err := json.Unmarshal(recordedExchange(t, report).Body, &vr); err != nil {
			t.Fatal(err)
		}
		r := findings.FromClair(&vr)
		s := visible{}.of(r, new(registry.Image), registry.Platform{})
		updates := findings.Updates(r.Findings)
		if len(updates) != len(s.Updates) || len(updates) == 0 {
			t.Fatalf("%s: %d updates, want %d", report, len(s.Updates), len(updates))
		}
		for i, u := range updates {
			if got := s.Updates[i].Vulnerabilities; len(got) != u.Findings || got[0] != u.Worst.Name {
				t.Errorf("%s: %s: %q, want %d, the worst %s", report, u.Package, got, u.Findings, u.Worst.Name)
			}
		}
	}
	// Versions of a kind that cannot be compared.
	f := func(name, fixed string) findings.Finding {
		return findings.Finding{Name: name, Package: "p", Installed: "1", FixedIn: fixed, Severity: claircore.High, Updater: "osv"}
	}
	s := visible{}.of(findings.Report{Findings: []findings.Finding{f("A", "2"), f("B", "3"), f("C", "2"), f("D", "")}}, new(registry.Image), registry.Platform{})
	var got []string
	for _, u := range s.Updates {
		got = append(got, u.UpdateTo+" "+strings.Join(u.Vulnerabilities, ""))
	}
	if want := []string{"2 AC", "3 B", " D"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLoadingFor(t *testing.T) {
	const quiet, most = 5 * time.Minute, time.Hour
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		ages      []time.Duration // of the sources
		enriching int             // how many of them, from the last, have no vulnerabilities
		quiet     time.Duration
		left      time.Duration
		loading   bool
	}{
		"no source":                {nil, 0, quiet, 0, true},
		"no source, nothing waits": {nil, 0, 0, 0, false},
		"one that is new":          {[]time.Duration{2 * time.Minute}, 0, quiet, 3 * time.Minute, true},
		"the last is new":          {[]time.Duration{10 * time.Minute, time.Minute}, 0, quiet, 4 * time.Minute, true},
		"the end of most":          {[]time.Duration{59 * time.Minute, time.Minute}, 0, quiet, time.Minute, true},
		"beyond most":              {[]time.Duration{time.Hour, time.Minute}, 0, quiet, 0, false},
		"nothing but scores":       {[]time.Duration{24 * time.Hour, time.Hour}, 2, quiet, 0, true},
		"new scores":               {[]time.Duration{24 * time.Hour, time.Minute}, 1, quiet, 0, false},
		"settled":                  {[]time.Duration{10 * time.Minute, 5 * time.Minute}, 0, quiet, 0, false},
		"nothing waits":            {[]time.Duration{time.Minute}, 0, 0, 0, false},
	} {
		u := clair.Updates{Now: now}
		for i, age := range c.ages {
			u.Updaters = append(u.Updaters, clair.Updater{Vulnerabilities: i < len(c.ages)-c.enriching, First: now.Add(-age), Last: now.Add(-age)})
		}
		left, loading := loadingFor(u, c.quiet, most)
		if loading != c.loading || loading && left != c.left {
			t.Errorf("%s: got %s, %v", name, left, loading)
		}
	}
}

func TestIdentify(t *testing.T) {
	const digest = "sha256:3f2a9c41d7be0c6a9f5b8a1e7d4c3b2a190807f6e5d4c3b2a1f0e9d8c7b6a594"
	for in, want := range map[string]string{
		"alpine":                              "docker.io/library/alpine:latest",
		"alpine:3.20":                         "docker.io/library/alpine:3.20",
		"quay.io/team/app:1@" + digest:        "quay.io/team/app@" + digest,
		"localhost:5000/a":                    "localhost:5000/a:latest",
		"a@sha384:" + strings.Repeat("a", 96): "its digest is a sha384 one, which Clair does not know: want one such as quay.io/team/app:1.2 or quay.io/team/app@sha256:0123…, by its digest",
		"":                                    "this is not the name of an image: want one such as quay.io/team/app:1.2 or quay.io/team/app@sha256:0123…, by its digest",
		"https://quay.io/a":                   "this is not the name of an image: want one such as quay.io/team/app:1.2 or quay.io/team/app@sha256:0123…, by its digest",
		"UPPER":                               "this is not the name of an image: want one such as quay.io/team/app:1.2 or quay.io/team/app@sha256:0123…, by its digest",
		digest[7:]:                            "this is not the name of an image: want one such as quay.io/team/app:1.2 or quay.io/team/app@sha256:0123…, by its digest",
	} {
		id, _, err := identify(in)
		got := id.ID
		if err != nil {
			got = err.Error()
		} else if id.Candidates[0].String() != got || id.Config != "" {
			t.Errorf("%s: %+v", in, id)
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// brokenPipe takes nothing.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, os.ErrClosed }

// Who cannot hear the result is not told that all is well.
func TestScanResultNotWritten(t *testing.T) {
	r := newScanRig(t)
	for _, form := range []string{"table", "json"} {
		cmd := command(io.Discard)
		cmd.SetArgs([]string{"scan", "--clair", r.address, "--config", r.config, "-o", form, inRegistry("shop/tool"), inRegistry("shop/job")})
		cmd.SetOut(brokenPipe{})
		if err := cmd.ExecuteContext(t.Context()); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: %v", form, err)
		}
	}
}
