package watcher

import "time"

// ClairStatus is how a Clair of the settings fares.
type ClairStatus struct {
	// URL is its address, as the settings have it.
	URL string
	// Up says that it answers and gives reports; false of one that was not asked yet. Away is since when it does not
	// answer, as far as this replica knows; zero: it does, or was never asked.
	Up   bool
	Away time.Time
	// Loading says that it has not all of its vulnerability data yet, or none.
	Loading bool
	// Asked is when it last said what data it has; zero: never.
	Asked time.Time
	// Newest is when the newest update of its vulnerabilities began, by its own clock; zero where it does not say.
	Newest time.Time
}

// Clairs returns the Clairs of the settings, in the order of their addresses; nil where this replica does not lead: only
// who does asks them.
func (w *Watcher) Clairs() []ClairStatus {
	if !w.leading.Load() {
		return nil
	}
	var all []ClairStatus
	for _, base := range w.assigned.Load().clairs() {
		state := w.clairs.state(base)
		all = append(all, ClairStatus{URL: base, Up: state.up, Away: w.clairs.awaySince(base), Loading: state.loading, Asked: state.probed, Newest: state.newest})
	}
	return all
}
