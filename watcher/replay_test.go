package watcher

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clairwatch/clairwatch/clair"
)

// recordedBase is where the Clair was that was recorded, and debianImage to scratchImage are images of which it was
// asked for a report. Its notifications are about the first two, and others.
const (
	recordedBase    = "http://127.0.0.1:16060/"
	debianImage     = "sha256:b25f124bd617af10ec94bcff88663e97e034463363dceb9e9c65c7214d669ba1"
	distrolessImage = "sha256:ea7518649e435e1eb3a18db919412ac268abe880f4d45ddf84695a7ab6a68dac"
	alpineImage     = "sha256:748cb67203e04a5569df4168229d5bfde07807b2919080a63d553c9e4dba36c4"
	scratchImage    = "sha256:8d137a771d41dc432a6ec7d8138043e62e19800e6dd77f244390f675842eab61"
)

// recordings is where they are. Package clair has them too.
const recordings = "../clair/testdata"

// recording is one exchange with a real Clair 4.9.0.
type recording struct {
	Method, Path string
	Status       int
	Header       http.Header
	Trailers     []string        // announced, and empty
	Hang         bool            // there was no answer
	Body         json.RawMessage // JSON, or a text
}

func recorded(t testing.TB, name string) recording {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(recordings, name))
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(name, ".gz") {
		unpacked, err := gzip.NewReader(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if text, err = io.ReadAll(unpacked); err != nil {
			t.Fatal(err)
		}
	}
	var r recording
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// of is the recording with another id in its path: Clair says the same of each id that it does not know.
func (r recording) of(id string) recording {
	i := strings.LastIndexByte(r.Path, '/')
	r.Path = r.Path[:i+1] + id
	return r
}

// from is the recording as the answer to another request.
func (r recording) from(method, path string) recording {
	r.Method, r.Path = method, path
	return r
}

// write answers as it was recorded.
func (r recording) write(w http.ResponseWriter) {
	for k, v := range r.Header {
		w.Header()[k] = v
	}
	for _, trailer := range r.Trailers {
		w.Header().Add("Trailer", trailer)
	}
	w.WriteHeader(r.Status)
	var text string
	if json.Unmarshal(r.Body, &text) == nil {
		_, _ = io.WriteString(w, text)
		return
	}
	_, _ = w.Write(r.Body)
}

// digests are the manifests that a recorded page of a notification names, each once and in order.
func (r recording) digests(t testing.TB) []string {
	t.Helper()
	var page struct{ Notifications []struct{ Manifest string } }
	if err := json.Unmarshal(r.Body, &page); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, n := range page.Notifications {
		all = append(all, n.Manifest)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// clairWebhook is one that a real Clair posted.
type clairWebhook struct {
	At     time.Time // when it came
	Key    string    // the PSK of the Clair; empty: it is not known
	Header http.Header
	Body   string
}

func recordedWebhook(t testing.TB, name string) clairWebhook {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(recordings, name))
	if err != nil {
		t.Fatal(err)
	}
	var w clairWebhook
	if err := json.Unmarshal(text, &w); err != nil {
		t.Fatal(err)
	}
	return w
}

// of is the webhook as Clair posts it for another notification.
func (w clairWebhook) of(t testing.TB, id string) clairWebhook {
	t.Helper()
	var body struct {
		ID string `json:"notification_id"`
	}
	if err := json.Unmarshal([]byte(w.Body), &body); err != nil {
		t.Fatal(err)
	}
	w.Body = strings.ReplaceAll(w.Body, body.ID, id)
	return w
}

// pipes is a listener whose connections are in memory, for real HTTP in virtual time.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func newPipes() *pipes { return &pipes{accepted: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.accepted <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// server is an HTTP server behind pipes. Whoever starts it closes it.
type server struct {
	*pipes
	http *http.Server
	done chan struct{}
}

func serve(h http.Handler) *server {
	s := &server{
		pipes: newPipes(),
		// The times are those of the daemon's own server.
		http: &http.Server{
			Handler: h, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute,
			ErrorLog: stdlog.New(io.Discard, "", 0),
		},
		done: make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(s.pipes)
	}()
	return s
}

func (s *server) close() {
	_ = s.http.Close()
	<-s.done
}

// replay is a Clair at recordedBase that answers with what was recorded of a real one, and with an error what was not.
// It notes every request and every address that is dialled, whatever is there.
type replay struct {
	t         testing.TB
	server    *server
	transport *http.Transport

	mu      sync.Mutex
	answers map[string][]recording // by request; each but the last is given once
	// script, where set, answers instead when it says so.
	script func(http.ResponseWriter, *http.Request) bool
	// pageSize is what it takes as the size of a page, whatever it is asked for. Empty: what it is asked for.
	pageSize string
	// signed says that it answers only who sends a token; unauthorized is what others get.
	signed       bool
	unauthorized recording
	refused      recording // who accepts none of its media types gets it
	unchanged    recording // who has the list of updates already gets it

	requests []string
	unknown  []string // of these what was not recorded
	dialled  map[string]bool
}

// replayed makes the Clair of a rig one at recordedBase that has its state, the reports of the four images and no list
// of updates, as behind a gateway that hides it. Its client signs with a key, where it has one.
func replayed(r *rig, psk *clair.PSK) *replay {
	p := &replay{
		t: r.t, answers: make(map[string][]recording), dialled: make(map[string]bool),
		unauthorized: recorded(r.t, "notification-unauthorized.json"),
		refused:      recorded(r.t, "notification-accept.json"),
		unchanged:    recorded(r.t, "updates-unchanged.json"),
	}
	p.unchanged.Header.Del("Content-Encoding") // the transport would look for gzip in a body that is none
	p.server = serve(p)
	p.transport = &http.Transport{DialContext: p.dial}
	p.has(recorded(r.t, "state.json"), recorded(r.t, "report-debian.json"), recorded(r.t, "report-distroless.json"),
		recorded(r.t, "report-alpine.json"), recorded(r.t, "report-scratch.json"))
	hidden := recorded(r.t, "no-such-path.json")
	for _, kind := range []string{"vulnerability", "enrichment"} {
		p.has(hidden.from(http.MethodGet, "/matcher/api/v1/internal/update_operation?kind="+kind))
	}
	r.cfg.Backends["clair"] = func(base string) (Clair, error) {
		return clair.New(clair.Config{URL: base, Transport: p.transport, UserAgent: "clairwatch/test", PSK: psk})
	}
	return p
}

// close ends it. What is asked afterwards is refused.
func (p *replay) close() {
	p.transport.CloseIdleConnections()
	p.server.close()
}

func (p *replay) dial(ctx context.Context, network, address string) (net.Conn, error) {
	p.mu.Lock()
	p.dialled[address] = true
	p.mu.Unlock()
	if "http://"+address+"/" != recordedBase {
		return nil, fmt.Errorf("nothing is at %s", address)
	}
	return p.server.dial(ctx, network, address)
}

// request names a request by what its answer depends on. A page has 500 entries unless another size is asked for.
func request(method, uri string) string {
	u, err := url.ParseRequestURI(uri)
	if err != nil {
		return method + " " + uri
	}
	query := u.Query()
	if query.Get("page_size") == "500" {
		query.Del("page_size")
	}
	u.RawQuery = query.Encode()
	return method + " " + u.String()
}

// has gives it recordings instead of those that it has for the same requests. Several for one request are given in turn.
func (p *replay) has(rs ...recording) {
	p.mu.Lock()
	defer p.mu.Unlock()
	cleared := make(map[string]bool)
	for _, r := range rs {
		key := request(r.Method, r.Path)
		if !cleared[key] {
			cleared[key] = true
			delete(p.answers, key)
		}
		p.answers[key] = append(p.answers[key], r)
	}
}

// hasFiles is has with the names of recordings.
func (p *replay) hasFiles(names ...string) {
	p.t.Helper()
	var rs []recording
	for _, name := range names {
		rs = append(rs, recorded(p.t, name))
	}
	p.has(rs...)
}

func (p *replay) set(change func(*replay)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// asked are the requests since the last time, without those that only look whether its data is another one.
func (p *replay) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := slices.DeleteFunc(p.requests, func(r string) bool {
		return strings.HasPrefix(r, "GET /indexer/api/v1/index_state") || strings.HasPrefix(r, "GET /matcher/api/v1/internal/")
	})
	p.requests = nil
	return asked
}

// wantOrigin makes sure that nothing but this Clair was dialled.
func (p *replay) wantOrigin() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for address := range p.dialled {
		if "http://"+address+"/" != recordedBase {
			p.t.Errorf("%s was dialled", address)
		}
	}
}

// wantRecorded makes sure that nothing was asked that a real Clair was not.
func (p *replay) wantRecorded() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.unknown {
		p.t.Errorf("not recorded: %s", r)
	}
}

func (p *replay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.requests = append(p.requests, r.Method+" "+r.URL.RequestURI())
	script := p.script
	p.mu.Unlock()
	_, _ = io.Copy(io.Discard, r.Body)
	if script != nil && script(w, r) {
		return
	}
	answer := p.answer(r)
	if answer.Hang {
		<-r.Context().Done()
		return
	}
	answer.write(w)
}

// answer finds what was recorded for a request.
func (p *replay) answer(r *http.Request) recording {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.signed && !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
		return p.unauthorized
	}
	notification := strings.HasPrefix(r.URL.Path, "/notifier/")
	if r.Method == http.MethodGet && notification && !strings.Contains(r.Header.Get("Accept"), "application/json") {
		return p.refused
	}
	uri := *r.URL
	if query := uri.Query(); query.Has("page_size") && p.pageSize != "" {
		query.Set("page_size", p.pageSize)
		uri.RawQuery = query.Encode()
	}
	key := request(r.Method, uri.RequestURI())
	all := p.answers[key]
	if len(all) == 0 {
		p.unknown = append(p.unknown, key)
		return recording{Status: http.StatusInternalServerError, Body: json.RawMessage(`{"code":"internal-error","message":"not recorded"}`)}
	}
	if len(all) > 1 {
		p.answers[key] = all[1:]
	}
	if tag := r.Header.Get("If-None-Match"); tag != "" && tag == all[0].Header.Get("Etag") {
		return p.unchanged
	}
	return all[0]
}

// podOfManifest runs an image by the digest of its manifest.
func podOfManifest(namespace, name, digest string) *corev1.Pod {
	spec := "registry.example.com/" + namespace + "/" + name + ":v1"
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "app", Image: spec}}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			Name: "app", Image: spec, ImageID: "registry.example.com/" + namespace + "/" + name + "@" + digest,
		}}},
	}
}

// startRecorded runs the four recorded images until all of them were told of.
func (r *rig) startRecorded(p *replay) {
	r.t.Helper()
	r.settings(map[string]string{"shop": scannerAt(recordedBase, "shop")})
	r.run(podOfManifest("shop", "debian", debianImage), podOfManifest("shop", "distroless", distrolessImage),
		podOfManifest("shop", "alpine", alpineImage), podOfManifest("shop", "scratch", scratchImage))
	r.start()
	r.pass(settled)
	if got := p.asked(); len(got) != 4 {
		r.t.Fatalf("at the start Clair was asked %q, want four reports\n%s", got, r.log)
	}
	p.wantRecorded()
}

// front is the daemon's HTTP server with /notify alone.
type front struct {
	t      testing.TB
	server *server
	client *http.Client
}

func newFront(t testing.TB, notify http.Handler) *front {
	s := serve(notify)
	return &front{t, s, &http.Client{Transport: &http.Transport{DialContext: s.dial}}}
}

func (f *front) close() {
	f.client.CloseIdleConnections()
	f.server.close()
}

// post posts a webhook as Clair does, in chunks and with all of its headers, and returns the status of the answer.
func (f *front) post(hook clairWebhook) int {
	f.t.Helper()
	body := struct{ io.Reader }{strings.NewReader(hook.Body)} // of which nobody knows the length
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, "http://clairwatch/notify", body)
	if err != nil {
		f.t.Fatal(err)
	}
	if hook.Header != nil {
		req.Header = hook.Header.Clone()
	}
	resp, err := f.client.Do(req)
	if err != nil {
		f.t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// outcomes are what has become of all webhooks so far, and how often.
func (r *rig) outcomes() string {
	r.t.Helper()
	gatherer, ok := r.cfg.Metrics.(prometheus.Gatherer)
	if !ok {
		r.t.Fatal("the registry cannot be read")
	}
	families, err := gatherer.Gather()
	r.check(err)
	var all []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if n := m.GetCounter().GetValue(); f.GetName() == "clairwatch_notifications_total" && n > 0 {
				all = append(all, fmt.Sprintf("%s %v", m.GetLabel()[0].GetValue(), n))
			}
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
