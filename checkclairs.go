package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/settings"
	"github.com/clairwatch/clairwatch/watcher"
)

// staleData is how long no source of a Clair may have been new until somebody should have a look: distributions publish
// advisories every day, and Clair asks for them every six hours.
const staleData = 3 * 24 * time.Hour

// checkNotify says who may call /notify.
func (c *checkup) checkNotify() []row {
	const what = "who may call /notify"
	if misplaced(c.cfg.NotifyTokenFile) || slices.ContainsFunc(c.cfg.Clairs, func(c ClairConfig) bool { return misplaced(c.PSKFile) }) {
		return []row{{what, isSkipped, mendFirst}}
	}
	if clairCallers(c.cfg).Anybody() {
		return []row{{what, isWarning, "anybody who reaches the port: set notifyTokenFile, or pskFile of the Clairs, to let in nobody else"}}
	}
	const who = "who has the token, or the key of a Clair"
	cfg, away := c.withoutElsewhere()
	here := clairCallers(cfg)
	var rows []row
	if err := here.Check(); err != nil {
		rows = mistakes(what, err)
	}
	switch {
	case away && here.Anybody():
		return []row{{what, isInfo, who + "; their files are not here and were not looked at: check them where the daemon runs"}}
	case away:
		return append(rows, row{what, isInfo, who + "; some of their files are not here and were not looked at: check them where the daemon runs"})
	case len(rows) > 0:
		return rows
	}
	return []row{{what, isOK, who}}
}

// withoutElsewhere is the config without the token and the keys whose files are elsewhere, and says whether there are any.
func (c *checkup) withoutElsewhere() (cfg Config, away bool) {
	cfg = c.cfg
	cfg.Clairs = slices.Clone(cfg.Clairs)
	files := []*string{&cfg.NotifyTokenFile}
	for i := range cfg.Clairs {
		files = append(files, &cfg.Clairs[i].PSKFile)
	}
	for _, file := range files {
		if *file != "" && c.isElsewhere(*file) {
			*file, away = "", true
		}
	}
	return cfg, away
}

// misplaced says that a setting which names a file holds something else, which may be the secret itself, and so must
// not be in an error.
func misplaced(file string) bool { return file != "" && !filepath.IsAbs(file) }

// checkClairs tries each Clair that a Scanner or the config names.
func (c *checkup) checkClairs(ctx context.Context, found settingsFound) []row {
	named := make(map[string]bool) // by address; whether a Scanner has it
	for _, entry := range c.cfg.Clairs {
		if base, err := settings.BaseURL(entry.URL); err == nil { // otherwise the config says so
			named[base] = false
		}
	}
	for _, scanners := range found.scanners {
		for _, s := range scanners {
			named[s.ClairBaseURL] = true
		}
	}
	at := clairClients(c.cfg)
	return inOrder(slices.Sorted(maps.Keys(named)), func(base string) []row {
		what := "Clair " + base
		if misplaced(c.cfg.clairConfig(base).PSKFile) {
			return []row{{what, isSkipped, mendFirst}}
		}
		client, err := at(base)
		if err != nil {
			return []row{{what, isProblem, err.Error()}}
		}
		ctx, cancel := context.WithTimeout(ctx, checkTime)
		defer cancel()
		rows := checkClair(ctx, what, client, time.Now())
		if found.scanners != nil && !found.doubt && !named[base] {
			rows = append(rows, row{what, isWarning, "no Scanner that can be read uses it: see whether its url under clairs is their clairBaseUrl"})
		}
		return rows
	})
}

// checkClair asks a Clair whether it works, and what data it has.
func checkClair(ctx context.Context, what string, c watcher.Clair, now time.Time) []row {
	state, err := c.State(ctx)
	switch {
	case clair.IsKind(err, clair.NotFound): // a gateway may hide it
		state = ""
	case ctx.Err() != nil:
		return []row{{what, isProblem, fmt.Sprintf("no answer within %s: see whether it runs, and can be reached from here", checkTime)}}
	case err != nil:
		return []row{{what, isProblem, withNetwork(err).Error()}}
	}
	said := "answers"
	if state != "" {
		said += ", index_state " + state
	}
	updates, err := c.Updates(ctx, "")
	switch {
	case state == "" && clair.IsKind(err, clair.NotFound):
		return []row{{what, isProblem, "something answers there that has neither an indexer nor a matcher: see whether the address is right, path included"}}
	case clair.IsKind(err, clair.NotFound), clair.IsKind(err, clair.Unauthorized), clair.IsKind(err, clair.Invalid):
		return []row{{what, isInfo, said + "; what data it has is hidden, so images are looked at again every refresh"}}
	case err != nil:
		return []row{{what, isProblem, said + "; " + withNetwork(err).Error()}}
	case updates.Newest().IsZero():
		return []row{{what, isWarning, said + "; it has no vulnerability data: it is still loading it, or has no updaters"}}
	}
	if !updates.Now.IsZero() {
		now = updates.Now // its clock, as the times are
	}
	newest := updates.Newest()
	said += fmt.Sprintf("; data of %s, the newest %s", counted(len(updates.Updaters), "source"), ago(now.Sub(newest)))
	if now.Sub(newest) > staleData {
		return []row{{what, isWarning, said + ": see whether its updaters reach their sources"}}
	}
	return []row{{what, isOK, said}}
}

// withNetwork adds what the network said where a Clair could not be reached, which people need to mend it. What a Clair
// says itself can quote secrets.
func withNetwork(err error) error {
	if e, ok := errors.AsType[*clair.Error](err); ok && e.Kind == clair.Temporary && e.Status == 0 {
		return fmt.Errorf("%w: %s", err, e.Detail())
	}
	return err
}

// ago is a length of time before now, in the largest unit of which it has two.
func ago(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return "just now"
	case d < 2*time.Hour:
		return counted(int(d/time.Minute), "minute") + " old"
	case d < 48*time.Hour:
		return counted(int(d/time.Hour), "hour") + " old"
	}
	return counted(int(d/(24*time.Hour)), "day") + " old"
}
