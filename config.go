package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/settings"
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
	// Web says where the pages are.
	Web WebConfig
	// ExternalURL is the address under which people reach the pages: messages link to it. Empty: they do not.
	ExternalURL string
	// Log says what is logged and how.
	Log LogConfig
	// Workers is how many images are worked on at once; at least 1.
	Workers int
	// MaxImages is how many different images are looked at in one namespace. Zero: any number.
	MaxImages int
	// GroupWait is how long a channel stays quiet before its news is sent.
	GroupWait time.Duration
	// GroupMax is how long the first piece of news waits at the most; not less than GroupWait.
	GroupMax time.Duration
	// Refresh is when the report of a running image is fetched again. Zero: never.
	Refresh time.Duration
	// DataQuiet is how long no source of advisories of a Clair must have been new before anything is told for
	// the first time from its reports. Zero: nothing waits.
	DataQuiet time.Duration
	// DataMax is after which time it is told all the same; not less than DataQuiet.
	DataMax time.Duration
	// RemovalGrace is how long an image must be gone before that is told.
	RemovalGrace time.Duration
	// DeleteGrace is how long an image must be gone before it is deleted from a Clair that allows it.
	DeleteGrace time.Duration
	// LeaderElection says which of several daemons tells.
	LeaderElection LeaderElectionConfig
	// TellIndexed has a line sent for each image when Clair has indexed it.
	TellIndexed bool
	// Grace is how long work in hand may take when the daemon is stopped.
	Grace time.Duration
	// SlackHosts are the hosts that a webhook may have.
	SlackHosts []string
	// DockerConfig is a docker config file with credentials of registries. It need not exist. Empty: none.
	DockerConfig string
	// NotifyTokenFile holds the token that who calls /notify has to send. Empty: none.
	NotifyTokenFile string
	// Clairs is what is to be known about single Clairs.
	Clairs []ClairConfig
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

// WebConfig says where the pages are.
type WebConfig struct {
	// Listen is their address. Empty: there are none.
	Listen string
}

// LogConfig says what is logged and how.
type LogConfig struct {
	// Level is debug, info, warn or error.
	Level string
	// Format is json or text.
	Format string
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
	// DeleteFromClair has images deleted from it that this daemon had it index and that nothing runs any more.
	DeleteFromClair bool
	// PSKFile holds the key that it shares with its clients, in base64. Empty: requests are not signed.
	PSKFile string
	// Issuer is who signed requests are from. Empty: clairwatch.
	Issuer string
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
		DataQuiet:      5 * time.Minute,
		DataMax:        time.Hour,
		RemovalGrace:   10 * time.Minute,
		DeleteGrace:    7 * 24 * time.Hour,
		LeaderElection: LeaderElectionConfig{Enabled: true, Lease: "clairwatch", Duration: 45 * time.Second},
		Grace:          20 * time.Second,
		SlackHosts:     []string{"hooks.slack.com", "hooks.slack-gov.com"},
		// Where deploy/clairwatch.yaml mounts the Secret.
		DockerConfig: "/etc/clairwatch-secret/config.json",
		Clairs:       []ClairConfig{},
		Registries:   []registry.Registry{},
	}
}

// leastLease leaves time for a message to Slack between two renewals of the Lease. The default leaves more than
// Slack is given for an answer.
const leastLease = 3 * time.Second

// isASCII says whether an address is written as Slack takes it in a link: xn--bcher-kva.example, not bücher.example.
func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// longestExternalURL keeps links short enough for messages, which hold many.
const longestExternalURL = 200

// envPrefix begins the environment variables: CLAIRWATCH_GROUPWAIT, CLAIRWATCH_LOG_LEVEL.
const envPrefix = "CLAIRWATCH"

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
	flags.String("log-level", d.Log.Level, "debug, info, warn or error")
	flags.String("log-format", d.Log.Format, "json or text")
	flags.Int("workers", d.Workers, "images worked on at once")
	flags.Int("max-images", d.MaxImages, "different images looked at in one namespace; 0: any number")
	flags.Duration("group-wait", d.GroupWait, "how long a channel stays quiet before its news is sent")
	flags.Duration("group-max", d.GroupMax, "how long news waits at the most")
	flags.Duration("refresh", d.Refresh, "when the report of a running image is fetched again; 0s: never")
	flags.Duration("data-quiet", d.DataQuiet, "how long no source of advisories of Clair must have been new before first reports are told; 0s: they do not wait")
	flags.Duration("data-max", d.DataMax, "how long first reports wait for that at the most")
	flags.Duration("removal-grace", d.RemovalGrace, "how long an image must be gone before that is told")
	flags.Duration("delete-grace", d.DeleteGrace, "how long an image must be gone before it is deleted from a Clair with deleteFromClair")
	flags.Bool("leader-election", d.LeaderElection.Enabled, "tell only while holding the Lease")
	flags.String("leader-election-lease", d.LeaderElection.Lease, "name of the Lease")
	flags.Duration("leader-election-duration", d.LeaderElection.Duration, "how long without a sign of life until another daemon takes over")
	flags.String("leader-election-identity", d.LeaderElection.Identity, "name of this daemon in the Lease (default: that of its pod)")
	flags.Bool("tell-indexed", d.TellIndexed, "a line for each image when Clair has indexed it")
	flags.Duration("grace", d.Grace, "how long work in hand may take at a stop")
	flags.StringSlice("slack-hosts", d.SlackHosts, "hosts that a webhook may have")
	flags.String("notify-token-file", d.NotifyTokenFile, "file with the token that who calls /notify has to send (empty: none)")
	flags.String("docker-config", d.DockerConfig, "docker config file with credentials of registries")
	return map[string]string{
		"cluster": "cluster", "kubeconfig": "kubeconfig", "namespace": "namespace", "settings": "settings",
		"listen": "listen", "log-level": "log.level", "log-format": "log.format", "workers": "workers",
		"max-images": "maxImages", "external-url": "externalURL", "web-listen": "web.listen",
		"data-quiet": "dataQuiet", "data-max": "dataMax", "removal-grace": "removalGrace", "delete-grace": "deleteGrace",
		"leader-election": "leaderElection.enabled", "leader-election-lease": "leaderElection.lease",
		"leader-election-duration": "leaderElection.duration", "leader-election-identity": "leaderElection.identity",
		"group-wait": "groupWait", "group-max": "groupMax", "refresh": "refresh", "tell-indexed": "tellIndexed", "grace": "grace",
		"slack-hosts": "slackHosts", "docker-config": "dockerConfig",
		"notify-token-file": "notifyTokenFile",
	}
}

// loadConfig reads the settings from defaults, file, environment and flags, each before the next. An
// empty path reads no file.
func loadConfig(path string, flags *pflag.FlagSet, flagKeys map[string]string) (Config, error) {
	doing := "reading the config"
	if path != "" {
		doing += " " + path
	}
	v := viper.New()
	v.SetEnvPrefix(envPrefix)
	v.SetEnvKeyReplacer(strings.NewReplacer(".", "_"))
	v.AutomaticEnv()
	// viper looks for a key in the environment only if it knows the key from elsewhere.
	setDefaults(v, "", reflect.ValueOf(defaults()))
	if err := knownEnvironment(v.AllKeys(), os.Environ()); err != nil {
		return Config{}, fmt.Errorf("reading the environment: %w", err)
	}
	for flag, key := range flagKeys {
		if err := v.BindPFlag(key, flags.Lookup(flag)); err != nil {
			return Config{}, fmt.Errorf("reading the flag --%s: %w", flag, err)
		}
	}
	if path != "" {
		v.SetConfigFile(path)
		v.SetConfigType("yaml")
		if err := v.ReadInConfig(); err != nil {
			return Config{}, fmt.Errorf("%s: %w", doing, readable(err))
		}
	}
	var cfg Config
	if err := v.UnmarshalExact(&cfg, func(d *mapstructure.DecoderConfig) {
		d.WeaklyTypedInput = false // it takes true for 1, and 30 for 30ns
		d.DecodeHook = fromText
	}); err != nil {
		return Config{}, fmt.Errorf("%s: %w", doing, explain(err))
	}
	if err := cfg.validate(); err != nil {
		return Config{}, fmt.Errorf("%s: %w", doing, err)
	}
	return cfg, nil
}

// readable takes viper's own words off an error of reading the file.
func readable(err error) error {
	var path *fs.PathError
	var parse viper.ConfigParseError
	switch {
	case errors.As(err, &path):
		return path.Err // the path is named already
	case errors.As(err, &parse):
		return fmt.Errorf("not valid YAML: %s", strings.Join(strings.Fields(parse.Unwrap().Error()), " "))
	}
	return err
}

// injected are the variables that Kubernetes and Docker give every container for each Service, one called
// clairwatch or clairwatch-something included.
var injected = regexp.MustCompile(`^` + envPrefix + `_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// knownEnvironment refuses variables that look like settings and are none: one that is misspelt would
// have no effect.
func knownEnvironment(keys, environment []string) error {
	known := make(map[string]bool, len(keys))
	for _, key := range keys {
		known[envPrefix+"_"+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))] = true
	}
	var unknown []string
	for _, pair := range environment {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, envPrefix+"_") && !known[name] && !injected.MatchString(name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return fmt.Errorf("no such setting: %s; the name is %s_ and the key of config.yaml in capitals, with _ for a dot",
		strings.Join(unknown, ", "), envPrefix)
}

// fromText reads what the environment and flags have only as text into what a setting is. What comes
// typed out of the file must be of the right type.
func fromText(from, to reflect.Value) (any, error) {
	kind, isDuration := to.Kind(), to.Type() == reflect.TypeFor[time.Duration]()
	switch from.Kind() {
	case reflect.String:
	case reflect.Float32, reflect.Float64:
		if kind >= reflect.Int && kind <= reflect.Int64 {
			return nil, fmt.Errorf("%v: %s", from, want(to))
		}
		return from.Interface(), nil
	case reflect.Int, reflect.Int64:
		if isDuration && from.Type() != to.Type() && from.Int() != 0 {
			return nil, fmt.Errorf("%d has no unit: %s", from.Int(), want(to))
		}
		return from.Interface(), nil
	default:
		return from.Interface(), nil
	}
	text := from.String()
	var value any
	var err error
	switch {
	case isDuration:
		value, err = time.ParseDuration(text)
	case kind == reflect.Int:
		value, err = strconv.Atoi(text)
	case kind == reflect.Bool:
		value, err = strconv.ParseBool(text)
	case to.Type() == reflect.TypeFor[[]string]():
		return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }), nil
	case kind == reflect.Slice:
		return nil, errors.New("want a list of maps, which only the file can hold")
	default:
		return text, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%q: %s", text, want(to))
	}
	return value, nil
}

// want says what a setting is, to somebody who wrote something else.
func want(to reflect.Value) string {
	switch {
	case to.Type() == reflect.TypeFor[time.Duration]():
		return "want a duration such as 30s"
	case to.Kind() == reflect.Int:
		return "want a whole number"
	case to.Kind() == reflect.Bool:
		return "want true or false"
	}
	return "want a text"
}

// setDefaults gives viper every key with its default.
func setDefaults(v *viper.Viper, prefix string, s reflect.Value) {
	for i := range s.NumField() {
		key, field := prefix+camel(s.Type().Field(i).Name), s.Field(i)
		if field.Kind() == reflect.Struct {
			setDefaults(v, key+".", field)
			continue
		}
		v.SetDefault(key, field.Interface())
	}
}

// camel turns the name of a field into that of its key.
func camel(field string) string {
	if strings.ToUpper(field) == field { // URL
		return strings.ToLower(field)
	}
	if rest, ok := strings.CutPrefix(field, "PSK"); ok {
		return "psk" + rest
	}
	return strings.ToLower(field[:1]) + field[1:]
}

// explain turns mapstructure's words into those of somebody who edits YAML, one line for each mistake.
func explain(err error) error {
	var mistakes []error
	for _, e := range decodeErrors(err) {
		key, words := keyOf(e.Name()), e.Unwrap().Error()
		if unknown, ok := strings.CutPrefix(words, "has invalid keys: "); ok {
			for k := range strings.SplitSeq(unknown, ", ") {
				mistakes = append(mistakes, fmt.Errorf("%s: no such setting; config.yaml of this version lists all of them", strings.TrimPrefix(key+"."+k, ".")))
			}
			continue
		}
		var wrongType *mapstructure.UnconvertibleTypeError
		switch {
		case errors.As(e, &wrongType):
			words = want(wrongType.Expected)
		case strings.HasPrefix(words, "source data must be an array"):
			words = "want a list"
		case strings.HasPrefix(words, "expected a map"):
			words = "want a map"
		}
		mistakes = append(mistakes, fmt.Errorf("%s: %s", key, words))
	}
	if len(mistakes) == 0 { // what mapstructure has not said in its usual way
		return err
	}
	return joined(mistakes)
}

// decodeErrors finds the errors of single settings in what mapstructure has joined.
func decodeErrors(err error) []*mapstructure.DecodeError {
	switch e := err.(type) {
	case *mapstructure.DecodeError:
		if inner := decodeErrors(e.Unwrap()); len(inner) > 0 {
			return inner
		}
		return []*mapstructure.DecodeError{e}
	case interface{ Unwrap() []error }:
		var all []*mapstructure.DecodeError
		for _, inner := range e.Unwrap() {
			all = append(all, decodeErrors(inner)...)
		}
		return all
	case interface{ Unwrap() error }:
		return decodeErrors(e.Unwrap())
	}
	return nil
}

// keyOf turns the path of a field, Clairs[0].IndexTimeout, into that of its key. The path of the whole is
// the name of its type; it has no key.
func keyOf(path string) string {
	if path == reflect.TypeFor[Config]().String() {
		return ""
	}
	fields := strings.Split(path, ".")
	for i, f := range fields {
		name, index, list := strings.Cut(f, "[")
		if name != "" {
			fields[i] = camel(name)
		}
		if list {
			fields[i] += "[" + index
		}
	}
	return strings.Join(fields, ".")
}

// joined joins mistakes in the order of their keys.
func joined(mistakes []error) error {
	slices.SortFunc(mistakes, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(mistakes...)
}

// validate says all that is wrong, with the path of each key.
func (c Config) validate() error {
	var errs []error
	wrong := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if c.Settings == "" {
		wrong("settings", "want the name of a ConfigMap")
	}
	if _, port, err := net.SplitHostPort(c.Listen); err != nil || port == "" {
		wrong("listen", "%q: want an address such as :8080", c.Listen)
	}
	if _, err := logLevel(c.Log.Level); err != nil {
		wrong("log.level", "%v", err)
	}
	if !slices.Contains([]string{"json", "text"}, c.Log.Format) {
		wrong("log.format", "%q: want json or text", c.Log.Format)
	}
	if c.Workers < 1 {
		wrong("workers", "%d: want at least 1", c.Workers)
	}
	if c.MaxImages < 0 {
		wrong("maxImages", "%d: want a number of images, or 0 for any number", c.MaxImages)
	}
	if _, port, err := net.SplitHostPort(c.Web.Listen); c.Web.Listen != "" && (err != nil || port == "") {
		wrong("web.listen", "%q: want an address such as 127.0.0.1:8081, or nothing for no pages", c.Web.Listen)
	}
	if c.ExternalURL != "" && c.Web.Listen == "" {
		wrong("externalURL", "there are no pages to link to, because web.listen is empty")
	}
	if u, err := url.Parse(c.ExternalURL); c.ExternalURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(c.ExternalURL) > longestExternalURL || !isASCII(c.ExternalURL)) {
		wrong("externalURL", "want an address such as https://clairwatch.example.com/, in ASCII, without user, query and fragment, of at most %d characters", longestExternalURL)
	}
	for key, d := range map[string]time.Duration{
		"groupWait": c.GroupWait, "groupMax": c.GroupMax, "refresh": c.Refresh, "grace": c.Grace,
		"dataQuiet": c.DataQuiet, "dataMax": c.DataMax, "removalGrace": c.RemovalGrace, "deleteGrace": c.DeleteGrace,
	} {
		if d < 0 {
			wrong(key, "%s: want a duration that is not negative, such as 30s", d)
		}
	}
	if c.GroupMax < c.GroupWait {
		wrong("groupMax", "%s: want at least groupWait, %s", c.GroupMax, c.GroupWait)
	}
	if c.DataMax < c.DataQuiet {
		wrong("dataMax", "%s: want at least dataQuiet, %s", c.DataMax, c.DataQuiet)
	}
	if c.LeaderElection.Enabled && c.LeaderElection.Lease == "" {
		wrong("leaderElection.lease", "want the name of a Lease, such as clairwatch")
	}
	if c.LeaderElection.Enabled && c.LeaderElection.Duration < leastLease {
		wrong("leaderElection.duration", "%s: want at least %s", c.LeaderElection.Duration, leastLease)
	}
	if len(c.SlackHosts) == 0 {
		wrong("slackHosts", "want at least one host, such as hooks.slack.com")
	}
	for i, host := range c.SlackHosts {
		if host == "" || strings.ContainsAny(host, "/@?# ") {
			wrong(fmt.Sprintf("slackHosts[%d]", i), "want a host such as hooks.slack.com, with a port unless that is 443")
		}
	}
	if c.DockerConfig != "" {
		if info, err := os.Stat(c.DockerConfig); err == nil && info.IsDir() {
			wrong("dockerConfig", "%s is a folder: want the file in it", c.DockerConfig)
		}
	}
	for i, clair := range c.Clairs {
		key := fmt.Sprintf("clairs[%d]", i)
		if u, err := url.Parse(clair.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			wrong(key+".url", "want an address such as http://clair.clair:6000/")
		}
		if slices.ContainsFunc(c.Clairs[:i], func(o ClairConfig) bool { return sameAddress(o.URL, clair.URL) }) {
			wrong(key+".url", "is in the list twice")
		}
		for field, d := range map[string]time.Duration{"indexTimeout": clair.IndexTimeout, "reportTimeout": clair.ReportTimeout} {
			if d < 0 {
				wrong(key+"."+field, "%s: want a duration that is not negative, such as 30s", d)
			}
		}
		if clair.IndexConcurrency < 0 {
			wrong(key+".indexConcurrency", "%d: want at least 1, or 0 for the default", clair.IndexConcurrency)
		}
	}
	c.validateCallers(wrong)
	if err := (registry.Config{Registries: c.Registries}).Validate(); err != nil {
		errs = append(errs, err) // it begins each line with the key
	}
	return joined(errs)
}

// validateCallers says what is wrong with how Clairs and clairwatch know each other.
func (c Config) validateCallers(wrong func(key, format string, args ...any)) {
	// Not repeated: it may be the secret itself.
	const wantFile = "want the path of a file, from the root on, and not what is in it"
	if c.NotifyTokenFile != "" && !filepath.IsAbs(c.NotifyTokenFile) {
		wrong("notifyTokenFile", wantFile)
	}
	taken := make(map[string]bool) // a callback must lead to one Clair
	for _, clair := range c.Clairs {
		if base, err := settings.BaseURL(clair.URL); err == nil {
			taken[base] = true
		}
	}
	for i, clair := range c.Clairs {
		if clair.PSKFile != "" && !filepath.IsAbs(clair.PSKFile) {
			wrong(fmt.Sprintf("clairs[%d].pskFile", i), wantFile)
		}
		for n, alias := range clair.CallbackAliases {
			key := fmt.Sprintf("clairs[%d].callbackAliases[%d]", i, n)
			base, err := settings.BaseURL(alias)
			switch {
			case err != nil:
				wrong(key, "%v", err)
			case taken[base]:
				wrong(key, "is the address or an alias of a Clair already")
			}
			taken[base] = true
		}
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
