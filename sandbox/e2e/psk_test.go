package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/image"
	"github.com/clairwatch/clairwatch/sandbox/stage"
	"github.com/clairwatch/clairwatch/sandbox/vulnerability"
)

// TestPSK has a Clair that answers only who has its key, and a daemon that lets in at /notify only who has it.
func TestPSK(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	s, err := stage.Start(ctx, stage.Options{Log: t.Logf, Race: true, PSK: key})
	must(t, err)
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	e := &story{Stage: s}
	text := base64.StdEncoding.EncodeToString(key)
	file := filepath.Join(t.TempDir(), "clair-psk")

	// The file is not there yet: nothing is asked without a signature, and who listens hears why.
	must(t, e.Watch(ctx, "signed", e.Scanner("signed")))
	must(t, e.Run(ctx, stage.Workload{Namespace: "signed", Name: "worker", Image: e.Image(image.ShopWorker)}))
	e.daemon, err = e.Daemon(e.wait(t), map[string]any{
		"clairs":  []map[string]any{{"url": e.ClairURL, "pskFile": file, "issuer": sandbox.PSKIssuer}},
		"refresh": "0s", // what is newly disclosed is found by Clair's webhook
	})
	must(t, err)
	must(t, e.AwaitReady(e.wait(t)))
	e.awaitLog(t, `level=WARN msg="nobody is let in at /notify.*PSK of Clair `+e.ClairURL+`: the file .*clair-psk cannot be read: no such file`)
	e.awaitLog(t, `level=WARN msg="this Clair does not answer.*clair-psk cannot be read`)

	// A Secret can be mounted late.
	must(t, os.WriteFile(file, []byte(text+"\n"), 0o600))
	e.expect(t, e.message(t, "signed", 1), "shop/worker:0.9.0", "CVE-2024-37371")
	if status := get(t, e.ClairURL+"/indexer/api/v1/index_state"); status != http.StatusUnauthorized {
		t.Errorf("Clair answers %d to who has no key, so nothing was shown", status)
	}

	// Clair's own notifier is let in, and nobody else.
	e.notAdmitted(t, "")
	e.notAdmitted(t, "Bearer "+text)
	must(t, e.Import(e.wait(t), vulnerability.Second))
	e.awaitMetric(t, `clairwatch_notifications_total{outcome="(queued|fresh)"}`, 1)
	e.expect(t, e.message(t, "signed", 2), "shop/worker:0.9.0", "newly disclosed")
	e.notAdmitted(t, "Bearer x")
	e.awaitMetric(t, `clairwatch_notifications_total{outcome="unauthorized"}`, 3)

	seen := e.log(t) + e.page(t, "http://"+e.DaemonAddr+"/metrics")
	for _, bad := range []string{"DATA RACE", "panic:", text, "eyJhbGciOi"} { // the last one begins each of the tokens
		if strings.Contains(seen, bad) {
			t.Errorf("the log or the metrics have %q", bad)
		}
	}
}

// notAdmitted posts to /notify, as Clair's notifier would, what must be refused.
func (e *story) notAdmitted(t *testing.T, authorization string) {
	t.Helper()
	body := `{"notification_id":"269886f3-0146-4f08-9bf7-cb1138d48643","callback":"` + e.ClairURL + `/notifier/api/v1/notification/269886f3-0146-4f08-9bf7-cb1138d48643"}`
	req, err := http.NewRequestWithContext(e.wait(t), http.MethodPost, e.NotifyURL, bytes.NewBufferString(body))
	must(t, err)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("%q: status %d", authorization, resp.StatusCode)
	}
}
