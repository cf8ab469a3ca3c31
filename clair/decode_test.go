package clair

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/quay/claircore"
	"github.com/quay/claircore/toolkit/types"

	"github.com/clairwatch/clairwatch/findings"
)

// recordedReports are the bodies of all recordings of reports, by their names.
func recordedReports(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/report-*.json*")
	if err != nil {
		t.Fatal(err)
	}
	bodies := make(map[string][]byte)
	for _, name := range names {
		if rec := recorded(t, filepath.Base(name)); rec.Status == http.StatusOK {
			bodies[filepath.Base(name)] = rec.body(t)
		}
	}
	if len(bodies) < 5 {
		t.Fatalf("%d recordings of reports", len(bodies))
	}
	return bodies
}

// sameFindings compares what a report that was decoded whole says with what one says of which only what is needed was.
func sameFindings(t *testing.T, whole, got *claircore.VulnerabilityReport) {
	t.Helper()
	if want, got := findings.FromClair(whole), findings.FromClair(got); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	for _, updaters := range [][]string{nil, {}, {"debian/updater"}, {"osv/go"}, {"rhel-vex"}} {
		if want, got := findings.Covered(whole, updaters), findings.Covered(got, updaters); got != want {
			t.Errorf("covered by %q: %t, want %t", updaters, got, want)
		}
	}
}

// What is passed over is not needed, and what is kept is what encoding/json makes of it.
func TestUnmarshalReport(t *testing.T) {
	bodies := recordedReports(t)
	bodies["made"] = madeReport(t, 20)
	bodies["of Red Hat's, which is told by its repository"] = []byte(`{"manifest_hash":"` + debian + `","packages":{"1":{"id":"1","name":"bash"}},` +
		`"environments":{"1":[{"package_db":"","introduced_in":"` + layer + `","distribution_id":"","repository_ids":["7"]}]},` +
		`"repository":{"7":{"id":"7","name":"cpe:/o:redhat:enterprise_linux:9","key":"rhel-cpe-repository","cpe":"cpe:2.3:o:redhat:enterprise_linux:9:*:*:*:*:*:*:*"}}}`)
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			whole, got := new(claircore.VulnerabilityReport), new(claircore.VulnerabilityReport)
			if err := stdjson.Unmarshal(body, whole); err != nil {
				t.Fatal(err)
			}
			if err := unmarshal(bytes.NewReader(body), got); err != nil {
				t.Fatal(err)
			}
			sameFindings(t, whole, got)
		})
	}
}

func TestUnmarshalIndexReport(t *testing.T) {
	for _, name := range []string{"index-finished.json", "down-index-back.json"} {
		body := recorded(t, name).body(t)
		var whole, got claircore.IndexReport
		if err := stdjson.Unmarshal(body, &whole); err != nil {
			t.Fatal(err)
		}
		if err := unmarshal(bytes.NewReader(body), &got); err != nil {
			t.Fatal(err)
		}
		if want, got := findings.Indexed(&whole), findings.Indexed(&got); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
		if got.Hash.String() != whole.Hash.String() || got.State != whole.State || got.Success != whole.Success || got.Err != whole.Err {
			t.Errorf("%s: got %+v, want %+v", name, got, whole)
		}
	}
}

// Feeds have texts that are no UTF-8, and Clair passes on what they say of a vulnerability as it is.
func TestUnmarshalTakesWhatFeedsWrite(t *testing.T) {
	body := `{"manifest_hash":"` + debian + `","enrichments":{"a":[{"b":1,"b":2}]},"vulnerabilities":{"1":{"name":"CVE-1","description":"caf` + "\xe9" + `"}}}`
	report := new(claircore.VulnerabilityReport)
	if err := unmarshal(strings.NewReader(body), report); err != nil {
		t.Fatal(err)
	}
	if got := report.Vulnerabilities["1"].Description; got != "caf\uFFFD" {
		t.Errorf("got %q", got)
	}
}

// Of a large report hardly more than what is kept is ever in memory.
func TestUnmarshalMemory(t *testing.T) {
	body := madeReport(t, 18_700)
	if len(body) < 18<<20 || len(body) > 22<<20 {
		t.Fatalf("the report has %d bytes", len(body))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := unmarshal(bytes.NewReader(body), new(claircore.VulnerabilityReport)); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > uint64(len(body)) {
		t.Errorf("decoding %d bytes took %d of memory", len(body), got)
	}
}

// FuzzUnmarshal: what is passed over changes nothing of what is kept.
func FuzzUnmarshal(f *testing.F) {
	for name, body := range recordedReports(f) {
		if name != "report-big.json.gz" { // which a fuzzer is slow with
			f.Add(body)
		}
	}
	f.Add([]byte(`{"packages":{"1":null,"2":{"name":"a","source":{}}},"package_vulnerabilities":{"1":["1"],"2":["1","2"]},` +
		`"vulnerabilities":{"1":null,"2":{"name":"x","Self":{},"Aliases":[]}},"environments":{"2":[null]},"distributions":{"1":null}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		whole := new(claircore.VulnerabilityReport)
		if !readable(body, whole) {
			return
		}
		got := new(claircore.VulnerabilityReport)
		if err := unmarshal(bytes.NewReader(body), got); err != nil {
			t.Fatal(err)
		}
		sameFindings(t, whole, got)
	})
}

// readable decodes a report whole, with the library that unmarshal has.
func readable(body []byte, into any) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return json.Unmarshal(body, into, leniently) == nil
}

// BenchmarkReport is the way of a report from the body to the findings: of the largest one that was recorded, and of one
// of the usual size.
func BenchmarkReport(b *testing.B) {
	for name, body := range map[string][]byte{"big": recordedReports(b)["report-big.json.gz"], "usual": madeReport(b, 120)} {
		b.Run(name+"/decode", func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := unmarshal(bytes.NewReader(body), new(claircore.VulnerabilityReport)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/whole", func(b *testing.B) {
			hash := new(claircore.VulnerabilityReport)
			if err := unmarshal(bytes.NewReader(body), hash); err != nil {
				b.Fatal(err)
			}
			digest := hash.Hash.String()
			c, err := New(Config{URL: "http://clair/", Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
			})})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				report, err := c.Report(b.Context(), digest)
				if err != nil {
					b.Fatal(err)
				}
				findings.FromClair(report)
			}
		})
	}
}

// BenchmarkIndexReport decodes what Clair says of an image that it has indexed.
func BenchmarkIndexReport(b *testing.B) {
	var report claircore.IndexReport
	if err := stdjson.Unmarshal(madeReport(b, 120), &report); err != nil {
		b.Fatal(err)
	}
	body, err := stdjson.Marshal(report)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := unmarshal(bytes.NewReader(body), new(claircore.IndexReport)); err != nil {
			b.Fatal(err)
		}
	}
}

// madeReport encodes the report of an image of Debian with 150 packages and so many findings.
func madeReport(t testing.TB, found int) []byte {
	t.Helper()
	const packages = 150
	dist := &claircore.Distribution{ID: "1", DID: "debian", Name: "Debian GNU/Linux", Version: "12 (bookworm)", VersionCodeName: "bookworm", VersionID: "12", PrettyName: "Debian GNU/Linux 12 (bookworm)"}
	r := claircore.VulnerabilityReport{
		Hash:                   claircore.MustParseDigest(debian),
		Packages:               make(map[string]*claircore.Package),
		Distributions:          map[string]*claircore.Distribution{"1": dist},
		Environments:           make(map[string][]*claircore.Environment),
		Vulnerabilities:        make(map[string]*claircore.Vulnerability),
		PackageVulnerabilities: make(map[string][]string),
	}
	for p := range packages {
		id := fmt.Sprint(p)
		source := &claircore.Package{ID: fmt.Sprint(1000 + p), Name: fmt.Sprintf("sample%d", p), Version: "1.36-9+deb12u4", Kind: types.SourcePackage}
		r.Packages[id] = &claircore.Package{ID: id, Name: fmt.Sprintf("libsample%d", p), Version: "1.36-9+deb12u4", Kind: types.BinaryPackage, Source: source, Arch: "amd64"}
		r.Environments[id] = []*claircore.Environment{{PackageDB: "var/lib/dpkg/status", IntroducedIn: claircore.MustParseDigest(layer), DistributionID: "1"}}
	}
	for f := range found {
		id, cve, pkg := fmt.Sprint(f), fmt.Sprintf("CVE-2026-%d", 100_000+f), fmt.Sprint(f*7%packages)
		v := &claircore.Vulnerability{
			ID: id, Updater: "debian/updater", Name: cve, Issued: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC),
			Description:        "A flaw was found in " + r.Packages[pkg].Name + ". " + strings.Repeat("A crafted input can make it read beyond a buffer. ", 6),
			Links:              "https://security-tracker.debian.org/tracker/" + cve + " https://nvd.example.org/vuln/detail/" + cve,
			Severity:           "high",
			NormalizedSeverity: claircore.Severity(f % 6),
			Package:            &claircore.Package{Name: r.Packages[pkg].Source.Name, Kind: types.SourcePackage},
			Dist:               dist, Repo: &claircore.Repository{},
		}
		if f%3 != 0 {
			v.FixedInVersion = "1.36-9+deb12u7"
		}
		r.Vulnerabilities[id] = v
		r.PackageVulnerabilities[pkg] = append(r.PackageVulnerabilities[pkg], id)
	}
	body, err := stdjson.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return body
}
