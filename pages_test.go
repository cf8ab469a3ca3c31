package main

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quay/claircore"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/slack"
	"github.com/clairwatch/clairwatch/watcher"
	"github.com/clairwatch/clairwatch/web"
)

const (
	runningDigest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	unknownDigest = "sha256:2222222222222222222222222222222222222222222222222222222222222222"

	// revokedPath and idlePath are what no page may show a part of.
	revokedPath = "/services/T0SECRET1/B0SECRET2/refusesSecret3"
	idlePath    = "/services/T0SECRET1/B0SECRET4/idleSecret5"

	// clairURL is the address of the one Clair.
	clairURL = "http://clair:6060/"

	// siteURL is the address of the pages that messages link to.
	siteURL = "https://clairwatch.example.com/security/"
)

// site is the pages of a Watcher in whose cluster the pod shop/api runs. The channel of shop takes no messages, that
// of idle has none to take.
type site struct {
	t       *testing.T
	kube    *fake.Clientset
	clair   *oneClair
	slack   *revokedSlack
	source  *pages
	handler http.Handler
}

// inSite runs a test of the pages in a bubble of virtual time, once the Watcher has done what it can.
func inSite(t *testing.T, test func(*testing.T, *site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		scheme := metadatafake.NewTestScheme()
		if err := metav1.AddMetaToScheme(scheme); err != nil {
			t.Fatal(err)
		}
		s := &site{t: t, kube: fake.NewClientset(settingsOf(), apiPod()), clair: &oneClair{}, slack: &revokedSlack{}}
		w, err := watcher.New(watcher.Config{
			Kubernetes: s.kube,
			Metadata: metadatafake.NewSimpleMetadataClient(scheme, &metav1.PartialObjectMetadata{
				TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
				ObjectMeta: metav1.ObjectMeta{Name: "node-1", Labels: map[string]string{corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64"}},
			}),
			Namespace:    "clairwatch",
			SettingsName: "clairwatch",
			ExternalURL:  siteURL,
			Lease:        watcher.LeaseConfig{Off: true},
			Registry:     oneRegistry{},
			Backends:     map[string]func(string) (watcher.Clair, error){"clair": func(string) (watcher.Clair, error) { return s.clair, nil }},
			Notifiers:    map[string]watcher.Notifier{"slack": s.slack},
			Webhook:      func(address string) (slack.Webhook, error) { return slack.ParseWebhook(address, nil) },
			Metrics:      prometheus.NewRegistry(),
			Log:          slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		s.source = &pages{watcher: w, cluster: "production"}
		if s.handler, err = web.New(web.Config{Source: s.source}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		test(t, s)
	})
}

func settingsOf() *corev1.ConfigMap {
	of := func(path string) string {
		return "backend: clair\nnotifier: slack\nclairBaseUrl: " + clairURL + "\nslackWebhookUrl: https://hooks.slack.com" + path + "\n"
	}
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "clairwatch", Name: "clairwatch"},
		Data:       map[string]string{"shop": of(revokedPath), "idle": of(idlePath)},
	}
}

func apiPod() *corev1.Pod {
	const image = "registry.example.com/shop/api:v1"
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api-7d4f"},
		Spec:       corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "api", Image: image}}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			Name: "api", Image: image, ImageID: "registry.example.com/shop/api@" + runningDigest,
		}}},
	}
}

// get asks for a page and looks in it for the webhooks.
func (s *site) get(path string) *httptest.ResponseRecorder {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil).WithContext(s.t.Context()))
	for part := range strings.SplitSeq(revokedPath+idlePath, "/") {
		if part != "" && strings.Contains(w.Body.String(), part) {
			s.t.Errorf("%s shows %q of a webhook", path, part)
		}
	}
	return w
}

// want checks the status of a page and what it says.
func (s *site) want(path string, status int, says ...string) {
	s.t.Helper()
	w := s.get(path)
	if w.Code != status {
		s.t.Errorf("%s: status %d, want %d", path, w.Code, status)
	}
	for _, text := range says {
		if !strings.Contains(w.Body.String(), text) {
			s.t.Errorf("%s does not say %q:\n%s", path, text, w.Body)
		}
	}
}

func TestPages(t *testing.T) {
	inSite(t, func(t *testing.T, s *site) {
		s.want("/", 200,
			"What runs in <bdi>production</bdi>",
			"This replica has scanned and told since",
			`<a href="images/`+runningDigest+`"><bdi>registry.example.com/shop/api:v1</bdi></a>`, `<td class="n pods">1</td>`,
			"Channels in trouble", "for <bdi>shop</bdi>",
			"Slack does not know the webhook (any more): make a new one and put it into the settings",
			"1 piece of news kept for it", "(just now) · next try",
			"1 channel has been sent nothing", "<bdi>idle</bdi>",
		)
		s.want("/images/"+runningDigest, 200, "CVE-2026-0001", "openssl", "3.0.2", "1 pod of <a href=\"../namespaces/shop\"><bdi>shop</bdi></a>", "api-7d4f", "not yet")
		s.want("/images/"+unknownDigest, 404, "No image that runs has this digest")
	})
}

// TestPagesSayWhatIsFound shows what the pages are given of the one image that runs, of which its channel takes no message.
func TestPagesSayWhatIsFound(t *testing.T) {
	inSite(t, func(t *testing.T, s *site) {
		images := s.source.Images()
		if len(images) != 1 {
			t.Fatalf("%d images run", len(images))
		}
		if i := images[0]; !i.Found || i.Counts != (findings.Counts{Critical: 1, Fixable: 1}) || i.Told || !i.Since.IsZero() {
			t.Errorf("the image is %+v", i)
		}
		having := s.source.Having("cve-2026-0001")
		if found := having[runningDigest]; len(having) != 1 || len(found) != 1 || found[0].Package != "openssl" || found[0].Installed != "3.0.1" || found[0].FixedIn != "3.0.2" {
			t.Errorf("the vulnerability is in %+v", having)
		}
		if having := s.source.Having("CVE-2026-0002"); len(having) != 0 {
			t.Errorf("what nothing has is in %+v", having)
		}
		clairs := s.source.Clairs()
		if len(clairs) != 1 || clairs[0].URL != clairURL || !clairs[0].Up || clairs[0].Asked.IsZero() || !clairs[0].Away.IsZero() {
			t.Errorf("the Clairs are %+v", clairs)
		}
		report, err := s.source.Report(t.Context(), runningDigest)
		if err != nil || report.Clair != clairURL || len(report.Findings) != 1 || len(report.Hearers) != 1 {
			t.Fatalf("the report is %+v, %v", report, err)
		}
		h := report.Hearers[0]
		if h.Key != "shop" || h.Name != "default" || !slices.Equal(h.Namespaces, []string{"shop"}) || h.Told || strings.Contains(h.Channel, revokedPath) ||
			!strings.HasPrefix(h.Channel, "hooks.slack.com/") {
			t.Errorf("who hears of it is %+v", h)
		}
		if !slices.Equal(h.Decisions, []web.Decision{{Fate: findings.Passes}}) {
			t.Errorf("it decides %+v", h.Decisions)
		}
	})
}

// TestPagesSayWhatIsIgnored shows which entry of the settings is about a finding.
func TestPagesSayWhatIsIgnored(t *testing.T) {
	inSite(t, func(t *testing.T, s *site) {
		m := settingsOf()
		m.Data["shop"] += "minSeverity: High\nonlyFixable: true\nignore: [{id: CVE-2026-0002, reason: a}, {id: CVE-2026-0001, reason: b}]\n"
		if _, err := s.kube.CoreV1().ConfigMaps(m.Namespace).Update(t.Context(), m, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		report, err := s.source.Report(t.Context(), runningDigest)
		if err != nil || len(report.Hearers) != 1 {
			t.Fatalf("the report is %+v, %v", report, err)
		}
		h := report.Hearers[0]
		if h.MinSeverity != claircore.High || !h.OnlyFixable || len(h.Ignore) != 2 || !slices.Equal(h.Decisions, []web.Decision{{Fate: findings.Ignored, Ignore: 1}}) {
			t.Errorf("who hears of it is %+v", h)
		}
	})
}

// TestPagesShowMistakes has what is wrong with the settings on the first page until it is mended, and no webhook with it.
func TestPagesShowMistakes(t *testing.T) {
	inSite(t, func(t *testing.T, s *site) {
		if page := s.get("/").Body.String(); strings.Contains(page, "Mistakes in the settings") {
			t.Errorf("there is no mistake, and the page says\n%s", page)
		}
		edit := func(change func(data map[string]string)) {
			t.Helper()
			m := settingsOf()
			change(m.Data)
			if _, err := s.kube.CoreV1().ConfigMaps(m.Namespace).Update(t.Context(), m, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		edit(func(data map[string]string) {
			data["shop"] += "minSeverty: High\n"
			data["blog"] = "slackWebhookFile: ops\nclairBaseUrl: https://hooks.slack.com" + idlePath
			data["Not.A.Namespace"] = ""
		})
		s.want("/", 200, "Mistakes in the settings",
			"<strong><bdi>shop</bdi></strong>", "no such field; did you mean minSeverity?", "What that causes: the last good settings stay in force",
			"<strong><bdi>blog</bdi></strong>", "What that causes: the namespace is not watched until it is mended",
			"<strong><bdi>(no namespace)</bdi></strong>", "What runs in",
		)
		edit(func(data map[string]string) { data["_defaults"] = "colour: red" })
		page := s.get("/").Body.String()
		if strings.Count(page, "What that causes") != 1 || !strings.Contains(page, "<strong><bdi>_defaults</bdi></strong>") {
			t.Errorf("it is not said once for all:\n%s", page)
		}
		edit(func(map[string]string) {})
		if page := s.get("/").Body.String(); strings.Contains(page, "Mistakes in the settings") {
			t.Errorf("all are mended, and the page says\n%s", page)
		}
	})
}

// TestMessagesLinkToPages shows that what a message links to is there.
func TestMessagesLinkToPages(t *testing.T) {
	inSite(t, func(t *testing.T, s *site) {
		links := regexp.MustCompile(regexp.QuoteMeta(siteURL)+`[^|>"\\]*`).FindAllString(s.slack.sent(), -1)
		if len(links) == 0 {
			t.Fatalf("the message links to no page: %s", s.slack.sent())
		}
		for _, link := range links {
			s.want("/"+strings.TrimPrefix(link, siteURL), 200)
		}
	})
}

func TestPagesWithoutReport(t *testing.T) {
	for _, c := range []struct {
		name   string
		kind   clair.Kind
		status int
		says   string
	}{
		{"not found", clair.NotFound, 200, "Clair has no report of this image"},
		{"not ready", clair.NotReady, 200, "Clair has no report of this image"},
		{"too large", clair.TooLarge, 502, "larger than clairwatch reads"},
		{"temporary", clair.Temporary, 502, "Clair does not answer"},
		{"unauthorized", clair.Unauthorized, 502, "Clair does not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inSite(t, func(t *testing.T, s *site) {
				s.clair.fail(&clair.Error{Op: "fetching a report", Kind: c.kind})
				s.want("/images/"+runningDigest, c.status, c.says, "api-7d4f")
			})
		})
	}
}

// TestPageOfWhatHasEnded shows that an image has no page once its last pod is gone, even while the list of images is
// one of before.
func TestPageOfWhatHasEnded(t *testing.T) {
	inSite(t, func(t *testing.T, s *site) {
		s.want("/", 200, "shop/api:v1")
		if err := s.kube.CoreV1().Pods("shop").Delete(t.Context(), "api-7d4f", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.want("/", 200, "shop/api:v1")
		s.want("/images/"+runningDigest, 404, "No image that runs has this digest")
		time.Sleep(imagesFor)
		s.want("/", 200, "No image runs in a namespace that is watched")
	})
}

// TestImagesAreListedOnce shows that the images are listed once for all who ask within a while, at the same time or
// one after another.
func TestImagesAreListedOnce(t *testing.T) {
	inSite(t, func(t *testing.T, s *site) {
		lists := make([]*web.Image, 32)
		var wg sync.WaitGroup
		for i := range lists {
			wg.Go(func() { lists[i] = &s.source.Images()[0] })
		}
		wg.Wait()
		for i, list := range lists {
			if list != lists[0] {
				t.Fatalf("number %d of those who asked at once has a list of its own", i)
			}
		}
		time.Sleep(imagesFor - time.Nanosecond)
		if list := &s.source.Images()[0]; list != lists[0] {
			t.Error("they were listed again too early")
		}
		time.Sleep(time.Nanosecond)
		if list := &s.source.Images()[0]; list == lists[0] {
			t.Errorf("they were not listed again after %s", imagesFor)
		}
	})
}

func TestListenForPages(t *testing.T) {
	// A group's address: no connection can be made to it, so that the test opens nothing.
	const group = "224.0.0.1:0"
	for _, c := range []struct {
		name, listen, tokenFile string
		// says is what the log has of who may enter; empty: nothing.
		says string
	}{
		{"loopback", "127.0.0.1:0", "", ""},
		{"loopback with a token", "127.0.0.1:0", "/token", ""},
		{"not loopback", group, "", `level=WARN msg="the pages are open to whoever reaches this address: set web.tokenFile,`},
		{"not loopback with a token", group, "/token", `level=INFO msg="the token of the pages passes in clear, unless`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.listen == group && runtime.GOOS != "linux" {
				t.Skip("only Linux lets a program listen there")
			}
			var logged bytes.Buffer
			listener, err := listenForPages(t.Context(), Config{Web: WebConfig{Listen: c.listen, TokenFile: c.tokenFile}}, slog.New(slog.NewTextHandler(&logged, nil)))
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			if n := strings.Count(logged.String(), "\n"); !strings.Contains(logged.String(), c.says) || c.says == "" && n != 1 || c.says != "" && n != 2 {
				t.Errorf("logged:\n%s", &logged)
			}
			if !strings.Contains(logged.String(), "listen="+listener.Addr().String()) {
				t.Errorf("the log does not say where:\n%s", &logged)
			}
		})
	}
	t.Run("nowhere", func(t *testing.T) {
		var logged bytes.Buffer
		listener, err := listenForPages(t.Context(), Config{}, slog.New(slog.NewTextHandler(&logged, nil)))
		if listener != nil || err != nil || logged.Len() != 0 {
			t.Errorf("%v, %v, logged:\n%s", listener, err, &logged)
		}
	})
	t.Run("taken", func(t *testing.T) {
		taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		_, err = listenForPages(t.Context(), Config{Web: WebConfig{Listen: taken.Addr().String()}}, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), "web.listen") {
			t.Errorf("the error does not name the setting: %v", err)
		}
	})
}

func TestExternalURL(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "",
		"https://clairwatch.example.com":  "https://clairwatch.example.com/",
		"https://clairwatch.example.com/": "https://clairwatch.example.com/",
		"https://example.com/security":    "https://example.com/security/",
		"https://example.com/security//":  "https://example.com/security/",
	} {
		if got := externalURL(Config{ExternalURL: in}); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

// oneRegistry has the image that runs.
type oneRegistry struct{ watcher.Registry }

func (oneRegistry) Resolve(_ context.Context, id registry.Identity, _ registry.Platform, _ registry.Credentials) (*registry.Image, error) {
	return &registry.Image{Repo: id.Candidates[0].Repo, Digest: runningDigest}, nil
}

// oneClair has a report of the image that runs, until it is told to fail.
type oneClair struct {
	watcher.Clair
	mu  sync.Mutex
	err error
}

func (c *oneClair) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

func (c *oneClair) Report(context.Context, string) (*claircore.VulnerabilityReport, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	return &claircore.VulnerabilityReport{
		Hash:                   claircore.MustParseDigest(runningDigest),
		Packages:               map[string]*claircore.Package{"1": {ID: "1", Name: "openssl", Version: "3.0.1"}},
		Distributions:          map[string]*claircore.Distribution{"1": {ID: "1", DID: "debian", Name: "Debian GNU/Linux", VersionID: "12"}},
		Environments:           map[string][]*claircore.Environment{"1": {{DistributionID: "1"}}},
		Vulnerabilities:        map[string]*claircore.Vulnerability{"1": {ID: "1", Name: "CVE-2026-0001", NormalizedSeverity: claircore.Critical, FixedInVersion: "3.0.2"}},
		PackageVulnerabilities: map[string][]string{"1": {"1"}},
	}, nil
}

func (c *oneClair) State(context.Context) (string, error) { return "s1", nil }

func (c *oneClair) Updates(context.Context, string) (clair.Updates, error) {
	return clair.Updates{}, &clair.Error{Op: "asking for updates", Kind: clair.NotFound, Status: http.StatusNotFound}
}

func (c *oneClair) Slots() (indexing, reports int) { return 1, 1 }

// revokedSlack knows no webhook any more.
type revokedSlack struct {
	mu   sync.Mutex
	last string
}

func (r *revokedSlack) Send(_ context.Context, w slack.Webhook, m slack.Message) error {
	data, err := m.JSON()
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = string(data)
	return &slack.Error{Kind: slack.Channel, Webhook: w, Status: http.StatusNotFound, Reason: "no_service"}
}

// sent is the last message.
func (r *revokedSlack) sent() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}
