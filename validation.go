package main

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/clairwatch/clairwatch/settings"
)

// leastLease leaves time for a message to Slack between two renewals of the Lease. The default leaves more than
// Slack is given for an answer.
const leastLease = 3 * time.Second

// longestExternalURL keeps links short enough for messages, which hold many.
const longestExternalURL = 200

// wantFile is for what is no path. That is not repeated: it may be the secret itself.
const wantFile = "want the path of a file, from the root on, and not what is in it"

// validate says all that is wrong, with the path of each key.
func (c Config) validate() error {
	var errs []error
	wrong := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if c.Settings == "" {
		wrong("settings", "want the name of a ConfigMap")
	}
	if _, port, err := net.SplitHostPort(c.Listen); err != nil || port == "" {
		wrong("listen", "%q: want an address such as :8080", c.Listen)
	}
	if _, err := logLevel(c.Log.Level); err != nil {
		wrong("log.level", "%v", err)
	}
	if !slices.Contains([]string{"json", "text"}, c.Log.Format) {
		wrong("log.format", "%q: want json or text", c.Log.Format)
	}
	if c.Workers < 1 {
		wrong("workers", "%d: want at least 1", c.Workers)
	}
	if c.MaxImages < 0 {
		wrong("maxImages", "%d: want a number of images, or 0 for any number", c.MaxImages)
	}
	if _, port, err := net.SplitHostPort(c.Web.Listen); c.Web.Listen != "" && (err != nil || port == "") {
		wrong("web.listen", "%q: want an address such as 127.0.0.1:8081, or nothing for no pages", c.Web.Listen)
	}
	if misplaced(c.Web.TokenFile) {
		wrong("web.tokenFile", wantFile)
	}
	if c.ExternalURL != "" && c.Web.Listen == "" {
		wrong("externalURL", "there are no pages to link to, because web.listen is empty")
	}
	if u, err := url.Parse(c.ExternalURL); c.ExternalURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(c.ExternalURL) > longestExternalURL || !isASCII(c.ExternalURL)) {
		wrong("externalURL", "want an address such as https://clairwatch.example.com/, in ASCII, without user, query and fragment, of at most %d characters", longestExternalURL)
	}
	for key, d := range map[string]time.Duration{
		"groupWait": c.GroupWait, "groupMax": c.GroupMax, "refresh": c.Refresh, "grace": c.Grace,
		"dataQuiet": c.DataQuiet, "dataMax": c.DataMax, "removalGrace": c.RemovalGrace, "deleteGrace": c.DeleteGrace,
	} {
		if d < 0 {
			wrong(key, "%s: want a duration that is not negative, such as 30s", d)
		}
	}
	if c.GroupMax < c.GroupWait {
		wrong("groupMax", "%s: want at least groupWait, %s", c.GroupMax, c.GroupWait)
	}
	if c.Refresh > 0 && c.Refresh < time.Second {
		wrong("refresh", "%s: want at least 1s, or 0s for never", c.Refresh)
	}
	if c.DataEvery < time.Second {
		wrong("dataEvery", "%s: want at least 1s", c.DataEvery)
	}
	if c.DataMax < c.DataQuiet {
		wrong("dataMax", "%s: want at least dataQuiet, %s", c.DataMax, c.DataQuiet)
	}
	if c.LeaderElection.Enabled && c.LeaderElection.Lease == "" {
		wrong("leaderElection.lease", "want the name of a Lease, such as clairwatch")
	}
	if c.LeaderElection.Enabled && c.LeaderElection.Duration < leastLease {
		wrong("leaderElection.duration", "%s: want at least %s", c.LeaderElection.Duration, leastLease)
	}
	if len(c.SlackHosts) == 0 {
		wrong("slackHosts", "want at least one host, such as hooks.slack.com")
	}
	for i, host := range c.SlackHosts {
		if host == "" || strings.ContainsAny(host, "/@?# ") {
			wrong(fmt.Sprintf("slackHosts[%d]", i), "want a host such as hooks.slack.com, with a port unless that is 443")
		}
	}
	if c.DockerConfig != "" {
		if info, err := os.Stat(c.DockerConfig); err == nil && info.IsDir() {
			wrong("dockerConfig", "%s is a folder: want the file in it", c.DockerConfig)
		}
	}
	for i, clair := range c.Clairs {
		key := fmt.Sprintf("clairs[%d]", i)
		if _, err := settings.BaseURL(clair.URL); err != nil {
			wrong(key+".url", "%v", err)
		}
		if slices.ContainsFunc(c.Clairs[:i], func(o ClairConfig) bool { return sameAddress(o.URL, clair.URL) }) {
			wrong(key+".url", "is in the list twice")
		}
		for field, d := range map[string]time.Duration{"indexTimeout": clair.IndexTimeout, "reportTimeout": clair.ReportTimeout} {
			if d < 0 {
				wrong(key+"."+field, "%s: want a duration that is not negative, such as 30s", d)
			}
		}
		for field, n := range map[string]int{"indexConcurrency": clair.IndexConcurrency, "reportConcurrency": clair.ReportConcurrency} {
			if n < 0 {
				wrong(key+"."+field, "%d: want at least 1, or 0 for the default", n)
			}
		}
	}
	c.validateCallers(wrong)
	if c.RegistryCAFile != "" && !filepath.IsAbs(c.RegistryCAFile) {
		wrong("registryCAFile", wantFile)
	}
	if err := c.registryConfig().Validate(); err != nil {
		errs = append(errs, err) // it begins each line with the key
	}
	return joined(errs)
}

// validateCallers says what is wrong with how Clairs and clairwatch know each other.
func (c Config) validateCallers(wrong func(key, format string, args ...any)) {
	if c.NotifyTokenFile != "" && !filepath.IsAbs(c.NotifyTokenFile) {
		wrong("notifyTokenFile", wantFile)
	}
	taken := make(map[string]bool) // a callback must lead to one Clair
	for _, clair := range c.Clairs {
		if base, err := settings.BaseURL(clair.URL); err == nil {
			taken[base] = true
		}
	}
	for i, clair := range c.Clairs {
		if clair.CAFile != "" && !filepath.IsAbs(clair.CAFile) {
			wrong(fmt.Sprintf("clairs[%d].caFile", i), wantFile)
		}
		if clair.PSKFile != "" && !filepath.IsAbs(clair.PSKFile) {
			wrong(fmt.Sprintf("clairs[%d].pskFile", i), wantFile)
		}
		for n, alias := range clair.CallbackAliases {
			key := fmt.Sprintf("clairs[%d].callbackAliases[%d]", i, n)
			base, err := settings.BaseURL(alias)
			switch {
			case err != nil:
				wrong(key, "%v", err)
			case taken[base]:
				wrong(key, "is the address or an alias of a Clair already")
			}
			taken[base] = true
		}
	}
}

// isASCII says whether an address is written as Slack takes it in a link: xn--bcher-kva.example, not bücher.example.
func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
