package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/clairwatch/clairwatch/settings"
)

func TestHearsOf(t *testing.T) {
	tell, look := settings.DefaultTell(), settings.DefaultLook()
	quiet := tell
	quiet.Removed, quiet.Failed, quiet.Withdrawn = false, false, true
	narrow := look
	narrow.Init, narrow.OptOut = false, true
	for _, c := range []struct {
		least, unknownAs string
		fixable          bool
		ignores          int
		tell             settings.Tell
		look             settings.Look
		want             string
	}{
		{"Unknown", "Medium", false, 0, tell, look, "all vulnerabilities"},
		{"Unknown", "Low", true, 0, tell, look, "all vulnerabilities with a fix"}, // what it counts as makes no difference
		{"Critical", "Medium", false, 1, tell, look, "Critical; ignore has 1 entry"},
		{"Medium", "Medium", true, 3, quiet, look, "Medium and worse with a fix; ignore has 3 entries; on: tell.withdrawn; off: tell.removed, tell.failed"},
		{"High", "Unknown", false, 0, quiet, narrow, "High and worse (Unknown counts as Unknown); on: tell.withdrawn, look.optOut; off: tell.removed, tell.failed, look.init"},
	} {
		if got := hearsOf(c.least, c.unknownAs, c.fixable, c.ignores, c.tell, c.look); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	// Whatever is switched is named, as it is written in the settings.
	for _, of := range []any{&tell, &look} {
		v := reflect.ValueOf(of).Elem()
		for i := range v.NumField() {
			v.Field(i).SetBool(!v.Field(i).Bool())
			name := v.Type().Name() + "." + v.Type().Field(i).Tag.Get("json")
			if got := hearsOf("Unknown", "Medium", false, 0, tell, look); !slices.Contains(strings.Fields(strings.ToLower(got)), strings.ToLower(name)) {
				t.Errorf("%s is not in %q", name, got)
			}
			v.Field(i).SetBool(!v.Field(i).Bool())
		}
	}
}
