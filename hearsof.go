package main

import (
	"fmt"
	"strings"

	"github.com/clairwatch/clairwatch/settings"
)

// hearsOf says in a few words what a channel hears of: the threshold by the words of severities, how many entries ignore
// has, and which kinds of news and of images are not as they are where nothing is said.
func hearsOf(minSeverity, unknownAs string, onlyFixable bool, ignores int, tell settings.Tell, look settings.Look) string {
	what := "all vulnerabilities"
	switch minSeverity {
	case "Unknown":
	case "Critical":
		what = "Critical"
	default:
		what = minSeverity + " and worse"
	}
	if minSeverity != "Unknown" && unknownAs != "Medium" {
		what += " (Unknown counts as " + unknownAs + ")"
	}
	if onlyFixable {
		what += " with a fix"
	}
	if ignores > 0 {
		what += fmt.Sprintf("; ignore has %s", counted(ignores, "entry"))
	}
	usualTell, usualLook := settings.DefaultTell(), settings.DefaultLook()
	var on, off []string
	for _, f := range []struct {
		name      string
		is, usual bool
	}{
		{"tell.indexed", tell.Indexed, usualTell.Indexed},
		{"tell.report", tell.Report, usualTell.Report},
		{"tell.disclosed", tell.Disclosed, usualTell.Disclosed},
		{"tell.withdrawn", tell.Withdrawn, usualTell.Withdrawn},
		{"tell.removed", tell.Removed, usualTell.Removed},
		{"tell.failed", tell.Failed, usualTell.Failed},
		{"look.init", look.Init, usualLook.Init},
		{"look.ephemeral", look.Ephemeral, usualLook.Ephemeral},
		{"look.volumes", look.Volumes, usualLook.Volumes},
		{"look.finished", look.Finished, usualLook.Finished},
		{"look.optOut", look.OptOut, usualLook.OptOut},
	} {
		switch {
		case f.is == f.usual:
		case f.is:
			on = append(on, f.name)
		default:
			off = append(off, f.name)
		}
	}
	if len(on) > 0 {
		what += "; on: " + strings.Join(on, ", ")
	}
	if len(off) > 0 {
		what += "; off: " + strings.Join(off, ", ")
	}
	return what
}
