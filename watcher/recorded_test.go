package watcher

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clairwatch/clairwatch/clair"
)

// These tests deliver what a real Clair posted to a daemon whose Clair answers what that Clair answered.

// inReplay runs a test with a rig whose Clair is recorded, and with the daemon's server. Before it runs the four
// recorded images, and after it nothing but that Clair may have been dialled.
func inReplay(t *testing.T, psk *clair.PSK, prepare func(*rig), test func(*testing.T, *rig, *replay, *front)) {
	t.Helper()
	inRig(t, func(t *testing.T, r *rig) {
		p := replayed(r, psk)
		defer p.close()
		if prepare != nil {
			prepare(r)
		}
		r.startRecorded(p)
		f := newFront(t, r.w.Notify())
		defer f.close()
		test(t, r, p, f)
		p.wantOrigin()
	})
}

const (
	notifier = "/notifier/api/v1/notification/"
	reporter = "GET /matcher/api/v1/vulnerability_report/"
	// wholeID is the notification of the recorded webhook; the others are further ones of the same Clair.
	wholeID     = "b85785d2-793d-4ca8-abaa-4f91086b34cb"
	summaryID   = "193738f4-94a3-495a-a7a8-322a0482a692"
	noSummaryID = "caaeda0b-58b8-49a7-9b10-da8c8cca9b2b"
	againID     = "c550609d-0815-40c7-949f-27bccbae7ecd"
	unknownID   = "1b40679e-1496-48cd-8575-8a4040d1565e"
	tenID       = "d0891131-e886-40a9-951d-319c3b84512e"
	testModeID  = "9f43dce1-5095-456a-8df5-8f7e3c4f9625"
)

// pageOf is the request for a page, and deletionOf that for its deletion.
func pageOf(id, next string) string {
	if next != "" {
		next = "next=" + next + "&"
	}
	return "GET " + notifier + id + "?" + next + "page_size=500"
}

func deletionOf(id string) string { return "DELETE " + notifier + id }

func reportOn(digest string) string { return reporter + digest }

// delivered posts a webhook, makes sure of the answer, and returns what Clair was asked because of it.
func (f *front) delivered(r *rig, p *replay, hook clairWebhook, status int) []string {
	f.t.Helper()
	if got := f.post(hook); got != status {
		f.t.Errorf("Clair got %d, want %d", got, status)
	}
	synctest.Wait()
	asked := p.asked()
	if slices.ContainsFunc(asked, func(r string) bool { return strings.HasPrefix(r, "DELETE") }) {
		f.t.Error("deleted before Clair can have noted the answer, which would undo it")
	}
	r.pass(deletePause)
	return append(asked, p.asked()...)
}

// wantAsked compares requests. Pages come in order, first of all; the others as they may.
func wantAsked(t testing.TB, got []string, want ...string) {
	t.Helper()
	pages := func(rs []string) (ps []string) {
		for _, r := range rs {
			if strings.HasPrefix(r, "GET "+notifier) {
				ps = append(ps, r)
			}
		}
		return ps
	}
	if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) || !slices.Equal(pages(got), pages(want)) {
		t.Errorf("Clair was asked\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestRecordedNotifications(t *testing.T) {
	plain := func(t *testing.T) clairWebhook { return recordedWebhook(t, "webhook.json") }
	of := func(id string) func(*testing.T) clairWebhook {
		return func(t *testing.T) clairWebhook { return recordedWebhook(t, "webhook.json").of(t, id) }
	}
	deleted := func(id string) func(*testing.T) recording {
		return func(t *testing.T) recording { return recorded(t, "notification-deleted.json").of(id) }
	}
	for _, c := range []struct {
		name     string
		hook     func(*testing.T) clairWebhook
		files    []string
		pageSize string
		deletion func(*testing.T) recording
		outcome  string
		asked    []string
	}{
		{"one page", plain, []string{"notification-whole.json"}, "", deleted(wholeID), "queued 1",
			[]string{pageOf(wholeID, ""), reportOn(debianImage), reportOn(distrolessImage), deletionOf(wholeID)}},
		// A Clair that makes its pages smaller than it is asked for.
		{"three pages", plain, []string{"notification-page-1.json", "notification-page-2.json", "notification-page-3.json"}, "3", deleted(wholeID), "queued 1",
			[]string{pageOf(wholeID, ""), pageOf(wholeID, "1c22651a-ea78-48e7-a12d-27ee22343fd7"), pageOf(wholeID, "7c772c98-959c-4fd6-a82d-8f3f3b6187ee"),
				reportOn(debianImage), reportOn(distrolessImage), deletionOf(wholeID)}},
		// The two ways to notify, about the same images: see below. In the first nothing that it says of them is right.
		{"summary", of(summaryID), []string{"notification-summary.json"}, "", deleted(summaryID), "queued 1",
			[]string{pageOf(summaryID, ""), reportOn(debianImage), reportOn(distrolessImage), deletionOf(summaryID)}},
		{"no summary", of(noSummaryID), []string{"notification-no-summary.json"}, "", deleted(noSummaryID), "queued 1",
			[]string{pageOf(noSummaryID, ""), reportOn(debianImage), reportOn(distrolessImage), deletionOf(noSummaryID)}},
		// What Clair deleted and makes again has another id and is read like any other.
		{"made again", of(againID), []string{"notification-again.json"}, "", deleted(againID), "queued 1",
			[]string{pageOf(againID, ""), reportOn(debianImage), deletionOf(againID)}},
		// An id that Clair does not know, or no longer, is an empty page. Its deletion fails, and nobody minds.
		{"unknown", of(unknownID), []string{"notification-unknown.json"}, "", func(t *testing.T) recording {
			return recorded(t, "notification-delete-unknown.json").of(unknownID)
		}, "idle 1", []string{pageOf(unknownID, ""), deletionOf(unknownID)}},
		{"of an image that does not run", of(testModeID), []string{"notification-test-mode.json"}, "", deleted(testModeID), "idle 1",
			[]string{pageOf(testModeID, ""), deletionOf(testModeID)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inReplay(t, nil, nil, func(t *testing.T, r *rig, p *replay, f *front) {
				p.hasFiles(c.files...)
				p.has(c.deletion(t))
				p.set(func(p *replay) { p.pageSize = c.pageSize })
				wantAsked(t, f.delivered(r, p, c.hook(t), http.StatusOK), c.asked...)
				if got := r.outcomes(); got != c.outcome {
					t.Errorf("counted %s, want %s", got, c.outcome)
				}
				p.wantRecorded()
				r.pass(settled)
				if n := len(r.slack.accepted()); n != 1 {
					t.Errorf("%d messages: reports that are as they were are no news", n)
				}
			})
		})
	}
}

// One update, told of in the two ways that Clair has, is about the same images.
func TestRecordedSummaryNamesTheSameImages(t *testing.T) {
	summary, whole := recorded(t, "notification-summary.json"), recorded(t, "notification-no-summary.json")
	if got, want := summary.digests(t), whole.digests(t); len(got) != 21 || !slices.Equal(got, want) {
		t.Errorf("the summary is about\n%s\nand without it\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What was deleted is there for another while, and may be deleted once more: each delivery is like the first.
func TestRecordedDeletion(t *testing.T) {
	inReplay(t, nil, nil, func(t *testing.T, r *rig, p *replay, f *front) {
		// After its deletion the first two entries were asked for, and were as before.
		type entries struct{ Notifications []json.RawMessage }
		var before, after entries
		for name, into := range map[string]*entries{"notification-whole.json": &before, "notification-after-deletion.json": &after} {
			if err := json.Unmarshal(recorded(t, name).Body, into); err != nil {
				t.Fatal(err)
			}
		}
		if !reflect.DeepEqual(before.Notifications[:2], after.Notifications) {
			t.Error("the recordings are of two notifications")
		}
		p.hasFiles("notification-whole.json", "notification-deleted.json", "notification-deleted-again.json")
		asked := []string{pageOf(wholeID, ""), reportOn(debianImage), reportOn(distrolessImage), deletionOf(wholeID)}
		hook := recordedWebhook(t, "webhook.json")
		wantAsked(t, f.delivered(r, p, hook, http.StatusOK), asked...)
		wantAsked(t, f.delivered(r, p, hook, http.StatusOK), asked...)
		// Then Clair has collected it.
		p.has(recorded(t, "notification-unknown.json").of(wholeID), recorded(t, "notification-delete-unknown.json").of(wholeID))
		wantAsked(t, f.delivered(r, p, hook, http.StatusOK), pageOf(wholeID, ""), deletionOf(wholeID))
		if got := r.outcomes(); got != "idle 1, queued 2" {
			t.Errorf("counted %s", got)
		}
		p.wantRecorded()
	})
}

// A Clair that is gone after the first page delivers again, and then all of it is read.
func TestRecordedNotificationBreaksOff(t *testing.T) {
	inReplay(t, nil, nil, func(t *testing.T, r *rig, p *replay, f *front) {
		hook := recordedWebhook(t, "webhook.json").of(t, tenID)
		first := recorded(t, "notification-ten.json") // the page after it was not recorded
		p.has(first)
		p.set(func(p *replay) { p.pageSize = "10" })
		const next = "82238a26-b0b1-46e2-a356-04fe6ae90daa"
		wantAsked(t, f.delivered(r, p, hook, http.StatusServiceUnavailable), pageOf(tenID, ""), pageOf(tenID, next))
		p.has(recorded(t, "notification-unknown.json").from(http.MethodGet, notifier+tenID+"?next="+next+"&page_size=10"),
			recorded(t, "notification-deleted.json").of(tenID))
		wantAsked(t, f.delivered(r, p, hook, http.StatusOK), pageOf(tenID, ""), pageOf(tenID, next), reportOn(distrolessImage), deletionOf(tenID))
		if got := r.outcomes(); got != "queued 1, retry 1" {
			t.Errorf("counted %s", got)
		}
	})
}

// file writes a file with a secret and returns its path.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A real Clair's signature and token let its webhooks in when they came, and neither an hour later nor elsewhere. They
// are not bound to a body, so all of them are sent with that of which the pages were recorded.
func TestRecordedCallers(t *testing.T) {
	const token, otherKey = "e2e-shared-secret", "b2YgYW5vdGhlciBDbGFpcg=="
	for _, c := range []struct {
		name, webhook string
		token         string // empty: none
		key           string // empty: none; "its own" is that of the webhook's Clair
		after         time.Duration
		admitted      bool
	}{
		{"token", "webhook.json", token, "", 0, true},
		{"token, and a key", "webhook.json", token, otherKey, 0, true},
		{"another token", "webhook.json", "another", "", 0, false},
		{"a key alone", "webhook.json", "", otherKey, 0, false},
		{"signed", "webhook-signed.json", "", "its own", 0, true},
		{"signed, and a token", "webhook-signed.json", token, "its own", 0, true},
		{"signed, an hour ago", "webhook-signed.json", "", "its own", time.Hour, false},
		{"signed with another key", "webhook-signed-other.json", "", otherKey, 0, false},
		{"signed, and nobody asks", "webhook-signed-other.json", "", "", time.Hour, true},
		{"both, by the token", "webhook-signed-and-token.json", token, otherKey, time.Hour, true},
		{"both, by the signature", "webhook-signed-and-token.json", "another", "its own", 0, true},
		{"both, by neither", "webhook-signed-and-token.json", "another", "its own", time.Hour, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			hook := recordedWebhook(t, c.webhook)
			hook.Body = recordedWebhook(t, "webhook.json").Body
			cfg := clair.CallersConfig{Now: func() time.Time { return hook.At.Add(c.after) }}
			if c.token != "" {
				cfg.TokenFile = file(t, c.token)
			}
			if c.key != "" {
				key := c.key
				if key == "its own" {
					key = hook.Key
				}
				cfg.PSKs = []*clair.PSK{clair.NewPSK(clair.PSKConfig{Clair: recordedBase, File: file(t, key)})}
			}
			callers := clair.NewCallers(cfg)
			if err := callers.Check(); err != nil {
				t.Fatal(err)
			}
			inReplay(t, nil, func(r *rig) { r.cfg.Caller = callers.Admit }, func(t *testing.T, r *rig, p *replay, f *front) {
				p.hasFiles("notification-whole.json", "notification-deleted.json")
				status, outcome, asked := http.StatusUnauthorized, "unauthorized 1", []string(nil)
				if c.admitted {
					status, outcome = http.StatusOK, "queued 1"
					asked = []string{pageOf(wholeID, ""), reportOn(debianImage), reportOn(distrolessImage), deletionOf(wholeID)}
				}
				wantAsked(t, f.delivered(r, p, hook, status), asked...)
				if got := r.outcomes(); got != outcome {
					t.Errorf("counted %s, want %s", got, outcome)
				}
				for _, secret := range append(hook.Header.Values("Authorization"), token, otherKey) {
					if strings.Contains(r.log.String(), strings.TrimPrefix(secret, "Bearer ")) {
						t.Errorf("the log holds a secret:\n%s", r.log)
					}
				}
			})
		})
	}
}

// A Clair that answers only who has its key is asked with a signature. Who has none reads no notification of it, and is
// not called for the same one again.
func TestRecordedClairWithKey(t *testing.T) {
	key := recordedWebhook(t, "webhook-signed.json").Key
	for name, c := range map[string]struct {
		psk     *clair.PSK
		outcome string
		asked   []string
	}{
		"key":    {clair.NewPSK(clair.PSKConfig{Clair: recordedBase, File: file(t, key)}), "queued 1", []string{pageOf(wholeID, ""), reportOn(debianImage), reportOn(distrolessImage), deletionOf(wholeID)}},
		"no key": {nil, "refused 1", []string{pageOf(wholeID, "")}},
	} {
		t.Run(name, func(t *testing.T) {
			inReplay(t, c.psk, nil, func(t *testing.T, r *rig, p *replay, f *front) {
				p.hasFiles("notification-whole.json", "notification-deleted.json")
				p.set(func(p *replay) { p.signed = true })
				wantAsked(t, f.delivered(r, p, recordedWebhook(t, "webhook.json"), http.StatusOK), c.asked...)
				if got := r.outcomes(); got != c.outcome {
					t.Errorf("counted %s, want %s", got, c.outcome)
				}
			})
		})
	}
}

// With its database down a Clair says that it is well, fails to report, and says of what it has indexed that it has not,
// where it is asked for an index. The daemon waits: nothing is told, indexed, deleted or taken back. By the list of
// updates it sees that the Clair is away, and asks no further; behind a gateway that hides it each image has to find out.
func TestRecordedDatabaseDown(t *testing.T) {
	const list = "/matcher/api/v1/internal/update_operation?kind="
	for name, hides := range map[string]bool{"a Clair that says what data it has": false, "one that hides it": true} {
		t.Run(name, func(t *testing.T) {
			inReplay(t, nil, func(r *rig) {
				r.cfg.Refresh = 10 * time.Minute
				r.cfg.DeleteFrom = []string{recordedBase}
			}, func(t *testing.T, r *rig, p *replay, f *front) {
				all := []string{debianImage, distrolessImage, alpineImage, scratchImage}
				down := recorded(t, "report-database-down.json")
				updates := []recording{recorded(t, "updates-no-kind.json").from(http.MethodGet, list+"vulnerability"),
					recorded(t, "updates-none.json").from(http.MethodGet, list+"enrichment")}
				if !hides {
					p.has(updates...)
					r.pass(2 * dataQuiet)
					p.has(down.from(http.MethodGet, list+"vulnerability"), down.from(http.MethodGet, list+"enrichment"))
				}
				p.hasFiles("down-state.json", "down-index.json", "down-index-report.json", "down-delete.json")
				for _, digest := range append(all, digest(7)) {
					p.has(down.of(digest))
				}
				p.has(down.from(http.MethodGet, notifier+wholeID))
				p.asked()
				hook := recordedWebhook(t, "webhook.json")
				// It passes by itself: Clair delivers again, and nothing is deleted that was not read.
				for range 3 {
					if got := f.post(hook); got != http.StatusServiceUnavailable {
						t.Errorf("Clair got %d", got)
					}
				}
				wantAsked(t, p.asked(), pageOf(wholeID, ""), pageOf(wholeID, ""), pageOf(wholeID, ""))
				// A new image as well, which Clair does not say that it does not know.
				r.run(podOf("shop", "app-7", 7))
				r.pass(2 * time.Minute) // after one it is known to be away
				asked := make(map[string]int)
				for _, request := range p.asked() {
					asked[request] = 0
				}
				r.pass(3 * time.Hour)
				for _, request := range p.asked() {
					asked[request]++
				}
				for _, digest := range append(all, digest(7)) {
					if n := asked[reportOn(digest)]; hides && n < 5 || !hides && n > 0 {
						t.Errorf("%s was looked at %d times in three hours", digest, n)
					}
					delete(asked, reportOn(digest))
				}
				if len(asked) > 0 {
					t.Errorf("Clair was asked %v", asked)
				}
				for _, l := range r.w.assigned.Load().of("shop") {
					for _, digest := range all {
						if !r.w.book.Has(l.destination, digest) {
							t.Errorf("what was told of %s is forgotten", digest)
						}
					}
				}
				if !hides {
					r.wantLogged(1, wentAway)
					r.wantTexts("Now watching 4 images", "5 images…could not be scanned")
				}

				p.hasFiles("state.json", "report-debian.json", "report-distroless.json", "report-alpine.json", "report-scratch.json",
					"notification-whole.json", "notification-deleted.json")
				if !hides {
					p.has(updates...)
				}
				r.pass(time.Hour)
				p.asked()
				if got := f.post(hook); got != http.StatusOK {
					t.Errorf("Clair got %d when its database was back", got)
				}
				r.pass(deletePause)
				now := p.asked()
				if !slices.Contains(now, pageOf(wholeID, "")) || !slices.Contains(now, deletionOf(wholeID)) || hides && !slices.Contains(now, reportOn(debianImage)) {
					t.Errorf("Clair was asked %q", now)
				}
				want := "queued 1, retry 3"
				if !hides { // all images have been looked at since it is back
					want = "fresh 1, retry 3"
					r.wantLogged(1, cameBack)
				}
				if got := r.outcomes(); got != want {
					t.Errorf("counted %s, want %s", got, want)
				}
				for i, m := range r.slack.accepted() {
					if i > 0 && strings.Contains(m.json, "CVE-") {
						t.Errorf("told because the database was down: %s", m.json)
					}
				}
			})
		})
	}
}

// What Clair makes again of a notification that was deleted is about reports that are as young as its data, and costs
// it one page. Newer data has them looked at, and those of Alpine too, of which no notification speaks.
func TestRecordedAgain(t *testing.T) {
	inReplay(t, nil, nil, func(t *testing.T, r *rig, p *replay, f *front) {
		const list = "/matcher/api/v1/internal/update_operation?kind="
		old := recorded(t, "updates-no-kind.json").from(http.MethodGet, list+"vulnerability")
		p.has(old, recorded(t, "updates-none.json").from(http.MethodGet, list+"enrichment"))
		r.pass(2 * dataQuiet) // until it is known, and all images were looked at because of it
		p.asked()
		p.hasFiles("notification-whole.json", "notification-deleted.json", "notification-again.json")
		p.has(recorded(t, "notification-deleted.json").of(againID))
		plain, again := recordedWebhook(t, "webhook.json"), recordedWebhook(t, "webhook.json").of(t, againID)
		wantAsked(t, f.delivered(r, p, plain, http.StatusOK), pageOf(wholeID, ""), deletionOf(wholeID))
		wantAsked(t, f.delivered(r, p, again, http.StatusOK), pageOf(againID, ""), deletionOf(againID))
		if got := r.outcomes(); got != "fresh 2" {
			t.Errorf("counted %s", got)
		}

		// The newest update of Alpine's data gives its place to another one.
		const last, ref = "2026-11-22T19:18:18.169536Z", "31ab85a3-1b73-4edc-aaf7-d1a41683a629"
		if !strings.Contains(string(old.Body), last) || old.Header.Get("Etag") != `"`+ref+`"` {
			t.Fatal("the recording is another one")
		}
		newer := old
		newer.Body = json.RawMessage(strings.ReplaceAll(string(old.Body), last, "2026-11-22T19:20:01Z"))
		newer.Header = old.Header.Clone()
		newer.Header.Set("Etag", `"`+againID+`"`)
		p.has(newer, recorded(t, "report-alpine-updated.json"))
		wantAsked(t, f.delivered(r, p, plain, http.StatusOK), pageOf(wholeID, ""), reportOn(debianImage), reportOn(distrolessImage), deletionOf(wholeID))
		wantAsked(t, f.delivered(r, p, again, http.StatusOK), pageOf(againID, ""), deletionOf(againID))
		if got := r.outcomes(); got != "fresh 3, queued 1" {
			t.Errorf("counted %s", got)
		}
		r.pass(2 * dataQuiet)
		r.wantTexts("Now watching 4 images", "CVE-2026-33333…busybox")
		p.wantRecorded()
	})
}
