package e2e

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quay/claircore"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// What the channel of the namespace debian does not hear of.
const (
	ignoredName   = "CVE-2010-4756"
	ignoredReason = "glob is not offered to anybody"
	ignoredUntil  = "2099-12-31"
)

// What the API of the pages answers, as far as it is looked at here.
type (
	pageWorkload struct{ Kind, Namespace, Name string }
	pageImage    struct {
		Name, Digest, Platform, State string
		Counts                        *findings.Counts
		Told                          bool
		ToldSince                     time.Time
	}
	pageReport struct {
		Workloads []pageWorkload
		Report    struct {
			Counts   findings.Counts
			Total    int
			Findings []struct {
				Name, Layer string
				Held        []struct {
					Scanner, Fate string
					Ignore        struct {
						Reason string
						Until  time.Time
					}
				}
			}
		}
		Hearers []struct {
			Scanner   string
			Told      bool
			ToldSince time.Time
		}
	}
	pageVulnerability struct {
		Updates []struct{ Package, UpdateTo string }
		Items   []struct {
			Digest    string
			Workloads []pageWorkload
		}
	}
)

// showsPages reads the pages and their API, and compares them with the pods and with what Clair says.
func (e *story) showsPages(t *testing.T) {
	t.Run("from a message", e.pageOfMessage)
	reports := make(map[string]findings.Report) // by digest, as Clair has them
	t.Run("what runs", func(t *testing.T) { e.pageOfAll(t, reports) })
	t.Run("image", func(t *testing.T) { e.pageOfImage(t, reports) })
	t.Run("vulnerability", func(t *testing.T) { e.pageOfVulnerability(t, reports) })
	t.Run("namespace", e.pageOfNamespace)
}

// pageOfMessage follows the links of all messages to what they tell of.
func (e *story) pageOfMessage(t *testing.T) {
	link := regexp.MustCompile(regexp.QuoteMeta(e.pages) + `[^"|>\\]*`)
	seen := make(map[string]bool)
	for _, m := range e.Slack.Messages("") {
		for _, address := range link.FindAllString(string(m.Payload), -1) {
			seen[address] = true
		}
	}
	kinds := make(map[string]int)
	for address := range seen {
		kind, _, _ := strings.Cut(strings.TrimPrefix(address, e.pages), "/")
		kinds[kind]++
		if page := e.page(t, address); strings.Contains(page, "/services/") {
			t.Errorf("%s shows a webhook", address)
		}
	}
	if kinds["images"] == 0 {
		t.Errorf("messages link to %v", kinds)
	}
	t.Logf("messages link to %v", kinds)
	payload := string(e.Slack.Messages(slackstand.Path("debian"))[0].Payload)
	first := regexp.MustCompile(regexp.QuoteMeta(e.pages) + `images/sha256:[0-9a-f]{64}`).FindString(payload)
	if first == "" {
		t.Fatalf("no link to the pages in %s", payload)
	}
	for _, want := range []string{"shop/worker:0.9.0", "CVE-2024-37371", "1.20.1-2"} {
		if page := e.page(t, first); !strings.Contains(page, want) {
			t.Errorf("the page of the image lacks %q: %s", want, page)
		}
	}
}

// pageOfAll compares the first page with what runs, and counts with those of Clair's reports, which it collects.
func (e *story) pageOfAll(t *testing.T, reports map[string]findings.Report) {
	pods, err := e.Client.CoreV1().Pods("").List(e.wait(t), metav1.ListOptions{})
	must(t, err)
	running := make(map[string]bool)
	for _, pod := range pods.Items {
		for _, name := range images(pod) {
			running[name] = true
		}
	}
	var all struct {
		Items []pageImage
		Total int
	}
	e.api(t, "images?limit=1000", &all)
	page := e.page(t, e.pages)
	listed := make(map[string]bool)
	for _, i := range all.Items {
		listed[i.Name] = true
		if !strings.Contains(page, i.Name) || i.Digest != "" && !strings.Contains(page, `href="images/`+i.Digest+`"`) {
			t.Errorf("the first page lacks %s with the digest %s", i.Name, i.Digest)
		}
		if i.State != "scanned" {
			continue
		}
		reports[i.Digest] = e.reportOfClair(t, i.Digest)
		if want := count(reports[i.Digest]); i.Counts == nil || *i.Counts != want {
			t.Errorf("%s has %+v, and by Clair's report %+v", i.Name, i.Counts, want)
		}
		if !i.Told || time.Since(i.ToldSince) > time.Hour {
			t.Errorf("%s: told %t, since %s", i.Name, i.Told, i.ToldSince)
		}
	}
	if !maps.Equal(listed, running) || all.Total != len(all.Items) {
		t.Errorf("listed are %q, and %q run", slices.Sorted(maps.Keys(listed)), slices.Sorted(maps.Keys(running)))
	}
	var overview struct {
		Counts findings.Counts
		Clairs []struct {
			URL     string
			Up      bool
			Updated time.Time
		}
	}
	e.api(t, "overview", &overview)
	var sum findings.Counts
	for _, r := range reports {
		sum = plus(sum, count(r))
	}
	if overview.Counts != sum {
		t.Errorf("in all %+v, and by Clair's reports %+v", overview.Counts, sum)
	}
	if len(overview.Clairs) != 1 || !overview.Clairs[0].Up || strings.TrimSuffix(overview.Clairs[0].URL, "/") != e.ClairURL || time.Since(overview.Clairs[0].Updated) > time.Hour {
		t.Errorf("Clairs %+v", overview.Clairs)
	} else if at := overview.Clairs[0].Updated.UTC().Format("2006-01-02 15:04 UTC"); !strings.Contains(page, at) {
		t.Errorf("the first page does not say that Clair was updated at %s", at)
	}
}

// pageOfImage looks at an image with two layers, and at that of the namespace debian, a vulnerability of which is
// ignored.
func (e *story) pageOfImage(t *testing.T, reports map[string]findings.Report) {
	var layered pageReport
	two := e.digestIn(t, "early")
	e.api(t, "images/"+two+"?limit=1000", &layered)
	layers := make(map[string]bool)
	for _, f := range layered.Report.Findings {
		layers[f.Layer] = true
	}
	if len(layers) != 2 {
		t.Errorf("the findings are of the layers %q", slices.Sorted(maps.Keys(layers)))
	}
	for layer := range layers {
		if !strings.HasPrefix(layer, "sha256:") || !strings.Contains(e.page(t, e.pages+"images/"+two), layer) {
			t.Errorf("the page lacks the layer %q", layer)
		}
	}
	digest := e.digestIn(t, "debian")
	want := reports[digest]
	var got pageReport
	e.api(t, "images/"+digest+"?limit=1000", &got)
	if got.Report.Counts != count(want) || got.Report.Total != len(want.Findings) || len(got.Report.Findings) != len(want.Findings) {
		t.Errorf("it has %d findings, %+v, and Clair %d", got.Report.Total, got.Report.Counts, len(want.Findings))
	}
	page := e.page(t, e.pages+"images/"+digest)
	ignored := 0
	for _, f := range got.Report.Findings {
		if !strings.Contains(page, f.Name) {
			t.Errorf("%s is not on the page", f.Name)
		}
		for _, h := range f.Held {
			if h.Scanner != "debian/default" {
				continue
			}
			ignored++
			if f.Name != ignoredName || h.Fate != "ignored" || h.Ignore.Reason != ignoredReason || h.Ignore.Until.UTC().Format(time.DateOnly) < ignoredUntil {
				t.Errorf("%s is held back: %+v", f.Name, h)
			}
		}
	}
	if ignored == 0 || !strings.Contains(page, ignoredReason) || !strings.Contains(page, ignoredUntil) {
		t.Errorf("%d findings are ignored, and the page is %s", ignored, page)
	}
	for _, h := range got.Hearers {
		since := h.ToldSince.UTC().Format("2006-01-02 15:04 UTC")
		if !h.Told || time.Since(h.ToldSince) > time.Hour || !strings.Contains(page, since) || !strings.Contains(page, h.Scanner) {
			t.Errorf("%s: told %t, since %s", h.Scanner, h.Told, since)
		}
	}
	if len(got.Hearers) == 0 {
		t.Error("nobody hears of it")
	}
}

// pageOfVulnerability looks at one that some images have and others have not.
func (e *story) pageOfVulnerability(t *testing.T, reports map[string]findings.Report) {
	const name, update = "CVE-2024-6119", "3.0.14-1~deb12u2"
	wanted := make(map[string]bool) // digests
	for digest, r := range reports {
		if slices.ContainsFunc(r.Findings, func(f findings.Finding) bool { return f.Name == name }) {
			wanted[digest] = true
		}
	}
	if len(wanted) == 0 || len(wanted) == len(reports) {
		t.Fatalf("%d of %d images have it, which shows nothing", len(wanted), len(reports))
	}
	var got pageVulnerability
	e.api(t, "vulnerabilities/"+name+"?limit=1000", &got)
	page := e.page(t, e.pages+"vulnerabilities/"+name)
	have := make(map[string]bool)
	workloads := make(map[pageWorkload]bool)
	for _, item := range got.Items {
		have[item.Digest] = true
		if !strings.Contains(page, "images/"+item.Digest) {
			t.Errorf("the page lacks %s", item.Digest)
		}
		for _, w := range item.Workloads {
			workloads[w] = true
		}
	}
	if !maps.Equal(have, wanted) {
		t.Errorf("%q have it, want %q", slices.Sorted(maps.Keys(have)), slices.Sorted(maps.Keys(wanted)))
	}
	if running := e.workloads(t, wanted); !maps.Equal(workloads, running) {
		t.Errorf("the workloads are %v, want %v", workloads, running)
	}
	updates := 0
	for _, u := range got.Updates {
		if !strings.Contains(page, u.UpdateTo) {
			t.Errorf("the page lacks the update of %s to %s", u.Package, u.UpdateTo)
		}
		if u.UpdateTo == update {
			updates++
		}
	}
	if updates == 0 {
		t.Errorf("the updates are %+v", got.Updates)
	}
}

// pageOfNamespace looks at what is decided in one.
func (e *story) pageOfNamespace(t *testing.T) {
	page := e.page(t, e.pages+"namespaces/debian")
	for _, want := range []string{"shop/worker:0.9.0", "worker", ignoredName, ignoredReason, e.ClairURL, "images/" + e.digestIn(t, "debian")} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q: %s", want, page)
		}
	}
	if strings.Contains(page, "/services/") {
		t.Error("the page shows a webhook")
	}
	var explained struct {
		Namespace string
		Pods      int
	}
	e.api(t, "namespaces/debian", &explained)
	if explained.Namespace != "debian" || explained.Pods != 1 {
		t.Errorf("the API answers %+v", explained)
	}
}

// answers asks for pages of each kind, of which each comes in time.
func (e *story) answers(t *testing.T) {
	t.Helper()
	for _, path := range []string{"", "?q=CVE-2024-6119", "images/" + e.digestIn(t, "debian"), "vulnerabilities/CVE-2024-37371", "namespaces/debian", "api/v1/overview"} {
		e.page(t, e.pages+path)
	}
}

// digestIn returns the digest of the image that alone runs in a namespace.
func (e *story) digestIn(t *testing.T, namespace string) string {
	t.Helper()
	var all struct{ Items []pageImage }
	e.api(t, "images?namespace="+namespace, &all)
	if len(all.Items) != 1 {
		t.Fatalf("in the namespace %s runs %+v", namespace, all.Items)
	}
	return all.Items[0].Digest
}

// workloads are those whose pods run any of some images.
func (e *story) workloads(t *testing.T, digests map[string]bool) map[pageWorkload]bool {
	t.Helper()
	var all struct{ Items []pageImage }
	e.api(t, "images?limit=1000", &all)
	having := make(map[[2]string]bool) // by name and platform
	for _, i := range all.Items {
		if digests[i.Digest] {
			having[[2]string{i.Name, i.Platform}] = true
		}
	}
	pods, err := e.Client.CoreV1().Pods("").List(e.wait(t), metav1.ListOptions{})
	must(t, err)
	found := make(map[pageWorkload]bool)
	for _, pod := range pods.Items {
		for _, name := range images(pod) {
			if having[[2]string{name, "linux/" + pod.Spec.NodeSelector[corev1.LabelArchStable]}] {
				found[pageWorkload{"Deployment", pod.Namespace, pod.Labels["app"]}] = true
			}
		}
	}
	return found
}

// images are the names of those that a pod runs or mounts.
func images(pod corev1.Pod) []string {
	var names []string
	for _, c := range pod.Spec.Containers {
		names = append(names, c.Image)
	}
	for _, v := range pod.Spec.Volumes {
		if v.Image != nil {
			names = append(names, v.Image.Reference)
		}
	}
	return names
}

// reportOfClair asks Clair what it says of an image.
func (e *story) reportOfClair(t *testing.T, digest string) findings.Report {
	t.Helper()
	var r claircore.VulnerabilityReport
	must(t, json.Unmarshal([]byte(e.page(t, e.ClairURL+"/matcher/api/v1/vulnerability_report/"+digest)), &r))
	return findings.FromClair(&r)
}

// count counts the findings of a report by their severity.
func count(r findings.Report) findings.Counts {
	var c findings.Counts
	for _, f := range r.Findings {
		switch f.Severity {
		case claircore.Critical:
			c.Critical++
		case claircore.High:
			c.High++
		case claircore.Medium:
			c.Medium++
		case claircore.Low:
			c.Low++
		case claircore.Negligible:
			c.Negligible++
		default:
			c.Unknown++
		}
		if f.Fixable() {
			c.Fixable++
		}
	}
	return c
}

func plus(a, b findings.Counts) findings.Counts {
	return findings.Counts{
		Critical: a.Critical + b.Critical, High: a.High + b.High, Medium: a.Medium + b.Medium, Low: a.Low + b.Low,
		Negligible: a.Negligible + b.Negligible, Unknown: a.Unknown + b.Unknown, Fixable: a.Fixable + b.Fixable,
	}
}

// api asks the API of the pages.
func (e *story) api(t *testing.T, question string, into any) {
	t.Helper()
	must(t, json.Unmarshal([]byte(e.page(t, e.pages+"api/v1/"+question)), into))
}

// page fetches a page.
func (e *story) page(t *testing.T, address string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(e.wait(t), http.MethodGet, address, nil)
	must(t, err)
	resp, err := http.DefaultClient.Do(request)
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d: %s", address, resp.StatusCode, text)
	}
	return string(text)
}
