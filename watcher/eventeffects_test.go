package watcher

import (
	"slices"
	"strings"
	"testing"
)

// An Event says what a mistake causes: what is in force, or that nothing is.
func TestEventsSayWhatAMistakeCauses(t *testing.T) {
	for name, c := range map[string]struct {
		before map[string]string // nil: the mistake is there from the start
		after  map[string]string
		key    string
		want   string
	}{
		"defaults from the start": {nil, map[string]string{"_defaults": "x", "shop": scanner("shop")}, "_defaults", "; no namespace is watched until it is mended"},
		"defaults later": {map[string]string{"shop": scanner("shop")}, map[string]string{"_defaults": "x", "shop": scanner("shop")}, "_defaults",
			"; all keys keep their last good settings"},
		"all from the start":   {nil, map[string]string{"_all": "x"}, "_all", "; namespaces without a key are not watched until it is mended"},
		"all later":            {map[string]string{"_all": scanner("all")}, map[string]string{"_all": "x"}, "_all", "; the last good settings stay in force"},
		"a key from the start": {nil, map[string]string{"shop": "x"}, "shop", "; the namespace is not watched until it is mended"},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				if c.before != nil {
					r.settings(c.before)
					r.start()
					r.wantTold()
					r.settings(c.after)
				} else {
					r.settings(c.after)
					r.start()
				}
				if got := r.told(); !slices.ContainsFunc(got, func(e string) bool {
					return strings.HasPrefix(e, "Warning SettingsMistake "+c.key) && strings.HasSuffix(e, c.want)
				}) {
					t.Errorf("Events %q, want one of %s that ends with %q", got, c.key, c.want)
				}
			})
		})
	}
}
