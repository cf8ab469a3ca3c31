// Package clair speaks Clair v4's HTTP API: it has images indexed and fetches their vulnerability
// reports.
//
// The client reports what happened and never retries or sleeps; whoever calls decides that by the
// error's Kind.
package clair

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/quay/claircore"
)

// errorLimit bounds what is kept of an error's body, in bytes.
const errorLimit = 16 << 10

// Config says how to reach one Clair.
type Config struct {
	// URL is the base address of its API, for example http://clair.clair:6000/. A path is kept as a
	// prefix.
	URL string
	// Transport sends the requests. Nil means http.DefaultTransport.
	Transport http.RoundTripper
	// UserAgent is sent along. Empty means Go's.
	UserAgent string
	// PSK signs the requests. While its key cannot be read none is sent: they end with Kind NoKey. Nil means that
	// they are not signed.
	PSK *PSK
	// IndexTimeout bounds indexing one image, in which Clair downloads its layers. Clair abandons the
	// work when its caller leaves (libindex.Libindex.Index runs in the request's context), so it must
	// exceed the slowest image. Zero means 15 minutes.
	IndexTimeout time.Duration
	// ReportTimeout bounds fetching one report, and every other call. Zero means one minute.
	ReportTimeout time.Duration
	// IndexConcurrency and ReportConcurrency are what Slots returns. Clair refuses to index more than four images at
	// once for each of its cores (config/indexer.go, IndexReportRequestConcurrency); reports it refuses none, and each
	// keeps its database busy. Zero means four images and two reports.
	IndexConcurrency, ReportConcurrency int
	// Large is shared by clients so that one large report is decoded at a time; its capacity is that
	// number. Nil means one for this client.
	Large chan struct{}
}

// Client speaks to one Clair. It is safe for concurrent use.
type Client struct {
	base          *url.URL
	http          *http.Client
	userAgent     string
	psk           *PSK // nil: requests are not signed
	indexTimeout  time.Duration
	reportTimeout time.Duration
	indexSlots    int
	reportSlots   int
	large         chan struct{}
}

// New returns a client. It sends nothing; an address that cannot be one is an error.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		// Not repeated: what was written there may be anything, a webhook for one.
		return nil, errors.New("reading the address of clair: want http://host:port/ or https://host:port/")
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	c := &Client{
		base: u,
		http: &http.Client{
			Transport: cfg.Transport,
			// Clair never redirects; something that does is not Clair.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		userAgent:     cfg.UserAgent,
		psk:           cfg.PSK,
		indexTimeout:  orDefault(cfg.IndexTimeout, 15*time.Minute),
		reportTimeout: orDefault(cfg.ReportTimeout, time.Minute),
		indexSlots:    orDefault(cfg.IndexConcurrency, 4),
		reportSlots:   orDefault(cfg.ReportConcurrency, 2),
		large:         cfg.Large,
	}
	if c.large == nil {
		c.large = make(chan struct{}, 1)
	}
	return c, nil
}

func orDefault[T ~int | ~int64](v, zero T) T {
	if v <= 0 {
		return zero
	}
	return v
}

// Layer is one layer of an image and where Clair gets it.
type Layer struct {
	// Digest is the digest of the layer as it is stored, usually compressed.
	Digest string
	// URI is where Clair fetches the layer; Header is what it sends along.
	URI    string
	Header http.Header
}

// Slots are how many images this Clair is to be asked to index at once, and for how many reports; at least one each.
// Whoever calls Index keeps to it, and makes the layers' tokens when it has a slot: they last a minute, and waiting
// for one can take hours.
func (c *Client) Slots() (indexing, reports int) { return c.indexSlots, c.reportSlots }

// Index has Clair download and index an image and returns when it has finished. The layers are ordered
// from the base up. For an image that it has indexed with the same indexers before, Clair fetches
// nothing. Of the packages the report has the number alone: all are nil. Every error is an *Error or the context's.
func (c *Client) Index(ctx context.Context, digest string, layers []Layer) (*claircore.IndexReport, error) {
	const op = opIndex
	body, err := manifest(digest, layers)
	if err != nil {
		return nil, &Error{Op: op, Kind: Invalid, detail: err.Error()}
	}
	ctx, cancel := withTimeout(ctx, c.indexTimeout)
	defer cancel()

	report := new(claircore.IndexReport)
	err = c.do(ctx, call{
		op:     op,
		method: http.MethodPost,
		path:   "indexer/api/v1/index_report",
		body:   body,
		want:   []int{http.StatusCreated, http.StatusOK},
		into:   report,
	})
	if err != nil {
		return nil, err
	}
	if !report.Success || report.State != "IndexFinished" {
		return nil, &Error{Op: op, Kind: IndexFailed, Status: http.StatusCreated, detail: report.State + ": " + report.Err}
	}
	if err := checkHash(op, http.StatusCreated, digest, report.Hash); err != nil {
		return nil, err
	}
	return report, nil
}

// manifest encodes the body of POST index_report with claircore's own types.
func manifest(digest string, layers []Layer) ([]byte, error) {
	hash, err := claircore.ParseDigest(digest)
	if err != nil {
		return nil, fmt.Errorf("manifest digest %q: %w", digest, err)
	}
	m := claircore.Manifest{Hash: hash, Layers: make([]*claircore.Layer, 0, len(layers))}
	for _, l := range layers {
		hash, err := claircore.ParseDigest(l.Digest)
		if err != nil {
			return nil, fmt.Errorf("layer digest %q: %w", l.Digest, err)
		}
		// Deprecated for reading layers inside Clair; its API has no other fields.
		m.Layers = append(m.Layers, &claircore.Layer{Hash: hash, URI: l.URI, Headers: l.Header}) //lint:ignore SA1019 see above
	}
	return json.Marshal(m)
}

// Report fetches the vulnerability report of a manifest. An *Error of Kind NotFound means that Clair
// has to index it first, NotReady that it has not loaded any vulnerabilities yet. Every error is an
// *Error or the context's.
func (c *Client) Report(ctx context.Context, digest string) (*claircore.VulnerabilityReport, error) {
	const op = opReport
	if _, err := claircore.ParseDigest(digest); err != nil {
		return nil, &Error{Op: op, Kind: Invalid, detail: fmt.Sprintf("manifest digest %q: %v", digest, err)}
	}
	ctx, cancel := withTimeout(ctx, c.reportTimeout)
	defer cancel()
	report := new(claircore.VulnerabilityReport)
	err := c.do(ctx, call{
		op:     op,
		method: http.MethodGet,
		path:   "matcher/api/v1/vulnerability_report/" + url.PathEscape(digest),
		want:   []int{http.StatusOK},
		into:   report,
	})
	if err != nil {
		return nil, err
	}
	if err := checkHash(op, http.StatusOK, digest, report.Hash); err != nil {
		return nil, err
	}
	return report, nil
}

// checkHash makes sure that a report is that of the manifest asked for. Any JSON object decodes to a
// report of nothing, and an image of which nothing is known must not be taken for one without packages.
func checkHash(op string, status int, digest string, got claircore.Digest) error {
	if got.String() == digest {
		return nil
	}
	return &Error{Op: op, Kind: Temporary, Status: status, detail: fmt.Sprintf("report is of manifest %q, not of %q", got, digest)}
}

// call is one request and what to make of its answer.
type call struct {
	op, method, path string
	query            url.Values
	body             []byte
	ifNoneMatch      string // empty asks without a condition
	want             []int
	into             any   // decoded from JSON; nil means that the body does not matter
	head             *head // nil means that nothing but the body matters
}

// head is what a wanted answer says beside its body.
type head struct {
	status int
	etag   string    // as it was sent, with its quotes; empty when there is none
	date   time.Time // the server's clock; zero when it does not say
}

func headOf(resp *http.Response) head {
	h := head{status: resp.StatusCode, etag: resp.Header.Get("ETag")}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		h.date = date
	}
	return h
}

// do sends one request. All of Clair's answers become either the decoded body or an *Error here.
func (c *Client) do(ctx context.Context, call call) error {
	u := c.base.JoinPath(call.path)
	u.RawQuery = call.query.Encode()
	req, err := http.NewRequestWithContext(ctx, call.method, u.String(), bytes.NewReader(call.body))
	if err != nil {
		return transportError(ctx, call.op, err)
	}
	req.Header.Set("Accept", "application/json, */*;q=0.1")
	if call.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if call.ifNoneMatch != "" {
		req.Header.Set("If-None-Match", call.ifNoneMatch)
	}
	if c.userAgent != "" {
		req.Header.Set("User-Agent", c.userAgent)
	}
	if c.psk != nil {
		token, err := c.psk.token(time.Now())
		if err != nil {
			return &Error{Op: call.op, Kind: NoKey, cause: err}
		}
		req.Header.Set("Authorization", "Bearer "+token) // Clair takes no other case (clair middleware/auth)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return transportError(ctx, call.op, err)
	}
	defer resp.Body.Close()
	if slices.Contains(call.want, resp.StatusCode) {
		if call.head != nil {
			*call.head = headOf(resp)
		}
		return c.decode(ctx, call, resp)
	}
	// The status decides before the body is looked at: Clair cuts the connection after a 429's body.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, errorLimit))
	return statusError(call, resp, body)
}

// decode reads a body to its end before what was decoded of it is believed: Clair says in a trailer that encoding broke
// down after the status was sent (httptransport/server.go, writerError). A caller that gets an error drops call.into.
func (c *Client) decode(ctx context.Context, call call, resp *http.Response) error {
	bad := func(kind Kind, detail string) error {
		return &Error{Op: call.op, Kind: kind, Status: resp.StatusCode, detail: detail}
	}
	body := &body{ctx: ctx, from: resp.Body, large: c.large}
	defer body.end()
	var undecoded error
	if call.into != nil && resp.StatusCode != http.StatusNotModified {
		undecoded = unmarshal(body, call.into)
	}
	_, err := io.Copy(io.Discard, body)
	switch {
	case errors.Is(err, errTooLarge):
		return bad(TooLarge, err.Error())
	case err != nil:
		return transportError(ctx, call.op, err)
	}
	if broken := resp.Trailer.Get("Clair-Error"); broken != "" {
		return bad(Temporary, "trailer Clair-Error: "+broken)
	}
	if undecoded != nil {
		return bad(Temporary, undecoded.Error())
	}
	return nil
}
