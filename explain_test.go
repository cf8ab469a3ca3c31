package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clairwatch/clairwatch/settings"
	"github.com/clairwatch/clairwatch/watcher"
)

// explainStand is a daemon that explains what it is given, beside pages.
func explainStand(t *testing.T, explain func(context.Context, watcher.Question) (watcher.Explanation, error)) (*explanations, string) {
	t.Helper()
	pages := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "a page") })
	e := &explanations{pages: pages, explain: explain, slots: make(chan struct{}, explainAtOnce)}
	s := httptest.NewServer(e)
	t.Cleanup(s.Close)
	return e, s.URL
}

// always explains the same.
func always(e watcher.Explanation) func(context.Context, watcher.Question) (watcher.Explanation, error) {
	return func(context.Context, watcher.Question) (watcher.Explanation, error) { return e, nil }
}

// minute is a time of the explanations.
func minute(n int) time.Time { return time.Date(2026, 11, 23, 12, n, 0, 0, time.UTC) }

// shopScanner is a Scanner with nothing out of the ordinary.
func shopScanner(name string) watcher.ExplainedScanner {
	return watcher.ExplainedScanner{Name: name, Clair: "http://clair.clair:6000/", Channel: "hooks.slack.com/…#15718a",
		MinSeverity: "Unknown", UnknownAs: "Medium", Tell: settings.DefaultTell(), Look: settings.DefaultLook()}
}

const shopDigest = "sha256:7d176691a5853bf1def92ac63b3c86e76ba6f4443410876462e814a55be8b5b5"

// shopExplanation has two Scanners with rules, and containers of all kinds and states.
func shopExplanation() watcher.Explanation {
	strict, onCall := shopScanner("default"), shopScanner("on-call")
	strict.MinSeverity, strict.OnlyFixable, strict.IgnoreCounted = "Medium", true, true
	reachable := watcher.ExplainedIgnore{ID: "CVE-2023-4911", Package: "glibc", Reason: "not reachable", Until: minute(0).AddDate(0, 3, 0), Matches: 1}
	elsewhere := watcher.ExplainedIgnore{ID: "CVE-2024-0002", Image: "shop/*", Matches: 1}
	strict.Ignore = []watcher.ExplainedIgnore{
		reachable, elsewhere, {ID: "CVE-2024-0001", Image: "shop/*"}, {Package: "perl-base", Until: minute(0).AddDate(0, -1, 0), Ended: true},
	}
	onCall.MinSeverity, onCall.UnknownAs, onCall.Channel = "Critical", "Low", "hooks.slack.com/…#377591"
	onCall.Waiting, onCall.Trouble = 2, "Slack does not know the webhook (any more): make a new one and put it into the settings"
	onCall.TroubleSince, onCall.NextTry = minute(1), minute(16)
	onCall.ClairAway, onCall.Clair, onCall.Tell.Removed, onCall.Look.Init = minute(5), "http://clair.other:6000/", false, false

	count := func(c, h, m, l, n, u int) *watcher.SeverityCount {
		return &watcher.SeverityCount{Critical: c, High: h, Medium: m, Low: l, Negligible: n, Unknown: u}
	}
	container := func(kind, name, state string, views ...watcher.ExplainedView) watcher.ExplainedContainer {
		return watcher.ExplainedContainer{Kind: kind, Name: name, Pods: 3, Image: "registry.example.com/shop/" + name + ":1.4", Platform: "linux/amd64", State: state, Scanners: views}
	}
	app := container(watcher.KindContainer, "web", string(watcher.StateScanned),
		watcher.ExplainedView{Scanner: "default", Told: count(5, 2, 0, 40, 0, 0), Untold: count(0, 3, 0, 3, 0, 6), Held: &watcher.ExplainedHeld{
			Told: watcher.HeldTold{MinSeverity: *count(0, 0, 0, 40, 0, 0), OnlyFixable: *count(1, 0, 0, 0, 0, 0), Gone: *count(0, 1, 0, 0, 0, 0),
				Ignored: []watcher.ExplainedIgnored{{ExplainedIgnore: elsewhere, Counts: *count(1, 0, 0, 0, 0, 0)}}},
			Untold: watcher.HeldUntold{MinSeverity: *count(0, 0, 0, 3, 0, 0), OnlyFixable: *count(0, 1, 0, 0, 0, 6), Coming: *count(0, 1, 0, 0, 0, 0),
				Ignored: []watcher.ExplainedIgnored{{ExplainedIgnore: reachable, Counts: *count(0, 1, 0, 0, 0, 0)}}},
		}, Pending: []watcher.ExplainedNews{{Kind: "disclosed", Since: minute(4)}}},
		watcher.ExplainedView{Scanner: "on-call", Untold: count(0, 0, 0, 3, 0, 0), Unread: watcher.UnreadClair, Pending: []watcher.ExplainedNews{{Kind: "report", Since: minute(2)}}})
	app.Digest, app.Next = shopDigest, minute(59)
	migrate := container(watcher.KindInit, "migrate", string(watcher.CauseUnauthorized),
		watcher.ExplainedView{Scanner: "default", Failure: "unauthorized"}, watcher.ExplainedView{Scanner: "on-call", Skipped: watcher.SkippedInit})
	migrate.Advice, migrate.Remedy = watcher.State(watcher.CauseUnauthorized).Advice()
	migrate.Since, migrate.Next, migrate.Tries, migrate.Tried, migrate.Follows = minute(3), minute(0).Add(6*time.Hour), 2, minute(14), true
	same := container(watcher.KindInit, "web-again", string(watcher.StateScanned),
		watcher.ExplainedView{Scanner: "on-call", Skipped: watcher.SkippedInit, Elsewhere: true, Told: count(1, 0, 0, 0, 0, 0)})
	same.Digest = shopDigest
	debug := container(watcher.KindEphemeral, "debug", string(watcher.StateUntried), watcher.ExplainedView{Scanner: "default"}, watcher.ExplainedView{Scanner: "on-call"})
	debug.Pods, debug.Next = 1, minute(6)
	debug.Waits = []watcher.ExplainedWait{{Clair: "http://clair.clair:6000/", For: watcher.WaitsForSlot}, {Clair: "http://clair.other:6000/", For: watcher.WaitsForClair}}
	loading := container(watcher.KindContainer, "loading", string(watcher.StateUntried), watcher.ExplainedView{Scanner: "default", Failure: "loading"},
		watcher.ExplainedView{Scanner: "on-call", Failure: "not_found", Unheard: true})
	loading.Waits = []watcher.ExplainedWait{{Clair: "http://clair.clair:6000/", For: watcher.WaitsForData}}
	node := container(watcher.KindContainer, "node", string(watcher.StateUntried), watcher.ExplainedView{Scanner: "default"})
	node.Waits = []watcher.ExplainedWait{{For: watcher.WaitsForNode}}
	turn := container(watcher.KindContainer, "turn", string(watcher.StateUntried), watcher.ExplainedView{Scanner: "default"})
	turn.Waits = []watcher.ExplainedWait{{Clair: "http://clair.clair:6000/", For: watcher.WaitsForTurn}}
	unchecked := container(watcher.KindContainer, "scratch", string(watcher.StateNotCovered), watcher.ExplainedView{Scanner: "default", Told: count(0, 0, 0, 0, 0, 0)})
	out := container(watcher.KindContainer, "out", watcher.StateNotLookedAt,
		watcher.ExplainedView{Scanner: "default", Skipped: watcher.SkippedOptOut}, watcher.ExplainedView{Scanner: "on-call", Skipped: watcher.SkippedFinished})
	out.Finished, out.OptedOut = true, true
	heedless := container(watcher.KindContainer, "heedless", string(watcher.StateScanned), watcher.ExplainedView{Scanner: "default", Told: count(0, 0, 1, 0, 0, 0)})
	heedless.OptedOut, heedless.Digest = true, shopDigest
	return watcher.Explanation{
		Namespace: "shop", Settings: watcher.ExplainedSettings{Applies: watcher.AppliesOwn, Key: "shop"},
		Scanners: []watcher.ExplainedScanner{strict, onCall}, Pods: 7,
		Workloads: []watcher.ExplainedWorkload{
			{Kind: "Deployment", Name: "web", Pods: 3, Containers: []watcher.ExplainedContainer{
				app, migrate, same, debug,
				container(watcher.KindContainer, "late", watcher.StateNotPulled),
				container(watcher.KindVolume, "model", watcher.StateNoDigest),
				container(watcher.KindVolume, "rules", watcher.StateNotMounted, watcher.ExplainedView{Scanner: "on-call", Skipped: watcher.SkippedVolumes}),
			}},
			{Kind: "DaemonSet", Name: "agent", Pods: 3, Containers: []watcher.ExplainedContainer{loading, node, turn, unchecked}},
			{Kind: "Pod", Name: "alone", Pods: 3, Containers: []watcher.ExplainedContainer{out, heedless}},
		},
		LeftOut: 12,
	}
}

// soughtExplanation has a vulnerability in all the ways in which it can be found, or not.
func soughtExplanation() watcher.Explanation {
	strict, quiet, away := shopScanner("default"), shopScanner("quiet"), shopScanner("away")
	strict.MinSeverity, strict.OnlyFixable = "High", true
	strict.Ignore = []watcher.ExplainedIgnore{{ID: "CVE-2024-0001"}}
	quiet.Tell.Report = false
	away.Clair, away.ClairAway, away.Trouble = "http://clair.other:6000/", minute(5), "Slack does not know the webhook (any more): make a new one and put it into the settings"
	away.TroubleSince, away.NextTry = minute(1), minute(16)
	finding := func(name, fixed, severity, fate string, told bool) watcher.ExplainedFinding {
		return watcher.ExplainedFinding{Name: name, Package: "openssl", Installed: "3.0.11-1~deb12u2", FixedIn: fixed, Severity: severity, Fate: fate, Told: told}
	}
	const name, fixed = "CVE-2024-1234", "3.0.13-1~deb12u1"
	ignored := finding(name, fixed, "High", watcher.FateIgnored, false)
	ignored.Ignore = &watcher.ExplainedIgnore{ID: name, Package: "openssl", Reason: "no TLS here", Until: minute(0).AddDate(0, 3, 0)}
	settled := ignored
	settled.Told, settled.Ignore = true, &watcher.ExplainedIgnore{ID: name, Image: "shop/*"}
	missed := finding(name, fixed, "High", watcher.FatePasses, true)
	miss := func(i watcher.ExplainedIgnore, by ...string) {
		missed.Missed = append(missed.Missed, watcher.ExplainedMiss{ExplainedIgnore: i, By: by})
	}
	miss(watcher.ExplainedIgnore{ID: name, Package: "libssl1.1"}, watcher.MissedPackage)
	miss(watcher.ExplainedIgnore{ID: name, Image: "blog/*", Until: minute(0), Ended: true}, watcher.MissedUntil)
	miss(watcher.ExplainedIgnore{Package: "openssl", Image: "blog/*"}, watcher.MissedImage)
	alias := finding("GHSA-2345-6789", "", "Unknown", watcher.FateMinSeverity, false)
	alias.Missed = []watcher.ExplainedMiss{{ExplainedIgnore: watcher.ExplainedIgnore{ID: name, Package: "zlib"}, By: []string{watcher.MissedID, watcher.MissedPackage}}}
	view := func(scanner string, held bool, fs ...watcher.ExplainedFinding) watcher.ExplainedView {
		v := watcher.ExplainedView{Scanner: scanner, Found: fs}
		if held {
			v.Held = &watcher.ExplainedHeld{}
		}
		return v
	}
	unread, loading, unfinished := view("away", false), view("away", true, finding(name, fixed, "Low", watcher.FatePasses, false)), view("quiet", true, finding(name, "", "Low", watcher.FatePasses, false))
	unread.Unread, unread.Pending = watcher.UnreadClair, []watcher.ExplainedNews{{Kind: "report", Since: minute(2)}}
	loading.Told, loading.Pending, loading.FoundMore = &watcher.SeverityCount{High: 1}, unread.Pending, 3
	container := func(name, state string, views ...watcher.ExplainedView) watcher.ExplainedContainer {
		return watcher.ExplainedContainer{Kind: watcher.KindContainer, Name: name, Pods: 3, Image: "registry.example.com/shop/" + name + ":1.4", Digest: shopDigest,
			Platform: "linux/amd64", State: state, Scanners: views}
	}
	refused := container("refused", string(watcher.CauseUnauthorized), view("default", false))
	refused.Advice, refused.Remedy = watcher.State(watcher.CauseUnauthorized).Advice()
	refused.Since, refused.Next, refused.Tries = minute(3), minute(14), 1
	scanned := string(watcher.StateScanned)
	return watcher.Explanation{
		Namespace: "shop", Workload: "web", Vulnerability: name, Settings: watcher.ExplainedSettings{Applies: watcher.AppliesAll, Key: "_all"},
		Scanners: []watcher.ExplainedScanner{strict, quiet, away}, Pods: 3,
		Workloads: []watcher.ExplainedWorkload{{Kind: "Deployment", Name: "web", Pods: 3, Containers: []watcher.ExplainedContainer{
			container("web", scanned, view("default", true, missed), view("quiet", true, missed), unread),
			container("held", scanned, view("default", true, finding(name, fixed, "Low", watcher.FateMinSeverity, true), finding(name, "", "High", watcher.FateOnlyFixable, false)), unfinished, loading),
			container("ignored", scanned, view("default", true, ignored), view("quiet", true), view("away", true, settled)),
			container("alias", scanned, view("default", true, alias)),
			container("scratch", string(watcher.StateNotCovered), view("default", false)),
			refused,
			container("other", watcher.StateNotLookedAt, watcher.ExplainedView{Scanner: "default", Skipped: watcher.SkippedFinished}),
		}}},
	}
}

func TestExplain(t *testing.T) {
	many := watcher.Explanation{Namespace: "shop", Settings: watcher.ExplainedSettings{Applies: watcher.AppliesAll, Key: "_all"}, Pods: 40,
		Scanners: []watcher.ExplainedScanner{shopScanner("default")},
		Workloads: []watcher.ExplainedWorkload{{Kind: "Deployment", Name: "web", Pods: 40, Containers: []watcher.ExplainedContainer{{
			Kind: watcher.KindContainer, Name: "app", Pods: 40, Image: "web", Platform: "linux/amd64", Digest: shopDigest, State: string(watcher.StateScanned),
			Scanners: []watcher.ExplainedView{{Scanner: "default", Told: &watcher.SeverityCount{High: 1}, Untold: &watcher.SeverityCount{Low: 2}, Unread: watcher.UnreadMany}},
		}}}}}
	many.Scanners[0].MinSeverity, many.Scanners[0].Tell.Report, many.Scanners[0].Waiting = "High", false, 1
	mistaken := many
	mistaken.Settings = watcher.ExplainedSettings{Applies: watcher.AppliesOwn, Key: "shop", LastGood: true, Mistakes: []string{
		"shop[1].minSeverty (line 7): no such field; did you mean minSeverity?", "shop[1].slackWebhookUrl (line 8): the webhook has no path",
	}}
	nothing := func(applies, key string, mistakes ...string) watcher.Explanation {
		return watcher.Explanation{Namespace: "shop", Settings: watcher.ExplainedSettings{Applies: applies, Key: key, Mistakes: mistakes}, Pods: 1,
			Workloads: []watcher.ExplainedWorkload{{Kind: "Pod", Name: "web", Pods: 1, Containers: []watcher.ExplainedContainer{{
				Kind: watcher.KindContainer, Name: "app", Pods: 1, Image: "web", State: watcher.StateNotLookedAt,
			}}}}}
	}
	empty, gone := nothing(watcher.AppliesAll, "_all"), nothing(watcher.AppliesNone, "")
	empty.Pods, empty.Workloads = 0, nil
	gone.Pods, gone.Workloads, gone.Pod = 0, nil, "web-1"
	near, soughtMany := gone, many
	near.Near = []string{"web", "web-0"}
	soughtMany.Vulnerability = "CVE-2024-1234"
	misspelt, pkg := empty, soughtMany
	misspelt.NearNamespaces = []string{"shop-eu", "shops"}
	pkg.Vulnerability, pkg.NamesPackage = "openssl", true
	for name, c := range map[string]struct {
		explanation watcher.Explanation
		args        string
	}{
		"explain":             {shopExplanation(), "shop"},
		"explain-json":        {shopExplanation(), "shop --output json"},
		"explain-many":        {many, "shop"},
		"explain-last-good":   {mistaken, "shop"},
		"explain-mistake":     {nothing(watcher.AppliesOwn, "shop", "shop: not valid YAML: line 1: did not find expected …"), "shop"},
		"explain-opted-out":   {nothing(watcher.AppliesOptedOut, "shop"), "shop"},
		"explain-not-watched": {nothing(watcher.AppliesNone, ""), "shop"},
		"explain-no-pods":     {empty, "shop"},
		"explain-no-pod":      {gone, "shop/web-1"},
		"explain-near":        {near, "shop/web-1"},
		"explain-misspelt":    {misspelt, "shop"},
		"explain-package":     {pkg, "shop --vulnerability openssl"},

		"explain-vulnerability":      {soughtExplanation(), "shop/web --vulnerability CVE-2024-1234"},
		"explain-vulnerability-json": {soughtExplanation(), "shop/web --vulnerability CVE-2024-1234 --output json"},
		"explain-vulnerability-many": {soughtMany, "shop --vulnerability CVE-2024-1234"},
	} {
		t.Run(name, func(t *testing.T) {
			_, address := explainStand(t, always(c.explanation))
			s := clairwatch(t, "", append([]string{"explain", "--address", address}, strings.Fields(c.args)...)...)
			s.golden(t, name)
			s.harmless(t)
		})
	}
}

// TestExplainTell says what a channel was told as far as what it wants to hear lets anybody know.
func TestExplainTell(t *testing.T) {
	all := settings.DefaultTell()
	no := func(kinds string) settings.Tell {
		tell := settings.DefaultTell()
		for kind := range strings.FieldsSeq(kinds) {
			*map[string]*bool{"report": &tell.Report, "disclosed": &tell.Disclosed, "removed": &tell.Removed, "failed": &tell.Failed}[kind] = false
		}
		return tell
	}
	none, some := &watcher.SeverityCount{}, &watcher.SeverityCount{High: 1}
	for _, c := range []struct {
		view watcher.ExplainedView
		tell settings.Tell
		want string
	}{
		{watcher.ExplainedView{}, all, "told nothing of it yet"},
		{watcher.ExplainedView{Told: none}, all, "told that it runs, and of no vulnerabilities"},
		{watcher.ExplainedView{Told: none}, no("report"), "knows it runs, maybe without a message, as tell.report is false"},
		{watcher.ExplainedView{Told: some}, all, "told of 1 high"},
		{watcher.ExplainedView{Told: some}, no("removed failed"), "told of 1 high"},
		{watcher.ExplainedView{Told: some}, no("report"), "knows of 1 high, maybe without a message, as tell.report is false"},
		{watcher.ExplainedView{Told: some}, no("disclosed"), "knows of 1 high, maybe without a message, as tell.disclosed is false"},
		{watcher.ExplainedView{Told: some}, no("report disclosed"), "knows of 1 high, maybe without a message, as tell.report and tell.disclosed are false"},
		{watcher.ExplainedView{Failure: "not_found"}, all, "told that it could not be scanned (not_found)"},
		{watcher.ExplainedView{Failure: "not_found", Unheard: true}, no("failed"), "not told that it could not be scanned (not_found), as tell.failed was false"},
		{watcher.ExplainedView{Failure: "not_found", Unheard: true}, all, "not told that it could not be scanned (not_found), as tell.failed was false"},
		{watcher.ExplainedView{Failure: "not_found"}, no("failed"), "told that it could not be scanned (not_found)"},
		{watcher.ExplainedView{Failure: "loading"}, all, "told that Clair has no report of it yet"},
	} {
		if got := toldOf(watcher.ExplainedContainer{State: "scanned"}, c.view, c.tell); got != c.want {
			t.Errorf("%+v, %+v: %q, want %q", c.view, c.tell, got, c.want)
		}
	}
	untold := watcher.ExplainedView{Told: some}
	pending := watcher.ExplainedView{Pending: []watcher.ExplainedNews{{Kind: "report"}}}
	for _, c := range []struct {
		view watcher.ExplainedView
		tell settings.Tell
		want string
	}{
		{pending, no("report"), "about to be told"},
		{untold, all, "told after the next look at the image"},
		{untold, no("report"), "told after the next look at the image"},
		{untold, no("disclosed"), "known without a message from the next look on, as tell.disclosed is false"},
		{watcher.ExplainedView{}, no("disclosed"), "told after the next look at the image"},
		{watcher.ExplainedView{}, no("report"), "known without a message from the next look on, as tell.report is false"},
	} {
		if got := coming(c.view, c.tell); got != c.want {
			t.Errorf("%+v, %+v: %q, want %q", c.view, c.tell, got, c.want)
		}
	}
}

// TestExplainRefused has what is said when nothing can be explained.
func TestExplainRefused(t *testing.T) {
	refuses := func(err error) func(context.Context, watcher.Question) (watcher.Explanation, error) {
		return func(context.Context, watcher.Question) (watcher.Explanation, error) {
			return watcher.Explanation{}, err
		}
	}
	full, busy := explainStand(t, always(shopExplanation()))
	for range explainAtOnce {
		full.slots <- struct{}{}
	}
	_, standby := explainStand(t, refuses(&watcher.StandbyError{Leader: "clairwatch-6f-x2x7k"}))
	_, outside := explainStand(t, refuses(&watcher.StandbyError{Leader: "Somebody's laptop"}))
	_, starting := explainStand(t, refuses(&watcher.StandbyError{}))
	_, slow := explainStand(t, refuses(context.DeadlineExceeded))
	answering := func(h http.Handler) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	saying := func(status int, text string) string {
		return answering(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, text)
		}))
	}
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	metrics := answering(routes(func() bool { return true }, http.NotFoundHandler(), prometheus.NewRegistry(), nil, slog.New(slog.DiscardHandler)))
	other, elsewhere, login, none, page := saying(200, `{"namespace": "blog"}`), answering(http.RedirectHandler(busy, http.StatusFound)), saying(401, "who are you?"), gone(t), saying(200, "<h1>hello</h1>")
	speechless := listenSaying(t, "220 mail.example.com ESMTP\r\n")
	const (
		inPod = "ask in its pod: kubectl -n clairwatch exec deploy/clairwatch -- /clairwatch explain shop/web"
		named = "name the address of the pages with --address (web.listen in the daemon's config, 127.0.0.1:8081 if that does not say), or " + inPod
		wrong = "is not the pages of a clairwatch of this version, which are at another port than /metrics: " + named
	)
	for name, c := range map[string]struct{ address, want string }{
		"standby":         {standby, ": this replica stands by: ask the one that leads, clairwatch-6f-x2x7k: kubectl -n clairwatch exec clairwatch-6f-x2x7k -- /clairwatch explain shop/web"},
		"standby outside": {outside, ": this replica stands by: ask the one that leads, Somebody's laptop"},
		"starting":        {starting, ": this replica does not lead, and knows of no other that does: ask again in a moment"},
		"slow":            {slow, ": it took too long: ask for one workload or pod"},
		"busy":            {busy, ": others are asking: ask again in a moment"},
		"metrics":         {metrics, ": what answers there (status 404) " + wrong},
		"other":           {other, ": what answers there (status 200) " + wrong},
		"page":            {page, ": what answers there (status 200) " + wrong},
		"elsewhere":       {elsewhere, ": what answers there (status 302) wants a login, as a proxy before the pages does: " + inPod},
		"login":           {login, ": what answers there (status 401) wants a login, as a proxy before the pages does: " + inPod},
		"tls":             {strings.Replace(secure.URL, "https:", "http:", 1), ": what answers there speaks TLS: write https:// in --address; otherwise " + inPod},
		"untrusted":       {secure.URL, ": the certificate of what answers there is not trusted here: " + inPod},
		"no tls":          {strings.Replace(busy, "http:", "https:", 1), ": what answers there speaks no TLS: write http:// in --address; otherwise " + inPod},
		"no http":         {speechless, ": what answers there speaks no HTTP: " + named},
		"not there":       {none, ": dial tcp " + hostOf(t, none) + ": connect: connection refused: " + named},
		"no address":      {"ftp://a", ""},
	} {
		want := "clairwatch: asking the daemon at " + c.address + c.want + "\n"
		if c.want == "" {
			want = "clairwatch: --address: want the address of the daemon's pages, such as 127.0.0.1:8081\n"
		}
		if s := clairwatch(t, "", "explain", "--address", c.address, "shop/web"); s.errs != want || s.out != "" || s.code != exitFailed {
			t.Errorf("%s: %+v, want %q", name, s, want)
		}
	}
}

// listenSaying is the address of something that answers all that it is asked with a text.
func listenSaying(t *testing.T, text string) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1<<10))
			_, _ = c.Write([]byte(text))
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return "http://" + l.Addr().String()
}

func TestQuoted(t *testing.T) {
	for in, want := range map[string]string{
		"CVE-2023-4911": "CVE-2023-4911", "RHSA-2024:2679": "RHSA-2024:2679", "a b": "'a b'", "it's": `'it'\''s'`, "$(x)": "'$(x)'", "": "",
	} {
		if got := quoted(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

// TestExplainAddress asks where the config says that the pages are.
func TestExplainAddress(t *testing.T) {
	var asked string
	_, address := explainStand(t, func(_ context.Context, q watcher.Question) (watcher.Explanation, error) {
		asked = q.Namespace + "/" + q.Name
		if q.Vulnerability != "" {
			asked += " " + q.Vulnerability
		}
		return watcher.Explanation{Namespace: q.Namespace, Pod: q.Name, Pods: 1, Vulnerability: q.Vulnerability}, nil
	})
	config := writeFile(t, "config.yaml", "web:\n  listen: "+hostOf(t, address)+"\n")
	if s := clairwatch(t, "", "explain", "--config", config, "shop/web-1.a"); s.code != 0 || asked != "shop/web-1.a" {
		t.Errorf("%+v, asked for %s", s, asked)
	}
	if s := clairwatch(t, "", "explain", "--address", hostOf(t, address), "shop"); s.code != 0 || asked != "shop/" {
		t.Errorf("%+v, asked for %s", s, asked)
	}
	if s := clairwatch(t, "", "explain", "--address", hostOf(t, address), "shop/web", "--vulnerability", "RHSA-1: a & b"); s.code != 0 || asked != "shop/web RHSA-1: a & b" {
		t.Errorf("%+v, asked for %s", s, asked)
	}
	for listen, want := range map[string]string{
		"127.0.0.1:8081": "127.0.0.1:8081", ":8081": "127.0.0.1:8081", "0.0.0.0:8081": "127.0.0.1:8081", "[::]:8081": "[::1]:8081",
		"10.0.0.1:8081": "10.0.0.1:8081", "localhost:8081": "localhost:8081", "": "", "127.0.0.1:0": "", "8081": "",
	} {
		if got, err := addressOfPages(listen); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", listen, got, err, want)
		}
	}
	off := writeFile(t, "off.yaml", "web:\n  listen: \"\"\n")
	if s := clairwatch(t, "", "explain", "--config", off, "shop"); s.code != exitFailed || !strings.Contains(s.errs, "set web.listen") {
		t.Errorf("%+v", s)
	}
}

// TestExplainRoute shows what the listener of the pages answers.
func TestExplainRoute(t *testing.T) {
	e, address := explainStand(t, func(ctx context.Context, q watcher.Question) (watcher.Explanation, error) {
		if _, limited := ctx.Deadline(); !limited {
			t.Error("the question has no deadline")
		}
		return watcher.Explanation{Namespace: q.Namespace, Vulnerability: q.Vulnerability}, nil
	})
	full, busy := explainStand(t, nil)
	for range explainAtOnce {
		full.slots <- struct{}{}
	}
	long := strings.Repeat("a", 64)
	for _, c := range []struct {
		method, address, path string
		status                int
		body                  string
	}{
		{"GET", address, "/explain?namespace=shop", 200, `"namespace": "shop"`},
		{"GET", address, "/explain?namespace=shop&name=web-1.a", 200, `"namespace": "shop"`},
		{"GET", address, "/explain?namespace=shop&vulnerability=CVE-2023-4911", 200, `"vulnerability": "CVE-2023-4911"`},
		{"GET", address, "/explain?namespace=shop&vulnerability=%1b", 400, "want the name of one advisory"},
		{"GET", address, "/explain?namespace=shop&vulnerability=%ff", 400, "want the name of one advisory"},
		{"GET", address, "/explain?namespace=shop&vulnerability=" + strings.Repeat("a", 257), 400, "want the name of one advisory"},
		{"GET", address, "/", 200, "a page"},
		{"POST", address, "/", 200, "a page"}, // which is for the pages to refuse
		{"GET", address, "/explain/", 200, "a page"},
		{"POST", address, "/explain?namespace=shop", 405, "this can only be read"},
		{"HEAD", address, "/explain?namespace=shop", 405, ""},
		{"GET", address, "/explain", 400, "is no name of a namespace"},
		{"GET", address, "/explain?namespace=_all", 400, "is no name of a namespace"},
		{"GET", address, "/explain?namespace=" + long, 400, "is no name of a namespace"},
		{"GET", address, "/explain?namespace=%1b%5b31m", 400, `"error": "\"`},
		{"GET", address, "/explain?namespace=shop&name=../x", 400, "is no name of a pod or workload"},
		{"GET", busy, "/explain?namespace=shop", 503, "others are asking"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), c.method, c.address+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		var body strings.Builder
		_ = response.Write(&body)
		response.Body.Close()
		if response.StatusCode != c.status || !strings.Contains(body.String(), c.body) || strings.Contains(body.String(), "\x1b") {
			t.Errorf("%s %s: status %d, want %d and %q:\n%s", c.method, c.path, response.StatusCode, c.status, c.body, &body)
		}
		h := response.Header
		if c.body != "a page" && (h.Get("Content-Type") != "application/json" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store") {
			t.Errorf("%s %s: header %v", c.method, c.path, h)
		}
	}
	if len(e.slots) != 0 {
		t.Error("a slot was not given back")
	}
}

// TestExplainSite asks a Watcher by the command, whose channel takes no messages, and looks for webhooks.
func TestExplainSite(t *testing.T) {
	inSite(t, func(t *testing.T, s *site) {
		s.handler = newExplanations(s.source.watcher, s.handler)
		w := s.get(explainPath + "?" + url.Values{"namespace": {"shop"}, "name": {"api-7d4f"}}.Encode())
		var e watcher.Explanation
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != 200 || e.Pods != 1 {
			t.Fatalf("status %d, %v: %s", w.Code, err, w.Body)
		}
		var text strings.Builder
		if err := writeExplanation(&text, formTable, e); err != nil {
			t.Error(err)
		}
		for _, want := range []string{
			"Namespace shop has a key of its own in the settings.", "default: its channel is in trouble since", "Slack does not know the webhook",
			"Pod api-7d4f\n", "container api: registry.example.com/shop/api:v1\n", "waits to be told since", ": report (its channel is in trouble, see above)\n",
		} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("it does not say %q:\n%s", want, &text)
			}
		}
		for part := range strings.SplitSeq(revokedPath+idlePath, "/") {
			if part != "" && strings.Contains(text.String(), part) {
				t.Errorf("%q of a webhook is shown:\n%s", part, &text)
			}
		}
		s.want("/", 200, "What runs in")
	})
}

// TestExplainHostileNames writes what a cluster's tenants can choose so that a terminal takes no harm.
func TestExplainHostileNames(t *testing.T) {
	const evil = "\x1b[31mred\r\n\u202eevil\x00"
	e := shopExplanation()
	e.Settings.Mistakes = []string{evil}
	for i := range e.Scanners {
		e.Scanners[i].Trouble, e.Scanners[i].Channel, e.Scanners[i].Clair = evil, evil, evil
		for j := range e.Scanners[i].Ignore {
			e.Scanners[i].Ignore[j].ID = evil
		}
	}
	for i := range e.Workloads {
		w := &e.Workloads[i]
		w.Name, w.Kind = evil, evil
		for j := range w.Containers {
			c := &w.Containers[j]
			c.Name, c.Image, c.Platform, c.Advice = evil, evil, evil, evil
			for k := range c.Waits {
				c.Waits[k].Clair = evil
			}
			for k := range c.Scanners {
				c.Scanners[k].Scanner = evil
				if h := c.Scanners[k].Held; h != nil {
					h.Untold.Ignored = []watcher.ExplainedIgnored{{
						ExplainedIgnore: watcher.ExplainedIgnore{ID: evil, Package: evil, Reason: evil, Matches: 1}, Counts: watcher.SeverityCount{Low: 1},
					}}
					h.Told.Ignored = h.Untold.Ignored
				}
			}
		}
	}
	_, address := explainStand(t, always(e))
	sought := soughtExplanation()
	for i := range sought.Workloads[0].Containers {
		for j := range sought.Workloads[0].Containers[i].Scanners {
			for k := range sought.Workloads[0].Containers[i].Scanners[j].Found {
				f := &sought.Workloads[0].Containers[i].Scanners[j].Found[k]
				f.Name, f.Package, f.Installed, f.FixedIn, f.Severity, f.Ignore = evil, evil, evil, evil, evil, &watcher.ExplainedIgnore{ID: evil, Reason: evil}
				for l := range f.Missed {
					f.Missed[l].ID, f.Missed[l].Image = evil, evil
				}
			}
		}
	}
	_, seeking := explainStand(t, always(sought))
	for _, form := range []string{formTable, formJSON} {
		for _, line := range [][]string{{"--address", address}, {"--address", seeking, "--vulnerability", "CVE-2024-1234"}} {
			s := clairwatch(t, "", append([]string{"explain", "--output", form, "shop"}, line...)...)
			if s.code != 0 || !strings.Contains(s.out, "red") {
				t.Errorf("%+v", s)
			}
			s.harmless(t)
		}
	}
	e = watcher.Explanation{Namespace: "shop", Pod: "web", Near: []string{evil}}
	_, nothing := explainStand(t, always(e))
	if s := clairwatch(t, "", "explain", "--address", nothing, "shop/web"); s.code != exitFound || !strings.Contains(s.errs, "red") {
		t.Errorf("%+v", s)
	} else {
		s.harmless(t)
	}
}

func TestWriteExplanationFails(t *testing.T) {
	if err := writeExplanation(failingWriter{}, formTable, shopExplanation()); !errors.Is(err, errFull) {
		t.Error(err)
	}
}

var errFull = errors.New("no space left on device")

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errFull }
