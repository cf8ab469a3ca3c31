package watcher

import (
	"cmp"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/metadata"

	"github.com/clairwatch/clairwatch/slack"
)

// Config holds what a Watcher needs. All fields without a stated zero are required.
type Config struct {
	// Kubernetes lists and watches pods and the settings; Metadata does nodes.
	Kubernetes Kubernetes
	Metadata   metadata.Interface
	// Namespace and SettingsName are where the settings ConfigMap is.
	Namespace, SettingsName string
	// Cluster is the cluster's name in messages. Empty: not shown.
	Cluster string
	// ExternalURL is the address of the daemon's pages, with a slash at its end, to which messages link. Empty:
	// they link to advisories only.
	ExternalURL string
	// Workers is for how many images of one namespace that a Clair is to index registries are asked at once; for those of
	// all together it is up to four times as many. Zero means 16.
	Workers int
	// GroupWait is how long a channel stays quiet before its news is sent, GroupMax how long the first
	// piece waits at the most. Zero means that news is sent at once.
	GroupWait, GroupMax time.Duration
	// MaxImages is how many different images are looked at in one namespace; the others are told of as over the
	// limit. Zero means any number.
	MaxImages int
	// Refresh is when the report of an image that was scanned is fetched again, for what Clair's notifier
	// does not tell. Zero means never.
	Refresh time.Duration
	// DataEvery is how often a Clair is asked whether its data is newer, and how old what is known of that may be
	// when a report is judged by it. Zero means a minute.
	DataEvery time.Duration
	// DataQuiet is how long no updater of a Clair must have been new before anything is told for the first
	// time from its reports: a Clair that is being set up has its data bit by bit. DataMax is after which time
	// it is told all the same. Zero means that nothing waits.
	DataQuiet, DataMax time.Duration
	// RemovalGrace is how long an image must be gone before that is told. Zero means within seconds.
	RemovalGrace time.Duration
	// DeleteFrom are the base addresses of the Clairs from which images are deleted that this daemon had
	// indexed and that nothing runs any more. Nil: none.
	DeleteFrom []string
	// DeleteGrace is how long they must be gone before. Zero means that they are deleted within seconds.
	DeleteGrace time.Duration
	// Lease says how it is made sure that of several daemons one tells.
	Lease LeaseConfig
	// AnnotatePods has pods annotated with what was told of their images. It needs deploy/annotate.yaml.
	AnnotatePods bool
	// WebhookFolder is where the files are that Scanners name instead of a webhook. Empty: there are none.
	WebhookFolder string
	// Grace is how long scans and messages in hand may take when the watcher is stopped. Zero means that they are
	// cut short.
	Grace time.Duration

	Registry Registry
	// Credentials are presented to registries that refuse anonymous requests and the image pull secrets of the pods.
	// Nil: none.
	Credentials Credentials
	// Backends are what finds vulnerabilities, by the names that Scanners give: each returns a client for a base address.
	// Another one than "clair" speaks of images as Clair does.
	Backends map[string]func(base string) (Clair, error)
	// CallbackAliases are further addresses under which Clairs name themselves in webhooks, by base address. Nil: none.
	CallbackAliases map[string][]string
	// Caller returns nil for the headers of a webhook whose sender may call, and otherwise why not, in words that
	// can be logged. Nil: anybody may.
	Caller func(http.Header) error
	// Notifiers deliver messages, by the names that Scanners give.
	Notifiers map[string]Notifier
	// Webhook reads a webhook's address. Its error must not repeat the address.
	Webhook func(address string) (slack.Webhook, error)
	// Metrics is where metrics are registered.
	Metrics prometheus.Registerer
	// ImageMetrics adds series for single images, at most 5,000.
	ImageMetrics bool
	Log          *slog.Logger
}

func (c Config) workers() int {
	if c.Workers <= 0 {
		return 16
	}
	return c.Workers
}

func (c Config) group() groupTimes { return groupTimes{wait: c.GroupWait, most: c.GroupMax} }

func (c Config) dataTimes() dataTimes {
	return dataTimes{every: cmp.Or(c.DataEvery, time.Minute), quiet: c.DataQuiet, most: c.DataMax}
}
