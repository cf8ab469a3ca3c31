package main

import (
	"slices"
	"testing"
)

// A Clair is asked for as much at once as the config says of it, and one of which it says nothing for the default.
func TestSlotsOfClairs(t *testing.T) {
	cfg := defaults()
	cfg.Clairs = []ClairConfig{{URL: "http://a.clair:6000/", IndexConcurrency: 7, ReportConcurrency: 3}}
	clients := clairClients(cfg)
	for base, want := range map[string][2]int{
		"http://a.clair:6000":  {7, 3},
		"http://b.clair:6000/": {4, 2},
	} {
		c, err := clients(base)
		if err != nil {
			t.Fatal(err)
		}
		if indexing, reports := c.Slots(); [2]int{indexing, reports} != want {
			t.Errorf("%s: %d images and %d reports at once, want %v", base, indexing, reports, want)
		}
	}
}

// Images are deleted from the Clairs of which the config says so, and from no other one.
func TestClairsToDeleteFrom(t *testing.T) {
	if from := deleteFrom(defaults()); len(from) > 0 {
		t.Errorf("by default from %q", from)
	}
	cfg, err := load(t, "clairs: [{url: 'http://A.clair:6000', deleteFromClair: true}, {url: 'http://b.clair:6000/'}]")
	if err != nil {
		t.Fatal(err)
	}
	if from := deleteFrom(cfg); !slices.Equal(from, []string{"http://a.clair:6000/"}) {
		t.Errorf("from %q", from)
	}
}
