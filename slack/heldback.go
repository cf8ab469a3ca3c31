package slack

import (
	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/findings"
)

// heldBack says why findings are not shown: "2 more are " goes before it. It names the setting that people know,
// so that they know what to change; rules that are not known get words that hold for every kind.
func heldBack(r findings.Rules) string {
	if r.MinSeverity == claircore.Unknown {
		return "held back by the rules of this channel"
	}
	return "below this channel's minimum severity (" + word(r.MinSeverity) + ")"
}

// allHeldBack says so of everything that there is.
func allHeldBack(n int, r findings.Rules) string {
	if n == 1 {
		return heldBack(r)
	}
	return "all " + heldBack(r)
}
