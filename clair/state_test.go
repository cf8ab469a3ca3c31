package clair

import "testing"

func TestState(t *testing.T) {
	rec := recorded(t, "state.json")
	client, log := scripted(t, rec.handler(t))
	got, err := client.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := "cb31df8269833698891b35a63251a81a"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := log.requests[0]; got.Method != rec.Method || got.URL != rec.Path || got.Body != "" {
		t.Errorf("asked %+v, want %s %s", got, rec.Method, rec.Path)
	}
}
