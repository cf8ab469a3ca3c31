package main

import (
	"log/slog"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"

	"github.com/clairwatch/clairwatch/registry"
	"github.com/clairwatch/clairwatch/watcher"
)

// measured is what there is to know of a metric.
type measured struct {
	labels []string
	// values are those of each label whose values are a closed set.
	values map[string][]string
}

// openLabels are those whose values are not a closed set, or numbers.
var openLabels = [...]string{"namespace", "image", "digest", "clair", "key", "shard", "version", "revision"}

// everyMetric returns all metrics that the daemon can have, by name.
func everyMetric(t *testing.T) map[string]measured {
	t.Helper()
	reg := newMetrics()
	countRegistryRequests(reg)(registry.OutcomeOK)
	if _, err := watcher.New(watcher.Config{Kubernetes: fake.NewClientset(), Metadata: metadatafake.NewSimpleMetadataClient(metadatafake.NewTestScheme()),
		Metrics: reg, ImageMetrics: true, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]measured)
	described := make(chan *prometheus.Desc)
	go func() {
		reg.Describe(described)
		close(described)
	}()
	parts := regexp.MustCompile(`fqName: "(\w+)".*variableLabels: \{(.*)\}\}$`)
	for d := range described {
		if m := parts.FindStringSubmatch(d.String()); m != nil {
			all[m[1]] = measured{strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' }), make(map[string][]string)}
		}
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("%v: %v", problems, err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				values := all[f.GetName()].values
				if values != nil && !slices.Contains(openLabels[:], l.GetName()) && !slices.Contains(values[l.GetName()], l.GetValue()) {
					values[l.GetName()] = append(values[l.GetName()], l.GetValue())
				}
			}
		}
	}
	// Of images that run, and none does here.
	severities := []string{"critical", "high", "medium", "low", "negligible", "unknown"}
	all["clairwatch_findings"].values["severity"] = severities
	all["clairwatch_findings"].values["fixable"] = []string{"true", "false"}
	all["clairwatch_image_findings"].values["severity"] = severities
	return all
}

// namedMetric is a metric as the page names it: with its labels, in the order in which it has them.
var namedMetric = regexp.MustCompile("`(clairwatch_\\w+)(?:\\{(.*?)\\})?`")

// metricRow is a row of the page's table.
type metricRow struct{ names, meaning string }

func metricRows(t *testing.T) []metricRow {
	t.Helper()
	var rows []metricRow
	for _, line := range regexp.MustCompile("(?m)^\\| `clairwatch_.*$").FindAllString(section(t, read(t, "docs/operating.md"), "## Metrics"), -1) {
		names, meaning, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		rows = append(rows, metricRow{names, meaning})
	}
	return rows
}

// TestDocsMetrics compares the metrics of docs/operating.md, and their labels, with those that there are.
func TestDocsMetrics(t *testing.T) {
	have, left := everyMetric(t), everyMetric(t)
	for _, row := range metricRows(t) {
		for _, m := range namedMetric.FindAllStringSubmatch(row.names, -1) {
			if metric, ok := have[m[1]]; !ok || strings.Join(metric.labels, ",") != m[2] {
				t.Errorf("the page has %s with the labels %q; there are %q (%v)", m[1], m[2], metric.labels, ok)
			}
			delete(left, m[1])
		}
	}
	for name := range left {
		if strings.HasPrefix(name, "clairwatch_") {
			t.Errorf("the page does not have %s", name)
		}
	}
}

// TestDocsMetricValues looks for all values of labels in docs/operating.md, and for those that there are not.
func TestDocsMetricValues(t *testing.T) {
	have := everyMetric(t)
	word := regexp.MustCompile("`([a-z_]+)`")
	seen := 0
	for _, row := range metricRows(t) {
		text := row.meaning
		if strings.Contains(row.names, "clairwatch_image_findings") { // it has those of clairwatch_findings
			continue
		}
		for _, link := range regexp.MustCompile(`\]\(([\w./-]*)#([\w-]+)\)`).FindAllStringSubmatch(row.meaning, -1) {
			page := "docs/operating.md"
			if link[1] != "" {
				page = path.Join("docs", link[1])
			}
			text += strings.Join(firstColumnInTicks(sectionAt(t, read(t, page), link[2])), " ")
		}
		known := make(map[string]bool)
		for _, m := range namedMetric.FindAllStringSubmatch(row.names, -1) {
			for _, label := range have[m[1]].labels {
				known[label] = true
			}
			for label, values := range have[m[1]].values {
				for _, value := range values {
					seen++
					known[value] = true
					if value != "true" && value != "false" && !strings.Contains(text, "`"+value+"`") {
						t.Errorf("the page does not say that the %s of %s can be %s", label, m[1], value)
					}
				}
			}
		}
		for _, m := range word.FindAllStringSubmatch(row.meaning, -1) {
			if !known[m[1]] {
				t.Errorf("the page says of %s that there is %s, which is neither a label nor one of its values", row.names, m[1])
			}
		}
	}
	if seen < 100 {
		t.Errorf("saw only %d values", seen)
	}
}

func firstColumnInTicks(text string) []string {
	names := firstColumn(text)
	for i, n := range names {
		names[i] = "`" + n + "`"
	}
	return names
}

// sectionAt returns the part of a page that a link leads to.
func sectionAt(t *testing.T, page, anchor string) string {
	t.Helper()
	for _, heading := range regexp.MustCompile(`(?m)^##+ .*$`).FindAllString(page, -1) {
		title := strings.TrimLeft(heading, "# ")
		if strings.ToLower(strings.ReplaceAll(title, " ", "-")) == anchor {
			return section(t, page, heading)
		}
	}
	t.Fatalf("the page has no heading %s", anchor)
	return ""
}

// promWords are those of PromQL's that the queries use.
var promWords = [...]string{
	"absent", "and", "avg_over_time", "by", "changes", "count", "histogram_quantile", "increase", "label_values", "max",
	"max_over_time", "min", "on", "or", "rate", "sum", "time", "topk", "unless",
}

// scraped are the labels that Prometheus gives to what it scrapes.
var scraped = [...]string{"job", "instance"}

// checkQuery looks up the metrics, labels and values of a query in PromQL. That it is one at all promtool says, in the
// tests of the sandbox.
func checkQuery(t *testing.T, where, query string, have map[string]measured) (metrics []string) {
	t.Helper()
	identifier := regexp.MustCompile(`([a-zA-Z_]\w*)(\{[^}]*\})?`)
	text := regexp.MustCompile(`\[[^\]]*\]|\boffset \d+[smhd]\b`).ReplaceAllString(query, "") // ranges
	labels := slices.Clone(scraped[:])
	var words []string
	for _, m := range identifier.FindAllStringSubmatch(text, -1) {
		metric, is := metricNamed(m[1], have)
		if !is {
			words = append(words, m[1])
			continue
		}
		metrics = append(metrics, m[1])
		labels = append(labels, metric.labels...)
		if strings.HasSuffix(m[1], "_bucket") {
			labels = append(labels, "le")
		}
		checkMatchers(t, where, m[1], m[2], metric)
	}
	if len(metrics) == 0 {
		t.Errorf("%s asks for no metric that there is: %s", where, query)
	}
	for _, w := range words {
		if !slices.Contains(promWords[:], w) && !slices.Contains(labels, w) {
			t.Errorf("%s has %s, which is neither a metric nor a label: %s", where, w, query)
		}
	}
	return metrics
}

// metricNamed finds a metric, also by the series of a histogram.
func metricNamed(name string, have map[string]measured) (measured, bool) {
	for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
		base, is := strings.CutSuffix(name, suffix)
		if metric, there := have[base]; is && there {
			return metric, true
		}
	}
	return measured{}, false
}

// checkMatchers looks up the labels and values of a selector: {state=~"a|b"}.
func checkMatchers(t *testing.T, where, name, selector string, metric measured) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"`).FindAllStringSubmatch(selector, -1) {
		if !slices.Contains(metric.labels, m[1]) && !slices.Contains(scraped[:], m[1]) {
			t.Errorf("%s: %s has no label %s", where, name, m[1])
		}
		values, closed := metric.values[m[1]]
		for value := range strings.SplitSeq(m[2], "|") {
			if closed && !slices.Contains(values, value) {
				t.Errorf("%s: %s of %s is never %q, but one of %q", where, m[1], name, value, slices.Sorted(slices.Values(values)))
			}
		}
	}
}

// The checks above see what is wrong.
func TestCheckQuery(t *testing.T) {
	have := map[string]measured{"a_total": {labels: []string{"outcome"}, values: map[string][]string{"outcome": {"ok", "failed"}}}}
	for query, fine := range map[string]bool{
		`sum by (job, outcome) (rate(a_total{outcome=~"ok|failed"}[5m])) > 0`: true,
		`sum(a_totals)`:                   false,
		`sum(a_total{result="ok"})`:       false,
		`sum(a_total{outcome="okay"})`:    false,
		`sum by (state) (a_total)`:        false,
		`sum(a_total{outcome!~"ok|bad"})`: false,
	} {
		inner := new(testing.T)
		checkQuery(inner, "here", query, have)
		if inner.Failed() == fine {
			t.Errorf("%s is fine: %v", query, !fine)
		}
	}
	if got := slices.Sorted(maps.Keys(have)); len(got) != 1 {
		t.Errorf("the metrics have changed: %v", got)
	}
}
