package clair

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

func TestDelete(t *testing.T) {
	const known = "sha256:7faa5293febe0116e2bd40f9c02727cd12d1802ab97f5d4be1de8687746346db"
	unknown := "sha256:" + strings.Repeat("0", 64)
	for file, want := range map[string][]string{"delete-some.json": {known}, "delete-none.json": nil} {
		t.Run(file, func(t *testing.T) {
			rec := recorded(t, file)
			client, log := scripted(t, rec.handler(t))
			got, err := client.Delete(t.Context(), []string{known, unknown})
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
			if len(log.requests) != 1 {
				t.Fatalf("%d requests", len(log.requests))
			}
			asked := log.requests[0]
			if asked.Method != rec.Method || asked.URL != rec.Path || asked.Header.Get("Content-Type") != "application/json" {
				t.Errorf("asked %+v, want %s %s", asked, rec.Method, rec.Path)
			}
			if want := `["` + known + `","` + unknown + `"]`; asked.Body != want {
				t.Errorf("sent %s, want %s", asked.Body, want)
			}
		})
	}
}

// forgetful deletes all that it is asked to.
func forgetful(t *testing.T) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(w, r.Body); err != nil {
			t.Error(err)
		}
	})
}

func manyDigests(n int) []string {
	var digests []string
	for i := range n {
		digests = append(digests, fmt.Sprintf("sha256:%064x", i))
	}
	return digests
}

func TestDeleteInBatches(t *testing.T) {
	for n, want := range map[int][]int{0: nil, 1: {1}, mostDeleted: {mostDeleted}, mostDeleted + 1: {mostDeleted, 1}, 3 * mostDeleted: {mostDeleted, mostDeleted, mostDeleted}} {
		client, log := scripted(t, forgetful(t))
		digests := manyDigests(n)
		got, err := client.Delete(t.Context(), digests)
		if err != nil || !slices.Equal(got, digests) {
			t.Errorf("%d digests: got %d back, %v", n, len(got), err)
		}
		var batches []int
		for _, r := range log.requests {
			batches = append(batches, strings.Count(r.Body, "sha256:"))
		}
		if !slices.Equal(batches, want) {
			t.Errorf("%d digests: batches of %d, want %d", n, batches, want)
		}
	}
}

// What was deleted before it broke off is not lost, and nothing is sent after it.
func TestDeleteInPart(t *testing.T) {
	busy := recorded(t, "index-busy.json").handler(t)
	var requests atomic.Int64
	client, log := scripted(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) > 1 {
			busy(w, r)
			return
		}
		forgetful(t).ServeHTTP(w, r)
	}))
	digests := manyDigests(3 * mostDeleted)
	got, err := client.Delete(t.Context(), digests)
	if !IsKind(err, Busy) || !slices.Equal(got, digests[:mostDeleted]) {
		t.Errorf("got %d back, %v", len(got), err)
	}
	if len(log.requests) != 2 {
		t.Errorf("%d requests", len(log.requests))
	}
}
