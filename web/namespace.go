package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/clairwatch/clairwatch/findings"
)

const (
	// namespacesAtOnce is how many namespaces are asked about at a time: an answer can take reports to read.
	namespacesAtOnce = 2
	// namespaceTimeout is how long an answer waits for its turn and for what is known of the namespace.
	namespaceTimeout = 45 * time.Second
	// longestNamespace is that of the name of a namespace, which is a label of DNS.
	longestNamespace = 63
)

// How much the page of a namespace shows; the rest is counted.
const (
	mostScanners   = 50
	mostEntries    = 100  // of ignore, of one Scanner
	mostPlaced     = 500  // images
	mostRunning    = 500  // workloads
	mostContainers = 1000 // of all workloads
	mostOutline    = 5000 // lines about all containers
	mostNotes      = 20
	mostNear       = 10
	openWorkloads  = 10 // with more of them each is closed
)

// namespacePage is the page of a namespace.
type namespacePage struct {
	page
	Name string
	// Unknown says that nothing is known of it; Near are then those with a similar name.
	Unknown bool
	Near    places
	// Applies says which settings do, Mistakes what is wrong with them, Notes what else there is to say.
	Applies  string
	Mistakes few
	Notes    few
	// Scanners are the first of them, MoreScanners how many there are besides.
	Scanners     []scannerCard
	MoreScanners int
	// Scale is of what runs there, Read the number of images whose report says something, Unread of those of which none
	// was read, Uncovered of those that Clair has no data for.
	Scale                            scale
	Fixable, Read, Unread, Uncovered int
	// Images are the first of what runs there under each name, worst first, AllNames is the number of all of these. An
	// image counts once in AllImages. AllHref leads to a list of all.
	Images              []placedRow
	AllNames, AllImages int
	AllHref             string
	// Workloads are the first of what runs there, AllWorkloads is the number of all, Open says that each is shown
	// without a click, MoreContainers is how many containers are left out.
	Workloads      []runningRow
	AllWorkloads   int
	Open           bool
	MoreContainers int
}

// scannerCard is a Scanner.
type scannerCard struct {
	Scanner
	// ID names it within the page.
	ID                string
	Away, Since, Next moment
	Entries           []entryRow
	MoreEntries       int
}

// entryRow is what a Scanner ignores.
type entryRow struct {
	IgnoreEntry
	Until moment
}

// placedRow is an image that runs in a namespace.
type placedRow struct {
	Image    place
	Platform string
	// Pods is how many of the namespace's pods run it.
	Pods int
	// Read says that its report says something, and Counts what.
	Read   bool
	Counts findings.Counts
	// Other counts findings of low, negligible and unknown severity.
	Other         int
	Words, Advice string
}

// runningRow is a workload.
type runningRow struct {
	Kind, Name string
	Pods       int
	Containers []containerRow
	More       int
}

// containerRow is a container of some pods.
type containerRow struct {
	Kind, Name string
	Image      place
	Short      string
	Platform   string
	// Pods is in how many Of the workload's pods it is so; 0: in all.
	Pods, Of int
	Lines    []outline
}

// namesNamespace says whether a text can be the name of a namespace.
func namesNamespace(text string) bool { return text != "" && len(text) <= longestNamespace }

// answerNamespace answers with what is known of a namespace.
func (p *pages) answerNamespace(r *http.Request, name string) finished {
	if !namesNamespace(name) {
		return p.newFault(r, http.StatusNotFound, "There is no such namespace", "The address of a namespace ends in its name.")
	}
	var f finished
	if err := p.asking.take(r.Context(), func(ctx context.Context) { f = p.namespaceAnswer(ctx, r, name) }); err != nil {
		return p.busy(r)
	}
	return f
}

// namespaceAnswer asks about a namespace and makes the answer.
func (p *pages) namespaceAnswer(ctx context.Context, r *http.Request, name string) finished {
	n, err := p.source.Namespace(ctx, name)
	v := namespacePage{page: p.newPage(r, name), Name: name}
	switch {
	case err == nil:
		v.fill(n, p.now())
		v.images(p.source.Images())
		return p.execute(r, p.namespace, http.StatusOK, v)
	case errors.Is(err, ErrUnknown):
		v.Unknown = true
		v.Near = firstPlaces(v.Root, toNamespaces, n.Near, mostNear)
		return p.execute(r, p.namespace, http.StatusNotFound, v)
	case errors.Is(err, ErrStandby):
		return p.standsBy(r)
	default: // what it says is not shown: it can hold what others wrote
		return p.newFault(r, http.StatusServiceUnavailable, "That took too long", "A Clair answers slowly. Reload the page in half a minute.")
	}
}

// fill shows what is known.
func (v *namespacePage) fill(n Namespace, now time.Time) {
	v.Applies = n.Applies
	v.Mistakes, v.Notes = first(n.Mistakes, mostLines), first(n.Notes, mostNotes)
	for i, s := range n.Scanners[:min(len(n.Scanners), mostScanners)] {
		v.Scanners = append(v.Scanners, newScannerCard(s, "scanner-"+strconv.Itoa(i+1), now))
	}
	v.MoreScanners = len(n.Scanners) - len(v.Scanners)
	v.AllWorkloads, v.MoreContainers = len(n.Workloads), n.MoreContainers
	v.Open = len(n.Workloads) <= openWorkloads
	left := room{containers: mostContainers, lines: mostOutline}
	for i, w := range n.Workloads {
		if i >= mostRunning {
			v.MoreContainers += len(w.Containers)
			continue
		}
		row := left.workload(w, v.Root)
		v.MoreContainers += row.More
		v.Workloads = append(v.Workloads, row)
	}
}

func newScannerCard(s Scanner, id string, now time.Time) scannerCard {
	c := scannerCard{Scanner: s, ID: id, Away: newMoment(s.Away, now), Since: newMoment(s.Since, now), Next: newMoment(s.Next, now)}
	for _, e := range s.Ignore[:min(len(s.Ignore), mostEntries)] {
		c.Entries = append(c.Entries, entryRow{IgnoreEntry: e, Until: newDayFrom(e.Until, now)})
	}
	c.MoreEntries = len(s.Ignore) - len(c.Entries)
	return c
}

// room is what a page has left for containers and for lines about them.
type room struct{ containers, lines int }

// workload shows as much of a workload as there is room for.
func (left *room) workload(w NamespaceWorkload, root string) runningRow {
	row := runningRow{Kind: w.Kind, Name: w.Name, Pods: w.Pods}
	for i, c := range w.Containers {
		if left.containers == 0 || left.lines < len(c.Lines) {
			row.More = len(w.Containers) - i
			break
		}
		left.containers--
		left.lines -= len(c.Lines)
		shown := containerRow{
			Kind: c.Kind, Name: c.Name,
			Image: newImagePlace(root, c.Image, c.Digest), Short: short(c.Digest), Platform: c.Platform,
			Lines: newOutline(c.Lines),
		}
		if c.Pods != w.Pods {
			shown.Pods, shown.Of = c.Pods, w.Pods
		}
		row.Containers = append(row.Containers, shown)
	}
	return row
}

// images fills in those of the images that run in the namespace.
func (v *namespacePage) images(images []Image) {
	for _, sum := range byNamespace(images, v.Name) { // one, or none where nothing runs
		v.Scale, v.Fixable = newScale(sum.Counts), sum.Counts.Fixable
		v.AllImages, v.Read, v.Unread, v.Uncovered = sum.Images, sum.Read, sum.Unread, sum.Images-sum.Read-sum.Unread
	}
	v.AllHref = selection{Filter: filter{Namespace: v.Name}}.hrefFrom(v.Root)
	for i := range images {
		if !slices.Contains(images[i].Namespaces, v.Name) {
			continue
		}
		if v.AllNames++; len(v.Images) < mostPlaced {
			v.Images = append(v.Images, newPlacedRow(&images[i], v.Name, v.Root))
		}
	}
}

func newPlacedRow(img *Image, namespace, root string) placedRow {
	c := img.Counts
	row := placedRow{
		Image:    newImagePlace(root, img.Name, img.Digest),
		Platform: img.Platform,
		Read:     img.checked(),
		Counts:   c,
		Other:    other(c),
		Words:    stateWords(img.State),
		Advice:   cmp.Or(img.Advice, meaning(img.State)),
	}
	if img.State == "scanned" {
		row.Advice = "" // the state says it
	}
	for _, w := range img.Workloads {
		if w.Namespace == namespace {
			row.Pods += w.Pods
		}
	}
	return row
}
