package watcher

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/quay/claircore"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	metadatafake "k8s.io/client-go/metadata/fake"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/slack"
)

const (
	groupWait = 10 * time.Second
	groupMax  = 5 * time.Minute
	grace     = 20 * time.Second

	removalGrace = 10 * time.Minute
	deleteGrace  = 24 * time.Hour
	dataQuiet    = 5 * time.Minute
	dataMax      = time.Hour

	// settled is longer than a group of news waits, and shorter than any recheck.
	settled = 30 * time.Second

	clairBase  = "http://clair.clair:6000/"
	secondBase = "http://clair.other:6000/"
	// settingsUID is that of the settings ConfigMap.
	settingsUID = "uid-settings"
	// webhookPath is what no log may contain.
	webhookPath = "/services/T"
)

// rig is a Watcher with everything around it scripted, in virtual time.
type rig struct {
	t        *testing.T
	kube     *fakeKube
	meta     *metadatafake.FakeMetadataClient
	registry *fakeRegistry
	clairs   map[string]*fakeClair
	slack    *fakeSlack
	log      *logBuffer
	cfg      Config
	// prepare, where set, changes a Watcher before it runs.
	prepare func(*Watcher)

	w   *Watcher
	end func() error // stops the Watcher and returns what Run did
}

// inRig runs a test in a bubble of virtual time with a rig that has one amd64 node.
func inRig(t *testing.T, test func(*testing.T, *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		r.node("node-1", "amd64")
		test(t, r)
	})
}

func newRig(t *testing.T) *rig {
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	r := &rig{
		t:        t,
		kube:     newFakeKube(),
		meta:     metadatafake.NewSimpleMetadataClient(scheme),
		registry: &fakeRegistry{manifests: make(map[string]map[registry.Platform]string)},
		clairs:   map[string]*fakeClair{clairBase: newFakeClair(), secondBase: newFakeClair()},
		slack:    &fakeSlack{},
		log:      &logBuffer{},
	}
	r.cfg = Config{
		Kubernetes:   r.kube,
		Metadata:     r.meta,
		Namespace:    "clairwatch",
		SettingsName: "clairwatch",
		Workers:      4,
		GroupWait:    groupWait,
		GroupMax:     groupMax,
		Grace:        grace,
		RemovalGrace: removalGrace,
		DeleteGrace:  deleteGrace,
		DataQuiet:    dataQuiet,
		DataMax:      dataMax,
		Lease:        LeaseConfig{Off: true},
		Registry:     r.registry,
		Backends: map[string]func(base string) (Clair, error){"clair": func(base string) (Clair, error) {
			if c := r.clairs[base]; c != nil {
				return c, nil
			}
			return nil, fmt.Errorf("no Clair at %s", base)
		}},
		Notifiers: map[string]Notifier{"slack": r.slack},
		Webhook:   func(address string) (slack.Webhook, error) { return slack.ParseWebhook(address, nil) },
		Log:       slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	return r
}

// close ends the Watcher and looks for secrets in what it has logged. It is deferred: clean-ups of a test
// that fails at once do not run in its bubble.
func (r *rig) close() {
	r.stop()
	if strings.Contains(r.log.String(), webhookPath) {
		r.t.Errorf("the log gives a webhook away:\n%s", r.log)
	}
}

// start makes a Watcher of cfg and runs it until it has nothing to do for now.
func (r *rig) start() {
	r.t.Helper()
	r.startUnsynced()
	if !r.w.Synced() {
		r.t.Fatal("not synced")
	}
}

// startUnsynced is start without that it needs to have seen everything.
func (r *rig) startUnsynced() {
	r.t.Helper()
	r.cfg.Metrics = prometheus.NewRegistry()
	w, err := New(r.cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	if r.prepare != nil {
		r.prepare(w)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	r.w = w
	r.end = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	synctest.Wait()
}

// stop ends the Watcher, as a signal does.
func (r *rig) stop() {
	r.t.Helper()
	if r.end == nil {
		return
	}
	if err := r.end(); err != nil {
		r.t.Errorf("Run: %v", err)
	}
	r.end = nil
}

// pass lets virtual time pass, and all that it brings happen.
func (r *rig) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// webhook is the address of a channel.
func webhook(channel string) string {
	return "https://hooks.slack.com/services/T00000000/B00000000/" + channel
}

// scanner is the settings of a namespace.
func scanner(channel string) string { return scannerAt(clairBase, channel) }

func scannerAt(base, channel string) string {
	return fmt.Sprintf("backend: clair\nnotifier: slack\nclairBaseUrl: %s\nslackWebhookUrl: %s\n", base, webhook(channel))
}

// settings writes the settings ConfigMap.
func (r *rig) settings(data map[string]string) {
	r.t.Helper()
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "clairwatch", Name: "clairwatch", UID: settingsUID}, Data: maps.Clone(data)}
	api := r.kube.CoreV1().ConfigMaps("clairwatch")
	var err error
	if _, exists := api.Get(r.t.Context(), m.Name, metav1.GetOptions{}); exists == nil {
		_, err = api.Update(r.t.Context(), m, metav1.UpdateOptions{})
	} else {
		_, err = api.Create(r.t.Context(), m, metav1.CreateOptions{})
	}
	r.check(err)
}

func (r *rig) check(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

// nodes is the fake's API to write nodes with.
func (r *rig) nodes() metadatafake.MetadataClient {
	api, ok := r.meta.Resource(corev1.SchemeGroupVersion.WithResource("nodes")).(metadatafake.MetadataClient)
	if !ok {
		r.t.Fatal("the fake has changed")
	}
	return api
}

var _ metadata.Interface = (*metadatafake.FakeMetadataClient)(nil)

func nodeOf(name, arch string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			corev1.LabelOSStable: "linux", corev1.LabelArchStable: arch, corev1.LabelHostname: name,
		}},
	}
}

// node adds a Linux node.
func (r *rig) node(name, arch string) {
	r.t.Helper()
	_, err := r.nodes().CreateFake(nodeOf(name, arch), metav1.CreateOptions{})
	r.check(err)
}

// digest is the digest of image number n.
func digest(n int) string { return fmt.Sprintf("sha256:%064x", n) }

// podOf is a pod that runs image number n of the shop on node-1.
func podOf(namespace, name string, n int) *corev1.Pod {
	spec := fmt.Sprintf("registry.example.com/shop/app%d:v1", n)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "app", Image: spec}}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			Name: "app", Image: spec, ImageID: fmt.Sprintf("registry.example.com/shop/app%d@%s", n, digest(n)),
		}}},
	}
}

// run creates pods.
func (r *rig) run(pods ...*corev1.Pod) {
	r.t.Helper()
	for _, p := range pods {
		_, err := r.kube.CoreV1().Pods(p.Namespace).Create(r.t.Context(), p, metav1.CreateOptions{})
		r.check(err)
	}
}

// remember writes a ledger in which destinations were told something, as a daemon before left it.
func (r *rig) remember(told ...ledger.Told) {
	r.t.Helper()
	book := ledger.New()
	for _, shard := range book.Remember(told) {
		data, _, _, err := book.Encode(shard, 1)
		r.check(err)
		m := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "clairwatch", Name: fmt.Sprintf("clairwatch-ledger-%d", shard)},
			BinaryData: map[string][]byte{"ledger": data},
		}
		_, err = r.kube.CoreV1().ConfigMaps("clairwatch").Create(r.t.Context(), m, metav1.CreateOptions{})
		r.check(err)
	}
}

// toldOf is that a namespace was told a report of image number n with one critical finding.
func toldOf(namespace string, n int) ledger.Told {
	report := findings.FromClair(reportOf(digest(n), vulnerability{name: "CVE-2026-0001", severity: claircore.Critical}))
	basis := findings.Basis{Clair: findings.NameID(clairBase), State: "s1"}
	return ledger.Told{
		Destination: ledger.Destination{Key: namespace, Name: "default"},
		Digest:      digest(n), Name: fmt.Sprintf("registry.example.com/shop/app%d:v1", n),
		Change: report.Record(basis, findings.Rules{}),
	}
}

// change updates a pod.
func (r *rig) change(p *corev1.Pod) {
	r.t.Helper()
	_, err := r.kube.CoreV1().Pods(p.Namespace).Update(r.t.Context(), p, metav1.UpdateOptions{})
	r.check(err)
}

// delete deletes a pod.
func (r *rig) delete(namespace, name string) {
	r.t.Helper()
	r.check(r.kube.CoreV1().Pods(namespace).Delete(r.t.Context(), name, metav1.DeleteOptions{}))
}

// wantEach checks the messages so far in one channel, in order.
func (r *rig) wantEach(channel string, want ...string) {
	r.t.Helper()
	ch, err := r.cfg.Webhook(webhook(channel))
	r.check(err)
	r.wantMessages(slices.DeleteFunc(r.slack.accepted(), func(m message) bool { return m.channel != ch.String() }), want)
}

// wantTexts checks the messages so far, in order, each by parts of its JSON that are separated by "…".
func (r *rig) wantTexts(want ...string) {
	r.t.Helper()
	r.wantMessages(r.slack.accepted(), want)
}

func (r *rig) wantMessages(got []message, want []string) {
	r.t.Helper()
	ok := len(got) == len(want)
	for i := 0; ok && i < len(want); i++ {
		for part := range strings.SplitSeq(want[i], "…") {
			ok = ok && strings.Contains(got[i].json, part)
		}
	}
	if !ok {
		var texts []string
		for _, m := range got {
			texts = append(texts, m.channel+": "+m.json)
		}
		r.t.Fatalf("messages:\n%s\nwant:\n%s\nlog:\n%s", strings.Join(texts, "\n"), strings.Join(want, "\n"), r.log)
	}
}

// wantCalls checks how often the registry and the first Clair were asked.
func (r *rig) wantCalls(registry int, clair ...string) {
	r.t.Helper()
	if got := r.registry.resolved(); got != registry {
		r.t.Errorf("%d registry calls, want %d", got, registry)
	}
	if got := r.clairs[clairBase].called(); !slices.Equal(got, clair) {
		r.t.Errorf("calls to Clair: %v, want %v", got, clair)
	}
}

// wantLogged checks how often a text is in the log.
func (r *rig) wantLogged(times int, text string) {
	r.t.Helper()
	if got := strings.Count(r.log.String(), text); got != times {
		r.t.Errorf("%q is %d times in the log, want %d:\n%s", text, got, times, r.log)
	}
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// fakeRegistry has every image. The manifest of an id is the id itself unless manifests says otherwise.
type fakeRegistry struct {
	mu        sync.Mutex
	manifests map[string]map[registry.Platform]string
	// fail, where set, is asked before each Resolve with the number of the call, from 1.
	fail               func(n int) error
	resolves, renewals int
	// asked are the ids of all calls of Resolve, in order. Each takes lag, where that is set.
	asked []string
	lag   func(id string) time.Duration
	// private, where set, are the passwords that it takes; the credentials are asked for them as by a registry.Client.
	private []string
}

// refuses is the error for whoever has none of the passwords.
func (f *fakeRegistry) refuses(ctx context.Context, repo string, of registry.Credentials) error {
	if f.private == nil {
		return nil
	}
	found, err := of.Lookup(ctx, repo)
	for _, c := range found {
		if slices.Contains(f.private, c.Password) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("looking up credentials of %s: %w", repo, err)
	}
	return fmt.Errorf("%w at registry", registry.ErrUnauthorized)
}

func (f *fakeRegistry) Resolve(ctx context.Context, id registry.Identity, p registry.Platform, of registry.Credentials) (*registry.Image, error) {
	f.mu.Lock()
	f.asked = append(f.asked, id.ID)
	lag := f.lag
	f.mu.Unlock()
	if lag != nil {
		time.Sleep(lag(id.ID))
	}
	if err := f.refuses(ctx, id.Candidates[0].Repo, of); err != nil {
		f.mu.Lock()
		f.resolves++
		f.mu.Unlock()
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.resolves++
	if f.fail != nil {
		if err := f.fail(f.resolves); err != nil {
			return nil, err
		}
	}
	d := id.ID
	if of := f.manifests[id.ID]; of != nil {
		if d = of[p]; d == "" {
			return nil, registry.ErrUnknownPlatform
		}
	}
	return &registry.Image{Repo: id.Candidates[0].Repo, Digest: d, Layers: []registry.Layer{{Digest: digest(0xbeef)}}}, nil
}

func (f *fakeRegistry) Sources(_ context.Context, img *registry.Image, _ registry.Credentials, _ time.Duration) ([]registry.Source, time.Time, error) {
	sources := make([]registry.Source, len(img.Layers))
	for i, l := range img.Layers {
		sources[i] = registry.Source{URI: "https://" + img.Repo + "/blobs/" + l.Digest, Header: http.Header{"Authorization": {time.Now().String()}}}
	}
	return sources, time.Time{}, nil
}

func (f *fakeRegistry) Renew(*registry.Image) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.renewals++
}

func (f *fakeRegistry) resolved() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.resolves
}

func (f *fakeRegistry) failWith(fail func(n int) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

// vulnerability is one finding of a scripted report.
type vulnerability struct {
	name     string
	severity claircore.Severity
	updater  string
	unfixed  bool
	links    string
}

// fakeClair indexes what it is given. Its reports have one critical finding unless scripted.
type fakeClair struct {
	mu      sync.Mutex
	indexed map[string]bool
	found   map[string][]vulnerability
	loading bool
	// fail, where set, is asked before each call with its name.
	fail func(call string) error
	// failOf are the errors of the reports of some images.
	failOf map[string]error
	// slow is how long indexing takes.
	slow time.Duration
	// slots is how many images it indexes at once; more are an error.
	slots, indexing int
	// reportSlots is for how many reports it wants to be asked at once, reports for how many it is, and mostReports for
	// how many it was at the most. Each takes reportLag.
	reportSlots, reports, mostReports int
	reportLag                         time.Duration
	// stale are the tokens that had been made before the request in which they came.
	stale int
	// silent has it say nothing about notifications for as long as it is waited for.
	silent bool
	// notified are the digests of every notification.
	notified []string
	// state is its index_state; updaters are those whose data it has. It does not say when they are nil.
	state    string
	updaters []clair.Updater
	// away, where set, is what it answers when it is asked for its state.
	away error
	// deeper, where set, is what is found in an image from when it is indexed.
	deeper []vulnerability
	// asked counts the requests for these; each takes lag.
	asked int
	lag   time.Duration
	// deleted are the images that it was asked to delete.
	deleted []string
	calls   []string
	aborted error // why the last call that was cut short was
	// reported are the images whose reports it was asked for, in order.
	reported []string
}

func newFakeClair() *fakeClair {
	return &fakeClair{slots: 4, reportSlots: 2, state: "s1", indexed: make(map[string]bool), found: make(map[string][]vulnerability)}
}

// set changes the script.
func (f *fakeClair) set(change func(*fakeClair)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// called returns the calls since the last time.
func (f *fakeClair) called() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

// call notes a call and returns the scripted error. f.mu is held.
func (f *fakeClair) call(name string) error {
	f.calls = append(f.calls, name)
	if f.fail != nil {
		return f.fail(name)
	}
	return nil
}

func (f *fakeClair) Report(_ context.Context, d string) (*claircore.VulnerabilityReport, error) {
	var lag time.Duration
	f.set(func(f *fakeClair) {
		f.reports++
		f.mostReports = max(f.mostReports, f.reports)
		f.reported = append(f.reported, d)
		lag = f.reportLag
	})
	time.Sleep(lag)
	defer f.set(func(f *fakeClair) { f.reports-- })
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.call("report"); err != nil {
		return nil, err
	}
	if err := f.failOf[d]; err != nil {
		return nil, err
	}
	switch {
	case f.loading:
		return nil, &clair.Error{Op: "fetching a report", Kind: clair.NotReady, Status: http.StatusAccepted}
	case !f.indexed[d]:
		return nil, &clair.Error{Op: "fetching a report", Kind: clair.NotFound, Status: http.StatusNotFound}
	}
	found, scripted := f.found[d]
	if !scripted {
		found = []vulnerability{{name: "CVE-2026-0001", severity: claircore.Critical}}
	}
	return reportOf(d, found...), nil
}

// reportOf is a report of a Debian image with one package.
func reportOf(d string, found ...vulnerability) *claircore.VulnerabilityReport {
	vr := &claircore.VulnerabilityReport{
		Hash:                   claircore.MustParseDigest(d),
		Packages:               map[string]*claircore.Package{"1": {ID: "1", Name: "openssl", Version: "3.0.1"}},
		Distributions:          map[string]*claircore.Distribution{"1": {ID: "1", DID: "debian", Name: "Debian GNU/Linux", VersionID: "12"}},
		Environments:           map[string][]*claircore.Environment{"1": {{DistributionID: "1"}}},
		Vulnerabilities:        make(map[string]*claircore.Vulnerability),
		PackageVulnerabilities: make(map[string][]string),
	}
	for _, v := range found {
		fixed := "3.0.2"
		if v.unfixed {
			fixed = ""
		}
		vr.Vulnerabilities[v.name] = &claircore.Vulnerability{ID: v.name, Name: v.name, NormalizedSeverity: v.severity, FixedInVersion: fixed, Updater: v.updater, Links: v.links}
		vr.PackageVulnerabilities["1"] = append(vr.PackageVulnerabilities["1"], v.name)
	}
	return vr
}

// Slots implements Clair.
func (f *fakeClair) Slots() (indexing, reports int) { return f.slots, f.reportSlots }

func (f *fakeClair) Index(ctx context.Context, d string, layers []clair.Layer) (*claircore.IndexReport, error) {
	f.mu.Lock()
	err, slow := f.call("index"), f.slow
	f.indexing++
	if f.indexing > f.slots {
		err = &clair.Error{Op: "indexing the image", Kind: clair.Busy, Status: http.StatusTooManyRequests}
	}
	for _, l := range layers {
		if l.Header.Get("Authorization") != time.Now().String() {
			f.stale++
		}
	}
	f.mu.Unlock()
	defer f.set(func(f *fakeClair) { f.indexing-- })
	if err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		f.set(func(f *fakeClair) { f.aborted = context.Cause(ctx) })
		return nil, ctx.Err()
	case <-time.After(slow):
	}
	f.set(func(f *fakeClair) {
		f.indexed[d] = true
		if f.deeper != nil {
			f.found[d] = f.deeper
		}
	})
	return &claircore.IndexReport{Hash: claircore.MustParseDigest(d), Success: true, Packages: map[string]*claircore.Package{"1": {}}}, nil
}

func (f *fakeClair) Notified(ctx context.Context, _ uuid.UUID) ([]string, error) {
	f.mu.Lock()
	notified, err, silent := f.notified, f.call("notified"), f.silent
	f.mu.Unlock()
	if silent {
		<-ctx.Done()
		return notified, ctx.Err()
	}
	return notified, err
}

func (f *fakeClair) DeleteNotification(context.Context, uuid.UUID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.call("delete")
}

func (f *fakeClair) State(context.Context) (string, error) {
	f.mu.Lock()
	lag := f.lag
	f.mu.Unlock()
	time.Sleep(lag)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.away != nil {
		return "", f.away
	}
	return f.state, nil
}

func (f *fakeClair) Updates(context.Context, string) (clair.Updates, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.updaters == nil {
		return clair.Updates{}, &clair.Error{Op: "asking for updates", Kind: clair.NotFound, Status: http.StatusNotFound}
	}
	return clair.Updates{Now: time.Now(), Updaters: slices.Clone(f.updaters)}, nil
}

func (f *fakeClair) Delete(_ context.Context, digests []string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.call("forget"); err != nil {
		return nil, err
	}
	f.deleted = append(f.deleted, digests...)
	for _, d := range digests {
		delete(f.indexed, d)
	}
	return digests, nil
}

// message is one that was sent.
type message struct {
	channel, text, json string
	at                  time.Time
	err                 error // what was answered
}

// fakeSlack accepts every message unless answer says otherwise.
type fakeSlack struct {
	mu     sync.Mutex
	answer func(channel slack.Webhook) error
	slow   time.Duration
	sent   []message
}

func (f *fakeSlack) Send(ctx context.Context, w slack.Webhook, m slack.Message) error {
	f.mu.Lock()
	answer, slow := f.answer, f.slow
	f.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(slow):
	}
	data, err := m.JSON()
	if err != nil {
		return err
	}
	if answer != nil {
		err = answer(w)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = append(f.sent, message{channel: w.String(), text: m.Text(), json: string(data), at: time.Now(), err: err})
	return err
}

// set changes what is answered; nil accepts everything.
func (f *fakeSlack) set(answer func(channel slack.Webhook) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

// all returns every message that was sent.
func (f *fakeSlack) all() []message {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.sent)
}

// accepted returns the messages that were accepted.
func (f *fakeSlack) accepted() []message {
	return slices.DeleteFunc(f.all(), func(m message) bool { return m.err != nil })
}
