package main

import (
	"bufio"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"k8s.io/klog/v2"
)

// lines are the values of the attribute line.
func lines(text string) string {
	var b strings.Builder
	for _, m := range regexp.MustCompile(`line=(\w+)`).FindAllStringSubmatch(text, -1) {
		b.WriteString(" " + m[1])
	}
	return b.String()
}

// TestLogLevel asks for the level of a log and changes it, and looks at what is logged.
func TestLogLevel(t *testing.T) {
	s, logged := levelStand(t, "info")
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	logClientGo(s.log)
	t.Cleanup(klog.ClearLogger)
	config := writeFile(t, "config.yaml", "web:\n  listen: "+hostOf(t, server.URL)+"\n")
	const again = "; a restart takes log.level of the config again\n"
	for _, step := range []struct {
		args, out, logged string
	}{
		{"", "info\n", "info warn error, client-go 0"},
		{"debug", "debug (it was info)" + again, "debug info warn error, client-go 0 2 4"},
		{"", "debug\n", "debug info warn error, client-go 0 2 4"},
		{"debug", "debug (it was debug)" + again, "debug info warn error, client-go 0 2 4"},
		{"error", "error (it was debug)" + again, "error, client-go"},
		{"warn", "warn (it was error)" + again, "warn error, client-go"},
		{"info", "info (it was warn)" + again, "info warn error, client-go 0"},
	} {
		said := clairwatch(t, "", append([]string{"log-level", "--config", config}, strings.Fields(step.args)...)...)
		if said.out != step.out || said.errs != "" || said.code != 0 {
			t.Errorf("log-level %s: %+v, want %q", step.args, said, step.out)
		}
		logged.Reset()
		for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			s.log.Log(t.Context(), level, "own", "line", levelWord(level))
		}
		for _, verbosity := range []int{0, 2, 4, 5, 8} {
			klog.FromContext(t.Context()).V(verbosity).Info("theirs", "line", verbosity)
		}
		own, theirs, _ := strings.Cut(logged.String(), "msg=theirs")
		if got := lines(own) + ", client-go" + lines(theirs); got != " "+step.logged {
			t.Errorf("log-level %s: %q is logged, want %q", step.args, got, step.logged)
		}
	}
}

// TestLogLevelCannotBeAsked has what the command says when it gets no answer that it can use.
func TestLogLevelCannotBeAsked(t *testing.T) {
	s, _ := levelStand(t, "info")
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Forwarded-For", "10.0.0.7")
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(behind.Close)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"level": "loud"}`) }))
	t.Cleanup(other.Close)
	stuck := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"level": "info"}`) }))
	t.Cleanup(stuck.Close)
	none := gone(t)
	const (
		inPod = "ask in its pod: kubectl -n clairwatch exec deploy/clairwatch -- /clairwatch log-level debug\n"
		named = "name the address of the pages with --address (web.listen in the daemon's config, 127.0.0.1:8081 if that does not say), or " + inPod
	)
	for address, want := range map[string]string{
		behind.URL: "the level of the log is only for who is where the daemon runs, without a proxy: " + inPod,
		other.URL:  "what answers there (status 200) is not the pages of a clairwatch of this version, which are at another port than /metrics: " + named,
		stuck.URL:  "what answers there (status 200) is not the pages of a clairwatch of this version, which are at another port than /metrics: " + named,
		none:       "dial tcp " + hostOf(t, none) + ": connect: connection refused: " + named,
	} {
		want = "clairwatch: asking the daemon at " + address + ": " + want
		if said := clairwatch(t, "", "log-level", "--address", address, "debug"); said.errs != want || said.out != "" || said.code != exitFailed {
			t.Errorf("%+v, want %q", said, want)
		}
	}
}

// asDaemon has, in a process that this test starts, the command line of a daemon, an argument a line.
const asDaemon = "TEST_DAEMON_ARGUMENTS"

// TestLogLevelOfTheDaemon changes the level of a daemon that waits for its API server, with the token of its pages. It is a process of its own,
// because klog's logger is one for all of a process.
func TestLogLevelOfTheDaemon(t *testing.T) {
	if args, daemon := os.LookupEnv(asDaemon); daemon {
		ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGTERM)
		defer stop()
		cmd := command(os.Stderr)
		cmd.SetArgs(strings.Split(args, "\n"))
		if err := cmd.ExecuteContext(ctx); err != nil {
			t.Fatal(err)
		}
		return
	}
	kubeconfig := writeFile(t, "kubeconfig", `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "`+gone(t)+`"}}]
contexts: [{name: c, context: {cluster: c}}]
current-context: c
`)
	token := writeFile(t, "web-token", pagesToken+"\n")
	daemon := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLogLevelOfTheDaemon$")
	daemon.Env = append(os.Environ(), asDaemon+"="+strings.Join([]string{
		"--kubeconfig", kubeconfig, "--namespace", "clairwatch", "--docker-config", "", "--webhook-folder", "",
		"--listen", "127.0.0.1:0", "--web-listen", "127.0.0.1:0", "--web-token-file", token, "--log-format", "text",
	}, "\n"))
	logs, err := daemon.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	var address string
	lines := bufio.NewScanner(logs)
	for address == "" && lines.Scan() {
		text.WriteString(lines.Text() + "\n")
		if m := regexp.MustCompile(`msg=pages listen=(\S+)`).FindStringSubmatch(lines.Text()); m != nil {
			address = m[1]
		}
	}
	if address != "" {
		if said := clairwatch(t, "", "log-level", "--address", address); said.code != exitFailed || !strings.Contains(said.errs, "it wants the token of its pages") {
			t.Errorf("%+v", said)
		}
		if said := clairwatch(t, "", "log-level", "--address", address, "--token-file", token, "debug"); !strings.HasPrefix(said.out, "debug (it was info)") {
			t.Errorf("%+v", said)
		}
		if said := clairwatch(t, "", "log-level", "--address", address, "--token-file", token); said.out != "debug\n" {
			t.Errorf("%+v", said)
		}
	}
	_ = daemon.Process.Signal(syscall.SIGTERM) // it may have ended by itself, which Wait says
	for lines.Scan() {
		text.WriteString(lines.Text() + "\n")
	}
	if err := daemon.Wait(); err != nil || !strings.Contains(text.String(), "from=info to=debug") {
		t.Errorf("it ended with %v:\n%s", err, &text)
	}
}
