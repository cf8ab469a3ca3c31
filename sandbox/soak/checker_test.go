package main

import (
	"strings"
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// The world of the made-up logs: web and api run in the namespace north, task as a Job.
const (
	web  = "fleet/app-001:1.0"
	api  = "fleet/app-002:1.0"
	task = "fleet/app-003:1.0"
	cve  = "CVE-2099-0001"
)

// at is a moment, in seconds since the beginning.
func at(seconds float64) time.Time {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

// says is a message to north that tells one kind of thing.
func says(when float64, k kind, images ...string) letter {
	l := letter{channel: "north", Message: slackstand.Message{Time: at(when), Path: "/services/T/B/north", Payload: []byte(`{"text":"x"}`)}}
	l.tell(k, images)
	return l
}

// discloses is a message to north about vulnerabilities of an image, of which it counts more than it names.
func discloses(when float64, image string, more int, cves ...string) letter {
	l := says(when, disclosed)
	for _, cve := range cves {
		l.tellings = append(l.tellings, telling{kind: disclosed, image: image, cve: cve})
	}
	l.about, l.more = image, more
	return l
}

func unanswered(l letter) letter {
	l.Unanswered = true
	return l
}

// fails is a message to north that an image could not be scanned, and why.
func fails(when float64, image, cause string) letter {
	l := says(when, unscanned, image)
	l.tellings[0].cause = cause
	return l
}

// runs is a stay in north that lasts; ran is one that is over, and was told.
func runs(image string, asked float64) stay {
	return stay{namespace: "north", image: image, asked: at(asked)}
}

func ran(image string, asked, ended, settled float64) stay {
	s := runs(image, asked)
	s.ended = at(ended)
	if settled > 0 {
		s.settled = at(settled)
	}
	return s
}

func byJob(s stay) stay {
	s.job = true
	return s
}

// TestCheck has each rule be kept once, and broken in each way.
func TestCheck(t *testing.T) {
	reported := map[string][]string{web: {cve}, api: {cve}}
	known := []published{{cve, at(20), at(21)}}
	for _, test := range []struct {
		name string
		evidence
		want    string // how the complaint begins; empty: there is none
		missing bool
	}{
		{"told", evidence{stays: []stay{runs(web, 1)}, letters: []letter{says(2, running, web)}}, "", false},
		{"not told", evidence{stays: []stay{runs(web, 1)}}, "north was not told of " + web, true},
		{"told twice", evidence{
			stays: []stay{runs(web, 1)}, letters: []letter{says(2, running, web), says(3, running, web)},
		}, "north was told of " + web + " 2 times", false},
		{"told twice, as Slack did not answer", evidence{
			stays: []stay{runs(web, 1)}, letters: []letter{unanswered(says(2, running, web)), says(3, running, web)},
		}, "", false},
		{"told three times, as Slack did not answer once", evidence{
			stays:   []stay{runs(web, 1)},
			letters: []letter{unanswered(says(2, running, web)), says(3, running, web), says(4, running, web)},
		}, "north was told of " + web + " 3 times", false},
		{"told twice, and then Slack did not answer", evidence{
			stays: []stay{runs(web, 1)}, letters: []letter{says(2, running, web), unanswered(says(3, running, web))},
		}, "north was told of " + web + " 2 times", false},
		{"told twice, as it was stopped in between", evidence{
			stays: []stay{runs(web, 1)}, letters: []letter{says(2, running, web), says(4, running, web)}, stops: []stop{{at(1.5), at(3)}},
		}, "", false},
		{"told twice, and stopped, when another message had come since", evidence{
			stays: []stay{runs(web, 1), runs(api, 1)}, stops: []stop{{at(1.5), at(3)}},
			letters: []letter{says(2, running, web), says(2.5, running, api), says(4, running, web)},
		}, "north was told of " + web + " 2 times", false},
		{"told twice, and stopped afterwards", evidence{
			stays: []stay{runs(web, 1)}, letters: []letter{says(2, running, web), says(4, running, web)}, stops: []stop{{at(5), at(6)}},
		}, "north was told of " + web + " 2 times", false},
		{"never ran there", evidence{
			stays: []stay{runs(web, 1)}, letters: []letter{says(2, running, web, api)},
		}, "north was told of " + api + ", which did not run there", false},
		{"told before it ran", evidence{
			stays: []stay{runs(web, 3)}, letters: []letter{says(2, running, web), says(4, running, web)},
		}, "north was told of " + web + ", which did not run there", false},
		{"told long after it ran", evidence{
			stays: []stay{ran(web, 1, 2, 5)}, letters: []letter{says(6, running, web)},
		}, "north was told of " + web + ", which did not run there", false},
		{"strange", evidence{letters: []letter{{channel: "north", strange: "a poem"}}}, "north was told something strange: a poem", false},

		{"gone, never told that it ran", evidence{stays: []stay{ran(web, 1, 2, 5)}}, "", false},
		{"gone, and told", evidence{
			stays: []stay{ran(web, 1, 5, 0)}, letters: []letter{says(2, running, web), says(9, gone, web)},
		}, "", false},
		{"gone, and not told", evidence{
			stays: []stay{ran(web, 1, 5, 0)}, letters: []letter{says(2, running, web)},
		}, "north was not told that " + web + " is gone", true},
		{"gone long since, and not told", evidence{
			stays: []stay{ran(web, 1, 5, 9)}, letters: []letter{says(2, running, web)},
		}, "north was not told that " + web + " is gone", true},
		{"told while the daemon could not write it down, gone before the next one", evidence{
			stays: []stay{ran(web, 1, 5, 0)}, letters: []letter{says(2, running, web)}, stops: []stop{{since: at(1.5), at: at(6)}},
		}, "", false},
		{"told and written down, gone while the daemon was away", evidence{
			stays: []stay{ran(web, 1, 5, 0)}, letters: []letter{says(2, running, web)}, stops: []stop{{since: at(3), at: at(6)}},
		}, "north was not told that " + web + " is gone", true},
		{"told while the daemon could not write it down, gone, and told late", evidence{
			stays: []stay{ran(web, 1, 5, 7)}, letters: []letter{says(2, running, web), says(9, gone, web)},
			stops: []stop{{since: at(1.5), at: at(6)}},
		}, "", false},
		{"gone, and told late", evidence{
			stays: []stay{ran(web, 1, 5, 7)}, letters: []letter{says(2, running, web), says(9, gone, web)},
		}, "north was told of " + web + ", which did not run there", false},
		{"gone, and told twice", evidence{
			stays: []stay{ran(web, 1, 5, 0)}, letters: []letter{says(2, running, web), says(9, gone, web), says(10, gone, web)},
		}, "north was told of " + web + " 2 times", false},
		{"gone, while it runs", evidence{
			stays: []stay{runs(web, 1)}, letters: []letter{says(2, running, web), says(9, gone, web)},
		}, "north was told that " + web + " is gone, which runs", false},
		{"gone, back, gone", evidence{
			stays:   []stay{ran(web, 1, 5, 10), ran(web, 15, 20, 0)},
			letters: []letter{says(2, running, web), says(9, gone, web), says(25, gone, web)},
		}, "", false},
		{"gone, back, gone, and told once", evidence{
			stays: []stay{ran(web, 1, 5, 10), ran(web, 15, 20, 0)}, letters: []letter{says(2, running, web), says(9, gone, web)},
		}, "north was not told that " + web + " is gone", true},
		{"gone, back, and told as new", evidence{
			stays:   []stay{ran(web, 1, 5, 10), runs(web, 15)},
			letters: []letter{says(2, running, web), says(9, gone, web), says(16, running, web)},
		}, "north was told of " + web + " 2 times", false},
		{"gone untold, back and told", evidence{
			stays: []stay{ran(web, 1, 5, 10), runs(web, 15)}, letters: []letter{says(16, running, web)},
		}, "", false},
		{"a Job has ended", evidence{stays: []stay{byJob(ran(task, 1, 5, 0))}, letters: []letter{says(2, running, task)}}, "", false},
		{"a Job is gone", evidence{
			stays: []stay{byJob(ran(task, 1, 5, 0))}, letters: []letter{says(2, running, task), says(9, gone, task)},
		}, "north was told that " + task + " is gone, which only Jobs ran", false},

		{"disclosed", evidence{
			stays: []stay{runs(web, 1)}, published: known, reports: reported,
			letters: []letter{says(2, running, web), discloses(22, web, 0, cve)},
		}, "", false},
		{"disclosed, and not told", evidence{
			stays: []stay{runs(web, 1)}, published: known, reports: reported, letters: []letter{says(2, running, web)},
		}, "north was not told of " + cve + " in " + web, true},
		{"disclosed, and told twice", evidence{
			stays: []stay{runs(web, 1)}, published: known, reports: reported,
			letters: []letter{says(2, running, web), discloses(22, web, 0, cve), discloses(23, web, 0, cve)},
		}, "north was told of " + web + " 2 times: " + cve, false},
		{"disclosed before it was", evidence{
			stays: []stay{runs(web, 1)}, published: known, reports: reported,
			letters: []letter{says(2, running, web), discloses(19, web, 0, cve), discloses(22, web, 0, cve)},
		}, "north was told that " + web + " has " + cve + ", which it has not", false},
		{"disclosed of an image that has it not", evidence{
			stays: []stay{runs(web, 1)}, published: known,
			letters: []letter{says(2, running, web), discloses(22, web, 0, cve)},
		}, "north was told that " + web + " has " + cve + ", which it has not", false},
		{"disclosed, and in the report before", evidence{
			stays: []stay{runs(web, 30)}, published: known, reports: reported,
			letters: []letter{says(31, running, web), discloses(32, web, 0, cve)},
		}, "north was told of " + cve + " in " + web + ", which its report had", false},
		{"disclosed while the report was made", evidence{
			stays: []stay{runs(web, 19)}, published: known, reports: reported,
			letters: []letter{says(22, running, web)},
		}, "", false},
		{"disclosed, and in the report that came again", evidence{
			stays: []stay{runs(web, 1)}, published: known, reports: reported,
			letters: []letter{unanswered(says(19, running, web)), says(23, running, web)},
		}, "", false},
		{"disclosed, counted only", evidence{
			stays: []stay{ran(web, 1, 5, 10), runs(web, 30)}, published: known, reports: reported,
			letters: []letter{says(2, running, web), says(9, gone, web), discloses(32, web, 1)},
		}, "", false},
		{"disclosed, and counted too high", evidence{
			stays: []stay{runs(web, 1)}, published: known, reports: reported,
			letters: []letter{says(2, running, web), discloses(32, web, 2)},
		}, "north was told of 2 more vulnerabilities of " + web, false},

		{"disclosed, counted only, while the report was made, and told again", evidence{
			stays: []stay{runs(web, 19)}, published: known, reports: reported,
			letters: []letter{says(22, running, web), discloses(32, web, 1), discloses(33, web, 0, cve)},
		}, "north was told of " + web + " 2 times: " + cve, false},
		{"disclosed, not recorded, and counted again", evidence{
			stays: []stay{runs(web, 1)}, published: known, reports: reported, stops: []stop{{at(21), at(23)}},
			letters: []letter{says(2, running, web), discloses(22, web, 0, cve), discloses(32, web, 1)},
		}, "", false},
		{"disclosed, recorded, and counted again", evidence{
			stays: []stay{runs(web, 1)}, published: known, reports: reported,
			letters: []letter{says(2, running, web), discloses(22, web, 0, cve), discloses(32, web, 1)},
		}, "north was told of 1 more vulnerabilities of " + web, false},
		{"could not be scanned", evidence{
			stays: []stay{runs(web, 1)}, letters: []letter{says(2, unscanned, web)},
		}, "north was not told of " + web, true},
		{"could not be scanned, and no word since", evidence{
			stays: []stay{runs(web, 1)}, letters: []letter{says(2, running, web), says(4, unscanned, web)},
		}, "north was told that " + web + " could not be scanned, and not that it is again", true},
		{"scanned again", evidence{
			stays: []stay{runs(web, 1)}, letters: []letter{says(2, running, web), says(4, unscanned, web), says(6, scanned, web)},
		}, "", false},
		{"could not be scanned, told twice", evidence{
			stays:   []stay{runs(web, 1)},
			letters: []letter{fails(2, web, "not found"), fails(3, web, "not found"), says(6, running, web)},
		}, "north was told twice that " + web + " could not be scanned: not found", false},
		{"could not be scanned, told twice, as Slack did not answer", evidence{
			stays:   []stay{runs(web, 1)},
			letters: []letter{unanswered(fails(2, web, "not found")), fails(3, web, "not found"), says(6, running, web)},
		}, "", false},
		{"could not be scanned, for two reasons", evidence{
			stays:   []stay{runs(web, 1)},
			letters: []letter{fails(2, web, "rate limited"), fails(3, web, "not found"), says(6, running, web)},
		}, "", false},
		{"could not be scanned, scanned, and again", evidence{
			stays: []stay{runs(web, 1)},
			letters: []letter{says(1.5, running, web), fails(2, web, "not found"), says(3, scanned, web),
				fails(4, web, "not found"), says(5, scanned, web)},
		}, "", false},
		{"scanned again, and it always was", evidence{
			stays: []stay{runs(web, 1)}, letters: []letter{says(2, running, web), says(4, scanned, web)},
		}, "north was told that " + web + " is scanned again, which it was", false},
		{"scanned again, told twice", evidence{
			stays:   []stay{runs(web, 1)},
			letters: []letter{says(1.5, running, web), fails(2, web, "not found"), says(3, scanned, web), says(4, scanned, web)},
		}, "north was told that " + web + " is scanned again, which it was", false},
		{"scanned again, told twice, as Slack did not answer", evidence{
			stays:   []stay{runs(web, 1)},
			letters: []letter{says(1.5, running, web), fails(2, web, "not found"), unanswered(says(3, scanned, web)), says(4, scanned, web)},
		}, "", false},
		{"scanned after all", evidence{
			stays: []stay{runs(web, 1)}, letters: []letter{says(2, unscanned, web), says(6, running, web)},
		}, "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			complaints := check(test.evidence)
			if test.want == "" {
				for _, c := range complaints {
					t.Errorf("complains: %s", c)
				}
				return
			}
			if len(complaints) == 0 {
				t.Fatalf("no complaint, want %q", test.want)
			}
			if got := complaints[0]; !strings.HasPrefix(got.about, test.want) || got.missing != test.missing {
				t.Errorf("complains %q (missing: %v), want %q (%v)", got.about, got.missing, test.want, test.missing)
			}
			if got := complaints[0]; !got.missing && len(got.messages) == 0 {
				t.Errorf("does not show the messages that it complains of: %q", got.about)
			}
		})
	}
}

// TestFlat has what the daemon takes grow.
func TestFlat(t *testing.T) {
	calm := sample{goroutines: 100, live: 5 << 20, resident: 70 << 20}
	for name, test := range map[string]struct {
		last sample
		want string
	}{
		"flat":       {sample{goroutines: 100 + moreGoroutines, live: 5<<20 + moreLive, resident: 70<<20 + moreResident}, ""},
		"goroutines": {sample{goroutines: 101 + moreGoroutines, live: 5 << 20}, "161 goroutines"},
		"memory":     {sample{goroutines: 100, live: 6<<20 + moreLive}, "the heap holds 30.0 MiB"},
		"resident":   {sample{goroutines: 100, live: 5 << 20, resident: 71<<20 + moreResident}, "the process holds 151 MiB"},
	} {
		err := flat([]sample{calm, calm, test.last})
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// TestCheckLog finds what no log may hold.
func TestCheckLog(t *testing.T) {
	for line, bad := range map[string]bool{
		"time=x level=INFO msg=told":                                             false,
		"time=x level=WARN msg=\"this Clair does not answer\"":                   false,
		"time=x level=ERROR msg=\"Error retrieving lease lock\" from=client-go ": false,
		"time=x level=ERROR msg=ended err=\"the Lease is lost: x\"":              false,
		"time=x level=ERROR msg=\"told nobody\"":                                 true,
		"WARNING: DATA RACE":                                                     true,
		"panic: runtime error":                                                   true,
		"fatal error: concurrent map writes":                                     true,
		"POST https://x/services/T00000000/B00000000/north":                      true,
	} {
		if err := checkLog("time=x level=INFO msg=begun\n" + line + "\n"); (err != nil) != bad {
			t.Errorf("%s: %v", line, err)
		}
	}
}
