package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// said is what a command has written, and what the process would end with.
type said struct {
	out, errs string
	code      int
}

// clairwatch runs a command line, with an empty home, as a process would.
func clairwatch(t *testing.T, input string, args ...string) said {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("DOCKER_CONFIG", "")
	var out, errs bytes.Buffer
	cmd := command(io.Discard)
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(input))
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	s := said{}
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		complain(&errs, err)
		s.code = exitCode(err)
	}
	s.out, s.errs = out.String(), errs.String()
	return s
}

// loopback is an address of a test server, whose port is another one each time.
var loopback = regexp.MustCompile(`127\.0\.0\.1:\d{5}`)

// golden compares what a command has said with a file of testdata.
func (s said) golden(t *testing.T, name string) {
	t.Helper()
	got := loopback.ReplaceAllString(s.out, "127.0.0.1:60606")
	if s.errs != "" {
		got += "--- standard error\n" + loopback.ReplaceAllString(s.errs, "127.0.0.1:60606")
	}
	if s.code != 0 {
		got += "--- exit code " + string(rune('0'+s.code)) + "\n"
	}
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s; if that is meant, run go test . -update and look at it\n%s", file, got)
	}
}

// harmless fails where a terminal would get what controls it.
func (s said) harmless(t *testing.T) {
	t.Helper()
	for _, text := range []string{s.out, s.errs} {
		for _, r := range text {
			if r != '\n' && invisible(r) {
				t.Errorf("%q is written to the terminal: %q", r, text)
				return
			}
		}
	}
}

// exchange is one recorded exchange with a real Clair.
type exchange struct {
	Status int
	Header http.Header
	Body   json.RawMessage
}

// recordedExchange reads a recording.
func recordedExchange(t *testing.T, name string) exchange {
	t.Helper()
	return recordedIn(t, recordings, name)
}

// recordings is the folder of the recordings.
const recordings = "clair/testdata"

func recordedIn(t *testing.T, folder, name string) exchange {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var e exchange
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	if len(e.Body) > 0 && e.Body[0] == '"' {
		var s string
		if err := json.Unmarshal(e.Body, &s); err != nil {
			t.Fatal(err)
		}
		e.Body = json.RawMessage(s)
	}
	return e
}

func (e exchange) answer(w http.ResponseWriter, body []byte) {
	for k, v := range e.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(e.Status)
	_, _ = w.Write(body)
}

// clairStand is a Clair that answers as one was recorded. Its prefix is the path of its address.
type clairStand struct {
	t *testing.T
	// folder is that of the recordings from the root on: a test may go elsewhere.
	folder string
	// reports are the recordings for digests; of others it knows nothing until they are indexed.
	reports map[string]string
	// indexes is the recording for a digest that is indexed, and becomes what it then reports.
	indexes map[string]func(w http.ResponseWriter, r *http.Request) bool
	// clock is its Date header when it is asked for its updates; empty: as recorded, when it was being set up.
	clock string
	// updates are the recordings of its updates; empty: those of a Clair that has some.
	updates string
	// posted is how often it was asked to index.
	posted atomic.Int32
}

// settledClock is two hours after the recorded updates.
const settledClock = "Mon, 23 Nov 2026 02:41:20 GMT"

var digestOfPath = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

func (c *clairStand) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "/index_state"):
		e := c.recorded("state")
		e.answer(w, e.Body)
	case strings.HasSuffix(path, "/update_operation"):
		name := "updates-" + r.URL.Query().Get("kind")
		if c.updates != "" {
			name = c.updates
		}
		e := c.recorded(name)
		if c.clock != "" {
			e.Header.Set("Date", c.clock)
		}
		e.answer(w, e.Body)
	case strings.HasSuffix(path, "/index_report"):
		c.posted.Add(1)
		body, _ := io.ReadAll(r.Body)
		digest := digestOfPath.FindString(string(body)) // the manifest's comes first
		if index := c.indexes[digest]; index != nil && !index(w, r) {
			return
		}
		e := c.recorded("index-finished")
		e.answer(w, withHash(e.Body, digest))
	default:
		digest := digestOfPath.FindString(path)
		name, known := c.reports[digest]
		if _, indexed := c.indexes[digest]; !known || indexed && c.posted.Load() == 0 {
			name = "report-unknown"
		}
		e := c.recorded(name)
		e.answer(w, withHash(e.Body, digest))
	}
}

// withHash is a report of another manifest.
func withHash(body []byte, digest string) []byte {
	var report struct {
		Hash string `json:"manifest_hash"`
	}
	if json.Unmarshal(body, &report) != nil || report.Hash == "" {
		return body
	}
	return bytes.ReplaceAll(body, []byte(report.Hash), []byte(digest))
}

func (c *clairStand) recorded(name string) exchange { return recordedIn(c.t, c.folder, name) }

// serve starts the stand-in and returns its address.
func (c *clairStand) serve(t *testing.T) string {
	t.Helper()
	var err error
	if c.folder, err = filepath.Abs(recordings); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	return s.URL + "/"
}

// gone is an address where nothing listens.
func gone(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	return s.URL + "/"
}

// writeFile writes a file in a new folder.
func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func hostOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func TestHelp(t *testing.T) {
	for _, name := range []string{"", "scan", "check", "explain", "log-level", "version"} {
		s := clairwatch(t, "", append(strings.Fields(name), "--help")...)
		if s.errs != "" || s.code != 0 {
			t.Errorf("%s: %+v", name, s)
		}
		if !strings.Contains(s.out, "Examples:\n  ") {
			t.Errorf("the help of %q shows no example", name)
		}
		if name != "" && name != "version" {
			s.golden(t, "help-"+name)
		}
	}
}

// TestWrongUsage has what is said to who uses the command line in a wrong way.
func TestWrongUsage(t *testing.T) {
	t.Setenv(clairVariable, "")
	for line, want := range map[string]string{
		"scann":                           "unknown command \"scann\" for \"clairwatch\"\nclairwatch: Did you mean this?\nclairwatch: scan",
		"scan":                            "want the name of an image, such as quay.io/team/app:1.2; see clairwatch scan --help",
		"scan alpine":                     "which Clair is to be asked? Say so with --clair http://host:port/, or in the variable CLAIRWATCH_CLAIR",
		"scan --clair clair:6060 alpine":  "address of Clair (--clair, or CLAIRWATCH_CLAIR): not an http or https address: want an address such as http://clair.clair:6000/",
		"scan --platform windows/amd64 a": `--platform "windows/amd64": want linux and an architecture, such as linux/amd64 or linux/arm/v7`,
		"scan --platform linux a":         `--platform "linux": want linux and an architecture, such as linux/amd64 or linux/arm/v7`,
		"scan --fail-on worst a":          `invalid argument "worst" for "--fail-on" flag: want one of Unknown, Negligible, Low, Medium, High, Critical; see clairwatch scan --help`,
		"scan --fail-on=":                 `invalid argument "" for "--fail-on" flag: want one of Unknown, Negligible, Low, Medium, High, Critical; see clairwatch scan --help`,
		"scan --output yaml a":            `invalid argument "yaml" for "-o, --output" flag: want one of table, json; see clairwatch scan --help`,
		"scan --docker-config /none/c a":  "reading the docker config (--docker-config): stat /none/c: no such file or directory",
		"scan --config /none.yaml a":      "reading the config /none.yaml: no such file or directory",
		"scan --group-wait 3s a":          "unknown flag: --group-wait; see clairwatch scan --help",
		"scan --fail-on low --min-severity high --clair http://a/ a": "--fail-on Low is less than --min-severity High: what is not shown does not fail",
		"explain":                       "want a namespace, or a pod or workload as NAMESPACE/NAME; see clairwatch explain --help",
		"explain shop blog":             "want a namespace, or a pod or workload as NAMESPACE/NAME; see clairwatch explain --help",
		"explain Shop":                  `"Shop" is no name of a namespace: want at most 63 of a-z, 0-9 and -`,
		"explain shop/":                 `"" is no name of a pod or workload: want at most 253 of a-z, 0-9, dots and hyphens`,
		"explain shop/web/app":          `"web/app" is no name of a pod or workload: want at most 253 of a-z, 0-9, dots and hyphens`,
		"explain shop --vulnerability=": `--vulnerability: want the name of one advisory, such as CVE-2023-4911`,
		"explain --pod web shop":        "unknown flag: --pod; see clairwatch explain --help",
		"check now":                     `unknown command "now" for "clairwatch check"`,
		"check --sned":                  "unknown flag: --sned; see clairwatch check --help",
		"log-level loud":                `"loud": want debug, info, warn or error`,
		"log-level debug info":          "want one level, or none to be told which it is; see clairwatch log-level --help",
		"log-level --level debug":       "unknown flag: --level; see clairwatch log-level --help",
		"version --output json":         "unknown flag: --output; see clairwatch version --help",
		"--clair http://a/":             "unknown flag: --clair; see clairwatch --help",
	} {
		s := clairwatch(t, "", strings.Fields(line)...)
		if s.errs != "clairwatch: "+want+"\n" || s.out != "" || s.code != exitFailed {
			t.Errorf("%s:\ngot  %q, %q, exit code %d\nwant %q", line, s.errs, s.out, s.code, want)
		}
	}
}

func TestVersionCommand(t *testing.T) {
	s := clairwatch(t, "", "version")
	if !strings.HasPrefix(s.out, "clairwatch version ") || s.code != 0 {
		t.Errorf("%+v", s)
	}
	if flag := clairwatch(t, "", "--version"); !strings.HasPrefix(s.out, flag.out) {
		t.Errorf("--version says %q, version %q", flag.out, s.out)
	}
}

func TestCompletion(t *testing.T) {
	for line, want := range map[string]string{
		"":                      "check\tSee whether",
		"scan --fail-on ":       "Unknown\nNegligible\nLow\nMedium\nHigh\nCritical\n:4\n",
		"check --output ":       "table\njson\n:4\n",
		"explain --output ":     "table\njson\n:4\n",
		"explain sh":            ":4\n",
		"log-level ":            "debug\ninfo\nwarn\nerror\n:36\n",
		"scan --min-severity H": "Unknown\n",
		"scan al":               ":4\n",
	} {
		args := strings.Split(line, " ")
		if s := clairwatch(t, "", append([]string{"__complete"}, args...)...); !strings.Contains(s.out, want) || s.code != 0 {
			t.Errorf("%q: %+v", line, s)
		}
	}
	if s := clairwatch(t, "", "completion", "bash"); !strings.Contains(s.out, "clairwatch") || s.code != 0 {
		t.Errorf("no completion: %+v", s)
	}
}

func TestExitCodes(t *testing.T) {
	if got := exitCode(errors.Join(errors.New("a"), &foundError{"b"})); got != exitFound {
		t.Errorf("found: %d", got)
	}
	if got := exitCode(errors.New("a")); got != exitFailed {
		t.Errorf("failed: %d", got)
	}
}
