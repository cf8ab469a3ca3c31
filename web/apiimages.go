package web

import (
	"cmp"
	"time"

	"github.com/clairwatch/clairwatch/findings"
)

// apiCounts is how many findings there are of each severity, and how many of all of them have a fix.
type apiCounts struct {
	Critical   int `json:"critical"`
	High       int `json:"high"`
	Medium     int `json:"medium"`
	Low        int `json:"low"`
	Negligible int `json:"negligible"`
	Unknown    int `json:"unknown"`
	Fixable    int `json:"fixable"`
}

func newAPICounts(c findings.Counts) apiCounts {
	return apiCounts{c.Critical, c.High, c.Medium, c.Low, c.Negligible, c.Unknown, c.Fixable}
}

// apiImageList answers images.
type apiImageList struct {
	// Items are the asked ones of those that pass the filter, Total is the number of all of these.
	Items []apiImageItem `json:"items"`
	Total int            `json:"total"`
	Next  string         `json:"next,omitempty"`
}

// apiImageItem is one image that runs, under one name.
type apiImageItem struct {
	Name           string   `json:"name"`
	Digest         string   `json:"digest,omitempty"`
	Platform       string   `json:"platform,omitempty"`
	Namespaces     []string `json:"namespaces"`
	MoreNamespaces int      `json:"moreNamespaces,omitempty"`
	Pods           int      `json:"pods"`
	State          string   `json:"state"`
	// Advice and Remedy are only there where it could not be scanned or checked.
	Advice string `json:"advice,omitempty"`
	Remedy string `json:"remedy,omitempty"`
	// Counts counts what its last report has; there is none without one, or where Clair has no data for the image.
	Counts    *apiCounts `json:"counts,omitempty"`
	Told      bool       `json:"told"`
	ToldSince time.Time  `json:"toldSince,omitzero"`
}

func newAPIImageItem(img *Image) apiImageItem {
	item := apiImageItem{
		Name:      brief(img.Name),
		Digest:    brief(img.Digest),
		Platform:  brief(img.Platform),
		Pods:      img.Pods,
		State:     brief(img.State),
		Advice:    brief(img.Advice),
		Remedy:    brief(img.Remedy),
		Told:      img.Told,
		ToldSince: apiTime(img.Since),
	}
	item.Namespaces, item.MoreNamespaces = apiTexts(img.Namespaces, apiMostNames)
	if img.checked() {
		counts := newAPICounts(img.Counts)
		item.Counts = &counts
	}
	return item
}

// apiImages answers with what runs, as the table of the first page has it.
func (p *pages) apiImages(q parameters) (any, error) {
	var words []string
	for _, c := range columns() {
		words = append(words, c.Word)
	}
	if err := cmp.Or(
		q.word("severity", severityWords()...), q.word("fixable", "yes"), q.word("sort", words...), q.word("order", "asc", "desc"),
	); err != nil {
		return nil, err
	}
	if q.Get("order") != "" && q.Get("sort") == "" {
		return nil, badParameter("order needs sort, which says by what")
	}
	f := parseFilter(q.Values)
	chosen := f.pick(p.source.Images(), p.having(f.Text))
	from, to := q.part(len(chosen))
	list := apiImageList{Items: make([]apiImageItem, 0, to-from), Total: len(chosen), Next: q.next(to, len(chosen))}
	for _, img := range parseOrder(q.Values).part(chosen, from, to-from) {
		list.Items = append(list.Items, newAPIImageItem(img))
	}
	return list, nil
}

// apiWorkload is what runs an image.
type apiWorkload struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Pods      int    `json:"pods"`
}

// apiWorkloads are the first of some workloads, and how many there are besides.
func apiWorkloads(all []Workload, most int) ([]apiWorkload, int) {
	shown := make([]apiWorkload, 0, min(len(all), most))
	for _, w := range all[:min(len(all), most)] {
		shown = append(shown, apiWorkload{brief(w.Kind), brief(w.Namespace), brief(w.Name), w.Pods})
	}
	return shown, len(all) - len(shown)
}
