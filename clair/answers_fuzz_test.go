package clair

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/quay/claircore"
)

// answers is the way to a Clair that gives one answer again and again, and notes what it was asked.
type answers struct {
	status int
	body   []byte
	asked  []*http.Request
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked = append(a.asked, r)
	return &http.Response{StatusCode: a.status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(a.body)), Request: r}, nil
}

func (a *answers) client(t *testing.T) *Client {
	t.Helper()
	c, err := New(Config{URL: "http://clair/", Transport: a})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// told is all that an error may say: what was done, what helps, and the status. Nothing that Clair wrote fits.
var told = regexp.MustCompile(`^[-a-z' C]+: [^\n]+$`)

// wantOwnWords says when an error is not an *Error, or holds anything but words of ours.
func wantOwnWords(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || kindTexts[e.Kind] == "" {
		t.Fatalf("got %v", err)
	}
	again := &Error{Op: e.Op, Kind: e.Kind, Status: e.Status}
	if err.Error() != again.Error() || !told.MatchString(err.Error()) {
		t.Errorf("the error says %q", err)
	}
}

// addRecorded adds what a Clair has answered.
func addRecorded(f *testing.F, pattern string) {
	f.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(names) == 0 {
		f.Fatalf("%s: %d files, %v", pattern, len(names), err)
	}
	for _, name := range names {
		rec := recorded(f, filepath.Base(name))
		f.Add(rec.Status, rec.body(f))
	}
}

// FuzzIndex: an image counts as indexed only when Clair says so of that image, and an error holds nothing of its words.
func FuzzIndex(f *testing.F) {
	addRecorded(f, "index-*.json")
	addRecorded(f, "down-index*.json")
	f.Add(201, []byte(`{"manifest_hash":"`+debian+`","state":"IndexFinished","success":true}`))
	f.Add(201, []byte(`{"manifest_hash":"`+debian+`","state":"IndexError","success":false,"err":"https://store/?sig=secret"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		a := &answers{status: status, body: body}
		report, err := a.client(t).Index(t.Context(), debian, []Layer{{Digest: debian, URI: "https://registry/"}})
		if err != nil {
			if report != nil {
				t.Errorf("a report beside the error %v", err)
			}
			wantOwnWords(t, err)
			return
		}
		if status != 200 && status != 201 || !report.Success || report.State != "IndexFinished" || report.Hash.String() != debian {
			t.Errorf("status %d: took %+v", status, report)
		}
	})
}

// FuzzNotified: whatever the pages of a notification are, what comes of them are digests, each once and in order, and
// they end.
func FuzzNotified(f *testing.F) {
	addRecorded(f, "notification-*.json")
	f.Add(200, []byte(`{"page":{"next":"b85785d2"},"notifications":[{"manifest":"`+debian+`"},{"manifest":"../x"}]}`))
	f.Add(200, []byte(`{"page":{"next":"?a=b&c#d"},"notifications":[null,{}]}`))
	id := uuid.MustParse("b85785d2-793d-4ca8-abaa-4f91086b34cb")
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if bytes.Count(body, []byte(`"manifest"`)) > 50 {
			return // a thousand pages of it take long
		}
		a := &answers{status: status, body: body}
		got, err := a.client(t).Notified(t.Context(), id)
		if err != nil {
			wantOwnWords(t, err)
		}
		if len(a.asked) == 0 || len(a.asked) > mostPages {
			t.Errorf("asked %d times", len(a.asked))
		}
		for _, r := range a.asked {
			if r.Method != http.MethodGet || r.URL.Host != "clair" || r.URL.Path != "/notifier/api/v1/notification/"+id.String() {
				t.Fatalf("asked %s %s", r.Method, r.URL)
			}
		}
		for i, d := range got {
			if _, err := claircore.ParseDigest(d); err != nil || i > 0 && got[i-1] >= d {
				t.Errorf("got %q", got)
			}
		}
	})
}

// FuzzState: a state is there or an error, and the error holds nothing of Clair's words.
func FuzzState(f *testing.F) {
	addRecorded(f, "state.json")
	addRecorded(f, "down-state.json")
	addRecorded(f, "no-such-path.json")
	f.Add(200, []byte(`{"state":7}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		state, err := (&answers{status: status, body: body}).client(t).State(t.Context())
		if (state == "") != (err != nil) || err == nil && status != 200 {
			t.Errorf("status %d: got %q and %v", status, state, err)
		}
		if err != nil {
			wantOwnWords(t, err)
		}
	})
}

// FuzzDelete: what Clair says that it has deleted is taken of an answer that is one alone.
func FuzzDelete(f *testing.F) {
	addRecorded(f, "delete-*.json")
	addRecorded(f, "down-delete.json")
	addRecorded(f, "no-such-path.json")
	f.Add(200, []byte(`["`+debian+`",null,""]`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		deleted, err := (&answers{status: status, body: body}).client(t).Delete(t.Context(), []string{debian})
		switch {
		case err != nil && deleted != nil:
			t.Errorf("%q beside the error %v", deleted, err)
		case err != nil:
			wantOwnWords(t, err)
		case status != 200:
			t.Errorf("status %d: took %q", status, deleted)
		case slices.ContainsFunc(deleted, func(d string) bool { return d != debian }):
			t.Errorf("deleted %q, of which nobody spoke", deleted)
		}
	})
}

// FuzzSecretFile: of a file with a key or a token nothing is told, and what is taken is one word.
func FuzzSecretFile(f *testing.F) {
	f.Add([]byte("c2VjcmV0"))
	f.Add([]byte("  token\n"))
	f.Add([]byte("two words"))
	f.Add([]byte("\ufefftoken\x00"))
	f.Add(bytes.Repeat([]byte("a"), secretLimit+1))
	path := filepath.Join(f.TempDir(), "secret")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		token, err := ReadToken(path)
		if err == nil && (token == "" || len(token) > secretLimit || len(strings.Fields(token)) != 1 || strings.ContainsAny(token, "\r\n\x00")) {
			t.Errorf("took %q of %q", token, text)
		}
		key, keyErr := readKey(path)
		if keyErr == nil && len(key) > secretLimit || keyErr != nil && key != nil {
			t.Errorf("took %q of %q, %v", key, text, keyErr)
		}
		for _, err := range []error{err, keyErr} {
			if err == nil {
				continue
			}
			// Its own words are short, and the same for any content.
			if said := strings.Replace(err.Error(), path, "", 1); !slices.Contains([]string{
				"the file  holds more than one word", "the file  is empty", "the file  has more than 4 KiB", "the file  holds no base64",
			}, said) {
				t.Errorf("of %q it says %q", text, said)
			}
		}
	})
}
