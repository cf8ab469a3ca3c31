// Package web is the daemon's read-only pages, and the same as JSON: what runs in the cluster, what is wrong with it,
// what to update first, and which channels take no messages.
//
// The pages need no JavaScript, set no cookie, load nothing from elsewhere and link to each other relatively, so
// that they work behind any path prefix. Everything that comes from outside is text in them.
package web

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"
)

//go:embed templates style.css icon.svg
var files embed.FS

// Config is what the pages need.
type Config struct {
	// Source is where they get what they show; required.
	Source Source
	// Now says what time it is; nil: time.Now.
	Now func() time.Time
}

// pages serves them.
type pages struct {
	source Source
	now    func() time.Time
	// reading has room for each report that may be fetched at a time.
	reading chan struct{}
	// asking has room for each namespace that may be asked about at a time.
	asking chan struct{}

	overview, image, vulnerability, namespace, fault *template.Template
}

// New returns a handler of the pages: / shows what runs, /images/<digest> one image, /vulnerabilities/<name> what has
// one vulnerability, /namespaces/<name> one namespace; below /api/v1/ is the same as JSON. It answers GET and HEAD
// alone. All these addresses stay as they are, since Slack messages link to them. Its error is a mistake in a
// template, which is part of the program.
func New(cfg Config) (http.Handler, error) {
	p := &pages{
		source: cfg.Source, now: cfg.Now,
		reading: make(chan struct{}, reportsAtOnce), asking: make(chan struct{}, namespacesAtOnce),
	}
	if p.now == nil {
		p.now = time.Now
	}
	var errs [5]error
	p.overview, errs[0] = parse("overview.html")
	p.image, errs[1] = parse("image.html")
	p.fault, errs[2] = parse("fault.html")
	p.vulnerability, errs[3] = parse("vulnerability.html")
	p.namespace, errs[4] = parse("namespace.html")
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("reading the templates of the pages: %w", err)
	}
	return p, nil
}

// parse reads one page's template, with what all have in common.
func parse(name string) (*template.Template, error) {
	t := template.New("layout.html").Funcs(template.FuncMap{"brief": brief, "number": number, "count": count, "words": stateWords})
	return t.ParseFS(files, "templates/layout.html", "templates/parts.html", "templates/"+name)
}

// policy lets a page use its own stylesheet, icon and form, and nothing else.
const policy = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// ServeHTTP answers a request. The paths are matched here and not by a ServeMux, which redirects unclean paths to
// where they would be without a prefix, and answers what it does not know in plain text.
func (p *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if strings.HasPrefix(r.URL.Path, "/api/") {
		p.serveAPI(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		p.serveFault(w, r, http.StatusMethodNotAllowed, "These pages can only be read", "")
		return
	}
	switch path := r.URL.Path; {
	case path == "/":
		p.serveOverview(w, r)
	case path == "/style.css" || path == "/icon.svg":
		http.ServeFileFS(w, r, files, path[1:])
	case strings.HasPrefix(path, "/images/"):
		p.serveImage(w, r, strings.TrimPrefix(path, "/images/"))
	case strings.HasPrefix(path, "/vulnerabilities/"):
		p.serveVulnerability(w, r, strings.TrimPrefix(path, "/vulnerabilities/"))
	case strings.HasPrefix(path, "/namespaces/"):
		p.serveNamespace(w, r, strings.TrimPrefix(path, "/namespaces/"))
	default:
		p.serveFault(w, r, http.StatusNotFound, "There is no such page", "")
	}
}

// page is what every page shows.
type page struct {
	// Title is what the browser calls it.
	Title string
	// Root leads from the page to the first one.
	Root string
	// Cluster is whose page it is, LeadsSince when this replica began to lead.
	Cluster    Cluster
	LeadsSince moment
	// AsOf is when it was made.
	AsOf moment
}

// newPage begins a page with a title.
func (p *pages) newPage(r *http.Request, title string) page {
	c, now := p.source.Cluster(), p.now()
	title = brief(title) + " · clairwatch"
	if c.Name != "" {
		title += " · " + brief(c.Name)
	}
	return page{Title: title, Root: root(r.URL.EscapedPath()), Cluster: c, LeadsSince: newMoment(c.Since, now), AsOf: newMoment(now, now)}
}

// root is the way from a path up to the first page, as a browser walks it.
func root(escaped string) string {
	const deepest = 20 // no page is deeper than one; an unknown path must not make the answer long
	up := min(strings.Count(strings.TrimPrefix(escaped, "/"), "/"), deepest)
	if up == 0 {
		return "./"
	}
	return strings.Repeat("../", up)
}

// faultPage says why there is no page.
type faultPage struct {
	page
	// What is what went wrong, Hint what a reader may want to know then.
	What, Hint string
}

// serveFault answers with a page that says what went wrong.
func (p *pages) serveFault(w http.ResponseWriter, r *http.Request, status int, what, hint string) {
	p.write(w, p.fault, status, faultPage{page: p.newPage(r, what), What: what, Hint: hint})
}

// write sends a page. It is made in memory first, so that a page is sent whole with the status that fits, and what
// it was made from is not held for as long as a slow reader takes.
func (p *pages) write(w http.ResponseWriter, t *template.Template, status int, view any) {
	var b bytes.Buffer
	if err := t.Execute(&b, view); err != nil {
		// Only a mistake in a template gets here, and the tests execute all of them.
		http.Error(w, "the page cannot be made", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // who does not wait for the answer does not need it
}
