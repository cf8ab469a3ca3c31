package memory

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/clairwatch/clairwatch/sandbox/gate"
	"github.com/clairwatch/clairwatch/sandbox/stage"
)

// scene is what happens while the daemon is killed.
type scene string

const (
	// oneImage: the daemon is started for the first time, one image runs.
	oneImage scene = "one image"
	// fourImages: the same with four, which is an inventory.
	fourImages scene = "four images"
	// noImage: the same with one that cannot be scanned.
	noImage scene = "no image"
	// another: the daemon runs and has told of an image; a second one is run.
	another scene = "another image"
	// gone: the daemon runs and has told of two images; one of them is removed.
	gone scene = "an image is gone"
)

// point is a moment to kill the daemon at.
type point struct {
	scene scene
	what  string // the exchange
	at    gate.Pattern
	since *gate.Pattern
	nth   int
	when  gate.When
	// twice says that Slack has accepted a message that the ledger does not hold: these are the only moments at
	// which something is told again.
	twice bool
}

// ledgerShards is how many ConfigMaps the ledger has.
const ledgerShards = 16

// points are all moments of the table. Reading and indexing are the same in all scenes; each kind of message has
// its own way from Slack to the ledger.
func points() []point {
	path := func(server gate.Server, method, path string) gate.Pattern {
		return gate.Pattern{Server: server, Methods: []string{method}, Path: regexp.MustCompile(path)}
	}
	settings, nodes := path(stage.API, "GET", `^/api/v1/namespaces/clairwatch/configmaps$`), path(stage.API, "GET", `^/api/v1/nodes$`)
	pods := path(stage.API, "GET", `^/api/v1/pods$`)
	lease := gate.Pattern{Server: stage.API, Methods: []string{"PUT", "POST"}, Path: leasePath}
	shard := path(stage.API, "GET", ledgerPath.String())
	state := path(stage.Clair, "GET", `^/indexer/api/v1/index_state$`)
	updates := path(stage.Clair, "GET", `^/matcher/api/v1/internal/update_operation$`)
	manifest := path(stage.Registry, "GET", `/manifests/`)
	all := []point{
		{scene: oneImage, what: "the list of the settings", at: settings, when: gate.After},
		{scene: oneImage, what: "the list of nodes", at: nodes, when: gate.Before},
		{scene: oneImage, what: "the list of pods", at: pods, when: gate.After},
		{scene: oneImage, what: "the making of the Lease", at: lease, when: gate.Before},
		{scene: oneImage, what: "the making of the Lease", at: lease, when: gate.After},
		{scene: oneImage, what: "the reading of the last shard", at: shard, nth: ledgerShards, when: gate.After},
		{scene: oneImage, what: "the index state", at: state, when: gate.After},
		{scene: oneImage, what: "the updates", at: updates, when: gate.After},
		{scene: oneImage, what: "the report that is not there yet", at: reports, when: gate.After},
		{scene: oneImage, what: "the manifest", at: manifest, when: gate.Before},
		{scene: oneImage, what: "the manifest", at: manifest, when: gate.After},
		{scene: oneImage, what: "the indexing", at: indexing, when: gate.Before},
		{scene: oneImage, what: "the indexing", at: indexing, when: gate.After},
		{scene: oneImage, what: "the report", at: reports, nth: 2, when: gate.Before},
		{scene: oneImage, what: "the report", at: reports, nth: 2, when: gate.After},
		{scene: oneImage, what: "the making of the shard", at: ledgerMaking, when: gate.Before, twice: true},
		{scene: oneImage, what: "the making of the shard", at: ledgerMaking, when: gate.After, twice: true},
	}
	for _, s := range []scene{oneImage, fourImages, noImage, another, gone} {
		all = append(all,
			point{scene: s, what: "the message", at: toSlack, when: gate.Before},
			point{scene: s, what: "the message", at: toSlack, when: gate.After, twice: true},
			point{scene: s, what: "the writing of the shard", at: ledgerWrites, since: &acceptedBySlack, when: gate.Before, twice: true},
			point{scene: s, what: "the writing of the shard", at: ledgerWrites, since: &acceptedBySlack, when: gate.After},
		)
	}
	return all
}

// killed kills the daemon at each of the points, starts it again, and counts what Slack has accepted.
func (c *cluster) killed(t *testing.T) {
	for i, p := range points() {
		t.Run(fmt.Sprintf("%s/%s %s", p.scene, p.when, p.what), func(t *testing.T) {
			c.killedAt(t, fmt.Sprintf("killed-%02d", i), p)
		})
	}
}

func (c *cluster) killedAt(t *testing.T, namespace string, p point) {
	c.begin(t)
	must(t, c.Watch(c.wait(t), namespace, c.gate.Scanner(namespace)))
	apps := c.take(t, 5)
	subjects, last := apps[:1], apps[4]
	switch p.scene {
	case fourImages:
		subjects = apps[:4]
	case noImage:
		subjects = []app{c.missing(namespace + "/gone:1.0")}
	}
	c.unindex(t, apps)

	// What is there before the daemon is killed, and what it is killed at.
	var d *stage.Daemon
	told := 1 // how often each subject is told of in the end, without what is told again
	running := len(subjects)
	act := func() { d = c.launch(t, stage.Setup{}) }
	switch p.scene {
	case another:
		c.run(t, namespace, last)
		d = c.launch(t, stage.Setup{})
		c.settled(t, d, 1)
		running = 2
		act = func() { c.run(t, namespace, subjects...) }
	case gone:
		c.run(t, namespace, subjects[0], last)
		d = c.launch(t, stage.Setup{})
		c.settled(t, d, 2)
		told, running = 2, 1
		act = func() { c.remove(t, namespace, subjects...) }
	default:
		c.run(t, namespace, subjects...)
	}
	started := make(chan struct{})
	killed := make(chan error, 1)
	c.gate.Forget()
	c.gate.StopAt(gate.Point{Pattern: p.at, Since: p.since, Nth: p.nth, When: p.when}, func() {
		<-started
		killed <- d.Kill()
	})
	act()
	close(started)
	select {
	case err := <-killed:
		must(t, err)
	case <-c.wait(t).Done():
		t.Fatalf("the point was not reached; the log ends with:\n%s", d.Tail(40))
	}

	must(t, d.Start(c.wait(t)))
	want := told
	if p.twice {
		want++
	}
	for _, a := range subjects {
		c.told(t, d, namespace, a.name, want)
	}
	c.settled(t, d, running)
	if p.scene == gone {
		// Nothing says that what ran before has been compared with what runs; that the next one is told does.
		c.remove(t, namespace, last)
		c.told(t, d, namespace, last.name, 2)
		c.settled(t, d, 0)
		c.times(t, namespace, last.name, 2)
	}
	for _, a := range subjects {
		c.times(t, namespace, a.name, want)
	}
	if p.scene == another {
		c.times(t, namespace, last.name, 1)
	}
}

// unindex has Clair forget images, so that each is indexed anew.
func (c *cluster) unindex(t *testing.T, apps []app) {
	t.Helper()
	digests := make([]string, len(apps))
	for i, a := range apps {
		digests[i] = a.digest
	}
	must(t, c.Clair().Delete(c.wait(t), digests...))
}
