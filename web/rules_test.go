package web

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
)

// rules collects what would make a page unsafe, unusable without a mouse or a screen, or leave its prefix.
type rules struct {
	broken  []string
	open    []string
	ids     map[string]bool
	refs    []string // ids that must exist
	labels  []string // ids that a label is for
	inputs  []string // ids of what needs a label
	heading int      // level of the last heading
	unnamed bool     // the link that is open has had no name so far
	count   map[string]int
}

// violations checks a page. It reads it as XML that need not close what HTML leaves open, which also proves that
// no string from outside opened or closed an element.
func violations(page string) []string {
	r := rules{ids: make(map[string]bool), count: make(map[string]int)}
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			r.say("not well formed: %v", err)
			break
		}
		switch t := token.(type) {
		case xml.StartElement:
			r.element(t)
			r.open = append(r.open, t.Name.Local)
		case xml.EndElement:
			if t.Name.Local == "a" && r.unnamed {
				r.say("a link without a name")
			}
			r.open = r.open[:len(r.open)-1]
		case xml.CharData:
			r.unnamed = r.unnamed && strings.TrimSpace(string(t)) == ""
		case xml.Comment:
			r.say("a comment: %q", string(t))
		}
	}
	for _, name := range []string{"html", "title", "main", "h1", "header", "footer"} {
		if r.count[name] != 1 {
			r.say("%d elements %s", r.count[name], name)
		}
	}
	for _, id := range append(r.refs, r.labels...) {
		if !r.ids[id] {
			r.say("nothing has the id %s", id)
		}
	}
	for _, id := range r.inputs {
		if !slices.Contains(r.labels, id) {
			r.say("%s has no label", id)
		}
	}
	if r.count["table"] != r.count["caption"] {
		r.say("%d tables with %d captions", r.count["table"], r.count["caption"])
	}
	if r.count["details"] != r.count["summary"] {
		r.say("%d elements details with %d summaries", r.count["details"], r.count["summary"])
	}
	return r.broken
}

func (r *rules) say(format string, args ...any) {
	if len(r.broken) < 20 {
		r.broken = append(r.broken, fmt.Sprintf(format, args...))
	}
}

// elements are all that the pages are made of.
var elements = strings.Fields(`html head meta title link body a header span main footer p strong b small section h1 h2 h3 ul li nav dl div dt dd
	table caption thead tbody tr th td svg rect bdi code time form label input select option datalist button details summary`)

func (r *rules) element(e xml.StartElement) {
	name := e.Name.Local
	r.count[name]++
	if !slices.Contains(elements, name) {
		r.say("an element %s", name)
	}
	at := make(map[string]string)
	for _, a := range e.Attr {
		key := a.Name.Local
		if _, twice := at[key]; twice {
			r.say("%s has %s twice", name, key)
		}
		at[key] = a.Value
		if key == "style" || strings.HasPrefix(key, "on") {
			r.say("%s has the attribute %s, which the policy forbids", name, key)
		}
	}
	if id, ok := at["id"]; ok {
		if r.ids[id] {
			r.say("two elements with the id %s", id)
		}
		r.ids[id] = true
	}
	switch name {
	case "html":
		if at["lang"] != "en" {
			r.say("the language is not said")
		}
	case "h1", "h2", "h3":
		level := int(name[1] - '0')
		if level > r.heading+1 {
			r.say("%s after h%d", name, r.heading)
		}
		r.heading = level
	case "th":
		if at["scope"] != "col" && at["scope"] != "row" {
			r.say("a th without a scope")
		}
		if sorted, ok := at["aria-sort"]; ok && (at["scope"] != "col" || sorted != "ascending" && sorted != "descending") {
			r.say("a th sorted %q", sorted)
		}
	case "section":
		r.refs = append(r.refs, at["aria-labelledby"])
	case "label":
		r.labels = append(r.labels, at["for"])
	case "input", "select":
		if at["type"] != "hidden" {
			r.inputs = append(r.inputs, at["id"])
		}
	case "form":
		if at["method"] != "get" {
			r.say("a form that is not read only")
		}
		r.relative(at["action"])
	case "a":
		r.unnamed = at["aria-label"] == ""
		r.link(at)
	case "bdi":
		r.unnamed = false // what a source calls nothing has no other name
	case "nav":
		if at["aria-label"] == "" {
			r.say("a nav without a name")
		}
	case "link":
		r.relative(at["href"])
	}
}

// link checks where a link leads: within the site relatively, elsewhere by http(s) and without saying from where.
func (r *rules) link(at map[string]string) {
	href := at["href"]
	if id, ok := strings.CutPrefix(href, "#"); ok {
		r.refs = append(r.refs, id)
		return
	}
	if u, err := url.Parse(href); err == nil && u.IsAbs() {
		if at["rel"] != "noreferrer" || u.Scheme != "http" && u.Scheme != "https" {
			r.say("a link to %q with rel=%q", href, at["rel"])
		}
		return
	}
	r.relative(href)
}

func (r *rules) relative(href string) {
	u, err := url.Parse(href)
	if err != nil || u.IsAbs() || u.Host != "" || strings.HasPrefix(href, "/") || href == "" {
		r.say("%q is not a relative address", href)
	}
}
