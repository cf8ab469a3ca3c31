package main

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A Clair with a certificate of an authority of one's own is trusted by the file of its entry, and by no other's.
func TestClairCAFile(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"state":"s1"}`))
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := defaults()
	for caFile, want := range map[string]string{file: "", "": "cannot be reached", "/not/there": "caFile"} {
		cfg.Clairs = []ClairConfig{{URL: server.URL + "/", CAFile: caFile}, {URL: "https://other.example.com/", CAFile: file}}
		client, err := clairClients(cfg)(server.URL + "/")
		state := ""
		if err == nil {
			state, err = client.State(t.Context())
		}
		if want == "" && (err != nil || state != "s1") || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("with %q: got %q and %v, want %q", caFile, state, err, want)
		}
	}
}
