package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/clairwatch/clairwatch/sandbox/image"
	"github.com/clairwatch/clairwatch/sandbox/stage"
	"github.com/clairwatch/clairwatch/sandbox/vulnerability"
)

// options say how it is run.
type options struct {
	// seed decides what happens.
	seed uint64
	// length is for how long faults are injected, in rounds that are not cut short. Zero: each comes once.
	length time.Duration
	// hold is how long a fault lasts. A long one lasts for longer than the daemon's Lease.
	hold time.Duration
	// race builds the daemon with the race detector.
	race bool
	// keep leaves the folder with logs and data in place.
	keep bool
	// short leaves out faults of which there is another one much like it, and has outages end before the Lease does.
	short bool
	// only are the faults that are injected, by parts of their names; empty: all.
	only string
	// say is told in a line what happens.
	say func(format string, args ...any)
}

const (
	// fleetSize is how many images there are to run; shortFleet is enough for the short form.
	fleetSize, shortFleet = 200, 60
	// patience is how long the world may take to come to rest, when nothing fails any more.
	patience = 3 * time.Minute
	// quiet is how long nothing may be told at the end, and after the last restart: more than twice the daemon's
	// groupWait, its removalGrace, and how often it asks for newer data.
	quiet = 8 * time.Second
	// leaseTime is the duration of the daemon's Lease.
	leaseTime = 12 * time.Second
)

// namespaces are those that are watched. The channel of each has its name.
var namespaces = []string{"north", "east", "south", "west"}

// settings are those of the daemon: what takes minutes and hours in the world takes seconds here, in the same order.
func settings(s *stage.Stage, g *stage.Gate) map[string]any {
	return map[string]any{
		"log":            map[string]any{"format": "text", "level": "info"},
		"groupWait":      "1s",
		"groupMax":       "20s",
		"removalGrace":   "3s",
		"refresh":        "10m", // what is news is found by Clair's webhook or the probe
		"dataEvery":      "1s",
		"dataQuiet":      "2s",
		"dataMax":        "20s",
		"leaderElection": map[string]any{"identity": "daemon", "duration": leaseTime.String()},
		"clairs": []map[string]any{{
			"url": g.ClairURL, "callbackAliases": []string{s.ClairURL}, "reportTimeout": "3s", "indexTimeout": "15s",
		}},
	}
}

// soak is one run.
type soak struct {
	options
	stage   *stage.Stage
	gate    *stage.Gate
	keeper  *keeper
	journal *journal
	churner *churner
	facts   []vulnerability.Fact

	letters []letter // of all messages so far
	reports map[string][]string
	digests map[string]string // by image
	samples []sample
	rounds  int
	force   string // the fault in force, or the last one
	begun   time.Time
}

// run does it all. The error says what went wrong, and how to have it happen again.
func run(ctx context.Context, o options) (result, error) {
	s := &soak{
		options: o, journal: &journal{}, reports: make(map[string][]string), digests: make(map[string]string), begun: time.Now(),
	}
	err := s.live(ctx)
	if err != nil {
		err = fmt.Errorf("seed %d, round %d, %s: %w", o.seed, s.rounds, cmp.Or(s.force, "nothing failed"), err)
	}
	return s.result(), err
}

// live sets everything up, has it happen, and takes it down.
func (s *soak) live(ctx context.Context) (err error) {
	if len(s.chosen()) == 0 {
		return fmt.Errorf("there is no fault with %q in its name", s.only)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if s.stage, err = stage.Start(ctx, stage.Options{Log: s.say, Race: s.race, Keep: s.keep}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stage.Stop()) }()
	if s.gate, err = s.stage.OpenGate(); err != nil {
		return err
	}
	defer s.gate.Close()
	if err := s.furnish(ctx); err != nil {
		return err
	}
	daemon, err := s.stage.Launch(ctx, stage.Setup{Gate: s.gate, Config: settings(s.stage, s.gate)})
	if err != nil {
		return err
	}
	s.keeper = &keeper{daemon: daemon, process: daemon.Process, journal: s.journal, wanted: true}
	kept := make(chan error, 1)
	go func() {
		err := s.keeper.keep(ctx)
		if err != nil {
			cancel(fmt.Errorf("starting the daemon again: %w", err))
		}
		kept <- err
	}()
	defer func() {
		cancel(nil)
		<-kept
		err = errors.Join(err, daemon.Process.Kill())
	}()
	if err := s.happen(ctx); err != nil {
		return err
	}
	return s.conclude(ctx)
}

// furnish puts images into the registry, and has the namespaces watched.
func (s *soak) furnish(ctx context.Context) error {
	images := fleetSize
	if s.short {
		images = shortFleet
	}
	fleet, err := image.Fleet(images)
	if err != nil {
		return err
	}
	if err := s.stage.Push(ctx, fleet...); err != nil {
		return err
	}
	for _, sample := range fleet {
		if s.digests[sample.Name], err = digestOf(sample); err != nil {
			return err
		}
	}
	keys := make(map[string]string)
	for _, namespace := range namespaces {
		if err := s.stage.MakeNamespace(ctx, namespace); err != nil {
			return err
		}
		keys[namespace] = s.gate.Scanner(namespace)
	}
	s.churner = &churner{
		stage: s.stage, journal: s.journal, pods: make(map[string][]string), images: make(map[string]string),
	}
	if s.facts, err = vulnerability.Facts(vulnerability.First); err != nil {
		return err
	}
	return s.stage.WatchOnly(ctx, keys)
}

// chosen are the faults that are injected.
func (s *soak) chosen() []fault {
	return slices.DeleteFunc(faults(), func(f fault) bool { return !strings.Contains(f.name, s.only) || s.short && f.kin })
}

// happen has one round follow another.
func (s *soak) happen(ctx context.Context) error {
	all := make(map[string]fault)
	var names []string
	for _, f := range s.chosen() {
		all[f.name] = f
		names = append(names, f.name)
	}
	planner := plan(s.seed, namespaces, slices.Sorted(maps.Keys(s.digests)), names)
	if err := s.round(ctx, planner.first(), fault{}); err != nil {
		return err
	}
	for begun := time.Now(); time.Since(begun) < s.length || s.length == 0 && s.rounds <= len(names); {
		r := planner.next()
		if err := s.round(ctx, r, all[r.fault]); err != nil {
			return err
		}
	}
	return nil
}

// round has something fail while the cluster changes, mends it, and waits until all is told that is to be told.
func (s *soak) round(ctx context.Context, r round, f fault) error {
	began, told := time.Now(), len(s.stage.Slack.Messages(""))
	s.force = r.fault
	hold := s.hold
	if r.long && f.ends && !s.short || f.outlasts {
		hold = max(hold, leaseTime+2*time.Second)
	}
	first := len(r.actions) / 2 // these are in hand when it fails
	if err := s.churn(ctx, r.actions[:first], 0); err != nil {
		return err
	}
	if f.begin != nil {
		if f.ends {
			s.keeper.suffers(time.Now())
		}
		if err := f.begin(ctx, s); err != nil {
			return fmt.Errorf("injecting it: %w", err)
		}
	}
	over := time.NewTimer(hold)
	defer over.Stop()
	if !f.halts {
		if err := s.churn(ctx, r.actions[first:], hold/4); err != nil {
			return err
		}
	}
	if r.publish != "" && !f.blind {
		if err := s.publish(ctx, r.publish); err != nil {
			return err
		}
	}
	if f.begin != nil {
		select {
		case <-over.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if f.mend != nil {
		if err := f.mend(ctx, s); err != nil {
			return fmt.Errorf("mending it: %w", err)
		}
	}
	mended := time.Now()
	if f.halts {
		if err := s.churn(ctx, r.actions[first:], 0); err != nil {
			return err
		}
	}
	if r.publish != "" && f.blind {
		if err := s.publish(ctx, r.publish); err != nil {
			return err
		}
	}
	if err := s.rest(ctx); err != nil {
		return err
	}
	s.keeper.suffers(time.Time{})
	if err := s.sample(ctx); err != nil {
		return err
	}
	s.gate.Forget()
	s.say("round %d, %s: %d changes, %d messages, at rest %.1f s after the end of it, %.1f s in all", s.rounds,
		cmp.Or(r.fault, "nothing fails"), len(r.actions), len(s.stage.Slack.Messages(""))-told,
		time.Since(mended).Seconds(), time.Since(began).Seconds())
	s.rounds++
	return nil
}

// churn does some of a round's actions, with pauses between them.
func (s *soak) churn(ctx context.Context, actions []action, pause time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the cluster does not take what is asked of it"))
	defer cancel()
	for i, a := range actions {
		if i > 0 && pause > 0 {
			select {
			case <-time.After(pause / time.Duration(len(actions))):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err := s.churner.do(ctx, a); err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
	}
	return nil
}

// publish has something become known about a package that all images have.
func (s *soak) publish(ctx context.Context, pkg string) error {
	p := published{cve: fmt.Sprintf("CVE-2099-%04d", len(s.journal.evidence().published)+1), begun: time.Now()}
	s.facts = append(s.facts, vulnerability.Fact{
		Name: p.cve, Published: "2099-01-01", Description: "Something that became known.",
		Debian: []vulnerability.Debian{{Package: pkg, Release: "bookworm", Urgency: "medium", Fixed: "99:1"}},
	})
	if err := s.stage.ImportFacts(ctx, s.stage.Clair(), s.facts); err != nil {
		return err
	}
	p.done = time.Now()
	s.journal.publish(p)
	return nil
}

// rest waits until the cluster is as it was asked to be, the checker misses nothing, and the daemon has nothing left to
// do. What is wrong already is an error at once.
func (s *soak) rest(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not at rest after %s", patience))
	defer cancel()
	err := stage.Await(ctx, "the pods", func() (bool, error) {
		rest, err := s.churner.atRest(ctx, namespaces)
		return rest && err == nil, nil
	})
	if err != nil {
		return err
	}
	var complaints []complaint
	err = stage.Await(ctx, "all to be told", func() (bool, error) {
		if err := s.look(ctx); err != nil {
			return false, err
		}
		if complaints = s.check(); slices.ContainsFunc(complaints, func(c complaint) bool { return !c.missing }) {
			return false, complaintsError(complaints)
		}
		return len(complaints) == 0 && s.reported() && s.idle(ctx), nil
	})
	if err != nil {
		if !s.reported() {
			err = errors.Join(err, errors.New("not all that was published is reported by Clair"))
		}
		log := fmt.Errorf("the log of the daemon ends with:\n%s", s.keeper.daemon.Tail(60))
		if !slices.ContainsFunc(complaints, func(c complaint) bool { return !c.missing }) && len(complaints) > 0 {
			log = errors.Join(complaintsError(complaints), log)
		}
		return errors.Join(err, log)
	}
	if ends := s.keeper.ends(); len(ends) > 0 {
		return errors.New(strings.Join(ends, "\n"))
	}
	s.journal.settle()
	return nil
}

// check has the checker look at all that there is.
func (s *soak) check() []complaint {
	e := s.journal.evidence()
	messages := s.stage.Slack.Messages("")
	for _, m := range messages[len(s.letters):] {
		s.letters = append(s.letters, read(m))
	}
	e.letters, e.reports = s.letters, s.reports
	return check(e)
}

// look asks Clair, past the daemon, what it says of each image that has run.
func (s *soak) look(ctx context.Context) error {
	known := len(s.journal.evidence().published)
	for _, r := range s.journal.evidence().stays {
		if reported, ok := s.reports[r.image]; ok && len(reported) == known {
			continue // all of them concern all images
		}
		var report struct {
			Vulnerabilities map[string]struct{ Name string }
		}
		address := s.stage.ClairURL + "/matcher/api/v1/vulnerability_report/" + s.digests[r.image]
		err := ask(ctx, address, &report)
		var status *statusError
		if errors.As(err, &status) && status.code == http.StatusNotFound { // it was gone before it was indexed
			continue
		}
		if err != nil {
			return fmt.Errorf("asking Clair about %s: %w", r.image, err)
		}
		var names []string
		for _, v := range report.Vulnerabilities {
			if cveName.MatchString(v.Name) {
				names = append(names, v.Name)
			}
		}
		slices.Sort(names)
		s.reports[r.image] = slices.Compact(names)
	}
	return nil
}

// reported says whether Clair reports all that was published for each image that runs and that it knows: otherwise
// nothing would be wanted of the daemon.
func (s *soak) reported() bool {
	e := s.journal.evidence()
	return !slices.ContainsFunc(e.stays, func(r stay) bool {
		names, known := s.reports[r.image]
		return known && r.ended.IsZero() && len(names) < len(e.published)
	})
}

// idle says whether the daemon has nothing left to do, as far as it knows itself. It is no evidence: it is only waited
// for.
func (s *soak) idle(ctx context.Context) bool {
	m, err := s.keeper.daemon.Metrics(ctx)
	return err == nil && m["clairwatch_news_pending"] == 0 && m[`clairwatch_images{state="untried"}`] == 0 &&
		m[`workqueue_depth{name="images"}`] == 0 && m[`workqueue_unfinished_work_seconds{name="images"}`] == 0 &&
		m["clairwatch_leader"] == 1
}

// conclude checks what can only be said at the end: that nothing more comes, that a restart is silent, that the daemon
// takes no more than at the beginning, and that its log is clean.
func (s *soak) conclude(ctx context.Context) error {
	s.force = "the end"
	if err := s.silence(ctx, "after all was told", len(s.letters)); err != nil {
		return err
	}
	if err := flat(s.samples); err != nil {
		return err
	}
	before := len(s.letters)
	if err := s.keeper.end(ctx); err != nil {
		return err
	}
	if err := s.keeper.start(ctx); err != nil {
		return err
	}
	if err := s.rest(ctx); err != nil {
		return err
	}
	if err := s.silence(ctx, "after a restart", before); err != nil {
		return err
	}
	if err := s.keeper.end(ctx); err != nil {
		return err
	}
	log, err := s.keeper.daemon.Log()
	if err != nil {
		return err
	}
	return checkLog(log)
}

// silence watches Slack for a while. After the first n messages none may come, or have come.
func (s *soak) silence(ctx context.Context, when string, n int) error {
	wait, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	messages, err := s.stage.Slack.Wait(wait, "", n+1)
	if err == nil {
		return complaintsError([]complaint{{about: "a message came " + when, messages: messages[n:]}})
	}
	return ctx.Err()
}

// complaintsError lists complaints, at most ten.
func complaintsError(complaints []complaint) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d complaints", len(complaints))
	for _, c := range complaints[:min(len(complaints), 10)] {
		b.WriteString("\n" + c.String())
	}
	return errors.New(b.String())
}
