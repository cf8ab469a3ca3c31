package main

import (
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/slack"
)

// Config are the settings of the daemon itself, as config.yaml has them. A key is the name of the field
// in camel case.
type Config struct {
	// Cluster is the name of this cluster in messages. Empty: not shown.
	Cluster string
	// Kubeconfig is the file that says how to reach the Kubernetes API. Empty: the pod's service account.
	Kubeconfig string
	// Namespace is that of the settings ConfigMap. Empty: the daemon's own.
	Namespace string
	// Settings is the name of the settings ConfigMap.
	Settings string
	// Listen is the address of the HTTP server.
	Listen string
	// Web says where the pages are, and who may see them.
	Web WebConfig
	// ExternalURL is the address under which people reach the pages: messages link to it. Empty: they do not.
	ExternalURL string
	// Log says what is logged and how.
	Log LogConfig
	// Metrics says what is measured.
	Metrics MetricsConfig
	// Workers is for how many new images of one namespace registries are asked at once, at least 1; for those of all
	// together it is up to four times as many.
	Workers int
	// MaxImages is how many different images are looked at in one namespace. Zero: any number.
	MaxImages int
	// GroupWait is how long a channel stays quiet before its news is sent.
	GroupWait time.Duration
	// GroupMax is how long the first piece of news waits at the most; not less than GroupWait.
	GroupMax time.Duration
	// Refresh is when the report of a running image is fetched again. Zero: never.
	Refresh time.Duration
	// DataEvery is how often each Clair is asked whether its data is newer; at least a second.
	DataEvery time.Duration
	// DataQuiet is how long no source of advisories of a Clair must have been new before anything is told for
	// the first time from its reports. Zero: nothing waits.
	DataQuiet time.Duration
	// DataMax is after which time it is told all the same; not less than DataQuiet.
	DataMax time.Duration
	// RemovalGrace is how long an image must be gone before that is told.
	RemovalGrace time.Duration
	// DeleteGrace is how long an image must be gone before it is deleted from a Clair that allows it.
	DeleteGrace time.Duration
	// AnnotatePods has pods annotated with what was told of their images, where deploy/annotate.yaml is applied.
	AnnotatePods bool
	// LeaderElection says which of several daemons tells.
	LeaderElection LeaderElectionConfig
	// Grace is how long work in hand may take when the daemon is stopped.
	Grace time.Duration
	// SlackHosts are the hosts that a webhook may have.
	SlackHosts []string
	// WebhookFolder is where the files are that Scanners name as slackWebhookFile. Empty: they cannot.
	WebhookFolder string
	// DockerConfig is a docker config file with credentials of registries. It need not exist. Empty: none.
	DockerConfig string
	// NotifyTokenFile holds the token that who calls /notify has to send. Empty: none.
	NotifyTokenFile string
	// Clairs is what is to be known about single Clairs.
	Clairs []ClairConfig
	// AllowRegistries are the hosts of images that are asked for. Empty: all.
	AllowRegistries []string
	// DenyRegistries are hosts that are never contacted for an image. It wins over AllowRegistries.
	DenyRegistries []string
	// DenyRegistryAddresses are ranges of addresses that are not contacted for an image, unless Registries lists the
	// host. Empty: only those that never are.
	DenyRegistryAddresses []string
	// RegistryCAFile holds certificates of authorities that registries are trusted by, besides the system's. Empty: none.
	RegistryCAFile string
	// Registries is what is to be known about single registries.
	Registries []registry.Registry
}

// LeaderElectionConfig says which of several daemons tells.
type LeaderElectionConfig struct {
	// Enabled has the daemon tell only while it holds the Lease. Without it two daemons tell everything twice.
	Enabled bool
	// Lease is the name of the Lease, in the namespace of the settings ConfigMap.
	Lease string
	// Duration is after which time without a sign of life of the one that tells another one takes over; a
	// message to Slack has to end within a third of it.
	Duration time.Duration
	// Identity names this daemon in the Lease. Empty: the name of its pod, or of the machine with a random
	// part.
	Identity string
}

// WebConfig says where the pages are, and who may see them.
type WebConfig struct {
	// Listen is their address. Empty: there are none.
	Listen string
	// TokenFile holds the token that who asks for them has to send. Empty: none.
	TokenFile string
}

// LogConfig says what is logged and how.
type LogConfig struct {
	// Level is debug, info, warn or error.
	Level string
	// Format is json or text.
	Format string
}

// MetricsConfig says what is measured.
type MetricsConfig struct {
	// Images adds series for single images.
	Images bool
}

// ClairConfig is what is to be known about one Clair.
type ClairConfig struct {
	// URL is its address as Scanners use it.
	URL string
	// IndexTimeout is how long indexing one image may take. Zero: 15 minutes.
	IndexTimeout time.Duration
	// ReportTimeout is how long fetching one report may take. Zero: a minute.
	ReportTimeout time.Duration
	// IndexConcurrency is how many images it is asked to index at once. Zero: four.
	IndexConcurrency int
	// ReportConcurrency is for how many reports it is asked at once. Zero: two.
	ReportConcurrency int
	// DeleteFromClair has images deleted from it that this daemon had it index and that nothing runs any more.
	DeleteFromClair bool
	// PSKFile holds the key that it shares with its clients, in base64. Empty: requests are not signed.
	PSKFile string
	// Issuer is who signed requests are from. Empty: clairwatch.
	Issuer string
	// CAFile holds certificates of authorities that it is trusted by, besides the system's, in PEM. Empty: none.
	CAFile string
	// CallbackAliases are further addresses under which its notifier names it in callbacks.
	CallbackAliases []string
}

// defaults are those of config.yaml; a test keeps the two in step.
func defaults() Config {
	return Config{
		Settings:       "clairwatch",
		Listen:         ":8080",
		Web:            WebConfig{Listen: "127.0.0.1:8081"},
		Log:            LogConfig{Level: "info", Format: "json"},
		Workers:        16,
		MaxImages:      2000,
		GroupWait:      30 * time.Second,
		GroupMax:       10 * time.Minute,
		Refresh:        time.Hour,
		DataEvery:      time.Minute,
		DataQuiet:      5 * time.Minute,
		DataMax:        time.Hour,
		RemovalGrace:   10 * time.Minute,
		DeleteGrace:    7 * 24 * time.Hour,
		LeaderElection: LeaderElectionConfig{Enabled: true, Lease: "clairwatch", Duration: 45 * time.Second},
		Grace:          20 * time.Second,
		SlackHosts:     []string{"hooks.slack.com", "hooks.slack-gov.com"},
		// Where deploy/clairwatch.yaml mounts the Secret.
		DockerConfig: "/etc/clairwatch-secret/config.json",

		WebhookFolder: string(slack.ManifestFolder),
		Clairs:        []ClairConfig{},
		Registries:    []registry.Registry{},

		AllowRegistries:       []string{},
		DenyRegistries:        []string{},
		DenyRegistryAddresses: []string{},
	}
}

// configFlags defines a flag for each setting that is not a list of maps, and returns which setting each
// flag sets.
func configFlags(flags *pflag.FlagSet) map[string]string {
	d := defaults()
	flags.String("cluster", d.Cluster, "name of this cluster in messages")
	flags.String("kubeconfig", d.Kubeconfig, "file that says how to reach the Kubernetes API (default: the pod's service account)")
	flags.String("namespace", d.Namespace, "namespace of the settings ConfigMap (default: the daemon's own)")
	flags.String("settings", d.Settings, "name of the settings ConfigMap")
	flags.String("listen", d.Listen, "address of /healthz, /readyz, /metrics and /notify")
	flags.String("external-url", d.ExternalURL, "address under which people reach the pages, for links in messages")
	flags.String("web-listen", d.Web.Listen, "address of the pages (empty: none)")
	flags.String("web-token-file", d.Web.TokenFile, "file with the token that who sees the pages has to send (empty: none)")
	flags.String("log-level", d.Log.Level, "debug, info, warn or error")
	flags.String("log-format", d.Log.Format, "json or text")
	flags.Bool("metrics-images", d.Metrics.Images, "metrics of single images, at most 5,000 series")
	flags.Int("workers", d.Workers, "images of one namespace for which registries are asked at once")
	flags.Int("max-images", d.MaxImages, "different images looked at in one namespace; 0: any number")
	flags.Duration("group-wait", d.GroupWait, "how long a channel stays quiet before its news is sent")
	flags.Duration("group-max", d.GroupMax, "how long news waits at the most")
	flags.Duration("refresh", d.Refresh, "when the report of a running image is fetched again; 0s: never")
	flags.Duration("data-every", d.DataEvery, "how often each Clair is asked whether its data is newer")
	flags.Duration("data-quiet", d.DataQuiet, "how long Clair's data must have stayed the same before it is used, for first reports and to look at all images again; 0s: at once")
	flags.Duration("data-max", d.DataMax, "how long that is waited for at the most")
	flags.Duration("removal-grace", d.RemovalGrace, "how long an image must be gone before that is told")
	flags.Duration("delete-grace", d.DeleteGrace, "how long an image must be gone before it is deleted from a Clair with deleteFromClair")
	flags.Bool("annotate-pods", d.AnnotatePods, "annotate pods with what was told of their images; needs deploy/annotate.yaml")
	flags.Bool("leader-election", d.LeaderElection.Enabled, "tell only while holding the Lease")
	flags.String("leader-election-lease", d.LeaderElection.Lease, "name of the Lease")
	flags.Duration("leader-election-duration", d.LeaderElection.Duration, "how long without a sign of life until another daemon takes over")
	flags.String("leader-election-identity", d.LeaderElection.Identity, "name of this daemon in the Lease (default: that of its pod)")
	flags.Duration("grace", d.Grace, "how long work in hand may take at a stop")
	flags.StringSlice("slack-hosts", d.SlackHosts, "hosts that a webhook may have")
	flags.String("webhook-folder", d.WebhookFolder, "folder of the files that hold webhooks (slackWebhookFile)")
	flags.String("notify-token-file", d.NotifyTokenFile, "file with the token that who calls /notify has to send (empty: none)")
	flags.String("docker-config", d.DockerConfig, "docker config file with credentials of registries")
	flags.StringSlice("allow-registries", d.AllowRegistries, "hosts of images that are asked for (default: all)")
	flags.StringSlice("deny-registries", d.DenyRegistries, "hosts that are never contacted for an image")
	flags.StringSlice("deny-registry-addresses", d.DenyRegistryAddresses, "ranges of addresses that are not contacted for an image")
	flags.String("registry-ca-file", d.RegistryCAFile, "file with certificates of authorities that registries are trusted by (empty: the system's)")
	return map[string]string{
		"cluster": "cluster", "kubeconfig": "kubeconfig", "namespace": "namespace", "settings": "settings",
		"listen": "listen", "log-level": "log.level", "log-format": "log.format", "workers": "workers",
		"metrics-images": "metrics.images",
		"max-images":     "maxImages", "external-url": "externalURL", "web-listen": "web.listen", "web-token-file": "web.tokenFile",
		"data-every": "dataEvery", "data-quiet": "dataQuiet", "data-max": "dataMax", "removal-grace": "removalGrace", "delete-grace": "deleteGrace",
		"annotate-pods":   "annotatePods",
		"leader-election": "leaderElection.enabled", "leader-election-lease": "leaderElection.lease",
		"leader-election-duration": "leaderElection.duration", "leader-election-identity": "leaderElection.identity",
		"group-wait": "groupWait", "group-max": "groupMax", "refresh": "refresh", "grace": "grace",
		"slack-hosts": "slackHosts", "webhook-folder": "webhookFolder", "docker-config": "dockerConfig",
		"notify-token-file": "notifyTokenFile",
		"allow-registries":  "allowRegistries", "deny-registries": "denyRegistries",
		"deny-registry-addresses": "denyRegistryAddresses", "registry-ca-file": "registryCAFile",
	}
}

// someConfigFlags defines some of these flags.
func someConfigFlags(flags *pflag.FlagSet, names ...string) map[string]string {
	all := pflag.NewFlagSet("all", pflag.ContinueOnError)
	allKeys, keys := configFlags(all), make(map[string]string, len(names))
	for _, name := range names {
		flags.AddFlag(all.Lookup(name))
		keys[name] = allKeys[name]
	}
	return keys
}

// registryConfig is how registries are asked.
func (c Config) registryConfig() registry.Config {
	return registry.Config{
		Registries:    c.Registries,
		Allow:         c.AllowRegistries,
		Deny:          c.DenyRegistries,
		DenyAddresses: c.DenyRegistryAddresses,
		UserAgent:     userAgent(),
	}
}

// clairConfig finds what is set about the Clair at an address, however it is spelt.
func (c Config) clairConfig(base string) ClairConfig {
	for _, clair := range c.Clairs {
		if sameAddress(clair.URL, base) {
			return clair
		}
	}
	return ClairConfig{}
}

func sameAddress(a, b string) bool {
	return strings.EqualFold(strings.TrimRight(a, "/"), strings.TrimRight(b, "/"))
}
