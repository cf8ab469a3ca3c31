// Package slack makes the messages that people read, and delivers them to Slack's incoming webhooks.
//
// Making a message is pure: the same input gives the same bytes, and about the same size whatever the
// input. Everything that comes from outside (names of images, packages and advisories) is cleaned,
// clipped and put where Slack does not parse it, so that no image can mention people or forge a link.
package slack

import (
	"encoding/json"

	slackgo "github.com/slack-go/slack"
)

// Message is a message as Slack takes it, together with its simpler forms for the case that Slack
// refuses it. The zero value is no message.
type Message struct {
	// forms are the ladder from what was built down to nothing but text; the first is what is sent.
	forms []*slackgo.WebhookMessage
}

// Text returns the line that phones and screen readers use instead of everything else, escaped for
// Slack. It stands alone and has at most 150 characters as people see them. It is empty for no message.
func (m Message) Text() string {
	if len(m.forms) == 0 {
		return ""
	}
	return m.forms[0].Text
}

// JSON returns the payload as it is sent. It is null for no message.
func (m Message) JSON() ([]byte, error) {
	if len(m.forms) == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(m.forms[0])
}

// Simplify returns the next simpler form: a list instead of a table, then text only, then a sentence without
// any string from outside, in case that Slack refuses even the text. It says false, and returns the message
// as it is, when there is none.
func (m Message) Simplify() (Message, bool) {
	if len(m.forms) < 2 {
		return m, false
	}
	return Message{forms: m.forms[1:]}, true
}

// Final says that this is the last form, which tells nothing but that there is something to tell. It is false
// for no message.
func (m Message) Final() bool { return len(m.forms) == 1 }

// lastWords are the last form of every message.
const lastWords = "⚠️ clairwatch has something to tell, but Slack refuses it in every form. The log of clairwatch has it."

// ladder makes a message of its forms, which come from the richest to the text alone.
func ladder(forms ...*slackgo.WebhookMessage) Message {
	return Message{forms: append(forms, textOnly(lastWords))}
}

// textOnly is the form that every receiver of webhooks understands.
func textOnly(text string) *slackgo.WebhookMessage {
	return withoutPreviews(&slackgo.WebhookMessage{Text: text})
}

// withoutPreviews keeps Slack from unfolding every link into a preview of the page.
func withoutPreviews(m *slackgo.WebhookMessage) *slackgo.WebhookMessage {
	no := false
	m.UnfurlLinks, m.UnfurlMedia = &no, &no
	return m
}

// quiet makes a message of small grey lines.
func quiet(text string, lines ...slackgo.Block) Message {
	text = fallback(text)
	return ladder(
		withoutPreviews(&slackgo.WebhookMessage{Text: text, Blocks: &slackgo.Blocks{BlockSet: lines}}),
		textOnly(text),
	)
}

// card is the loud form of a message: a headline and a line of counts, which Slack never folds, and one
// attachment in the colour of the worst severity.
type card struct {
	text     string // not yet escaped
	colour   string // #rrggbb
	headline []inline
	counts   []inline
	lead     slackgo.Block   // what goes before the table; nil: none
	table    slackgo.Block   // nil: none
	list     slackgo.Block   // says the same as the table, for where tables are refused
	details  []slackgo.Block // what follows; with what goes before it at most five blocks
}

// message lays the card out in each of its forms.
func (c card) message() Message {
	text := fallback(c.text)
	form := func(rows slackgo.Block) *slackgo.WebhookMessage {
		m := &slackgo.WebhookMessage{
			Text:   text,
			Blocks: &slackgo.Blocks{BlockSet: []slackgo.Block{paragraph(c.headline), paragraph(c.counts)}},
		}
		var inside []slackgo.Block
		for _, b := range []slackgo.Block{c.lead, rows} {
			if b != nil {
				inside = append(inside, b)
			}
		}
		// Beside blocks an attachment may only have a colour and a fallback: with any of its older
		// fields Slack refuses the message.
		if inside = append(inside, c.details...); len(inside) > 0 {
			m.Attachments = []slackgo.Attachment{{
				Color: c.colour, Fallback: text, Blocks: slackgo.Blocks{BlockSet: inside},
			}}
		}
		return withoutPreviews(m)
	}
	forms := []*slackgo.WebhookMessage{form(c.table)}
	if c.table != nil {
		forms = append(forms, form(c.list))
	}
	return ladder(append(forms, textOnly(text))...)
}
