package sandbox_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/clairwatch/clairwatch/sandbox"
	"github.com/clairwatch/clairwatch/sandbox/image"
	"github.com/clairwatch/clairwatch/sandbox/vulnerability"
)

// TestTwoClairs runs two Clairs that know nothing of each other, and takes from each what it knows.
func TestTwoClairs(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Postgres, two Clairs and a registry")
	}
	ctx := t.Context()
	box, err := sandbox.Start(ctx, sandbox.Options{Parts: []sandbox.Part{sandbox.Clair, sandbox.Registry}, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Stop(); err != nil {
			t.Errorf("stopping the sandbox: %v", err)
		}
	})
	first := box.Clair()
	second, err := box.AddClair(ctx, sandbox.ClairOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if second.URL == first.URL || second.Name() == first.Name() {
		t.Fatalf("the second Clair is %s at %s, as the first", second.Name(), second.URL)
	}
	fleet, err := image.Fleet(1)
	if err != nil {
		t.Fatal(err)
	}
	app := fleet[0].Artifact.(v1.Image)
	reference := box.RegistryHost + "/" + fleet[0].Name
	pushed, err := image.Push(ctx, reference, app, nil)
	if err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(t.TempDir(), "bundle.json.gz")
	facts, err := vulnerability.Facts(vulnerability.First)
	if err != nil {
		t.Fatal(err)
	}
	if err := vulnerability.WriteFile(bundle, facts, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	digest := pushed.String()
	repository, _, _ := strings.Cut(fleet[0].Name, ":")
	index := func(c *sandbox.ClairServer) {
		t.Helper()
		if err := c.Index(ctx, box.RegistryHost+"/"+repository, app); err != nil {
			t.Fatal(err)
		}
	}
	// want is what a Clair has to say of the image: whether it has indexed it, the status of its report and
	// whether that holds vulnerabilities.
	want := func(c *sandbox.ClairServer, indexed bool, status int, vulnerable bool) {
		t.Helper()
		has, err := c.Has(ctx, digest)
		if err != nil {
			t.Fatal(err)
		}
		gotStatus, gotVulnerable := report(t, c, digest)
		if has != indexed || gotStatus != status || gotVulnerable != vulnerable {
			t.Errorf("%s: indexed %v, report %d, vulnerable %v, want %v, %d, %v", c.Name(), has, gotStatus, gotVulnerable, indexed, status, vulnerable)
		}
	}
	want(first, false, http.StatusAccepted, false)
	if err := first.ImportBundle(ctx, bundle); err != nil {
		t.Fatal(err)
	}
	index(first)
	want(first, true, http.StatusOK, true)
	want(second, false, http.StatusAccepted, false)

	index(second)
	want(second, true, http.StatusAccepted, false)
	if err := second.ImportBundle(ctx, bundle); err != nil {
		t.Fatal(err)
	}
	want(second, true, http.StatusOK, true)

	if err := second.Empty(ctx); err != nil {
		t.Fatal(err)
	}
	want(second, true, http.StatusOK, false) // it runs on, and takes its data for complete
	if err := second.ImportBundle(ctx, bundle); err != nil {
		t.Fatal(err)
	}
	want(second, true, http.StatusOK, true)

	if err := second.Delete(ctx, digest); err != nil {
		t.Fatal(err)
	}
	want(second, false, http.StatusNotFound, false)
	if err := second.Delete(ctx, digest); err != nil {
		t.Errorf("deleting what is not there: %v", err)
	}

	address := second.URL
	if err := second.Reset(ctx); err != nil {
		t.Fatal(err)
	}
	if second.URL != address {
		t.Errorf("after the reset it is at %s, was at %s", second.URL, address)
	}
	want(second, false, http.StatusAccepted, false)
	want(first, true, http.StatusOK, true)
}

// report asks a Clair for a report: its status, and whether it holds vulnerabilities.
func report(t *testing.T, c *sandbox.ClairServer, digest string) (status int, vulnerable bool) {
	t.Helper()
	resp, err := http.Get(c.URL + "/matcher/api/v1/vulnerability_report/" + digest)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var found struct {
		Vulnerabilities map[string]any `json:"vulnerabilities"`
	}
	if resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(&found); err != nil {
			t.Fatal(err)
		}
	}
	return resp.StatusCode, len(found.Vulnerabilities) > 0
}

// TestClairWithPSK has Clairs that answer only who has their key, as the sandbox itself does.
func TestClairWithPSK(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Postgres and two Clairs")
	}
	ctx := t.Context()
	key := []byte("a key of 32 bytes for the tests.")
	box, err := sandbox.Start(ctx, sandbox.Options{Parts: []sandbox.Part{sandbox.Clair}, Log: t.Logf, PSK: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Stop(); err != nil {
			t.Errorf("stopping the sandbox: %v", err)
		}
	})
	second, err := box.AddClair(ctx, sandbox.ClairOptions{})
	if err != nil {
		t.Fatal(err)
	}
	digest := "sha256:" + strings.Repeat("ab", 32)
	for _, c := range []*sandbox.ClairServer{box.Clair(), second} {
		if status, _ := report(t, c, digest); status != http.StatusUnauthorized {
			t.Errorf("%s answers %d to who has no key", c.Name(), status)
		}
		if has, err := c.Has(ctx, digest); err != nil || has {
			t.Errorf("%s: got %v, %v", c.Name(), has, err)
		}
	}
}
