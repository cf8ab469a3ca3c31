package limits

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clairwatch/clairwatch/sandbox/load"
	"github.com/clairwatch/clairwatch/sandbox/stage"
)

// mostSettings is how many bytes the API server takes as the values of a ConfigMap.
const mostSettings = 1 << 20

// tenant is a namespace that nothing runs in.
func tenant(n int) string { return fmt.Sprintf("tenant-%05d", n) }

// sizeOf is the size of the values of a ConfigMap.
func sizeOf(keys map[string]string) int {
	size := 0
	for text := range maps.Values(keys) {
		size += len(text)
	}
	return size
}

// fullSettings writes as many keys as there is room for, to the last byte. All are in force, an edit of one of them takes
// effect, and no namespace but its own costs a request.
func (c *cluster) fullSettings(t *testing.T) {
	if c.keys[channel(calm)] == "" {
		c.watch(t, calm)
		c.untilScanned(t, few, "too_large", 0)
		c.hears(t, channel(calm), 1)
	}
	tenants := 0
	traffic := c.within(t, func() {
		c.edit(t, func(keys map[string]string) {
			size := sizeOf(keys)
			for ; ; tenants++ {
				text := c.ScannerTo(tenants, tenant(tenants))
				if size += len(text); size > mostSettings {
					break
				}
				keys[tenant(tenants)] = text
			}
			keys[tenant(0)] += "#" + strings.Repeat("x", mostSettings-sizeOf(keys)-1)
		})
		c.inForce(t)
		c.settled(t)
	})
	t.Logf("%d keys of %d bytes", len(c.keys), sizeOf(c.keys))
	same(t, traffic.Clair, map[string]int{"index": 0, "report": 0, "other": 0})
	same(t, traffic.Registry, map[string]int{"manifest": 0, "other": 0})
	full := maps.Clone(c.keys)
	full[tenant(0)] += "x"
	if err := c.WriteSettings(t.Context(), full); !apierrors.IsInvalid(err) {
		t.Errorf("a byte more: %v, want that the API server refuses it", err)
	}
	for _, n := range []int{0, tenants / 2, tenants - 1} {
		var explained struct {
			Settings struct{ Key string }
			Scanners []struct{ Clair string }
		}
		c.page(t, "/api/v1/namespaces/"+tenant(n), &explained)
		if explained.Settings.Key != tenant(n) || len(explained.Scanners) != 1 || explained.Scanners[0].Clair != c.ClairURL(n) {
			t.Errorf("of %s is known: %+v", tenant(n), explained)
		}
	}

	from := len(c.logged(t))
	traffic = c.within(t, func() {
		c.edit(t, func(keys map[string]string) {
			keys[channel(calm)] = strings.Replace(keys[channel(calm)], threshold, "", 1)
		})
		c.logs(t, from, `msg="settings in force" changed=\[`+channel(calm)+`\] added=\[\] removed=\[\] keys=`+fmt.Sprint(len(c.keys)))
		c.settled(t)
	})
	same(t, traffic.Clair, map[string]int{"index": 0, "report": few, "other": 0})
	same(t, traffic.Registry, map[string]int{"manifest": 0, "other": 0})
	for _, m := range c.hears(t, channel(calm), 1) {
		if !strings.Contains(m, "in 4 images are no longer held back") {
			t.Errorf("it is not told what the edit shows:\n%s", m)
		}
	}
}

// inForce waits until all keys are.
func (c *cluster) inForce(t *testing.T) {
	t.Helper()
	c.until(t, fmt.Sprintf("%d channels", len(c.keys)), func(m stage.Metrics) bool {
		return m.Sum("clairwatch_channels") == float64(len(c.keys))
	})
}

// logs waits until a line of the log after a byte matches.
func (c *cluster) logs(t *testing.T, from int, line string) {
	t.Helper()
	pattern := regexp.MustCompile(line)
	c.await(t, "the log to have "+line, func() bool { return pattern.MatchString(c.logged(t)[from:]) })
}

// settled waits until nothing is to be looked at or told.
func (c *cluster) settled(t *testing.T) {
	t.Helper()
	must(t, load.Pause(t.Context(), quiet))
	c.until(t, "nothing to be told", func(m stage.Metrics) bool {
		return m["clairwatch_news_pending"] == 0 && m[`workqueue_depth{name="images"}`] == 0
	})
	must(t, load.Pause(t.Context(), quiet))
}

// mostSaid is how many keys with mistakes are in the log and in metrics by their names, mostEvents how many have an Event.
const (
	mostSaid   = 100
	mostEvents = 20
)

// mistakes has all keys that nothing runs in be wrong, and then mended. What is said of it is bounded.
func (c *cluster) mistakes(t *testing.T) {
	if len(c.keys) < mostSaid {
		t.Skip("there are no keys to make mistakes in")
	}
	good := maps.Clone(c.keys)
	from := len(c.logged(t))
	wrong := 0
	traffic := c.within(t, func() {
		c.edit(t, func(keys map[string]string) {
			for key, text := range keys {
				if strings.HasPrefix(key, "tenant-") {
					keys[key] = strings.Replace(text, "backend:", "backendd:", 1)
					wrong++
				}
			}
			keys[tenant(0)] = "backendd: clair" // which leaves room for the letter that each of the others has more
			keys[tenant(1)] = keys[tenant(0)]
			for n := 2; sizeOf(keys) > mostSettings; n++ {
				keys[tenant(n)] = keys[tenant(0)]
			}
		})
		c.until(t, fmt.Sprintf("%d keys with mistakes", wrong), func(m stage.Metrics) bool {
			return m.Sum("clairwatch_settings_mistakes") > 0
		})
		c.awaitEvents(t, "SettingsMistake")
		c.settled(t)
	})
	same(t, traffic.Clair, map[string]int{"index": 0, "report": 0, "other": 0})
	same(t, traffic.API, map[string]int{"create events": mostEvents + 1})
	log := c.logged(t)[from:]
	if got := lines(log, "level=ERROR"); got != mostSaid+1 {
		t.Errorf("the log has %d lines about mistakes, want %d and one for the others", got, mostSaid)
	}
	m, err := c.Metrics(t.Context())
	must(t, err)
	series := 0
	for name := range m {
		if strings.HasPrefix(name, "clairwatch_settings_mistakes{") {
			series++
		}
	}
	if series != mostSaid+1 {
		t.Errorf("there are %d series of mistakes, want %d and one for the others", series, mostSaid)
	}
	if got := m.Sum("clairwatch_channels"); got != float64(len(c.keys)) {
		t.Errorf("%v channels, want the %d of the last good settings", got, len(c.keys))
	}
	var overview struct {
		Mistakes     []struct{ Key string }
		MoreMistakes int
	}
	c.page(t, "/api/v1/overview", &overview)
	if len(overview.Mistakes) != mostSaid || overview.MoreMistakes != wrong-mostSaid {
		t.Errorf("the page has %d mistakes and counts %d more, want %d and %d", len(overview.Mistakes), overview.MoreMistakes, mostSaid, wrong-mostSaid)
	}

	from = len(c.logged(t))
	traffic = c.within(t, func() {
		c.edit(t, func(keys map[string]string) { maps.Copy(keys, good) })
		c.until(t, "no mistakes", func(m stage.Metrics) bool { return m.Sum("clairwatch_settings_mistakes") == 0 })
		c.awaitEvents(t, "SettingsMended")
		c.settled(t)
	})
	same(t, traffic.Clair, map[string]int{"index": 0, "report": 0, "other": 0})
	same(t, traffic.API, map[string]int{"create events": mostEvents + 1})
	if got := lines(c.logged(t)[from:], "mended"); got != mostSaid+1 {
		t.Errorf("the log has %d lines about what is mended, want %d and one for the others", got, mostSaid)
	}
	c.inForce(t)
	for n := range all {
		c.hears(t, channel(n), 0)
	}
}

// awaitEvents waits until there is an Event of a reason that says how many more there are.
func (c *cluster) awaitEvents(t *testing.T, reason string) {
	t.Helper()
	c.await(t, "the last Event "+reason, func() bool {
		events, err := c.Client.CoreV1().Events(stage.Namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "reason=" + reason})
		if err != nil {
			return false
		}
		for _, e := range events.Items {
			if strings.HasPrefix(e.Message, "and ") {
				return true
			}
		}
		return false
	})
}
