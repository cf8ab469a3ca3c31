// Package web is the daemon's read-only pages, and the same as JSON: what runs in the cluster, what is wrong with it,
// what to update first, and which channels take no messages.
//
// The pages need no JavaScript, set no cookie, load nothing from elsewhere and link to each other relatively, so
// that they work behind any path prefix. Everything that comes from outside is text in them.
package web

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"net/http"
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
	// version is that of the stylesheet and the icon.
	version string
	// reading is for answers that hold a report, asking for those about a namespace, making for all others.
	reading, asking, making turns

	overview, image, vulnerability, namespace, fault *template.Template
}

// New returns a handler of the pages: / shows what runs, /images/<digest> one image, /vulnerabilities/<name> what has
// one vulnerability, /namespaces/<name> one namespace; below /api/v1/ is the same as JSON. It answers GET and HEAD
// alone. All these addresses stay as they are, since Slack messages link to them. Its error is a mistake in a
// template, which is part of the program.
func New(cfg Config) (http.Handler, error) {
	p := &pages{
		source: cfg.Source, now: cfg.Now,
		reading: newTurns(reportsAtOnce, reportTimeout), asking: newTurns(namespacesAtOnce, namespaceTimeout), making: newTurns(pagesAtOnce, pageTimeout),
	}
	if p.now == nil {
		p.now = time.Now
	}
	var errs [6]error
	p.overview, errs[0] = parse("overview.html")
	p.image, errs[1] = parse("image.html")
	p.fault, errs[2] = parse("fault.html")
	p.vulnerability, errs[3] = parse("vulnerability.html")
	p.namespace, errs[4] = parse("namespace.html")
	p.version, errs[5] = version(stylePath, iconPath)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("reading the templates of the pages: %w", err)
	}
	return p, nil
}

// What pages load, by their paths.
const stylePath, iconPath = "style.css", "icon.svg"

// version is another one whenever any of some files is.
func version(names ...string) (string, error) {
	const digits = 12 // enough that no two versions have the same
	sum := sha256.New()
	for _, name := range names {
		content, err := files.ReadFile(name)
		if err != nil {
			return "", err
		}
		sum.Write(content)
	}
	return hex.EncodeToString(sum.Sum(nil))[:digits], nil
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
	if path := r.URL.Path; (path == "/"+stylePath || path == "/"+iconPath) && reads(r) {
		if r.URL.RawQuery == "v="+p.version { // what is at this address never changes
			h.Set("Cache-Control", "private, max-age=31536000, immutable")
		}
		http.ServeFileFS(w, r, files, path[1:])
		return
	}
	p.answer(r).send(w)
}

// reads says whether a request only reads.
func reads(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// answer makes the answer to a request for a page or for JSON.
func (p *pages) answer(r *http.Request) finished {
	path := r.URL.Path
	if strings.HasPrefix(path, "/api/") {
		return p.answerAPI(r)
	}
	if !reads(r) {
		return p.newFault(r, http.StatusMethodNotAllowed, "These pages can only be read", "")
	}
	if path == "/" {
		return p.answerOverview(r)
	}
	if digest, ok := strings.CutPrefix(path, "/"+toImages); ok {
		return p.answerImage(r, digest)
	}
	if name, ok := strings.CutPrefix(path, "/"+toVulnerabilities); ok {
		return p.answerVulnerability(r, name)
	}
	if name, ok := strings.CutPrefix(path, "/"+toNamespaces); ok {
		return p.answerNamespace(r, name)
	}
	return p.newFault(r, http.StatusNotFound, "There is no such page", "")
}

// inTurn makes a page for which nobody is asked, when it is its turn.
func (p *pages) inTurn(r *http.Request, page func() finished) finished {
	var f finished
	if err := p.making.take(r.Context(), func(context.Context) { f = page() }); err != nil {
		return p.busy(r)
	}
	return f
}

// page is what every page shows.
type page struct {
	// Title is what the browser calls it.
	Title string
	// Root leads from the page to the first one.
	Root string
	// Version is that of the stylesheet and the icon. It stands in their addresses, so that a browser keeps them until
	// there are others.
	Version string
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
	return page{Title: title, Root: root(r.URL.EscapedPath()), Version: p.version, Cluster: c, LeadsSince: newMoment(c.Since, now), AsOf: newMoment(now, now)}
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

// newFault is a page that says what went wrong.
func (p *pages) newFault(r *http.Request, status int, what, hint string) finished {
	return p.execute(r, p.fault, status, faultPage{page: p.newPage(r, what), What: what, Hint: hint})
}

// busy says that it was not the turn of a page.
func (p *pages) busy(r *http.Request) finished {
	return p.newFault(r, http.StatusServiceUnavailable, "Too many ask at once", "It was not the turn of this page for too long. Reload it in half a minute.")
}

// standsBy says why a replica does not know what it is asked.
func (p *pages) standsBy(r *http.Request) finished {
	return p.newFault(r, http.StatusServiceUnavailable, "Not known here", "This replica stands by: only the one that leads knows what runs. Ask that one, or reload the page when this one leads.")
}

// execute makes a page.
func (p *pages) execute(r *http.Request, t *template.Template, status int, view any) finished {
	var d draft
	err := t.Execute(&d, view)
	switch {
	case err == nil:
		return finished{status, "text/html; charset=utf-8", d.bytes()}
	case errors.Is(err, errTooLong) && t != p.fault:
		return p.newFault(r, http.StatusInternalServerError, "This page would be too large", "What is on it is unusually long. If it has a filter, choose less of it.")
	default:
		// Only a mistake in a template gets here, and the tests execute all of them.
		return finished{http.StatusInternalServerError, "text/plain; charset=utf-8", []byte("the page cannot be made\n")}
	}
}
