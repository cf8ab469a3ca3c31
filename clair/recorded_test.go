package clair

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Whatever size its pages have, a notification is about the same manifests.
func TestRecordedPages(t *testing.T) {
	pages := map[string]http.Handler{
		"":                                     recorded(t, "notification-page-1.json").handler(t),
		"1c22651a-ea78-48e7-a12d-27ee22343fd7": recorded(t, "notification-page-2.json").handler(t),
		"7c772c98-959c-4fd6-a82d-8f3f3b6187ee": recorded(t, "notification-page-3.json").handler(t),
	}
	client, _ := scripted(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pages[r.URL.Query().Get("next")].ServeHTTP(w, r)
	}))
	want, err := client.Notified(t.Context(), notification)
	if err != nil || len(want) != 8 {
		t.Fatalf("got %q, %v", want, err)
	}
	for _, name := range []string{"notification-whole.json", "notification-size-zero.json", "notification-size-huge.json"} {
		client, log := scripted(t, recorded(t, name).handler(t))
		got, err := client.Notified(t.Context(), notification)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
		if len(log.requests) != 1 {
			t.Errorf("%s: asked for %d pages", name, len(log.requests))
		}
	}
}

// What Clair's test mode notifies of has neither package nor distribution.
func TestRecordedTestMode(t *testing.T) {
	client, _ := scripted(t, recorded(t, "notification-test-mode.json").handler(t))
	got, err := client.Notified(t.Context(), notification)
	if err != nil || !slices.Equal(got, []string{"sha256:cd232360107ac59ccefebac0cde629c2ba6ec2838b2c261d0211c15bb9a2c042"}) {
		t.Errorf("got %q, %v", got, err)
	}
}

// A notification that was deleted can be deleted until Clair collects it.
func TestRecordedDeletions(t *testing.T) {
	for name, kind := range map[string]Kind{
		"notification-deleted.json": -1, "notification-deleted-again.json": -1, "notification-delete-unknown.json": Temporary,
		"notification-method.json": Temporary, "notification-unauthorized.json": Unauthorized,
	} {
		client, _ := scripted(t, recorded(t, name).handler(t))
		if err := client.DeleteNotification(t.Context(), notification); kind < 0 && err != nil || kind >= 0 && !IsKind(err, kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An update of Alpine's data, of which Clair notifies nobody: the list of updates and the report say so.
func TestRecordedUpdateOfAlpine(t *testing.T) {
	const alpine, cve = "sha256:748cb67203e04a5569df4168229d5bfde07807b2919080a63d553c9e4dba36c4", "CVE-2026-33333"
	for name, want := range map[string]bool{"report-alpine.json": false, "report-alpine-updated.json": true} {
		client, _ := scripted(t, recorded(t, name).handler(t))
		report, err := client.Report(t.Context(), alpine)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, v := range report.Vulnerabilities {
			found = found || v.Name == cve
		}
		if found != want {
			t.Errorf("%s: %s is there: %v", name, cve, found)
		}
	}
	none := recorded(t, "updates-none.json").handler(t)
	for name, first := range map[string]string{
		"updates-latest.json":  "2026-11-22T19:18:18.169536Z", // each updater's newest alone
		"updates-no-kind.json": "2026-11-22T19:12:18.112034Z",
	} {
		list := recorded(t, name).handler(t)
		client, _ := scripted(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("kind") == "enrichment" {
				none(w, r)
				return
			}
			list(w, r)
		}))
		got, err := client.Updates(t.Context(), "")
		if err != nil || len(got.Updaters) != 2 || got.Updaters[1].Name != "debian/updater" {
			t.Fatalf("%s: got %+v, %v", name, got, err)
		}
		if want := (Updater{"alpine-main-v3.20-updater", true, at(t, first), at(t, "2026-11-22T19:18:18.169536Z")}); got.Updaters[0] != want {
			t.Errorf("%s: got %+v, want %+v", name, got.Updaters[0], want)
		}
		if !strings.Contains(got.ETag, "31ab85a3-1b73-4edc-aaf7-d1a41683a629") {
			t.Errorf("%s: ETag %s", name, got.ETag)
		}
	}
}

// With its database down each of Clair's answers is one after which waiting is right, and what it says of an index is
// not asked for: it says that it has none.
func TestRecordedDatabaseDown(t *testing.T) {
	client, _ := scripted(t, recorded(t, "down-state.json").handler(t))
	if state, err := client.State(t.Context()); err != nil || state != "cb31df8269833698891b35a63251a81a" {
		t.Errorf("state %q, %v: it does not come from the database", state, err)
	}
	for op, name := range map[string]string{
		"report": "report-database-down.json", "notified": "report-database-down.json", "updates": "report-database-down.json",
		"forget": "down-delete.json",
	} {
		client, _ := scripted(t, recorded(t, name).handler(t))
		if err := operations[op](t.Context(), client); !IsKind(err, Temporary) {
			t.Errorf("%s: %v", op, err)
		}
	}
	missing := recorded(t, "down-index-report.json")
	client, log := scripted(t, missing.handler(t))
	for _, do := range operations {
		_ = do(t.Context(), client)
	}
	for _, r := range log.requests {
		if r.Method == missing.Method && strings.HasPrefix(r.URL, "/indexer/api/v1/index_report") {
			t.Errorf("asked %s %s", r.Method, r.URL)
		}
	}
}

// Indexing hangs for as long as the database is down, and comes to its end when it is back.
func TestRecordedIndexWhileDatabaseIsDown(t *testing.T) {
	back := recorded(t, "down-index-back.json")
	for name, test := range map[string]struct {
		down time.Duration
		kind Kind
	}{
		"back in time":     {5 * time.Second, -1},
		"down for an hour": {time.Hour, Temporary},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answer := back.handler(t)
				client, stop := piped(t, Config{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body) // or the server does not see that the client leaves
					select {
					case <-time.After(test.down):
						answer(w, r)
					case <-r.Context().Done():
					}
				}))
				defer stop()
				const image = "sha256:d16d1d1e9531e40063ee26af0e9de2820082bd335a7c306fa0178f3d4244f8ee"
				report, err := client.Index(t.Context(), image, []Layer{{Digest: layer, URI: "http://registry.example/blobs/" + layer}})
				switch {
				case test.kind >= 0 && !IsKind(err, test.kind):
					t.Errorf("got %v", err)
				case test.kind < 0 && (err != nil || report.Hash.String() != image):
					t.Errorf("got %+v, %v", report, err)
				}
			})
		})
	}
}
