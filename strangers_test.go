package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What is said of a file repeats nothing that may be a webhook, also where no line can be named, or a field is none.
func TestReadManifestRepeatsNothing(t *testing.T) {
	for _, text := range []string{
		"? [" + webhookSecret + "]\n: x\n",
		"? {a: " + webhookSecret + "}\n: x\n",
		"a: {<<: " + webhookSecret + "}\n",
		"kind: ConfigMap\n\"https://hooks.slack.com/services/" + webhookSecret + "\": x\n",
	} {
		_, err := readManifest(strings.NewReader(text), "clairwatch")
		if err == nil || strings.Contains(err.Error(), webhookSecret) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// An answer that is not about what was asked, or longer than any daemon's, is not taken.
func TestExplainStrangeAnswers(t *testing.T) {
	for name, c := range map[string]struct{ answer, want string }{
		"about nothing":        {`{"namespace": "shop"}`, "is not the pages of a clairwatch of this version"},
		"about something else": {`{"namespace": "shop", "vulnerability": "CVE-2026-0002"}`, "is not the pages of a clairwatch of this version"},
		"too long":             {`{"namespace": "shop", "vulnerability": "CVE-2026-0001"}` + strings.Repeat(" ", answerLimit), "the answer has more than 64 MiB: ask for one workload or pod"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = bytes.NewBufferString(c.answer).WriteTo(w)
		}))
		t.Cleanup(s.Close)
		if got := clairwatch(t, "", "explain", "--address", s.URL, "--vulnerability", "CVE-2026-0001", "shop"); got.code != exitFailed || got.out != "" || !strings.Contains(got.errs, c.want) {
			t.Errorf("%s: %+.300v", name, got)
		}
	}
}
