package watcher

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// mostClairs bounds how many Clairs have series of their own.
const mostClairs = 100

// clairStates says how the Clairs of the settings fare when it is asked. Only who leads asks them.
type clairStates struct{ w *Watcher }

var (
	clairUpDesc = prometheus.NewDesc("clairwatch_clair_up",
		"1 for each Clair of the settings that answers and gives reports, 0 for one that does not, or was not asked yet. Those beyond a hundred share one: the worst.",
		[]string{"clair"}, nil)
	clairLoadingDesc = prometheus.NewDesc("clairwatch_clair_loading",
		"1 while a Clair has not all of its vulnerability data yet, or none: first reports wait for that.",
		[]string{"clair"}, nil)
	clairProbedDesc = prometheus.NewDesc("clairwatch_clair_probe_timestamp_seconds",
		"When a Clair last said what data it has, in seconds since 1970; none for one that never has. That of those beyond a hundred is the earliest of those that did.",
		[]string{"clair"}, nil)
	clairDataDesc = prometheus.NewDesc("clairwatch_clair_data_timestamp_seconds",
		"When the newest update of a Clair's vulnerabilities began, by its own clock, in seconds since 1970; none for one that does not say. That of those beyond a hundred is the earliest of those that do.",
		[]string{"clair"}, nil)
)

// Describe implements prometheus.Collector.
func (clairStates) Describe(ch chan<- *prometheus.Desc) {
	ch <- clairUpDesc
	ch <- clairLoadingDesc
	ch <- clairProbedDesc
	ch <- clairDataDesc
}

// Collect implements prometheus.Collector.
func (s clairStates) Collect(ch chan<- prometheus.Metric) {
	if !s.w.leading.Load() {
		return
	}
	var rest *clairState
	for i, base := range s.w.assigned.Load().clairs() {
		state := s.w.clairs.state(base)
		if i < mostClairs {
			state.collect(ch, base)
			continue
		}
		if rest == nil {
			rest = &state
		}
		*rest = rest.or(state)
	}
	if rest != nil {
		rest.collect(ch, theRest)
	}
}

// clairState is how a Clair fares.
type clairState struct {
	up, loading bool
	// probed is when it last said what data it has, newest when that began to be updated last; zero when it did not say.
	probed, newest time.Time
}

// state is that of a Clair.
func (c *clairs) state(base string) clairState {
	s := c.known(base)
	if s == nil {
		return clairState{}
	}
	last := s.data.last.Load()
	if last == nil {
		return clairState{}
	}
	return clairState{up: s.data.gone.Load() == nil && !s.mute.is(), loading: last.loading, probed: last.at, newest: last.newest}
}

// or is the worse of two in each regard, of times the earlier. Who has none does not count there: that a Clair was never
// asked up says, and one that hides its updates, as some do for good, is not to hide that another one has none.
func (s clairState) or(o clairState) clairState {
	return clairState{
		up: s.up && o.up, loading: s.loading || o.loading,
		probed: earlier(s.probed, o.probed), newest: earlier(s.newest, o.newest),
	}
}

// earlier is the earlier one of two times of which either may be zero.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (s clairState) collect(ch chan<- prometheus.Metric, clair string) {
	gauge := func(desc *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, clair)
	}
	gauge(clairUpDesc, oneIf(s.up))
	gauge(clairLoadingDesc, oneIf(s.loading))
	if !s.probed.IsZero() {
		gauge(clairProbedDesc, float64(s.probed.Unix()))
	}
	if !s.newest.IsZero() {
		gauge(clairDataDesc, float64(s.newest.Unix()))
	}
}
