package settings

import (
	"fmt"

	"github.com/clairwatch/clairwatch/findings"
)

// Scanner says how the images of a namespace are scanned and who hears of it.
type Scanner struct {
	// Name tells apart several Scanners of one key. Empty means "default".
	Name string `json:"name,omitempty"`
	// Backend finds the vulnerabilities. "clair" is the only one. Empty means "clair".
	Backend string `json:"backend,omitempty"`
	// Notifier tells people. "slack" is the only one. Empty means "slack".
	Notifier string `json:"notifier,omitempty"`
	// ClairBaseURL is the address of Clair's API, http or https. Required.
	ClairBaseURL string `json:"clairBaseUrl"`
	// SlackWebhookURL is the channel's incoming webhook, a secret. It or SlackWebhookFile is required, not both.
	SlackWebhookURL Secret `json:"slackWebhookUrl"`
	// SlackWebhookFile is the name of a file in the daemon's folder of webhooks that holds the webhook instead: no
	// path. Empty: SlackWebhookURL has it.
	SlackWebhookFile string `json:"slackWebhookFile,omitempty"`
	// Rules say which findings the channel hears of; they are written as minSeverity, unknownAs, onlyFixable and
	// ignore. Without minSeverity all are told, without unknownAs an unknown severity counts as Medium.
	Rules findings.Rules `json:"rules"`
	// Tell says which kinds of news the channel hears.
	Tell Tell `json:"tell"`
	// Look says which of the namespace's images are looked at.
	Look Look `json:"look"`

	// written is no part of what it is, so that a line more above it is no change.
	written written
}

// Tell says which kinds of news a channel hears. DefaultTell has what it hears where nothing is said.
type Tell struct {
	// Indexed: that Clair has indexed an image, before its report.
	Indexed bool `json:"indexed"`
	// Report: the first report of an image that runs, and the inventory of many.
	Report bool `json:"report"`
	// Disclosed: what is newly disclosed, has become more severe, or has come to light otherwise about images that
	// run.
	Disclosed bool `json:"disclosed"`
	// Withdrawn: how many vulnerabilities that were told are not reported any more, because those who publish
	// the advisories have corrected them, and that they are reported again.
	Withdrawn bool `json:"withdrawn"`
	// Removed: images that run no longer.
	Removed bool `json:"removed"`
	// Failed: images that cannot be scanned, and that they can be again.
	Failed bool `json:"failed"`
}

// DefaultTell is what a channel hears where its settings say nothing.
func DefaultTell() Tell { return Tell{Report: true, Disclosed: true, Removed: true, Failed: true} }

// Look says which of a namespace's images are looked at. DefaultLook has what is looked at where nothing is said.
type Look struct {
	// Init, Ephemeral and Volumes are the images of init containers, of ephemeral containers and of image volumes.
	// Those of ordinary containers always are.
	Init      bool `json:"init"`
	Ephemeral bool `json:"ephemeral"`
	Volumes   bool `json:"volumes"`
	// Finished are the images of pods that have ended, as those of Jobs, as long as they are there.
	Finished bool `json:"finished"`
	// OptOut lets the author of a pod take it out by the annotation clairwatch.io/scan: "false".
	OptOut bool `json:"optOut"`
}

// DefaultLook is what is looked at where the settings say nothing.
func DefaultLook() Look { return Look{Init: true, Ephemeral: true, Volumes: true, Finished: true} }

// written says where a Scanner stands in the text of its key.
type written struct {
	path string
	// fields are the lines of its own fields by their names, ignore those of the entries of its own ignore.
	fields map[string]int
	ignore []int
}

// note keeps the lines of fields.
func (w *written) note(given map[string]place) {
	w.fields = make(map[string]int, len(given))
	for name, at := range given {
		w.fields[name] = at.line
	}
}

// WebhookMistake is something that is wrong with the webhook of a Scanner, or with the file that is to hold it. It has no
// line where the field is inherited.
func (s Scanner) WebhookMistake(what string) Mistake {
	if s.SlackWebhookFile != "" {
		return s.mistake("slackWebhookFile", what)
	}
	return s.mistake("slackWebhookUrl", what)
}

// TellMistake is something that is wrong with tell. It has no line where the Scanner does not write it.
func (s Scanner) TellMistake(what string) Mistake { return s.mistake("tell", what) }

func (s Scanner) mistake(field, what string) Mistake {
	return Mistake{Path: s.written.path + "." + field, Line: s.written.fields[field], What: what}
}

// IgnoreMistake is something that is wrong with an entry of ignore, by its index. It has no line where ignore is
// inherited.
func (s Scanner) IgnoreMistake(entry int, what string) Mistake {
	m := Mistake{Path: fmt.Sprintf("%s.ignore[%d]", s.written.path, entry), What: what}
	if entry < len(s.written.ignore) {
		m.Line = s.written.ignore[entry]
	}
	return m
}

// Equal says whether two Scanners are the same, wherever they stand.
func (s Scanner) Equal(o Scanner) bool {
	return s.Rules.Equal(o.Rules) && s.Name == o.Name && s.Backend == o.Backend && s.Notifier == o.Notifier &&
		s.ClairBaseURL == o.ClairBaseURL && s.SlackWebhookURL == o.SlackWebhookURL && s.SlackWebhookFile == o.SlackWebhookFile &&
		s.Tell == o.Tell && s.Look == o.Look
}
