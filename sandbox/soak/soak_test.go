package main

import (
	"testing"
	"time"
)

// TestSoak is the short form: each fault once, but for those that are much like another one, always in the same order.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	r, err := run(t.Context(), options{seed: 10, hold: 2 * time.Second, race: true, short: true, say: t.Logf})
	t.Log(r)
	if err != nil {
		t.Fatal(err)
	}
	if r.messages == 0 || r.published == 0 || r.ends == 0 {
		t.Errorf("nothing of what it is about happened: %s", r)
	}
}
