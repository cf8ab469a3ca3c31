package clair

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"time"
)

// The ETags of the recorded lists.
const (
	vulnerabilityTag = `"3ed2b721-7dc2-4878-a1b8-1a75799fd9b2"`
	enrichmentTag    = `"50f8a590-19a0-4c06-8832-ec20eddea949"`
)

// conditional answers as it was recorded for each kind, and as Clair does when asked with the list's own ETag.
func conditional(t *testing.T, vulnerability, enrichment string) http.Handler {
	lists := map[string]recording{"vulnerability": recorded(t, vulnerability), "enrichment": recorded(t, enrichment)}
	unchanged := recorded(t, "updates-unchanged.json").handler(t)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		list, ok := lists[r.URL.Query().Get("kind")]
		if !ok || r.Method != http.MethodGet || r.URL.Path != "/matcher/api/v1/internal/update_operation" {
			t.Errorf("asked %s %s", r.Method, r.URL)
		}
		if tag := r.Header.Get("If-None-Match"); tag != "" && tag == list.Header.Get("Etag") {
			unchanged(w, r)
			return
		}
		list.handler(t)(w, r)
	})
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestUpdates(t *testing.T) {
	const list, tags = "updates-vulnerability.json", vulnerabilityTag + "," + enrichmentTag
	now := at(t, "2026-11-23T00:41:16Z")
	alpine := Updater{"alpine-main-v3.20-updater", true, at(t, "2026-11-23T00:41:14.699091Z"), at(t, "2026-11-23T00:41:16.843701Z")}
	cvss := Updater{"clair.cvss", false, at(t, "2026-11-23T00:41:14.723878Z"), at(t, "2026-11-23T00:41:16.858082Z")}
	debian := Updater{"debian/updater", true, at(t, "2026-11-23T00:41:14.660828Z"), at(t, "2026-11-23T00:41:16.819445Z")}
	all := Updates{ETag: tags, Now: now, Updaters: []Updater{alpine, cvss, debian}}
	for name, c := range map[string]struct {
		enrichment string // the recorded list
		etag       string
		asked      []string // with which ETags
		want       Updates
	}{
		"without an ETag":               {"updates-enrichment.json", "", []string{"", ""}, all},
		"unchanged":                     {"updates-enrichment.json", tags, []string{vulnerabilityTag, enrichmentTag}, Updates{Unchanged: true, ETag: tags, Now: now}},
		"vulnerabilities changed":       {"updates-enrichment.json", `"old",` + enrichmentTag, []string{`"old"`, enrichmentTag, ""}, all},
		"enrichments changed":           {"updates-enrichment.json", vulnerabilityTag + `,"old"`, []string{vulnerabilityTag, `"old"`, ""}, all},
		"both changed":                  {"updates-enrichment.json", `"old","old"`, []string{`"old"`, `"old"`}, all},
		"first enrichments":             {"updates-enrichment.json", vulnerabilityTag + ",", []string{vulnerabilityTag, "", ""}, all},
		"none of our ETags":             {"updates-enrichment.json", `"one"`, []string{"", ""}, all},
		"no enrichments":                {"updates-none.json", "", []string{"", ""}, Updates{ETag: vulnerabilityTag + ",", Now: now, Updaters: []Updater{alpine, debian}}},
		"no enrichments, and unchanged": {"updates-none.json", vulnerabilityTag + ",", []string{vulnerabilityTag, ""}, Updates{Unchanged: true, ETag: vulnerabilityTag + ",", Now: now}},
		"enrichments gone":              {"updates-none.json", tags, []string{vulnerabilityTag, enrichmentTag, ""}, Updates{ETag: vulnerabilityTag + ",", Now: now, Updaters: []Updater{alpine, debian}}},
	} {
		t.Run(name, func(t *testing.T) {
			client, log := scripted(t, conditional(t, list, c.enrichment))
			got, err := client.Updates(t.Context(), c.etag)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("\n got %+v\nwant %+v", got, c.want)
			}
			var asked []string
			for _, r := range log.requests {
				asked = append(asked, r.Header.Get("If-None-Match"))
			}
			if !slices.Equal(asked, c.asked) {
				t.Errorf("asked with %q, want %q", asked, c.asked)
			}
		})
	}
}

// A Clair that has just been set up has no updates, and never says that nothing changed.
func TestUpdatesOfAnEmptyClair(t *testing.T) {
	client, _ := scripted(t, conditional(t, "updates-none.json", "updates-none.json"))
	for _, etag := range []string{"", ",", "x", vulnerabilityTag + "," + enrichmentTag} {
		got, err := client.Updates(t.Context(), etag)
		if err != nil || got.Unchanged || got.ETag != "" || got.Now.IsZero() || len(got.Updaters) != 0 {
			t.Errorf("asked with %q: got %+v, %v", etag, got, err)
		}
	}
}

// Clair's clock is the Date header; a server may send none.
func TestUpdatesWithoutAClock(t *testing.T) {
	for _, date := range [][]string{nil, {"yesterday"}} {
		client, _ := scripted(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Date"] = date
			_, _ = io.WriteString(w, "{}")
		}))
		if got, err := client.Updates(t.Context(), ""); err != nil || !got.Now.IsZero() {
			t.Errorf("date %q: got %+v, %v", date, got, err)
		}
	}
}

// The lists are in no order, and an updater can be in both.
func TestUpdatersAreMerged(t *testing.T) {
	client, _ := scripted(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(200, "text/plain", map[string]string{
			"vulnerability": `{"z":[{"date":"2026-03-01T00:00:00Z"},{"date":"2026-02-01T00:00:00+01:00"},{"date":"2026-04-01T00:00:00Z"}],"none":[]}`,
			"enrichment":    `{"z":[{"date":"2026-05-01T00:00:00Z"}],"a":[{"date":"2026-01-01T00:00:00Z"}]}`,
		}[r.URL.Query().Get("kind")])(w, r)
	}))
	got, err := client.Updates(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Updaters) != 2 || got.Updaters[0].Name != "a" || got.Updaters[1].Name != "z" {
		t.Fatalf("got %+v", got.Updaters)
	}
	if got.Updaters[0].Vulnerabilities || !got.Updaters[1].Vulnerabilities {
		t.Errorf("which have vulnerabilities: %+v", got.Updaters)
	}
	if z := got.Updaters[1]; !z.First.Equal(at(t, "2026-01-31T23:00:00Z")) || !z.Last.Equal(at(t, "2026-05-01T00:00:00Z")) {
		t.Errorf("got %+v", z)
	}
}

// Scores that are new every day do not make vulnerabilities of last week new.
func TestNewest(t *testing.T) {
	week, day := at(t, "2026-11-16T00:00:00Z"), at(t, "2026-11-22T00:00:00Z")
	for name, c := range map[string]struct {
		updaters []Updater
		want     time.Time
	}{
		"nothing":     {nil, time.Time{}},
		"scores":      {[]Updater{{Name: "clair.epss", Last: day}}, time.Time{}},
		"both":        {[]Updater{{Name: "clair.epss", Last: day}, {Name: "debian/updater", Vulnerabilities: true, Last: week}}, week},
		"two sources": {[]Updater{{Name: "debian/updater", Vulnerabilities: true, Last: day}, {Name: "osv", Vulnerabilities: true, Last: week}}, day},
	} {
		if got := (Updates{Updaters: c.updaters}).Newest(); !got.Equal(c.want) {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

// FuzzUpdates: whatever a Clair answers, there is a list in order or an *Error.
func FuzzUpdates(f *testing.F) {
	for _, name := range []string{"updates-vulnerability.json", "updates-none.json", "updates-unchanged.json", "no-such-path.json"} {
		rec := recorded(f, name)
		f.Add(rec.Status, rec.body(f), rec.Header.Get("Etag"), rec.Header.Get("Date"), vulnerabilityTag+","+enrichmentTag)
	}
	f.Add(200, []byte(`{"a":null,"b":[{}]}`), "", "", "")
	f.Fuzz(func(t *testing.T, status int, body []byte, tag, date, asked string) {
		c, err := New(Config{URL: "http://clair/", Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: status, Header: http.Header{"Etag": {tag}, "Date": {date}},
				Body: io.NopCloser(bytes.NewReader(body)), Request: r,
			}, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Updates(t.Context(), asked)
		var e *Error
		switch {
		case err != nil && (!errors.As(err, &e) || got.Unchanged || got.Updaters != nil):
			t.Errorf("got %v and %+v", err, got)
		case got.Unchanged && (asked == "" || got.ETag != asked || got.Updaters != nil):
			t.Errorf("asked with %q: got %+v", asked, got)
		}
		for i, u := range got.Updaters {
			if u.Last.Before(u.First) || i > 0 && got.Updaters[i-1].Name >= u.Name {
				t.Errorf("got %+v", got.Updaters)
			}
		}
	})
}
