package slack

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// Slack's limits for messages, from its reference of Block Kit (docs.slack.dev/reference/block-kit), and
// ours where they are tighter. Lengths are in characters.
const (
	ruleBlocks     = 50
	ruleAttached   = 5 // Slack folds long attachments
	ruleHeader     = 150
	ruleSection    = 3000
	ruleFields     = 10
	ruleContext    = 10
	ruleTextObject = 3000
	ruleRows       = 16 // Slack takes 100, but they fill the channel
	ruleColumns    = 20
	ruleURL        = 3000
	ruleAllText    = 10_000 // refused from about 11,300 (msg_blocks_too_long, undocumented)
	ruleFallback   = 150
)

type object = map[string]any

// rules collects what Slack would refuse, or what would ping or mislead people.
type rules struct {
	broken []string
	tables int
	chars  int
}

// violations checks a payload for an incoming webhook.
func violations(payload []byte) []string {
	var r rules
	var p object
	if !utf8.Valid(payload) {
		r.say("$", "not UTF-8")
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return []string{err.Error()}
	}
	for k := range p {
		switch k {
		case "text", "blocks", "attachments", "unfurl_links", "unfurl_media":
		case "replace_original", "delete_original": // slack-go always sends them; webhooks ignore them
		default:
			r.say(k, "not a field of ours")
		}
	}
	for _, k := range []string{"blocks", "attachments"} {
		if v, given := p[k]; given && v == nil {
			r.say(k, "null")
		}
	}
	text, _ := p["text"].(string)
	if strings.TrimSpace(text) == "" {
		r.say("text", "empty, so phones show nothing")
	}
	if n := utf8.RuneCountInString(unescape(text)); n > ruleFallback {
		r.say("text", "%d characters", n)
	}
	r.mrkdwn("text", text)
	for _, k := range []string{"unfurl_links", "unfurl_media"} {
		if p[k] != false {
			r.say(k, "not false")
		}
	}
	r.blocks("blocks", p["blocks"], ruleBlocks)
	as, _ := p["attachments"].([]any)
	if len(as) > 1 {
		r.say("attachments", "%d of them", len(as))
	}
	for _, v := range as {
		a, _ := v.(object)
		for k := range a {
			if k != "color" && k != "blocks" && k != "fallback" {
				r.say("attachment", "%s is refused beside blocks", k)
			}
		}
		if c, _ := a["color"].(string); !hexColour.MatchString(c) {
			r.say("attachment", "the colour is %q", c)
		}
		fallback, _ := a["fallback"].(string)
		r.mrkdwn("attachment's fallback", fallback)
		if a["blocks"] == nil {
			r.say("attachment", "no blocks")
		}
		r.blocks("attachment", a["blocks"], ruleAttached)
	}
	if r.chars > ruleAllText {
		r.say("$", "%d characters of text in blocks", r.chars)
	}
	return r.broken
}

var hexColour = regexp.MustCompile(`^#[0-9a-f]{6}$`)

func (r *rules) say(where, format string, args ...any) {
	r.broken = append(r.broken, where+": "+fmt.Sprintf(format, args...))
}

func (r *rules) blocks(where string, v any, most int) {
	bs, ok := v.([]any)
	if v != nil && (!ok || len(bs) == 0 || len(bs) > most) {
		r.say(where, "%d blocks, 1 to %d", len(bs), most)
	}
	for i, b := range bs {
		m, _ := b.(object)
		where := fmt.Sprintf("%s[%d]", where, i)
		if m["block_id"] != nil {
			r.say(where, "an id, which would have to be unique and serves nothing")
		}
		switch m["type"] {
		case "divider":
		case "header":
			r.text(where, m["text"], ruleHeader)
		case "section":
			if m["text"] != nil {
				r.text(where, m["text"], ruleSection)
			}
			fs, _ := m["fields"].([]any)
			if len(fs) > ruleFields || len(fs) == 0 && m["text"] == nil {
				r.say(where, "%d fields", len(fs))
			}
		case "context":
			es, _ := m["elements"].([]any)
			if len(es) == 0 || len(es) > ruleContext {
				r.say(where, "%d elements, 1 to %d", len(es), ruleContext)
			}
			for _, e := range es {
				r.text(where, e, ruleTextObject)
			}
		case "rich_text":
			r.rich(where, m["elements"])
		case "table":
			r.table(where, m)
		default:
			r.say(where, "a block of type %v", m["type"])
		}
	}
}

// text checks a text object.
func (r *rules) text(where string, v any, most int) {
	m, _ := v.(object)
	s, _ := m["text"].(string)
	r.length(where, s, most)
	switch m["type"] {
	case "plain_text":
		r.readable(where, s)
		if m["emoji"] == true {
			r.say(where, "turns :names: into pictures")
		}
	case "mrkdwn":
		r.mrkdwn(where, s)
		if m["emoji"] != nil {
			r.say(where, "emoji is refused beside mrkdwn")
		}
	default:
		r.say(where, "a text of type %v", m["type"])
	}
}

func (r *rules) length(where, s string, most int) {
	n := utf8.RuneCountInString(s)
	r.chars += n
	if strings.TrimSpace(s) == "" && s != emSpace && s != " " || n > most {
		r.say(where, "%d characters, 1 to %d: %.60q", n, most, s)
	}
}

func (r *rules) rich(where string, v any) {
	es, _ := v.([]any)
	if len(es) == 0 {
		r.say(where, "no elements")
	}
	for _, e := range es {
		m, _ := e.(object)
		switch m["type"] {
		case "rich_text_section":
			r.inline(where, m["elements"])
		case "rich_text_list":
			if m["style"] != "bullet" {
				r.say(where, "a list of style %v", m["style"])
			}
			items, _ := m["elements"].([]any)
			for _, i := range items {
				if item, _ := i.(object); item["type"] != "rich_text_section" {
					r.say(where, "a list holds %v", item["type"])
				}
			}
			r.rich(where, m["elements"])
		default:
			r.say(where, "rich text of type %v", m["type"])
		}
	}
}

func (r *rules) inline(where string, v any) {
	es, _ := v.([]any)
	if len(es) == 0 {
		r.say(where, "an empty section")
	}
	for _, e := range es {
		m, _ := e.(object)
		s, _ := m["text"].(string)
		r.length(where, s, ruleSection)
		r.readable(where, s)
		switch m["type"] {
		case "text":
		case "link":
			link, _ := m["url"].(string)
			r.link(where, link)
		default:
			r.say(where, "an element of type %v pings or is unknown", m["type"])
		}
	}
}

func (r *rules) table(where string, m object) {
	if r.tables++; r.tables > 1 {
		r.say(where, "a second table")
	}
	rows, _ := m["rows"].([]any)
	if len(rows) < 2 || len(rows) > ruleRows {
		r.say(where, "%d rows, 2 to %d", len(rows), ruleRows)
	}
	settings, _ := m["column_settings"].([]any)
	for _, v := range settings {
		if s, _ := v.(object); s["align"] != "left" && s["align"] != "right" {
			r.say(where, "aligned %q", s["align"])
		}
	}
	for i, row := range rows {
		cells, _ := row.([]any)
		if len(cells) != len(settings) || len(cells) == 0 || len(cells) > ruleColumns {
			r.say(where, "row %d has %d cells for %d columns", i, len(cells), len(settings))
		}
		for _, v := range cells {
			switch c, _ := v.(object); c["type"] {
			case "raw_text":
				s, _ := c["text"].(string)
				r.length(where, s, ruleSection)
				r.readable(where, s)
			case "rich_text":
				r.rich(where, c["elements"])
			default:
				r.say(where, "a cell of type %v", c["type"])
			}
		}
	}
}

func (r *rules) link(where, s string) {
	u, err := url.Parse(s)
	if err != nil || len(s) > ruleURL || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		r.say(where, "links to %.80q", s)
	}
}

var (
	angled = regexp.MustCompile(`<([^<>]*)>`)
	bareAt = regexp.MustCompile(`&([a-z]*;?)`)
)

// mrkdwn finds what Slack would read as a mention, a foreign link or an unescaped character.
func (r *rules) mrkdwn(where, s string) {
	r.readable(where, s)
	for _, m := range angled.FindAllStringSubmatch(s, -1) {
		target, _, _ := strings.Cut(m[1], "|")
		r.link(where, unescape(target)) // a mention is no link either
	}
	rest := angled.ReplaceAllString(s, "")
	if strings.ContainsAny(rest, "<>") {
		r.say(where, "a bare < or > in %.80q", s)
	}
	for _, m := range bareAt.FindAllStringSubmatch(rest, -1) {
		if e := m[1]; e != "amp;" && e != "lt;" && e != "gt;" {
			r.say(where, "a bare & in %.80q", s)
		}
	}
	if strings.Count(rest, "`")%2 != 0 {
		r.say(where, "an open ` in %.80q", s)
	}
}

// readable finds characters that draw nothing or turn text around.
func (r *rules) readable(where, s string) {
	for _, c := range s {
		if unicode.In(c, unicode.Cc, unicode.Cf) {
			r.say(where, "holds %U", c)
			return
		}
	}
}

func unescape(s string) string {
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(s)
}

// TestRules shows that the rules find what they are for.
func TestRules(t *testing.T) {
	const quiet = `"text":"x","unfurl_links":false,"unfurl_media":false`
	section := func(element string) string {
		return `{` + quiet + `,"blocks":[{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[` + element + `]}]}]}`
	}
	context := func(s string) string {
		return `{` + quiet + `,"blocks":[{"type":"context","elements":[{"type":"mrkdwn","text":"` + s + `"}]}]}`
	}
	for name, c := range map[string]struct{ payload, want string }{
		"fine":     {section(`{"type":"text","text":"x"}`), ""},
		"null":     {`{` + quiet + `,"blocks":null}`, "blocks: null"},
		"block id": {`{` + quiet + `,"blocks":[{"type":"divider","block_id":"x"}]}`, "an id"},
		"emoji":    {`{` + quiet + `,"blocks":[{"type":"context","elements":[{"type":"mrkdwn","text":"x","emoji":false}]}]}`, "emoji is refused"},
		"list in list": {`{` + quiet + `,"blocks":[{"type":"rich_text","elements":[{"type":"rich_text_list","style":"bullet",` +
			`"elements":[{"type":"rich_text_list","style":"bullet","elements":[]}]}]}]}`, "a list holds rich_text_list"},
		"many rows": {`{` + quiet + `,"blocks":[{"type":"table","column_settings":[{"align":"left"}],"rows":[` +
			strings.Repeat(`[{"type":"raw_text","text":"x"}],`, 16) + `[{"type":"raw_text","text":"x"}]]}]}`, "17 rows"},
		"fine link":        {context("<https://example.com/?a&amp;b|x>"), ""},
		"no text":          {`{"unfurl_links":false,"unfurl_media":false}`, "phones show nothing"},
		"previews":         {`{"text":"x"}`, "not false"},
		"long text":        {`{"text":"` + strings.Repeat("x", 151) + `","unfurl_links":false,"unfurl_media":false}`, "151 characters"},
		"too many blocks":  {`{` + quiet + `,"blocks":[` + strings.Repeat(`{"type":"divider"},`, 50) + `{"type":"divider"}]}`, "51 blocks"},
		"empty text":       {section(`{"type":"text","text":""}`), "0 characters"},
		"mention element":  {section(`{"type":"broadcast","text":"x"}`), "pings"},
		"scheme":           {section(`{"type":"link","text":"x","url":"javascript:x"}`), "links to"},
		"mention":          {context("<!channel>"), "links to"},
		"user":             {context("<@U1>"), "links to"},
		"bare ampersand":   {context("a & b"), "bare &"},
		"open code":        {context("`a"), "open `"},
		"direction":        {context("\u202ex"), "U+202E"},
		"attachment title": {`{` + quiet + `,"attachments":[{"color":"#000000","title":"x","blocks":[{"type":"divider"}]}]}`, "refused beside blocks"},
		"null blocks":      {`{` + quiet + `,"attachments":[{"color":"#000000","blocks":null}]}`, "no blocks"},
		"colour word":      {`{` + quiet + `,"attachments":[{"color":"danger","blocks":[{"type":"divider"}]}]}`, "colour"},
		"empty cell": {`{` + quiet + `,"blocks":[{"type":"table","column_settings":[{"align":"left"}],` +
			`"rows":[[{"type":"raw_text","text":"x"}],[{"type":"raw_text","text":""}]]}]}`, "0 characters"},
		"alignment": {`{` + quiet + `,"blocks":[{"type":"table","column_settings":[{"align":""}],` +
			`"rows":[[{"type":"raw_text","text":"x"}],[{"type":"raw_text","text":"x"}]]}]}`, "aligned"},
	} {
		got := strings.Join(violations([]byte(c.payload)), "; ")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
