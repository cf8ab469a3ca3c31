package findings

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/quay/claircore"
)

var update = flag.Bool("update", false, "write the golden files anew")

// recording reads a report that a real Clair gave.
func recording(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// decode reads a report as package clair does.
func decode(t testing.TB, b []byte) *claircore.VulnerabilityReport {
	t.Helper()
	vr := new(claircore.VulnerabilityReport)
	if err := json.Unmarshal(b, vr); err != nil {
		t.Fatal(err)
	}
	return vr
}

// show writes a report as a person would check it.
func show(r Report, findings int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%q, %d packages, covered: %t\n%+v\n\n", r.Digest, r.Distribution, r.Packages, r.Covered, Count(r.Findings))
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, f := range r.Findings[:min(findings, len(r.Findings))] {
		fmt.Fprintf(w, "%s\t%.1f\t%s\t%s\t%s\t-> %s\t%s\t%s\n", f.Severity, f.CVSS, f.Name, f.Package, f.Installed, f.FixedIn, f.Updater, f.Link)
	}
	w.Flush()
	s := r.Summarize(12, Rules{})
	fmt.Fprintf(&b, "\n%d updates\n", s.AllUpdates)
	for _, u := range s.Updates {
		fmt.Fprintf(w, "%s\t%s\t-> %s\t%d findings\tworst %s\t%s\n", u.Package, u.Installed, u.FixedIn, u.Findings, u.Worst.Severity, u.Worst.Name)
	}
	w.Flush()
	return b.String()
}

func TestRecordings(t *testing.T) {
	for _, name := range []string{"debian.json", "alpine.json", "distroless.json", "scratch.json", "dpkg-without-info.json", "big.json.gz", "enriched.json"} {
		t.Run(name, func(t *testing.T) {
			b := recording(t, name)
			got := show(FromClair(decode(t, b)), 60)
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// Maps are ranged over in another order each time; a report must read the same all the same.
func TestDeterministic(t *testing.T) {
	for _, name := range []string{"debian.json", "big.json.gz", "enriched.json"} {
		b := recording(t, name)
		want := FromClair(decode(t, b))
		for range 10 {
			if got := FromClair(decode(t, b)); !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: two readings of one report differ", name)
			}
		}
	}
}

// Findings that differ only in what people do not see first must not change places either.
func TestDeterministicWithNearTwins(t *testing.T) {
	vr := report()
	for i := range 8 {
		id := fmt.Sprint("v", i)
		vr.Vulnerabilities[id] = &claircore.Vulnerability{Name: "CVE-2024-1", Updater: "debian/updater", Links: fmt.Sprintf("https://example.com/%d", i)}
		pid := fmt.Sprint("p", i)
		vr.Packages[pid] = &claircore.Package{Name: "a", Version: "1", Source: &claircore.Package{Name: fmt.Sprint("src", i%2)}}
		vr.PackageVulnerabilities[pid] = []string{id}
	}
	want := FromClair(vr)
	if len(want.Findings) != 2 || want.Findings[0].Link != "https://example.com/0" || want.Findings[1].Link != "https://example.com/1" {
		t.Fatalf("got %+v", want.Findings)
	}
	for range 100 {
		if got := FromClair(vr); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, and before %+v", got.Findings, want.Findings)
		}
	}
}

// report is a report of nothing that a test fills.
func report() *claircore.VulnerabilityReport {
	return &claircore.VulnerabilityReport{
		Packages:               map[string]*claircore.Package{},
		Distributions:          map[string]*claircore.Distribution{},
		Repositories:           map[string]*claircore.Repository{},
		Environments:           map[string][]*claircore.Environment{},
		Vulnerabilities:        map[string]*claircore.Vulnerability{},
		PackageVulnerabilities: map[string][]string{},
		Enrichments:            map[string][]json.RawMessage{},
	}
}

func TestDistinct(t *testing.T) {
	source := &claircore.Package{Name: "openssl", Version: "3.0.11"}
	libssl := &claircore.Package{Name: "libssl3", Version: "3.0.11", Source: source}
	openssl := &claircore.Package{Name: "openssl-bin", Version: "3.0.11", Source: source}
	type has struct {
		p *claircore.Package
		v *claircore.Vulnerability
	}
	vuln := func(name, updater, fixed string, s Severity) *claircore.Vulnerability {
		return &claircore.Vulnerability{Name: name, Updater: updater, FixedInVersion: fixed, NormalizedSeverity: s}
	}
	for _, c := range []struct {
		name string
		in   []has
		want []string
	}{
		{"one", []has{{libssl, vuln("CVE-1", "debian", "3.1", claircore.High)}},
			[]string{"High CVE-1 libssl3 3.0.11 3.1 debian"}},
		{"several packages of one source are their source", []has{
			{libssl, vuln("CVE-1", "debian", "3.1", claircore.High)}, {openssl, vuln("CVE-1", "debian", "3.1", claircore.High)},
		}, []string{"High CVE-1 openssl 3.0.11 3.1 debian"}},
		{"several updaters: the worse counts, what it lacks comes from the other", []has{
			{libssl, vuln("CVE-1", "osv", "", claircore.Critical)}, {libssl, vuln("CVE-1", "debian", "3.1", claircore.High)},
		}, []string{"Critical CVE-1 libssl3 3.0.11 3.1 osv"}},
		{"several versions are several things to do", []has{
			{&claircore.Package{Name: "lodash", Version: "1"}, vuln("CVE-1", "osv", "3", claircore.High)},
			{&claircore.Package{Name: "lodash", Version: "2"}, vuln("CVE-1", "osv", "3", claircore.High)},
		}, []string{"High CVE-1 lodash 1 3 osv", "High CVE-1 lodash 2 3 osv"}},
		{"the version shown is that of the source", []has{
			{&claircore.Package{Name: "b", Version: "1+b2", Source: &claircore.Package{Name: "s", Version: "1"}}, vuln("CVE-1", "debian", "2", claircore.Low)},
		}, []string{"Low CVE-1 b 1 2 debian"}},
		{"a source without version or name says nothing", []has{
			{&claircore.Package{Name: "b", Version: "1", Source: &claircore.Package{Name: "s"}}, vuln("CVE-1", "x", "2", claircore.Low)},
			{&claircore.Package{Name: "c", Version: "1", Source: &claircore.Package{Version: "9"}}, vuln("CVE-1", "x", "2", claircore.Low)},
		}, []string{"Low CVE-1 b 1 2 x", "Low CVE-1 c 1 2 x"}},
		{"0 is no fix", []has{{libssl, vuln("CVE-1", "rhel", "0", claircore.Low)}}, []string{"Low CVE-1 libssl3 3.0.11  rhel"}},
		{"no name, no finding", []has{{libssl, vuln("", "x", "", claircore.Low)}}, nil},
		{"nothing behind the ids", []has{{nil, vuln("CVE-1", "x", "", claircore.Low)}, {libssl, nil}}, nil},
		{"worst first; equally bad ones by what can be done, package and age", []has{
			{&claircore.Package{Name: "a", Version: "1"}, vuln("CVE-2020-1", "x", "", claircore.Unknown)},
			{&claircore.Package{Name: "a", Version: "1"}, vuln("CVE-2020-2", "x", "", claircore.Negligible)},
			{&claircore.Package{Name: "a", Version: "1"}, vuln("CVE-2020-3", "x", "", claircore.Low)},
			{&claircore.Package{Name: "a", Version: "1"}, vuln("CVE-2020-4", "x", "", claircore.Medium)},
			{&claircore.Package{Name: "a", Version: "1"}, vuln("CVE-2020-5", "x", "", claircore.High)},
			{&claircore.Package{Name: "b", Version: "1"}, vuln("CVE-2020-6", "x", "2", claircore.High)},
			{&claircore.Package{Name: "b", Version: "1"}, vuln("CVE-2021-6", "x", "2", claircore.High)},
			{&claircore.Package{Name: "c", Version: "1"}, vuln("CVE-2020-7", "x", "2", claircore.High)},
			{&claircore.Package{Name: "z", Version: "1"}, vuln("CVE-2020-8", "x", "", claircore.Critical)},
		}, []string{
			"Critical CVE-2020-8 z 1  x", "High CVE-2021-6 b 1 2 x", "High CVE-2020-6 b 1 2 x", "High CVE-2020-7 c 1 2 x",
			"High CVE-2020-5 a 1  x", "Medium CVE-2020-4 a 1  x", "Low CVE-2020-3 a 1  x", "Negligible CVE-2020-2 a 1  x",
			"Unknown CVE-2020-1 a 1  x",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			vr := report()
			for i, h := range c.in {
				id := fmt.Sprint(i)
				vr.Packages[id], vr.Vulnerabilities[id] = h.p, h.v
				vr.PackageVulnerabilities[id] = []string{id, id, "nowhere"}
			}
			vr.PackageVulnerabilities["nowhere"] = []string{"0"}
			var got []string
			for _, f := range FromClair(vr).Findings {
				got = append(got, fmt.Sprintf("%s %s %s %s %s %s", f.Severity, f.Name, f.Package, f.Installed, f.FixedIn, f.Updater))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("\n got %q\nwant %q", got, c.want)
			}
		})
	}
}

// The layer is that of all packages of a finding, or none.
func TestLayer(t *testing.T) {
	base, top, long := claircore.MustParseDigest("sha256:"+strings.Repeat("a", 64)),
		claircore.MustParseDigest("sha256:"+strings.Repeat("B", 64)), claircore.MustParseDigest("sha512:"+strings.Repeat("c", 128))
	in := func(layers ...claircore.Digest) (environments []*claircore.Environment) {
		for _, l := range layers {
			environments = append(environments, &claircore.Environment{IntroducedIn: l})
		}
		return environments
	}
	none := claircore.Digest{} // a report without introduced_in, or with null
	for _, c := range []struct {
		name     string
		packages [][]*claircore.Environment // the environments of each package of one source
		want     string
	}{
		{"one", [][]*claircore.Environment{in(base)}, base.String()},
		{"in lower case, as manifests write it", [][]*claircore.Environment{in(top)}, "sha256:" + strings.Repeat("b", 64)},
		{"sha512", [][]*claircore.Environment{in(long)}, long.String()},
		{"no environment", [][]*claircore.Environment{nil}, ""},
		{"an environment that is null", [][]*claircore.Environment{{nil}}, ""},
		{"one that is null beside another", [][]*claircore.Environment{append([]*claircore.Environment{nil}, in(base)...)}, base.String()},
		{"no layer", [][]*claircore.Environment{in(none)}, ""},
		{"several databases of one layer", [][]*claircore.Environment{in(base, base)}, base.String()},
		{"several layers", [][]*claircore.Environment{in(base, top)}, ""},
		{"several layers, the first one again", [][]*claircore.Environment{in(base, top, base)}, ""},
		{"a layer, and one that is not known", [][]*claircore.Environment{in(base, none)}, ""},
		{"one that is not known, and a layer", [][]*claircore.Environment{in(none, base)}, ""},
		{"several packages of one layer", [][]*claircore.Environment{in(base), in(base, base), in(base)}, base.String()},
		{"several packages of several layers", [][]*claircore.Environment{in(base), in(top)}, ""},
		{"several packages, those of the first layer more", [][]*claircore.Environment{in(base), in(top), in(base)}, ""},
		{"several packages, one of which is in several layers", [][]*claircore.Environment{in(base), in(base, top)}, ""},
		{"several packages, of one of which it is not known", [][]*claircore.Environment{in(base), nil}, ""},
	} {
		vr := report()
		vr.Vulnerabilities["v"] = &claircore.Vulnerability{Name: "CVE-1"}
		for i, environments := range c.packages {
			id := fmt.Sprint(i)
			vr.Packages[id] = &claircore.Package{Name: "lib" + id, Version: "1", Source: &claircore.Package{Name: "source"}}
			vr.Environments[id] = environments
			vr.PackageVulnerabilities[id] = []string{"v"}
		}
		for range 10 { // whatever order the maps are read in
			if fs := FromClair(vr).Findings; len(fs) != 1 || fs[0].Layer != c.want {
				t.Errorf("%s: got %+v, want the layer %q", c.name, fs, c.want)
			}
		}
	}
}

// Clair says it of every finding of a real image.
func TestLayerOfRecordings(t *testing.T) {
	for name, want := range map[string]string{
		"debian.json":   "sha256:615c63862a9168bed11dca22911b6eb598b1b7f97c1d4c80b7c50c50995f5173",
		"alpine.json":   "sha256:733d1cd51cafafe083c4b2ee7275ec6bb8fa190ee932eaf276b561e937c027b0",
		"big.json.gz":   "sha256:2de9d7f6d84510ef2236bdc6644eca41da46b5853e1af247e8191b130bb95891",
		"enriched.json": "sha256:00e8ba5426547dd694667037e67ca428833259ca3de84297b1405cfe8af4b455",
	} {
		r := FromClair(decode(t, recording(t, name)))
		if len(r.Findings) == 0 {
			t.Errorf("%s: no findings", name)
		}
		for _, f := range r.Findings {
			if f.Layer != want {
				t.Errorf("%s: the layer of %s in %s is %q", name, f.Name, f.Package, f.Layer)
			}
		}
	}
}

// Where it comes from is no part of what it is: nothing is news because an image was built in other layers.
func TestLayerIsNoIdentity(t *testing.T) {
	vr := decode(t, recording(t, "debian.json"))
	before := FromClair(vr)
	record := before.Record(Basis{}, Rules{})
	for _, environments := range vr.Environments {
		for _, e := range environments {
			e.IntroducedIn = claircore.MustParseDigest("sha256:" + strings.Repeat("d", 64))
		}
	}
	after := FromClair(vr)
	if after.Findings[0].Layer == before.Findings[0].Layer {
		t.Fatal("the layer is the one of before")
	}
	if d := record.Compare(after, Basis{}, Rules{}); len(d.Disclosed.Findings) > 0 || !d.Withdrawn.Change.IsEmpty() || !d.Silent.IsEmpty() {
		t.Errorf("other layers make a difference: %+v", d)
	}
}

func TestCVSS(t *testing.T) {
	const kind = "message/vnd.clair.map.vulnerability; enricher=clair.cvss schema=https://csrc.nist.gov/schema/nvd/api/2.0/cve_api_json_2.0.schema"
	const older = "message/vnd.clair.map.vulnerability; enricher=clair.cvss schema=https://csrc.nist.gov/schema/nvd/feed/1.1/cvss-v3.x.json"
	for _, c := range []struct {
		name string
		in   map[string][]json.RawMessage
		want map[string]float64
	}{
		{"none", nil, map[string]float64{}},
		{"real", map[string][]json.RawMessage{kind: {json.RawMessage(`{"7":[{"version":"3.1","vectorString":"CVSS:3.1/AV:N","baseScore":9.8,"baseSeverity":"CRITICAL"}]}`)}}, map[string]float64{"7": 9.8}},
		{"the highest of several", map[string][]json.RawMessage{
			kind:  {json.RawMessage(`{"7":[{"baseScore":5.5},{"baseScore":7.8}]}`), json.RawMessage(`{"7":[{"baseScore":6}],"8":[{"baseScore":10}]}`)},
			older: {json.RawMessage(`{"7":[{"baseScore":8.1}]}`)},
		}, map[string]float64{"7": 8.1, "8": 10}},
		{"another enricher", map[string][]json.RawMessage{"message/vnd.clair.map.vulnerability; enricher=clair.epss schema=none": {json.RawMessage(`{"7":[{"baseScore":9}]}`)}}, map[string]float64{}},
		{"what cannot be a score", map[string][]json.RawMessage{kind: {json.RawMessage(`{"1":[{"baseScore":-1}],"2":[{"baseScore":10.1}],"3":[{"baseScore":"9"}],"4":[null],"5":[[]],"6":[]}`)}}, map[string]float64{"1": 0, "2": 0, "3": 0, "4": 0, "5": 0}},
		{"one bad record harms no other", map[string][]json.RawMessage{kind: {json.RawMessage(`{"1":[{"baseScore":"9"},{"baseScore":4}],"2":[{"baseScore":5}]}`), json.RawMessage(`[]`), json.RawMessage(`nonsense`), json.RawMessage(`null`)}}, map[string]float64{"1": 4, "2": 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := cvss(c.in); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestLink(t *testing.T) {
	for in, want := range map[string]string{
		"": "",
		"https://security-tracker.debian.org/tracker/CVE-2023-1": "https://security-tracker.debian.org/tracker/CVE-2023-1",
		"http://example.com/a?b=c#d":                             "http://example.com/a?b=c#d",
		"javascript:alert(1) https://example.com/":               "https://example.com/",
		" \t\nhttps://a.example/ https://b.example/":             "https://a.example/",
		"data:text/html,x":                                       "",
		"file:///etc/passwd":                                     "",
		"https:example.com":                                      "",
		"https:///path":                                          "",
		"//example.com/":                                         "",
		"https://user@example.com/":                              "",
		"https://user:password@example.com/":                     "",
		"https://exa\x00mple.com/":                               "",
		"https://example.com/%zz https://b.example/":             "https://b.example/",
		"https://example.com/<b>|x":                              "https://example.com/%3Cb%3E%7Cx",
		"HTTPS://example.com/":                                   "https://example.com/",
		"https://example.com/" + strings.Repeat("a", 981):        "",
		"https://example.com/" + strings.Repeat("a", 980):        "https://example.com/" + strings.Repeat("a", 980),
	} {
		if got := link(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestDistribution(t *testing.T) {
	for _, c := range []struct {
		in   claircore.Distribution
		want string
	}{
		{claircore.Distribution{DID: "debian", Name: "Debian GNU/Linux", Version: "12 (bookworm)", VersionID: "12"}, "Debian 12"},
		{claircore.Distribution{DID: "alpine", Name: "Alpine Linux", Version: "3.20", PrettyName: "Alpine Linux v3.20"}, "Alpine 3.20"},
		{claircore.Distribution{DID: "alpine", Name: "Alpine Linux", Version: "edge", VersionID: "edge"}, "Alpine edge"},
		{claircore.Distribution{DID: "ubuntu", Name: "Ubuntu", Version: "22.04 (Jammy)", VersionID: "22.04"}, "Ubuntu 22.04"},
		{claircore.Distribution{DID: "rhel", Name: "Red Hat Enterprise Linux Server", Version: "9", VersionID: "9"}, "Red Hat Enterprise Linux Server 9"},
		{claircore.Distribution{DID: "rhel", Name: "Red Hat Enterprise Linux", VersionID: "9.4"}, "Red Hat Enterprise Linux 9.4"},
		{claircore.Distribution{DID: "amzn", Name: "Amazon Linux", Version: "2023", VersionID: "2023"}, "Amazon Linux 2023"},
		{claircore.Distribution{DID: "amzn", Name: "Amazon Linux AMI", VersionID: "2018.03"}, "Amazon Linux AMI 2018.03"},
		{claircore.Distribution{DID: "ol", Name: "Oracle Linux Server", VersionID: "9"}, "Oracle Linux Server 9"},
		{claircore.Distribution{DID: "photon", Name: "VMware Photon OS", VersionID: "4.0"}, "VMware Photon OS 4.0"},
		{claircore.Distribution{DID: "sles", Name: "SLES", VersionID: "15.5"}, "SLES 15.5"},
		{claircore.Distribution{DID: "opensuse-leap", Name: "openSUSE Leap", VersionID: "15.5"}, "openSUSE Leap 15.5"},
		{claircore.Distribution{DID: "arch", Name: "Arch Linux"}, "Arch Linux"},
		{claircore.Distribution{DID: "wolfi", VersionID: "20230201"}, "wolfi 20230201"},
		{claircore.Distribution{VersionID: "1"}, "1"},
		{claircore.Distribution{}, ""},
	} {
		if got := distribution(map[string]*claircore.Distribution{"1": &c.in}); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.in, got, c.want)
		}
	}
	several := map[string]*claircore.Distribution{
		"1": {DID: "debian", Name: "Debian GNU/Linux", VersionID: "12"}, "2": nil, "3": {DID: "alpine", Name: "Alpine Linux", Version: "3.20"},
		"4": {DID: "debian", Name: "Debian GNU/Linux", VersionID: "12"},
	}
	if got, want := distribution(several), "Alpine 3.20, Debian 12"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCovered(t *testing.T) {
	const none = ""
	for _, c := range []struct {
		name         string
		distribution string // DID and version
		repository   *claircore.Repository
		want         bool
	}{
		{"Debian", "debian 12", nil, true},
		{"Debian unstable", "debian", nil, false},
		{"Alpine", "alpine", nil, true},
		{"openSUSE", "opensuse-leap", nil, true},
		{"a distribution without data", "wolfi", nil, false},
		{"no distribution", none, nil, false},
		{"Go", none, &claircore.Repository{Name: "go", URI: "https://pkg.go.dev/"}, true},
		{"Python on a distribution without data", "wolfi", &claircore.Repository{Name: "pypi"}, true},
		{"Java", none, &claircore.Repository{Name: "maven"}, true},
		{"Ruby", none, &claircore.Repository{Name: "rubygems"}, true},
		{"npm, which Clair only indexes", none, &claircore.Repository{Name: "npm"}, false},
		{"RHEL with its repositories", "rhel", &claircore.Repository{Name: "cpe:/o:redhat:enterprise_linux:9::baseos", Key: "rhel-cpe-repository"}, true},
		{"RHEL whose repositories Clair could not tell", "rhel", nil, false},
		{"a Red Hat container", none, &claircore.Repository{Name: "Red Hat Container Catalog", Key: "rhcc-container-repository"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			vr := report()
			vr.Packages["1"] = &claircore.Package{Name: "a"}
			e := &claircore.Environment{}
			if c.distribution != none {
				e.DistributionID = "d"
				did, version, _ := strings.Cut(c.distribution, " ")
				vr.Distributions["d"] = &claircore.Distribution{DID: did, VersionID: version}
			}
			if c.repository != nil {
				e.RepositoryIDs = []string{"nowhere", "r"}
				vr.Repositories["r"] = c.repository
			}
			vr.Environments["1"] = []*claircore.Environment{nil, e}
			if got := FromClair(vr).Covered; got != c.want {
				t.Errorf("covered: %t, want %t", got, c.want)
			}
			vr.Packages = nil
			if FromClair(vr).Covered {
				t.Error("covered without a package")
			}
			vr.PackageVulnerabilities["1"] = []string{"1"}
			if !FromClair(vr).Covered {
				t.Error("not covered, and yet something was found")
			}
		})
	}
}

func TestIndexed(t *testing.T) {
	hash, err := claircore.ParseDigest("sha256:" + strings.Repeat("a", 64))
	if err != nil {
		t.Fatal(err)
	}
	got := Indexed(&claircore.IndexReport{
		Hash:          hash,
		Packages:      map[string]*claircore.Package{"1": {Name: "a"}, "2": {Name: "b"}},
		Distributions: map[string]*claircore.Distribution{"1": {Name: "Debian GNU/Linux", VersionID: "12"}},
	})
	want := Report{Digest: hash.String(), Distribution: "Debian 12", Packages: 2}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// FuzzFromClair: whatever a report refers to, it is flattened without a panic, in order, and agrees with
// its own counts and record.
func FuzzFromClair(f *testing.F) {
	for _, name := range []string{"debian.json", "alpine.json", "distroless.json", "scratch.json", "dpkg-without-info.json", "enriched.json"} {
		var b bytes.Buffer
		if err := json.Compact(&b, recording(f, name)); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Add([]byte(`{"packages":{"1":{"name":"a"},"2":{"name":"b","source":{"name":"a"}}},"package_vulnerabilities":{"1":["1"],"2":["1"]},"vulnerabilities":{"1":{"name":"x"}},"environments":{"1":[{"introduced_in":null}],"2":[{"introduced_in":"sha256:` + strings.Repeat("aB", 32) + `"},{}]}}`))
	f.Add([]byte(`{"packages":{"1":null,"2":{"name":"a","source":{}}},"package_vulnerabilities":{"1":["1"],"2":["1","2"]},"vulnerabilities":{"1":null,"2":{"name":"x"}},"environments":{"2":[null]},"distributions":{"1":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		vr, ok := readable(data)
		if !ok {
			return
		}
		r := FromClair(vr)
		if !slices.IsSortedFunc(pointers(r.Findings), compare) {
			t.Error("not in order")
		}
		if Count(r.Findings).Total() != len(r.Findings) {
			t.Error("the counts are not those of the findings")
		}
		for _, f := range r.Findings {
			if f.CVSS < 0 || f.CVSS > 10 || math.IsNaN(f.CVSS) || f.Name == "" || strings.ContainsAny(f.Link, " <>\n") && !strings.Contains(f.Link, "?") {
				t.Errorf("finding %+v", f)
			}
			if _, err := claircore.ParseDigest(f.Layer); f.Layer != "" && err != nil {
				t.Errorf("the layer of %+v: %v", f, err)
			}
		}
		if s := r.Summarize(5, Rules{}); len(s.Updates) > 5 || s.Counts.Total() != len(r.Findings) {
			t.Errorf("summary %+v", s)
		}
		if again := FromClair(vr); !reflect.DeepEqual(r, again) {
			t.Errorf("two readings differ: %+v, %+v", r, again)
		}
		if d := r.Record(Basis{}, Rules{}).Compare(r, Basis{}, Rules{}).Disclosed.Findings; len(d) != 0 {
			t.Errorf("disclosed after it was told: %+v", d)
		}
	})
}

// readable decodes a report unless its JSON is none. claircore panics at some severities, from which
// package clair guards us.
func readable(data []byte) (vr *claircore.VulnerabilityReport, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	vr = new(claircore.VulnerabilityReport)
	return vr, json.Unmarshal(data, vr) == nil
}
