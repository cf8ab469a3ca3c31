package web

import (
	"context"
	"errors"
	"time"

	"github.com/clairwatch/clairwatch/findings"
)

// Source is where the pages get what they show. It may be used by several goroutines at once.
type Source interface {
	// Cluster says whose pages these are.
	Cluster() Cluster
	// Images returns what runs now, worst first. It is a snapshot: neither side changes it.
	Images() []Image
	// Channels returns where messages go, those in trouble first.
	Channels() []Channel
	// Mistakes returns what is wrong with the settings of namespaces, in the order of their keys.
	Mistakes() []Mistake
	// Report fetches the report of a running image from Clair. Its error is ErrUnknown, ErrNotIndexed or
	// ErrTooLarge where one of these is true; every other one reads as a Clair that does not answer. No error's
	// text is ever shown: it can hold what others wrote.
	Report(ctx context.Context, digest string) (findings.Report, error)
}

// What Report can say besides that Clair does not answer.
var (
	// ErrUnknown says that nothing with that digest runs.
	ErrUnknown = errors.New("nothing with this digest runs")
	// ErrNotIndexed says that Clair has no report of the image, or none yet.
	ErrNotIndexed = errors.New("no report of this image in Clair")
	// ErrTooLarge says that the report is larger than clairwatch reads.
	ErrTooLarge = errors.New("report too large")
)

// Cluster is what the pages say of the cluster and of this replica.
type Cluster struct {
	// Name tells this cluster from others; empty: it has none.
	Name string
	// Leads says that this replica is the one that scans and tells. One that stands by knows little.
	Leads bool
	// Since is when it began to lead; zero when it does not.
	Since time.Time
}

// Image is one image that runs, under one name. The same digest under two names is two of them.
type Image struct {
	// Name is the image as pods ask for it, for example ghcr.io/shop/api:1.4.
	Name string
	// Digest is that of the manifest for the platform, by which the page of the image is found. Empty where the
	// manifest is not known, as before the first scan: there is no page then.
	Digest string
	// Platform is for example linux/amd64; empty when not known.
	Platform string
	// Namespaces are those in which it runs, in order.
	Namespaces []string
	// Pods is the number of pods that run it.
	Pods int
	// Workloads are what runs it, in any order.
	Workloads []Workload
	// State is how far it has come, as in the metric clairwatch_images: scanned, untried, not_covered, or why it
	// could not be scanned.
	State string
	// Advice says what happened to an image that could not be scanned, Remedy what to do about it; neither is a
	// sentence yet, as in "the registry refuses access" and "add credentials". Empty for all others.
	Advice, Remedy string
	// Counts counts what channels have been told of it. Fixable is not known and zero.
	Counts findings.Counts
	// Told says whether any channel has been told yet; without it Counts means nothing.
	Told bool
}

// Workload is what runs an image.
type Workload struct {
	// Kind is the kind of the owner, for example Deployment, or Pod for one without an owner.
	Kind string
	// Namespace and Name are the owner's.
	Namespace, Name string
	// Pods is how many of its pods run the image.
	Pods int
}

// Channel is where messages go.
type Channel struct {
	// Name names it without giving its webhook away, for example hooks.slack.com/…#3fa2c1.
	Name string
	// Namespaces are those whose news it gets, in order.
	Namespaces []string
	// Waiting is the number of pieces of news that it has not taken yet.
	Waiting int
	// Untried says that nothing has been sent to it since this replica began to lead, so that nobody knows
	// whether it takes messages.
	Untried bool
	// Trouble says in a sentence what is wrong and what to do; empty when nothing is.
	Trouble string
	// Since is when the trouble began, Next when it is tried again; zero when not known.
	Since, Next time.Time
}

// Mistake is a key of the settings of namespaces with mistakes.
type Mistake struct {
	// Key is that of a namespace, or one of those that are for all.
	Key string
	// Lines say what is wrong and where, without a secret. There is at least one.
	Lines []string
	// Effect says what they cause; it is no sentence yet, as in "the last good settings stay in force".
	Effect string
}
