package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// apiRoot is where the JSON is. docs/api.md describes it.
const apiRoot = "/api/v1/"

// How much an answer holds; the rest is counted, or on the next page. With the length of each string, which is that of
// a page's, this is what bounds an answer.
const (
	apiLimit         = 100  // of what is paged, when nobody says
	apiMostLimit     = 1000 // of what is paged
	apiMostChannels  = 1000
	apiMostClairs    = 100
	apiMostMistakes  = 100
	apiMostNames     = 20 // of one image, and of the namespaces that it runs in
	apiMostWorkloads = 500
	apiMostHearers   = 100
	apiMostIgnore    = 100 // of one hearer
	apiMostHeld      = 20  // hearers of one finding
	apiFewWorkloads  = 50  // of one image of many
	apiFewFindings   = 20  // of one image of many
	apiFewLinks      = 20
)

// apiError is an answer that is not what was asked for.
type apiError struct {
	// Status is that of HTTP. 503 can be asked again.
	Status int
	// Says is why, and what to do.
	Says string
}

func (e *apiError) Error() string { return e.Says }

// apiFault is an apiError as JSON.
type apiFault struct {
	// Error is why there is no answer, and what to do.
	Error string `json:"error"`
}

// What the API answers to several questions.
var (
	errAPIStandby = &apiError{http.StatusServiceUnavailable, "this replica stands by and does not know: ask the one that leads, or again when this one does"}
	errAPIPath    = &apiError{http.StatusNotFound, "there is nothing at this path: want overview, images, images/<digest>, namespaces, namespaces/<name> or vulnerabilities/<name> below " + apiRoot}
	errAPIMethod  = &apiError{http.StatusMethodNotAllowed, "this can only be read: want GET or HEAD"}
)

// serveAPI answers with JSON.
func (p *pages) serveAPI(w http.ResponseWriter, r *http.Request) {
	document, err := p.answer(r)
	status := http.StatusOK
	if err != nil {
		refused, ok := errors.AsType[*apiError](err)
		if !ok { // what it says is not passed on: it can hold what others wrote
			refused = &apiError{http.StatusBadGateway, "Clair does not answer: ask again, and if it lasts, check that Clair and its database run"}
		}
		document, status = apiFault{refused.Says}, refused.Status
	}
	// It is made in memory first, so that it is sent whole with the status that fits.
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(document); err != nil {
		// Only a namespace's can be something that is no JSON.
		b.Reset()
		b.WriteString(`{"error":"the answer cannot be written"}` + "\n")
		status = http.StatusInternalServerError
	}
	h := w.Header()
	switch status {
	case http.StatusMethodNotAllowed:
		h.Set("Allow", "GET, HEAD")
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(int(reportTimeout/time.Second)))
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // who does not wait for the answer does not need it
}

// answer finds the answer to a request. An error that is no apiError is that of a Clair.
func (p *pages) answer(r *http.Request) (any, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil, errAPIMethod
	}
	path, ok := strings.CutPrefix(r.URL.Path, apiRoot)
	if !ok {
		return nil, errAPIPath
	}
	if path == "overview" {
		if _, err := parseParameters(r); err != nil {
			return nil, err
		}
		return p.apiOverview(), nil
	}
	noun, name, named := strings.Cut(path, "/")
	var answer func() (any, error)
	known := []string{"limit", "offset"}
	var q parameters
	switch {
	case noun == "images" && !named:
		known = append(known, "namespace", "severity", "fixable", "state", "q", "sort", "order")
		answer = func() (any, error) { return p.apiImages(q) }
	case noun == "images":
		answer = func() (any, error) { return p.apiImage(r.Context(), name, q) }
	case noun == "namespaces" && !named:
		answer = func() (any, error) { return p.apiNamespaces(q) }
	case noun == "namespaces":
		known = nil
		answer = func() (any, error) { return p.apiNamespace(r.Context(), name) }
	case noun == "vulnerabilities" && named:
		answer = func() (any, error) { return p.apiVulnerability(name, q) }
	default:
		return nil, errAPIPath
	}
	var err error
	if q, err = parseParameters(r, known...); err != nil {
		return nil, err
	}
	if !p.source.Cluster().Leads {
		return nil, errAPIStandby
	}
	return answer()
}

// parameters are those of a request, each given once.
type parameters struct {
	url.Values
	// limit is at least 1, offset at least 0.
	limit, offset int
}

// parseParameters reads the query of a request, in which only what is known may be.
func parseParameters(r *http.Request, known ...string) (parameters, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return parameters{}, badParameter("the query cannot be read: want name=value, joined by &, with %%XX for what is special")
	}
	q := parameters{Values: values, limit: apiLimit}
	for name, given := range values {
		switch {
		case !slices.Contains(known, name) && len(known) == 0:
			return q, badParameter("there is no parameter %s here: want none", brief(name))
		case !slices.Contains(known, name):
			return q, badParameter("there is no parameter %s here: want some of %s", brief(name), strings.Join(known, ", "))
		case len(given) > 1:
			return q, badParameter("%s is given %d times: want it once", name, len(given))
		case len(given[0]) > longestText:
			return q, badParameter("%s is longer than %d bytes", name, longestText)
		}
	}
	if q.limit, err = q.number("limit", apiLimit, 1, apiMostLimit); err != nil {
		return q, err
	}
	const farthest = 1_000_000_000
	q.offset, err = q.number("offset", 0, 0, farthest)
	return q, err
}

func badParameter(format string, args ...any) error {
	return &apiError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// number reads a parameter; without it, it is the usual one.
func (q parameters) number(name string, usual, least, most int) (int, error) {
	text := q.Get(name)
	if text == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, badParameter("%s cannot be %s: want a number from %d to %d", name, brief(text), least, most)
	}
	return n, nil
}

// word checks a parameter that has one of a few words, or none.
func (q parameters) word(name string, words ...string) error {
	if text := q.Get(name); text != "" && !slices.Contains(words, text) {
		return badParameter("%s cannot be %s: want %s", name, brief(text), strings.Join(words, ", "))
	}
	return nil
}

// part is where the asked part of a list of a length begins and ends.
func (q parameters) part(length int) (from, to int) {
	from = min(q.offset, length)
	return from, min(from+q.limit, length)
}

// next is the address of the part behind one that ends at a place, relative to that of the request; empty at the end.
func (q parameters) next(to, length int) string {
	if to >= length {
		return ""
	}
	values := make(url.Values, len(q.Values)+2)
	for name, given := range q.Values {
		values[name] = given
	}
	values.Set("limit", strconv.Itoa(q.limit))
	values.Set("offset", strconv.Itoa(to))
	return "?" + values.Encode()
}

// apiTime is a time as JSON has it, to the second; what JSON cannot write is as good as unknown.
func apiTime(t time.Time) time.Time {
	const latest = 9999
	if t = t.UTC().Truncate(time.Second); t.Year() < 0 || t.Year() > latest {
		return time.Time{}
	}
	return t
}

// apiTexts are the first of some strings from outside, and how many there are besides. It is never nil.
func apiTexts(all []string, most int) ([]string, int) {
	texts := make([]string, 0, min(len(all), most))
	for _, s := range all[:min(len(all), most)] {
		texts = append(texts, brief(s))
	}
	return texts, len(all) - len(texts)
}
