// Package settings tests that who edits the settings of namespaces while clairwatch runs gets what they say, within
// seconds and without a restart: each edit is followed by the messages that it causes and by no others. All servers are
// real but Slack. The vulnerability data stays the same all the time, so nothing but an edit is news about what runs.
package settings

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clairwatch/clairwatch/sandbox/image"
	"github.com/clairwatch/clairwatch/sandbox/stage"
	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// patience bounds every wait. It is no expectation of how long something takes.
const patience = 2 * time.Minute

// quiet is how long all channels are watched at the end for a message that must not come: several sweeps, and several
// times the daemon's groupWait.
const quiet = 2 * time.Second

// fleetSize is how many images there are to run.
const fleetSize = 72

// TestSettings is one long story with one cluster and one clairwatch: what was told before one edit must not be told
// again after any other. The parts need their order.
func TestSettings(t *testing.T) {
	c := open(t)
	t.Run("namespace added", c.namespaceAdded)
	t.Run("webhook changed", c.webhookChanged)
	t.Run("edit taken back", c.takenBack)
	t.Run("threshold", c.threshold)
	t.Run("ignored until a time", c.ignoredForNow)
	t.Run("ignored until taken out", c.ignoredByHand)
	t.Run("only fixable", c.onlyFixable)
	t.Run("kinds of news", c.kinds)
	t.Run("second Scanner", c.secondScanner)
	t.Run("namespace removed", c.namespaceRemoved)
	t.Run("namespace broken", c.namespaceBroken)
	t.Run("all others", c.allOthers)
	t.Run("defaults", c.defaults)
	t.Run("defaults broken", c.defaultsBroken)
	t.Run("webhook in a file", c.webhookFile)
	t.Run("init containers", c.initContainers)
	t.Run("opt-out", c.optOut)
	t.Run("ConfigMap gone", c.configMapGone)
	t.Run("restart", c.restart)
	t.Run("nothing further", c.nothingFurther)
}

// cluster is what the parts share.
type cluster struct {
	*stage.Stage
	gate   *stage.Gate
	daemon *stage.Daemon
	// folder is that of the files that hold webhooks.
	folder string
	fleet  []app
	// taken is how many images of the fleet the parts have had: each has its own.
	taken int
	// heard is how many messages each channel has had that were looked at.
	heard map[string]int
}

// app is an image of the fleet.
type app struct {
	// name is how messages name it; ref is the image as pods do.
	name, ref string
	// digest is that of its manifest.
	digest string
	// workload is the name of what runs it.
	workload string
}

// open starts everything, with settings that name no namespace.
func open(t *testing.T) *cluster {
	t.Helper()
	ctx := t.Context()
	s, err := stage.Start(ctx, stage.Options{Log: t.Logf, Race: true})
	must(t, err)
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	g, err := s.OpenGate()
	must(t, err)
	t.Cleanup(g.Close)
	c := &cluster{Stage: s, gate: g, folder: t.TempDir(), heard: make(map[string]int)}
	c.makeFleet(t)
	c.daemon, err = c.Launch(c.wait(t), stage.Setup{Gate: g, Config: map[string]any{
		"groupWait":      "200ms",
		"groupMax":       "30s",
		"refresh":        "0s", // nothing is looked at but for an edit, and for what begins to run
		"removalGrace":   "1s", // and by that a sweep every tenth of a second
		"webhookFolder":  c.folder,
		"leaderElection": map[string]any{"identity": "daemon"}, // which stays the same when it is started again
	}})
	must(t, err)
	t.Cleanup(func() {
		if err := c.daemon.Kill(); err != nil {
			t.Error(err)
		}
		for _, bad := range []string{"DATA RACE", "panic:", "/services/T00000000"} {
			if log, err := c.daemon.Log(); err != nil || strings.Contains(log, bad) {
				t.Errorf("the log of the daemon has %q, or cannot be read (%v)", bad, err)
			}
		}
	})
	must(t, c.daemon.AwaitReady(c.wait(t)))
	c.logs(t, 0, `level=WARN msg="no namespace is watched`)
	return c
}

// What each image of the fleet has. Severities that nobody knows count as Medium, unless the settings say otherwise.
const (
	inAll      = 12 // in glibc and OpenSSL
	inHigh     = 3
	inMedium   = 7 // with the 4 that nobody has rated
	inLow      = 2 // which have no fix
	inOpenSSL  = 5
	belowHigh  = inAll - inHigh
	ignoredCVE = "CVE-2023-4911" // one of the high ones, in glibc
)

// makeFleet pushes images that are all different and have the same vulnerabilities.
func (c *cluster) makeFleet(t *testing.T) {
	t.Helper()
	samples := make([]image.Sample, fleetSize)
	for i := range samples {
		name := fmt.Sprintf("team/app-%02d:1.0", i)
		img, err := image.Build(image.Spec{
			Release: image.Bookworm, Distroless: true,
			Base: []image.Package{
				{Name: "libc6", Version: "2.36-9+deb12u1", Source: "glibc"},
				{Name: "libssl3", Version: "3.0.9-1", Source: "openssl"},
			},
			Files: map[string]string{"app/server": "#!/bin/sh\necho " + name + "\n"},
		})
		must(t, err)
		samples[i] = image.Sample{Name: name, Artifact: img}
	}
	must(t, c.Push(c.wait(t), samples...))
	for _, s := range samples {
		digest, err := s.Artifact.(v1.Image).Digest()
		must(t, err)
		repository, _, _ := strings.Cut(s.Name, ":")
		c.fleet = append(c.fleet, app{
			name: s.Name, ref: c.Image(s.Name), digest: digest.String(), workload: strings.ReplaceAll(repository, "/", "-"),
		})
	}
}

// take returns an image that nobody has had.
func (c *cluster) take(t *testing.T) app {
	t.Helper()
	if c.taken == len(c.fleet) {
		t.Fatal("the fleet is too small")
	}
	c.taken++
	return c.fleet[c.taken-1]
}

// run runs images that nobody has had in a namespace, and waits until they do.
func (c *cluster) run(t *testing.T, namespace string, n int) []app {
	t.Helper()
	apps := make([]app, n)
	for i := range apps {
		apps[i] = c.take(t)
		must(t, c.Run(c.wait(t), stage.Workload{Namespace: namespace, Name: apps[i].workload, Image: apps[i].ref}))
	}
	for _, a := range apps {
		must(t, c.AwaitRunning(c.wait(t), namespace, a.workload, 1))
	}
	return apps
}

// runPod runs a pod of nobody's, whose name is that of its ordinary container's image.
func (c *cluster) runPod(t *testing.T, namespace string, annotations map[string]string, ordinary app, inits ...app) {
	t.Helper()
	ctx := c.wait(t)
	must(t, c.MakeNamespace(ctx, namespace))
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: ordinary.workload, Namespace: namespace, Labels: map[string]string{"app": ordinary.workload}, Annotations: annotations,
		},
		Spec: corev1.PodSpec{
			NodeSelector: map[string]string{corev1.LabelArchStable: "amd64"},
			Containers:   []corev1.Container{{Name: "main", Image: ordinary.ref}},
		},
	}
	for _, a := range inits {
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{Name: a.workload, Image: a.ref})
	}
	_, err := c.Client.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{})
	must(t, err)
	must(t, c.AwaitRunning(ctx, namespace, ordinary.workload, 1))
}

// remove ends what runs an image in a namespace.
func (c *cluster) remove(t *testing.T, namespace string, a app) {
	t.Helper()
	pods := c.Client.CoreV1().Pods(namespace)
	own := metav1.ListOptions{LabelSelector: "app=" + a.workload}
	must(t, pods.DeleteCollection(c.wait(t), metav1.DeleteOptions{}, own))
	c.await(t, "the end of "+namespace+"/"+a.workload, func(ctx context.Context) bool {
		left, err := pods.List(ctx, own)
		return err == nil && len(left.Items) == 0
	})
}

// refuse has Slack refuse all messages to a channel.
func (c *cluster) refuse(channel string) {
	c.Slack.FailNext(slackstand.Path(channel), math.MaxInt, slackstand.Answer{Status: 500, Body: "rollup_error"})
}

// refused waits until a channel has refused n messages since the beginning.
func (c *cluster) refused(t *testing.T, channel string, n int) {
	t.Helper()
	c.await(t, "a message to be refused", func(context.Context) bool { return c.Slack.Counts(slackstand.Path(channel)).Refused >= n })
}

// annotate gives the pods that run an image in a namespace an annotation.
func (c *cluster) annotate(t *testing.T, namespace string, a app, annotation string) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"false"}}}`, annotation)
	_, err := c.Client.CoreV1().Pods(namespace).Patch(c.wait(t), a.workload, types.MergePatchType, patch, metav1.PatchOptions{})
	must(t, err)
}

// scanner is one whose messages go to a channel, with more settings.
func (c *cluster) scanner(channel string, more ...string) string {
	return c.gate.Scanner(channel) + strings.Join(more, "")
}

// edit writes a key of the settings as kubectl does. An empty text removes it.
func (c *cluster) edit(t *testing.T, key, text string) {
	t.Helper()
	must(t, c.Watch(c.wait(t), key, text))
}

// silently makes an edit after which some images are looked at again, and of which nothing is told.
func (c *cluster) silently(t *testing.T, key, text string, looked ...app) {
	t.Helper()
	from := c.now()
	c.edit(t, key, text)
	c.looked(t, from, looked...)
	c.nothingElse(t)
}

// silentlySame makes an edit that says the same in other words: nothing is looked at.
func (c *cluster) silentlySame(t *testing.T, key, text string) {
	t.Helper()
	from, said := c.now(), c.logged(t)
	c.edit(t, key, text)
	c.seen(t)
	c.nothingElse(t)
	if log, err := c.daemon.Log(); err != nil || strings.Contains(log[said:], `msg="settings in force"`) {
		t.Errorf("the same settings are said to be others (%v):\n%s", err, log[said:])
	}
	for _, e := range c.gate.Exchanges()[from:] {
		if e.Server == stage.Clair && reportPath.MatchString(e.Path) {
			t.Errorf("Clair was asked for %s though the settings are the same", e.Path)
		}
	}
}

// seen waits until the daemon has seen all edits that were made so far: it sees one more after them.
func (c *cluster) seen(t *testing.T) {
	t.Helper()
	const key = "seen"
	from := c.logged(t)
	c.edit(t, key, "just text")
	c.logs(t, from, mistake+key)
	c.edit(t, key, "")
	c.logs(t, from, mended+key)
}

// restarts kills the daemon, lets something happen while there is none, and starts it again.
func (c *cluster) restarts(t *testing.T, meanwhile ...func()) {
	t.Helper()
	must(t, c.daemon.Kill())
	for _, happens := range meanwhile {
		happens()
	}
	must(t, c.daemon.Start(c.wait(t)))
	must(t, c.daemon.AwaitReady(c.wait(t)))
}

// hears waits for the next message of a channel, which must be all that there is to tell to anybody, and checks what
// it says.
func (c *cluster) hears(t *testing.T, channel string, parts ...string) {
	t.Helper()
	c.next(t, channel, parts...)
	c.nothingElse(t)
}

// next waits for the next message of a channel, and checks what it says: parts, or, after a "!", what is not to be there.
func (c *cluster) next(t *testing.T, channel string, parts ...string) {
	t.Helper()
	n := c.heard[channel]
	messages, err := c.Slack.WaitOn(c.wait(t), channel, n+1)
	if err != nil {
		t.Fatalf("%s: %v; the log of the daemon ends with:\n%s", channel, err, c.daemon.Tail(60))
	}
	c.heard[channel] = n + 1
	shown := strings.ReplaceAll(slackstand.Render(messages[n], slackstand.Style{Width: 200}), "`", "")
	for _, p := range parts {
		switch p, not := strings.CutPrefix(p, "!"); {
		case not && strings.Contains(shown, p):
			t.Errorf("message %d of %s has %q:\n%s", n+1, channel, p, shown)
		case !not && !strings.Contains(shown, p):
			t.Errorf("message %d of %s lacks %q:\n%s", n+1, channel, p, shown)
		}
	}
}

// nothingElse waits until there is nothing left to look at and to tell, and checks that no channel has had a message
// that was not looked at.
func (c *cluster) nothingElse(t *testing.T) {
	t.Helper()
	c.await(t, "nothing left to look at and to tell", c.idle)
	had := make(map[string]int)
	for _, m := range c.Slack.Messages("") {
		_, channel, _ := strings.Cut(m.Path, slackstand.Path(""))
		had[channel]++
		if n := had[channel]; n > c.heard[channel] {
			c.heard[channel] = n
			t.Errorf("message %d of %s should not be there:\n%s", n, channel, slackstand.Render(m, slackstand.Style{Width: 200}))
		}
	}
}

// nothingFurther watches all channels for a while.
func (c *cluster) nothingFurther(t *testing.T) {
	all := 0
	for _, n := range c.heard {
		all += n
	}
	ctx, cancel := context.WithTimeout(t.Context(), quiet)
	defer cancel()
	if _, err := c.Slack.Wait(ctx, "", all+1); err == nil {
		c.nothingElse(t)
	}
}

// reportPath is that of a report, with the digest at its end.
var reportPath = regexp.MustCompile(`^/matcher/api/v1/vulnerability_report/`)

// now is the end of what the gate has noted so far.
func (c *cluster) now() int { return len(c.gate.Exchanges()) }

// looked waits until Clair has answered for the report of each image since a moment. An image of several namespaces is
// to be named as often.
func (c *cluster) looked(t *testing.T, from int, apps ...app) {
	t.Helper()
	c.await(t, "all images to be looked at", func(context.Context) bool {
		answered := make(map[string]int)
		for _, e := range c.gate.Exchanges()[from:] {
			if e.Server == stage.Clair && e.Status > 0 && reportPath.MatchString(e.Path) {
				answered[reportPath.ReplaceAllString(e.Path, "")]++
			}
		}
		for _, a := range apps {
			answered[a.digest]--
		}
		return !slices.ContainsFunc(apps, func(a app) bool { return answered[a.digest] < 0 })
	})
}

// idle says whether the daemon has nothing to look at and to tell. What an image gives to tell waits before the image
// counts as looked at; the metrics are read twice because they are not all of the same moment.
func (c *cluster) idle(ctx context.Context) bool {
	for range 2 {
		m, err := c.daemon.Metrics(ctx)
		if err != nil || m[`workqueue_depth{name="images"}`] != 0 || m[`workqueue_unfinished_work_seconds{name="images"}`] != 0 ||
			m["clairwatch_news_pending"] != 0 || m["clairwatch_leader"] != 1 {
			return false
		}
	}
	return true
}

// logged is the end of what the daemon has logged so far.
func (c *cluster) logged(t *testing.T) int {
	t.Helper()
	log, err := c.daemon.Log()
	must(t, err)
	return len(log)
}

// logs waits for a line in the daemon's log after a moment.
func (c *cluster) logs(t *testing.T, from int, line string) {
	t.Helper()
	pattern := regexp.MustCompile(line)
	c.await(t, "the log to have "+line, func(context.Context) bool {
		log, err := c.daemon.Log()
		return err == nil && pattern.MatchString(log[from:])
	})
}

// mistaken waits until the metric names some keys of the settings as those with a mistake, and no others.
func (c *cluster) mistaken(t *testing.T, keys ...string) {
	t.Helper()
	var got []string
	slices.Sort(keys)
	c.await(t, fmt.Sprintf("mistakes in %q", keys), func(ctx context.Context) bool {
		m, err := c.daemon.Metrics(ctx)
		if err != nil {
			return false
		}
		got = nil
		for series, v := range m {
			if key, is := strings.CutPrefix(series, `clairwatch_settings_mistakes{key="`); is && v == 1 {
				got = append(got, strings.TrimSuffix(key, `"}`))
			}
		}
		slices.Sort(got)
		return slices.Equal(got, keys)
	})
}

// await polls a condition that nothing announces.
func (c *cluster) await(t *testing.T, what string, holds func(context.Context) bool) {
	t.Helper()
	ctx := c.wait(t)
	if err := stage.Await(ctx, what, func() (bool, error) { return holds(ctx), nil }); err != nil {
		t.Fatalf("%v; the log of the daemon ends with:\n%s", err, c.daemon.Tail(60))
	}
}

// wait returns a context that ends when patience does.
func (c *cluster) wait(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// vulnerabilities counts them as messages do.
func vulnerabilities(n int) string {
	if n == 1 {
		return "1 vulnerability"
	}
	return fmt.Sprintf("%d vulnerabilities", n)
}
