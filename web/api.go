package web

import (
	"context"
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

// How much an answer holds; the rest is counted, or on the next page. With strings of usual lengths it stays far below
// mostBytes.
const (
	apiLimit         = 100  // of what is paged, when nobody says
	apiMostLimit     = 1000 // of what is paged
	apiMostChannels  = 500
	apiMostClairs    = 100
	apiMostMistakes  = 100
	apiMostNames     = 20 // of one image, and of the namespaces that it runs in
	apiMostWorkloads = 500
	apiMostHearers   = 50
	apiMostIgnore    = 50 // of one hearer
	apiMostHeld      = 10 // hearers of one finding
	apiFewWorkloads  = 20 // of one image of many
	apiFewFindings   = 10 // of one image of many
	apiFewLinks      = 20
)

// apiError is an answer that is not what was asked for.
type apiError struct {
	// Status is that of HTTP. What was answered with 503 can be asked again.
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
	errAPIBusy    = &apiError{http.StatusServiceUnavailable, "too many ask at once: ask again in half a minute"}
	errAPILong    = &apiError{http.StatusInternalServerError, fmt.Sprintf("the answer is longer than %d MiB: ask for less of it, with a smaller limit where there is one", mostBytes>>20)}
	errAPIMethod  = &apiError{http.StatusMethodNotAllowed, "this can only be read: want GET or HEAD"}
)

// encode makes an answer of a document or, where there is an error, of that. An error that is no apiError is that of a
// Clair.
func encode(document any, err error) finished {
	if err != nil {
		return encodeFault(err)
	}
	var d draft
	switch err := json.NewEncoder(&d).Encode(document); {
	case errors.Is(err, errTooLong):
		return encodeFault(errAPILong)
	case err != nil: // only a namespace's can be something that is no JSON
		return encodeFault(&apiError{http.StatusInternalServerError, "the answer cannot be written"})
	}
	return finished{http.StatusOK, "application/json", d.bytes()}
}

// encodeFault makes an answer of an error.
func encodeFault(err error) finished {
	refused, ok := errors.AsType[*apiError](err)
	switch {
	case errors.Is(err, errBusy):
		refused = errAPIBusy
	case !ok: // what it says is not passed on: it can hold what others wrote
		refused = &apiError{http.StatusBadGateway, "Clair does not answer: ask again, and if it lasts, check that Clair and its database run"}
	}
	body, err := json.Marshal(apiFault{refused.Says})
	if err != nil {
		body = nil // a string always is JSON
	}
	return finished{refused.Status, "application/json", append(body, '\n')}
}

// encoded makes an answer when it is its turn.
func (t turns) encoded(ctx context.Context, answer func(context.Context) (any, error)) finished {
	var f finished
	if err := t.take(ctx, func(ctx context.Context) { f = encode(answer(ctx)) }); err != nil {
		return encodeFault(err)
	}
	return f
}

// answerAPI answers with JSON.
func (p *pages) answerAPI(r *http.Request) finished {
	if !reads(r) {
		return encodeFault(errAPIMethod)
	}
	path, ok := strings.CutPrefix(r.URL.Path, apiRoot)
	if !ok {
		return encodeFault(errAPIPath)
	}
	noun, name, named := strings.Cut(path, "/")
	known := []string{"limit", "offset"}
	var q parameters
	var answer func() (any, error) // for which nobody is asked
	var asking func() finished     // takes its turns itself
	switch {
	case noun == "overview" && !named:
		known, answer = nil, func() (any, error) { return p.apiOverview(), nil }
	case noun == "images" && !named:
		known = append(known, "namespace", "severity", "fixable", "state", "q", "sort", "order")
		answer = func() (any, error) { return p.apiImages(q) }
	case noun == "images":
		known = append(known, "severity", "fixable", "package", "q")
		asking = func() finished { return p.apiImage(r.Context(), name, q) }
	case noun == "namespaces" && !named:
		answer = func() (any, error) { return p.apiNamespaces(q) }
	case noun == "namespaces":
		known, asking = nil, func() finished { return p.apiNamespace(r.Context(), name) }
	case noun == "vulnerabilities" && named:
		answer = func() (any, error) { return p.apiVulnerability(name, q) }
	default:
		return encodeFault(errAPIPath)
	}
	var err error
	q, err = parseParameters(r, known...)
	switch {
	case err != nil:
		return encodeFault(err)
	case noun != "overview" && !p.source.Cluster().Leads:
		return encodeFault(errAPIStandby)
	case asking != nil:
		return asking()
	}
	return p.making.encoded(r.Context(), func(context.Context) (any, error) { return answer() })
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
