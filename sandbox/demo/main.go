// Command demo shows clairwatch at work: it starts a whole cluster on this machine, installs clairwatch,
// runs images, and prints what arrives in Slack.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/image"
	"github.com/clairwatch/clairwatch/sandbox/stage"
	"github.com/clairwatch/clairwatch/sandbox/vulnerability"
	"github.com/clairwatch/clairwatch/slack/slackstand"
)

func main() {
	messages := flag.String("messages", "", "file to write what Slack accepted to, a line of JSON each")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *messages); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// teams are the namespaces of the demo, the channel of each, and one of its images.
var teams = []struct{ namespace, channel, image string }{
	{"shop", "team-shop", image.ShopWeb},
	{"payments", "team-payments", image.PaymentsLedger},
	{"platform", "team-platform", image.PlatformProxy},
}

// disclosed is the vulnerability that becomes known at the end of the demo. Each team runs something that has it.
const disclosed = "CVE-2024-6119"

// newerFacts are the first edition of the vulnerabilities, and the one that is disclosed.
func newerFacts() ([]vulnerability.Fact, error) {
	facts, err := vulnerability.Facts(vulnerability.First)
	if err != nil {
		return nil, err
	}
	all, err := vulnerability.Facts(vulnerability.Second)
	if err != nil {
		return nil, err
	}
	return append(facts, slices.DeleteFunc(all, func(f vulnerability.Fact) bool { return f.Name != disclosed })...), nil
}

func run(ctx context.Context, messages string) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	out := newScreen(os.Stdout)
	if messages != "" {
		file, err := os.Create(messages)
		if err != nil {
			return err
		}
		defer file.Close()
		out.copy = file
	}
	out.say("Starting a cluster: etcd, kube-apiserver, Postgres, Clair, two registries. The first time they are\nbuilt from source, which takes some minutes; after that it takes seconds.")
	s, err := stage.Start(ctx, stage.Options{Log: out.log})
	if err != nil {
		return err
	}
	defer func() {
		out.say("Ending the cluster.")
		if err := s.Stop(); err != nil {
			out.log("%v", err)
		}
	}()

	out.say("Each team runs something.")
	if err := runWorkloads(ctx, s, out); err != nil {
		return err
	}
	out.say("The platform team gives each namespace a key in the ConfigMap clairwatch/clairwatch:")
	for _, t := range teams {
		out.log("%s: {backend: clair, notifier: slack, clairBaseUrl: %s, slackWebhookUrl: https://…/%s}", t.namespace, s.ClairURL, t.channel)
		if err := s.Watch(ctx, t.namespace, s.Scanner(t.channel)); err != nil {
			return err
		}
	}
	out.say("clairwatch starts, with the rights of its ServiceAccount.")
	pages, err := s.Address()
	if err != nil {
		return err
	}
	daemon, err := s.Daemon(ctx, map[string]any{
		"web":          map[string]any{"listen": pages},
		"externalURL":  "http://" + pages + "/",
		"removalGrace": "3s", // nobody wants to watch for ten minutes
		// Clair's notifier, which looks each second here, is to be the first one. What it and the daemon's own look
		// find of one cause is one message, as a group waits for longer than the one takes to come after the other.
		"dataEvery": "5s",
		"refresh":   "0s",
		"groupWait": "6s",
		// As a pod has it that is started again in its place: it need not wait for the one before it.
		"leaderElection": map[string]any{"identity": "demo"},
	})
	if err != nil {
		return err
	}
	var background sync.WaitGroup
	defer background.Wait()
	defer end(nil) // before the wait
	background.Go(func() {
		if err := keepRunning(ctx, daemon, out); ctx.Err() == nil {
			end(err)
		}
	})
	out.say("What arrives in Slack:")
	background.Go(func() { s.Slack.Each(ctx, out.message) })
	for _, t := range teams {
		if err := out.await(ctx, t.channel, t.image); err != nil {
			return err
		}
	}

	out.say("The shop rolls out a worker, 20 replicas of one image: that is one message.")
	worker := stage.Workload{Namespace: "shop", Name: "worker", Image: s.Image(image.ShopWorker), Pods: 20}
	if err := s.Run(ctx, worker); err != nil {
		return err
	}
	if err := out.await(ctx, "team-shop", image.ShopWorker); err != nil {
		return err
	}

	out.say("clairwatch is killed, and started again. It remembers what it has told, so nothing of that comes again; but it\nhears that the worker was removed meanwhile.")
	if err := s.Remove(ctx, worker); err != nil {
		return err
	}
	if err := daemon.Kill(); err != nil {
		return err
	}
	if err := out.await(ctx, "team-shop", "no longer running"); err != nil {
		return err
	}
	out.say("Disclosing " + disclosed + " in OpenSSL: Clair gets newer data, and images that run already have it. For Debian Clair calls\nclairwatch; about Alpine it says nothing, there clairwatch asks by itself. Each team hears of it in one message. Here that takes\nseconds; by default it takes two to three minutes where Clair calls, and six and a half where it does not.")
	newer, err := newerFacts()
	if err != nil {
		return err
	}
	if err := s.ImportFacts(ctx, s.Clair(), newer); err != nil {
		return err
	}
	for _, t := range teams {
		if err := out.await(ctx, t.channel, disclosed); err != nil {
			return err
		}
	}
	out.say(fmt.Sprintf(`The cluster stays up until Ctrl-C. Play with it:

  export KUBECONFIG=%s
  kubectl get pods -A
  kubectl -n clairwatch edit configmap clairwatch
  kubectl -n shop run legacy --image=%s
  kubectl -n platform delete pod --all                  # told after 3 s, by default after 10 minutes
  kubectl -n clairwatch get lease,configmap             # who tells, and what it remembers

  Clair       %s
  Registry    http://%s
  Pages       http://%s/
  Metrics     http://%s/metrics (clairwatch_notifications_total: what became of Clair's webhooks)
  Logs        %s (clairwatch: daemon.log)

There are no controllers and no container runtime: make pods rather than deployments.`,
		s.AdminKubeconfig, s.Image(image.PaymentsLegacy), s.ClairURL, s.RegistryHost, pages, s.DaemonAddr, s.Dir))
	<-ctx.Done()
	return context.Cause(ctx)
}

// mostStarts bounds how often clairwatch is started again in the demo.
const mostStarts = 20

// keepRunning starts clairwatch again whenever it ends, as Kubernetes would.
func keepRunning(ctx context.Context, daemon *sandbox.Process, out *screen) error {
	for range mostStarts {
		err := daemon.Wait(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		out.log("clairwatch ended (%v) and is started again", err)
		if err := daemon.Start(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("clairwatch ended %d times; its log ends with:\n%s", mostStarts, daemon.Tail(20))
}

// runWorkloads starts what runs before clairwatch does.
func runWorkloads(ctx context.Context, s *stage.Stage, out *screen) error {
	for _, w := range []stage.Workload{
		{Namespace: "shop", Name: "web", Image: s.Image(image.ShopWeb), Pods: 3},
		{Namespace: "shop", Name: "api", Image: s.Image(image.ShopAPI), Pods: 2},
		{Namespace: "payments", Name: "ledger", Image: s.Image(image.PaymentsLedger), Pods: 2},
		{Namespace: "platform", Name: "proxy", Image: s.Image(image.PlatformProxy), Pods: 2},
		{Namespace: "platform", Name: "proxy-arm", Image: s.Image(image.PlatformProxy), Pods: 1, Arch: "arm64"},
		{Namespace: "platform", Name: "gate", Image: s.Image(image.PlatformGate)},
		{Namespace: "platform", Name: "static", Image: s.Image(image.PlatformStatic)},
	} {
		out.log("%d × %s in %s", max(w.Pods, 1), w.Image, w.Namespace)
		if err := s.Run(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// screen is the terminal. Its methods may be called concurrently.
type screen struct {
	colour bool
	copy   io.Writer // of the messages as they were sent; nil: none

	mu      sync.Mutex
	printed map[string]string // what each channel was told, in all its messages
	changed chan struct{}     // closed and replaced with each message
}

func newScreen(f *os.File) *screen {
	return &screen{colour: isTerminal(f), printed: make(map[string]string), changed: make(chan struct{})}
}

// say prints what happens next.
func (s *screen) say(text string) { s.print("\n" + s.style("1", text) + "\n\n") }

// log prints a detail.
func (s *screen) log(format string, args ...any) {
	s.print("  " + s.style("2", fmt.Sprintf(format, args...)) + "\n")
}

// message prints a message as a person would read it in Slack.
func (s *screen) message(m slackstand.Message) {
	channel := m.Path[strings.LastIndexByte(m.Path, '/')+1:]
	s.print(s.style("1;35", "#"+channel) + s.style("2", m.Time.Format("  15:04:05")) + "\n" +
		slackstand.Render(m, slackstand.Style{Colour: s.colour}) + "\n")
	plain := slackstand.Render(m, slackstand.Style{Width: 1000})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.copy != nil {
		_, _ = fmt.Fprintf(s.copy, "%s\n", m.Payload)
	}
	s.printed[channel] += plain
	close(s.changed)
	s.changed = make(chan struct{})
}

// await waits until a message of a channel that holds a text was printed.
func (s *screen) await(ctx context.Context, channel, text string) error {
	for {
		s.mu.Lock()
		said, changed := strings.Contains(s.printed[channel], text), s.changed
		s.mu.Unlock()
		if said {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *screen) style(code, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *screen) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Print(text)
}

// isTerminal says whether a file is a terminal that may be given colours.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == ""
}
