package slack

import (
	"github.com/quay/claircore"
	slackgo "github.com/slack-go/slack"

	"github.com/clairwatch/clairwatch/findings"
)

// heldBack says why findings are not shown: "2 more are " goes before it. It names the settings that people know,
// so that they know what to change; rules that are not known get words that hold for every kind.
func heldBack(r findings.Rules) string {
	below, fixed := r.MinSeverity != claircore.Unknown, r.OnlyFixable
	minimum := "below this channel's minimum severity (" + word(r.MinSeverity) + ")"
	switch {
	case below && fixed:
		return minimum + " or without a fix yet"
	case below:
		return minimum
	case fixed:
		return "without a fix yet (this channel wants only what has one)"
	default:
		return "held back by the rules of this channel"
	}
}

// ignoredHere says that findings are not shown because somebody has decided so: "2 more are " goes before it.
const ignoredHere = "ignored by this channel's settings"

// moreIgnored is a quiet line that says how many findings a message would tell besides if nobody had decided not to hear
// of them; nil when there are none.
func moreIgnored(n int) slackgo.Block {
	if n <= 0 {
		return nil
	}
	are := " are "
	if n == 1 {
		are = " is "
	}
	return grey(verbatim("🔕 " + count(n, "more vulnerability") + are + ignoredHere))
}

// allLeftOut follows the counts of an image, or of several, of which nothing is told: it says why. There must be
// something.
func allLeftOut(hidden, ignored int, r findings.Rules) string {
	switch {
	case hidden > 0 && ignored > 0:
		return ", all held back (" + number(hidden) + ") or ignored (" + number(ignored) + ") by this channel's settings"
	case ignored > 0:
		return ofAll(ignored) + ignoredHere
	default:
		return ofAll(hidden) + heldBack(r)
	}
}

// leftOutSign is the sign of what is told of nothing: the worst that the rules hold back, or that all is ignored.
func leftOutSign(hidden findings.Counts) string {
	if severity, any := hidden.Worst(); any {
		return dot(severity)
	}
	return "🔕"
}

// ofAll goes before what is so of all that there is.
func ofAll(n int) string {
	if n == 1 {
		return ", "
	}
	return ", all "
}
