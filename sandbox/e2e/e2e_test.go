// Package e2e tests clairwatch as users run it: its own process, installed by the manifest, against a
// real API server, Clair, Postgres and registries. Only Slack and the kubelets are stand-ins.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/image"
	"github.com/clairwatch/clairwatch/sandbox/stage"
	"github.com/clairwatch/clairwatch/sandbox/vulnerability"
	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// patience bounds every wait. It is no expectation of how long something takes.
const patience = 2 * time.Minute

// quiet is how long a channel is watched for a message that must not come: twice the daemon's groupWait here and more.
// What comes later is counted at the end.
const quiet = 5 * time.Second

// overdue is when each image's turn has come while the daemon stands still.
const overdue = 8 * time.Second

// TestEndToEnd is one long story, because a daemon that has run for a while and has been through trouble
// is what users have. It is told twice at a time, by a daemon that annotates pods and by one that does not: channels hear
// the same.
func TestEndToEnd(t *testing.T) {
	t.Parallel()
	var plain, annotating map[string][]string // what channels heard
	t.Cleanup(func() {
		if plain != nil && annotating != nil { // of one that has failed, or does not run, there is nothing
			wantSame(t, plain, annotating)
		}
	})
	t.Run("plain", func(t *testing.T) {
		t.Parallel()
		plain = tellStory(t, false)
	})
	t.Run("annotating", func(t *testing.T) {
		t.Parallel()
		annotating = tellStory(t, true)
	})
}

// tellStory returns what each channel heard.
func tellStory(t *testing.T, annotate bool) map[string][]string {
	ctx := t.Context()
	s, err := stage.Start(ctx, stage.Options{Log: t.Logf, Race: true, NoData: true, Annotate: annotate})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	e := &story{Stage: s}

	t.Run("bad config", e.badConfig)
	t.Run("Clair away at the start", e.clairAway)
	t.Run("Clair without data", e.clairWithoutData)
	t.Run("Debian", e.debian)
	t.Run("Alpine", e.alpine)
	t.Run("private image", e.privateImage)
	t.Run("pull secret that may not be read", e.forbiddenPullSecret)
	t.Run("pull secret granted", e.grantPullSecret)
	t.Run("20 replicas", e.replicas)
	t.Run("two architectures", e.architectures)
	t.Run("pull secret refused", e.refusedPullSecret)
	t.Run("image volume", e.imageVolume)
	t.Run("image that cannot be found", e.notFound)
	t.Run("image without packages", e.noPackages)
	t.Run("pull secret read", e.readPullSecret)
	t.Run("settings added later", e.settingsLater)
	t.Run("mistakes in the settings", e.settingsMistakes)
	t.Run("Slack answers 500 first", e.slack500)
	t.Run("Slack refuses a form", e.slackRefuses)
	t.Run("webhook is dead", e.deadWebhook)
	t.Run("three namespaces, one channel", e.shared)
	t.Run("newly disclosed", e.disclosed)
	t.Run("withdrawn", e.withdrawn)
	t.Run("pages", e.showsPages)
	t.Run("nothing repeated", e.nothingRepeated)
	if annotate {
		t.Run("annotations", e.annotations)
	}
	t.Run("clean stop", e.cleanStop)
	if annotate {
		t.Run("nothing else of pods", e.nothingElse)
	}
	return e.heard()
}

// heard returns what each channel heard, as people read it, in an order of its own: which of two images comes first is
// up to Clair.
func (e *story) heard() map[string][]string {
	same := strings.NewReplacer(e.RegistryHost, "registry", e.PrivateRegistryHost, "private", e.ClairURL, "clair", e.pages, "pages/")
	all := make(map[string][]string)
	for _, m := range e.Slack.Messages("") {
		all[m.Path] = append(all[m.Path], same.Replace(slackstand.Render(m, slackstand.Style{Width: 160})))
	}
	for _, messages := range all {
		slices.Sort(messages)
	}
	return all
}

// wantSame compares what channels heard.
func wantSame(t *testing.T, plain, annotating map[string][]string) {
	t.Helper()
	channels := maps.Clone(plain)
	maps.Copy(channels, annotating)
	for channel := range channels {
		if !slices.Equal(plain[channel], annotating[channel]) {
			t.Errorf("%s heard:\n%s\nand from a daemon that annotates pods:\n%s", channel, strings.Join(plain[channel], "\n"), strings.Join(annotating[channel], "\n"))
		}
	}
}

// story is what the parts of the test share.
type story struct {
	*stage.Stage
	daemon *sandbox.Process
	pages  string // address of the daemon's pages
}

// badConfig starts the daemon with configs that it must refuse.
func (e *story) badConfig(t *testing.T) {
	for name, c := range map[string]struct{ config, want string }{
		"unknown key":  {"groupWiat: 5s\n", "groupwiat"},
		"nested key":   {"log:\n  colour: true\n", "colour"},
		"no YAML":      {"groupWait: [\n", "yaml"},
		"wrong value":  {"workers: 0\n", "workers: 0: want at least 1"},
		"missing file": {"", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.yaml")
			if c.config != "" {
				if err := os.WriteFile(path, []byte(c.config), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := exec.CommandContext(t.Context(), e.Binary(), "--config", path).CombinedOutput()
			var exit *exec.ExitError
			if !asExit(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), c.want) {
				t.Errorf("got %v and %q, want exit code 1 and %q", err, out, c.want)
			}
		})
	}
}

func asExit(err error, exit **exec.ExitError) bool {
	e, ok := err.(*exec.ExitError)
	*exit = e
	return ok
}

// clairAway starts the daemon while Clair does not run: it says so and waits.
func (e *story) clairAway(t *testing.T) {
	ctx := e.wait(t)
	clair := e.Process(sandbox.Clair)
	must(t, clair.Stop())
	must(t, e.Watch(ctx, "early", e.Scanner("early")))
	must(t, e.Run(ctx, stage.Workload{Namespace: "early", Name: "web", Image: e.Image(image.ShopWeb)}))
	address, err := e.Address()
	must(t, err)
	e.pages = "http://" + address + "/"
	e.daemon, err = e.Daemon(ctx, map[string]any{
		"groupMax": "30s", "removalGrace": "50s", "web": map[string]any{"listen": address}, "externalURL": e.pages,
	})
	must(t, err)
	must(t, e.AwaitReady(ctx))
	e.awaitMetric(t, `clairwatch_scans_total{outcome="clair_unavailable"}`, 1)
	e.awaitLog(t, `level=WARN msg="this Clair does not answer.*Clair cannot be reached`)
	must(t, clair.Start(ctx))
}

// clairWithoutData has a Clair that indexes but has no vulnerabilities yet: nothing is called clean.
func (e *story) clairWithoutData(t *testing.T) {
	m := e.message(t, "early", 1)
	e.expect(t, m, "Indexed", "shop/web:1.4.2", "still loading its vulnerability data")
	must(t, e.Import(e.wait(t), vulnerability.First))
	m = e.message(t, "early", 2)
	e.expect(t, m, "shop/web:1.4.2", "is running with", "CVE-2023-38545 9.8", "Running in 1 workload, 1 pod", "early/web")
	// One row for curl: the latest of the versions in which Debian fixed its five.
	e.expect(t, m, "7.88.1-10+deb12u7", "without a fix yet, the worst CVE-2023-45853")
}

func (e *story) debian(t *testing.T) {
	ctx := e.wait(t)
	must(t, e.Watch(ctx, "debian", e.Scanner("debian")+fmt.Sprintf("ignore: [{id: %s, reason: %s, until: %s}]\n", ignoredName, ignoredReason, ignoredUntil)))
	must(t, e.Run(ctx, stage.Workload{Namespace: "debian", Name: "worker", Image: e.Image(image.ShopWorker)}))
	m := e.message(t, "debian", 1)
	e.expect(t, m, "shop/worker:0.9.0", "is running with", "Debian 12", "CVE-2024-37371", "1.20.1-2+deb12u2", "Deployment", "debian/worker")
}

func (e *story) alpine(t *testing.T) {
	m := e.tell(t, "alpine", stage.Workload{Name: "api", Image: e.Image(image.ShopAPI)})
	e.expect(t, m, "shop/api:2.0.1", "is running with", "Alpine 3.20", "openssl", "fixable")
}

func (e *story) privateImage(t *testing.T) {
	m := e.tell(t, "private", stage.Workload{Name: "ledger", Image: e.Image(image.PaymentsLedger)})
	e.expect(t, m, "payments/ledger:3.1.0", "is running with", "openssh", "CVE-2023-38408 9.8", "1:9.2p1-2+deb12u3")
}

func (e *story) replicas(t *testing.T) {
	m := e.tell(t, "replicas", stage.Workload{Name: "gate", Image: e.Image(image.PlatformGate), Pods: 20})
	e.expect(t, m, "platform/gate:0.4.0", "Running in 1 workload, 20 pods")
	e.silence(t, "replicas", 1)
}

func (e *story) architectures(t *testing.T) {
	ctx := e.wait(t)
	for _, arch := range []string{"amd64", "arm64"} {
		must(t, e.Run(ctx, stage.Workload{Namespace: "proxy", Name: "proxy-" + arch, Image: e.Image(image.PlatformProxy), Arch: arch}))
	}
	must(t, e.Watch(ctx, "proxy", e.Scanner("proxy")))
	m := e.message(t, "proxy", 1)
	e.expect(t, m, "2 images", "platform/proxy:1.26 (linux/amd64)", "platform/proxy:1.26 (linux/arm64)")
	// Two manifests, of which Clair has an index each.
	for _, arch := range []string{"amd64", "arm64"} {
		digest, err := e.ManifestDigest(ctx, image.PlatformProxy, arch)
		must(t, err)
		if status := get(t, e.ClairURL+"/indexer/api/v1/index_report/"+digest); status != http.StatusOK {
			t.Errorf("Clair answers %d for the %s manifest %s", status, arch, digest)
		}
	}
}

// imageVolume mounts an image, which this API server shows only in the spec, as those of most clusters.
func (e *story) imageVolume(t *testing.T) {
	digest, err := e.ManifestDigest(e.wait(t), image.ShopAPI, "amd64")
	must(t, err)
	mounted := strings.TrimSuffix(e.Image(image.ShopAPI), ":2.0.1") + "@" + digest
	m := e.tell(t, "mounts", stage.Workload{Name: "gate", Image: e.Image(image.PlatformGate), Volume: mounted})
	e.expect(t, m, "2 images", "platform/gate:0.4.0", "shop/api@"+digest[:len("sha256:")+12], "1 pod")
	e.silence(t, "mounts", 1)
}

func (e *story) notFound(t *testing.T) {
	ref := e.RegistryHost + "/shop/gone:1.0"
	e.Kubelet.Force(ref, e.RegistryHost+"/shop/gone@sha256:"+strings.Repeat("ab", 32))
	m := e.tell(t, "gone", stage.Workload{Name: "gone", Image: ref})
	e.expect(t, m, "shop/gone:1.0", "could not be scanned", "not in the registry", "push it again")
	e.awaitMetric(t, `clairwatch_images{state="not_found"}`, 1)
	e.awaitLog(t, `msg="image could not be scanned" namespace=gone .*cause=not_found`)
	e.silence(t, "gone", 1)
}

func (e *story) noPackages(t *testing.T) {
	m := e.tell(t, "static", stage.Workload{Name: "static", Image: e.Image(image.PlatformStatic)})
	e.expect(t, m, "platform/static:1.0.0", "was not checked")
	if strings.Contains(m, "✅") || strings.Contains(m, "no known vulnerabilities") {
		t.Errorf("an image without packages is called clean: %s", m)
	}
}

func (e *story) settingsLater(t *testing.T) {
	ctx := e.wait(t)
	must(t, e.Run(ctx, stage.Workload{Namespace: "later", Name: "gate", Image: e.Image(image.PlatformGate)}))
	e.awaitLog(t, `msg="namespace is not watched: it has no key in the settings" namespace=later`)
	e.silence(t, "later", 0)
	must(t, e.Watch(ctx, "later", e.Scanner("later")))
	e.expect(t, e.message(t, "later", 1), "platform/gate:0.4.0", "later/gate")
}

func (e *story) settingsMistakes(t *testing.T) {
	ctx := e.wait(t)
	must(t, e.Run(ctx, stage.Workload{Namespace: "wrong", Name: "gate", Image: e.Image(image.PlatformGate)}))
	for _, c := range []struct{ text, want string }{
		{"backend: [clair", `wrong .line 1.: not valid YAML`},
		{"just text", "wrong .line 1.: neither a map nor a list"},
		{"backend: trivy\n" + e.Scanner("wrong"), `wrong.backend .line 2.: stands there twice`},
		{strings.Replace(e.Scanner("wrong"), "backend: clair", "backend: trivy", 1), `wrong.backend .line 1.: .*trivy.* is not known; want .*clair`},
		{e.Scanner("wrong") + "minSeverty: High\n", `wrong.minSeverty .line 5.: no such field; did you mean minSeverity`},
	} {
		must(t, e.Watch(ctx, "wrong", c.text))
		e.awaitLog(t, `level=ERROR msg="mistake in the settings" key=wrong error=.*`+c.want)
	}
	e.awaitMetric(t, `clairwatch_settings_mistakes{key="wrong"}`, 1)
	e.awaitEvent(t, "SettingsMistake", "wrong.minSeverty (line 5): no such field; did you mean minSeverity?")
	// Others are not harmed.
	m := e.tell(t, "unharmed", stage.Workload{Name: "gate", Image: e.Image(image.PlatformGate)})
	e.expect(t, m, "platform/gate:0.4.0")
	e.silence(t, "wrong", 0)
	must(t, e.Watch(ctx, "wrong", e.Scanner("wrong")))
	e.expect(t, e.message(t, "wrong", 1), "platform/gate:0.4.0")
	e.awaitEvent(t, "SettingsMended", "wrong: mended")
	// A mistake later leaves the last good settings in force.
	must(t, e.Watch(ctx, "wrong", "backend: [clair"))
	e.awaitLog(t, `key=wrong .*effect="the last good settings stay in force"`)
	must(t, e.Run(ctx, stage.Workload{Namespace: "wrong", Name: "api", Image: e.Image(image.ShopAPI)}))
	e.expect(t, e.message(t, "wrong", 2), "shop/api:2.0.1")
}

func (e *story) slack500(t *testing.T) {
	e.Slack.FailNext(slackstand.Path("flaky"), 1, slackstand.Answer{Status: 500, Body: "rollup_error"})
	m := e.tell(t, "flaky", stage.Workload{Name: "gate", Image: e.Image(image.PlatformGate)})
	e.expect(t, m, "platform/gate:0.4.0")
	e.silence(t, "flaky", 1)
	if c := e.Slack.Counts(slackstand.Path("flaky")); c.Refused != 1 || c.Accepted != 1 {
		t.Errorf("got %+v, want one refusal and one message", c)
	}
}

// slackRefuses has Slack take simpler and simpler forms only. What it refuses is no reason to lose anything.
func (e *story) slackRefuses(t *testing.T) {
	for n, want := range []struct{ has, lacks string }{
		{`"table"`, "every form"},
		{`"blocks"`, `"table"`},
		{"is running with", `"blocks"`},
	} {
		channel := fmt.Sprintf("refuses-%d", n)
		e.Slack.FailNext(slackstand.Path(channel), n, slackstand.Answer{Status: 400, Body: "invalid_blocks"})
		e.tell(t, channel, stage.Workload{Name: "gate", Image: e.Image(image.PlatformGate)})
		payload := string(e.Slack.Messages(slackstand.Path(channel))[0].Payload)
		if !strings.Contains(payload, want.has) || strings.Contains(payload, want.lacks) {
			t.Errorf("after %d refusals: %s", n, payload)
		}
	}
	e.awaitMetric(t, `clairwatch_messages_total{kind="report",outcome="simplified"}`, 2)
}

// deadWebhook has a webhook that was revoked: that is to be seen, and what waits for it waits.
func (e *story) deadWebhook(t *testing.T) {
	ctx := e.wait(t)
	must(t, e.Watch(ctx, "dead", e.Scanner("invalid-token"))) // which the stand-in always answers so
	must(t, e.Run(ctx, stage.Workload{Namespace: "dead", Name: "gate", Image: e.Image(image.PlatformGate)}))
	e.awaitMetric(t, `clairwatch_channels{state="channel"}`, 1)
	e.awaitLog(t, `level=WARN msg="message not accepted; it is kept and tried again".*make a new one and put it into the settings`)
	page := e.page(t, e.pages)
	for _, want := range []string{"dead", "make a new one and put it into the settings"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

// shared has several namespaces in one channel: what they have in common is one message.
func (e *story) shared(t *testing.T) {
	ctx := e.wait(t)
	keys := []string{"shared-1", "shared-2", "shared-3"}
	for _, ns := range keys {
		for _, sample := range []string{image.ShopWeb, image.ShopAPI, image.ShopWorker} {
			name, _, _ := strings.Cut(filepath.Base(sample), ":")
			must(t, e.Run(ctx, stage.Workload{Namespace: ns, Name: name, Image: e.Image(sample)}))
		}
	}
	for _, ns := range keys {
		must(t, e.Watch(ctx, ns, e.Scanner("shared")+"tell: {withdrawn: true}\n"))
	}
	e.expect(t, e.message(t, "shared", 1), "Now watching 3 images in 3 namespaces", "9 pods")
	e.silence(t, "shared", 1)
}

// frozen gives Clair other data while the daemon stands still for longer than any image's turn takes to come: what
// it then finds it finds at once, as when an update is found by Clair's webhook alone.
func (e *story) frozen(t *testing.T, edition vulnerability.Edition) {
	must(t, e.daemon.Pause())
	must(t, e.Import(e.wait(t), edition))
	time.Sleep(overdue)
	must(t, e.daemon.Resume())
	e.answers(t) // all images have their turn at once
}

// withdrawn takes the newer data away again: a channel that wants to hear of it is told how much is gone.
func (e *story) withdrawn(t *testing.T) {
	e.frozen(t, vulnerability.First)
	e.expect(t, e.message(t, "shared", 3), "in 3 images were withdrawn", "shop/web:1.4.2", "shop/api:2.0.1", "shop/worker:0.9.0")
	e.silence(t, "debian", 2)
	// Who heard of it hears that it is back.
	e.frozen(t, vulnerability.Second)
	e.expect(t, e.message(t, "shared", 4), "in 3 images had been withdrawn and are reported again")
	e.silence(t, "shared", 4)
	e.silence(t, "debian", 2)
}

// disclosed gives Clair newer data: its notifier calls, and who runs what is concerned hears of it.
func (e *story) disclosed(t *testing.T) {
	e.frozen(t, vulnerability.Second)
	e.expect(t, e.message(t, "shared", 2), "newly disclosed in 3 running images", "CVE-2024-6119", "9 pods")
	m := e.message(t, "debian", 2)
	e.expect(t, m, "shop/worker:0.9.0", "newly disclosed", "Running in 1 workload, 1 pod")
	// The images' own turns may have come first.
	e.awaitMetric(t, `clairwatch_notifications_total{outcome="(queued|fresh)"}`, 1)
	// Of Alpine Clair's notifier says nothing; the report is fetched again after the setting refresh.
	e.expect(t, e.message(t, "alpine", 2), "shop/api:2.0.1", "newly disclosed")
}

// nothingRepeated looks at every channel once more: the daemon went through all of the above, and no
// message came twice.
func (e *story) nothingRepeated(t *testing.T) {
	if d := e.Slack.Counts("").Duplicates; d != 0 {
		t.Errorf("%d messages came twice", d)
	}
	for _, m := range e.Slack.Messages("") {
		if len(m.Mentions) > 0 {
			t.Errorf("a message pings %q", m.Mentions)
		}
	}
	for _, r := range e.Slack.Refusals("") {
		if r.Reason != "a fixed answer" {
			t.Errorf("Slack refused with %d %s: %s", r.Status, r.Body, r.Reason)
		}
	}
}

func (e *story) cleanStop(t *testing.T) {
	must(t, e.daemon.Signal(syscall.SIGTERM))
	if err := e.daemon.Wait(e.wait(t)); err != nil {
		t.Errorf("the daemon ended with %v", err)
	}
	log := e.log(t)
	if !strings.Contains(log, "msg=stopped") {
		t.Error("the log does not say that it stopped")
	}
	for _, bad := range []string{"DATA RACE", "panic:", "/services/T00000000", e.PrivatePassword, e.TenantPassword} {
		if strings.Contains(log, bad) {
			t.Errorf("the log has %q", bad)
		}
	}
}

// tell runs a workload in a namespace of its own whose channel has the same name, and returns the first
// message.
func (e *story) tell(t *testing.T, namespace string, w stage.Workload) string {
	t.Helper()
	ctx := e.wait(t)
	w.Namespace = namespace
	must(t, e.Watch(ctx, namespace, e.Scanner(namespace)))
	must(t, e.Run(ctx, w))
	return e.message(t, namespace, 1)
}

// message waits for the n-th message of a channel and returns it as people read it.
func (e *story) message(t *testing.T, channel string, n int) string {
	t.Helper()
	messages, err := e.Slack.WaitOn(e.wait(t), channel, n)
	if err != nil {
		t.Fatalf("%v\nthe daemon's log ends with:\n%s", err, e.daemon.Tail(40))
	}
	return slackstand.Render(messages[n-1], slackstand.Style{Width: 160})
}

// silence waits whether a channel gets more than n messages.
func (e *story) silence(t *testing.T, channel string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), quiet)
	defer cancel()
	if messages, err := e.Slack.WaitOn(ctx, channel, n+1); err == nil {
		t.Errorf("unexpected message in %s: %s", channel, slackstand.Render(messages[n], slackstand.Style{}))
	}
}

func (e *story) expect(t *testing.T, message string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(message, p) {
			t.Errorf("the message lacks %q:\n%s", p, message)
		}
	}
}

// wait returns a context that ends when patience does.
func (e *story) wait(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func (e *story) log(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(e.daemon.LogPath())
	must(t, err)
	return string(text)
}

// awaitLog waits for a line of the daemon's log.
func (e *story) awaitLog(t *testing.T, pattern string) {
	t.Helper()
	line := regexp.MustCompile(pattern)
	e.await(t, "a line of the log like "+pattern, func() bool { return line.MatchString(e.log(t)) })
}

// awaitEvent waits for an Event that kubectl describe shows with the settings ConfigMap.
func (e *story) awaitEvent(t *testing.T, reason, text string) {
	t.Helper()
	ctx := e.wait(t)
	m, err := e.Client.CoreV1().ConfigMaps(stage.Namespace).Get(ctx, stage.Namespace, metav1.GetOptions{})
	must(t, err)
	e.await(t, fmt.Sprintf("the Event %s %q", reason, text), func() bool {
		found, err := e.Client.CoreV1().Events(stage.Namespace).SearchWithContext(ctx, scheme.Scheme, m)
		must(t, err)
		return slices.ContainsFunc(found.Items, func(e corev1.Event) bool { return e.Reason == reason && strings.Contains(e.Message, text) })
	})
}

// awaitMetric waits until a metric of the daemon, or one of those that a pattern fits, is at least some value.
func (e *story) awaitMetric(t *testing.T, series string, least float64) {
	t.Helper()
	// The braces of labels are no part of a pattern.
	line := regexp.MustCompile("^" + strings.NewReplacer("{", `\{`, "}", `\}`).Replace(series) + " (.*)$")
	e.await(t, fmt.Sprintf("%s of at least %v", series, least), func() bool {
		resp, err := http.Get("http://" + e.DaemonAddr + "/metrics")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		must(t, err)
		for l := range bytes.Lines(text) {
			found := line.FindSubmatch(bytes.TrimSpace(l))
			if found == nil {
				continue
			}
			var v float64
			must(t, json.Unmarshal(found[len(found)-1], &v))
			if v >= least {
				return true
			}
		}
		return false
	})
}

// await polls a condition that nothing announces.
func (e *story) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx := e.wait(t)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited for %s; the daemon's log ends with:\n%s", what, e.daemon.Tail(40))
		}
	}
}

func get(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Get(url)
	must(t, err)
	defer resp.Body.Close()
	return resp.StatusCode
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
