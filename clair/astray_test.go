package clair

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"testing"
)

// carrier carries requests in memory.
type carrier func(*http.Request) *http.Response

func (c carrier) RoundTrip(r *http.Request) (*http.Response, error) { return c(r), nil }

// What answers at a Clair's address leads us to no other one: nothing is asked there, and nothing from there is believed.
func TestRedirectsAreNotFollowed(t *testing.T) {
	for name, ask := range operations {
		for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
			var asked []string
			client, err := New(Config{URL: "http://clair.clair:6000/", Transport: carrier(func(r *http.Request) *http.Response {
				asked = append(asked, r.URL.Host)
				if len(asked) > 1 {
					return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody, Request: r}
				}
				header := http.Header{"Location": {(&url.URL{Scheme: "http", Host: "169.254.169.254", Path: r.URL.Path}).String()}}
				return &http.Response{StatusCode: status, Header: header, Body: http.NoBody, Request: r}
			})})
			if err != nil {
				t.Fatal(err)
			}
			if err := ask(t.Context(), client); err == nil {
				t.Errorf("%s: %d counts as an answer", name, status)
			}
			if len(asked) != 1 || asked[0] != "clair.clair:6000" {
				t.Errorf("%s: %d leads to %v", name, status, asked)
			}
		}
	}
}

// endless is a body of white space without an end.
type endless struct {
	read int
	stop context.CancelFunc
}

func (e *endless) Read(p []byte) (int, error) {
	if e.read > 2*reportLimit { // it is not given up
		e.stop()
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(p, bytes.Repeat([]byte(" "), len(p)))
	e.read += n
	return n, nil
}

func (e *endless) Close() error { return nil }

// Of an answer that does not end no more is read than a report may have.
func TestEndlessReport(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	body := &endless{stop: stop}
	client, err := New(Config{URL: "http://clair.clair:6000/", Transport: carrier(func(r *http.Request) *http.Response {
		return &http.Response{StatusCode: http.StatusOK, Header: make(http.Header), Body: body, Request: r}
	})})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Report(ctx, debian); !IsKind(err, TooLarge) || body.read > reportLimit+largeReport {
		t.Errorf("%d bytes were read, then: %v", body.read, err)
	}
}
