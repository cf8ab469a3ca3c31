package clair

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Updates are what Clair has written down of the updates of its vulnerability data.
type Updates struct {
	// Unchanged means that the ETag is still the one that was given; Updaters is nil then.
	Unchanged bool
	// ETag is what to ask with the next time. Empty means that Clair gave none: it has no updates yet.
	ETag string
	// Now is Clair's clock when it was asked, in whole seconds; zero when it did not say.
	Now time.Time
	// Updaters are those with an update, in order of their names.
	Updaters []Updater
}

// Newest is when the newest update of vulnerabilities began; zero when there is none, whatever else Clair has: what
// enriches vulnerabilities, such as EPSS scores, is updated every day, and finds nothing.
func (u Updates) Newest() (t time.Time) {
	for _, updater := range u.Updaters {
		if updater.Vulnerabilities && updater.Last.After(t) {
			t = updater.Last
		}
	}
	return t
}

// Updater is one source of Clair's data, vulnerabilities or what enriches them (such as CVSS scores).
type Updater struct {
	// Name is the updater's, for example debian/updater; a vulnerability in a report names it too.
	Name string
	// Vulnerabilities says that it has updates of these; otherwise it enriches those of others.
	Vulnerabilities bool
	// First and Last are when the oldest and the newest of its updates began that Clair still knows (by
	// default ten; config/matcher.go, UpdateRetention), by the clock of Clair's database. The data can be
	// read only when the update has ended, which may be minutes later. An updater that found nothing new
	// leaves no update.
	First, Last time.Time
}

// kinds are the two kinds of updates; Clair lists one at a time, and vulnerabilities when asked for none
// (httptransport/matcher_v1.go, updateOperationHandlerGet).
var kinds = [...]string{ofVulnerabilities, "enrichment"}

// ofVulnerabilities is the kind of updates that have vulnerabilities.
const ofVulnerabilities = "vulnerability"

// Updates lists the updates of Clair's data. An etag of an earlier answer saves both sides the list while it is
// the same; empty asks for the list in any case.
//
// The same ETag does not prove the same data. It names the update that began last, and several run at once: one
// that began earlier and ends later changes the list and not the ETag. And an enrichment is listed before
// its data can be read (claircore datastore/postgres/updatevulnerabilities.go and enrichment.go). So whoever
// has seen a change looks again without an etag until the list has been the same for a while.
//
// The list is internal to Clair, and some put a gateway before it that hides it: Kind NotFound means that nothing
// there serves it, Unauthorized that it is not for us. Every error is an *Error or the context's.
func (c *Client) Updates(ctx context.Context, etag string) (Updates, error) {
	ctx, cancel := withTimeout(ctx, c.reportTimeout)
	defer cancel()
	var lists [len(kinds)]updateList
	before := splitETag(etag)
	unchanged := before != [len(kinds)]string{}
	for i, kind := range kinds {
		var err error
		if lists[i], err = c.updateList(ctx, kind, before[i]); err != nil {
			return Updates{}, err
		}
		unchanged = unchanged && lists[i].same(before[i])
	}
	now := lists[0].head.date
	if unchanged {
		return Updates{Unchanged: true, ETag: etag, Now: now}, nil
	}
	for i, kind := range kinds {
		if lists[i].head.status != http.StatusNotModified {
			continue
		}
		var err error
		if lists[i], err = c.updateList(ctx, kind, ""); err != nil {
			return Updates{}, err
		}
	}
	return Updates{ETag: joinETags(lists), Now: now, Updaters: updaters(lists)}, nil
}

// operation is what counts of claircore's driver.UpdateOperation.
type operation struct {
	Date time.Time `json:"date"`
}

// updateList is Clair's answer for one kind.
type updateList struct {
	head       head
	operations map[string][]operation // by updater
}

// same says whether nothing was added since the list with an ETag. A kind without any update has no ETag.
func (l updateList) same(etag string) bool {
	return l.head.status == http.StatusNotModified || etag == "" && l.head.etag == "" && len(l.operations) == 0
}

func (c *Client) updateList(ctx context.Context, kind, etag string) (updateList, error) {
	var list updateList
	want := []int{http.StatusOK}
	if etag != "" {
		want = append(want, http.StatusNotModified)
	}
	err := c.do(ctx, call{
		op:          opUpdates,
		method:      http.MethodGet,
		path:        "matcher/api/v1/internal/update_operation",
		query:       url.Values{"kind": {kind}},
		ifNoneMatch: etag,
		want:        want,
		into:        &list.operations,
		head:        &list.head,
	})
	if err != nil {
		return updateList{}, err
	}
	if list.operations == nil && list.head.status == http.StatusOK {
		return updateList{}, &Error{Op: opUpdates, Kind: Temporary, Status: http.StatusOK, detail: "null is no list of updates"}
	}
	return list, nil
}

// updaters merges the lists: nothing keeps an updater from having updates of both kinds.
func updaters(lists [len(kinds)]updateList) []Updater {
	byName := make(map[string]Updater)
	for i, list := range lists {
		for name, operations := range list.operations {
			for _, o := range operations {
				u, ok := byName[name]
				if !ok {
					u = Updater{Name: name, First: o.Date, Last: o.Date}
				}
				u.Vulnerabilities = u.Vulnerabilities || kinds[i] == ofVulnerabilities
				if o.Date.Before(u.First) {
					u.First = o.Date
				}
				if o.Date.After(u.Last) {
					u.Last = o.Date
				}
				byName[name] = u
			}
		}
	}
	return slices.SortedFunc(maps.Values(byName), func(a, b Updater) int { return cmp.Compare(a.Name, b.Name) })
}

// etagSeparator stands between the ETags of the kinds, of which each is a quoted UUID.
const etagSeparator = ","

// joinETags makes one ETag of those of the kinds.
func joinETags(lists [len(kinds)]updateList) string {
	var tags []string
	for _, l := range lists {
		tags = append(tags, l.head.etag)
	}
	if strings.Join(tags, "") == "" {
		return ""
	}
	return strings.Join(tags, etagSeparator)
}

// splitETag undoes joinETags. What is none of ours is as if there were none.
func splitETag(etag string) (tags [len(kinds)]string) {
	if parts := strings.Split(etag, etagSeparator); len(parts) == len(kinds) {
		copy(tags[:], parts)
	}
	return tags
}
