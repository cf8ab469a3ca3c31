package slackstand

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Slack's limits, as documented (docs.slack.dev, "Block Kit" and "Incoming
// webhooks") unless the comment says observed. Lengths are in characters.
const (
	maxText          = 40_000
	maxBlocks        = 50
	maxBlockText     = 12_000 // observed: all text of all blocks together
	maxBlockID       = 255
	maxHeader        = 150
	maxSection       = 3_000
	maxFields        = 10
	maxField         = 2_000
	maxContext       = 10
	maxContextText   = 3_000
	maxActions       = 25
	maxButton        = 75
	maxURL           = 3_000
	maxAlt           = 2_000
	maxRows          = 100
	maxColumns       = 20
	maxTableText     = 10_000 // observed
	maxAttachments   = 100
	maxAttachedBlock = 20 // observed
)

// violation is a broken rule.
type violation struct {
	body   string // what Slack answers
	path   string // where, which Slack does not say
	reason string
}

func (v *violation) Error() string { return v.path + ": " + v.reason }

type object = map[string]any

// checker walks a payload. The first violation is kept: Slack reports one.
type checker struct {
	first    *violation
	mentions []string
	ids      map[string]bool
	tables   int
	text     int
}

// check says what Slack would refuse a payload for, and whom it would ping.
func check(payload []byte) (mentions []string, broken *violation) {
	c := &checker{ids: map[string]bool{}}
	c.payload(payload)
	return c.mentions, c.first
}

func (c *checker) fail(body, path, format string, args ...any) {
	if c.first == nil {
		c.first = &violation{body: body, path: path, reason: fmt.Sprintf(format, args...)}
	}
}

// bad is a violation whose answer depends on where it is.
func (c *checker) bad(path, format string, args ...any) {
	body := "invalid_blocks"
	if strings.HasPrefix(path, "attachments") {
		body = "invalid_attachments"
	}
	c.fail(body, path, format, args...)
}

func (c *checker) payload(payload []byte) {
	var p object
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	switch err := decoder.Decode(&p); {
	case !utf8.Valid(payload):
		c.fail("invalid_payload", "$", "not UTF-8")
		return
	case err != nil:
		c.fail("invalid_payload", "$", "not a JSON object: %v", err)
		return
	case p == nil:
		c.fail("invalid_payload", "$", "null")
		return
	case decoder.More():
		c.fail("invalid_payload", "$", "something follows the JSON object")
		return
	}
	text, isText := p["text"].(string)
	blocks, areBlocks := p["blocks"].([]any)
	attachments, areAttachments := p["attachments"].([]any)
	for field, ok := range map[string]bool{"text": isText, "blocks": areBlocks, "attachments": areAttachments} {
		if p[field] != nil && !ok {
			c.fail("invalid_payload", field, "has the wrong type")
		}
	}
	if strings.TrimSpace(text) == "" && len(blocks) == 0 && len(attachments) == 0 {
		c.fail("no_text", "$", "neither text nor blocks nor attachments")
	}
	if n := utf8.RuneCountInString(text); n > maxText {
		c.fail("msg_too_long", "text", "%d characters, at most %d", n, maxText)
	}
	c.markup(text)
	if len(blocks) > maxBlocks {
		c.bad("blocks", "%d blocks, at most %d", len(blocks), maxBlocks)
	}
	c.blocks("blocks", blocks)
	if len(attachments) > maxAttachments {
		c.fail("too_many_attachments", "attachments", "%d attachments, at most %d", len(attachments), maxAttachments)
	}
	for i, a := range attachments {
		c.attachment(fmt.Sprintf("attachments[%d]", i), a)
	}
	if c.text > maxBlockText {
		c.fail("msg_blocks_too_long", "$", "%d characters in blocks, at most %d", c.text, maxBlockText)
	}
}

func (c *checker) attachment(path string, value any) {
	a, ok := value.(object)
	if !ok {
		c.bad(path, "not an object")
		return
	}
	blocks, _ := a["blocks"].([]any)
	if len(blocks) == 0 {
		if text(a, "text") == "" && text(a, "fallback") == "" && text(a, "pretext") == "" && text(a, "title") == "" {
			c.bad(path, "empty")
		}
		for _, field := range []string{"text", "pretext", "title"} {
			c.markup(text(a, field))
		}
		return
	}
	// Beside blocks only colour and fallback are taken (observed).
	for _, field := range []string{
		"text", "pretext", "title", "title_link", "author_name", "author_link", "author_icon", "fields",
		"image_url", "thumb_url", "footer", "footer_icon", "ts", "callback_id", "actions",
	} {
		if v := a[field]; v != nil && v != "" {
			c.bad(path+"."+field, "not beside blocks")
		}
	}
	if len(blocks) > maxAttachedBlock {
		c.bad(path+".blocks", "%d blocks, at most %d", len(blocks), maxAttachedBlock)
	}
	c.blocks(path+".blocks", blocks)
}

func (c *checker) blocks(path string, blocks []any) {
	for i, value := range blocks {
		at := fmt.Sprintf("%s[%d]", path, i)
		b, ok := value.(object)
		if !ok {
			c.bad(at, "not an object")
			continue
		}
		if id := text(b, "block_id"); id != "" {
			if c.ids[id] {
				c.bad(at+".block_id", "%q twice", id)
			}
			c.ids[id] = true
			c.length(at+".block_id", id, maxBlockID)
		}
		c.block(at, b)
	}
}

func (c *checker) block(path string, b object) {
	elements, _ := b["elements"].([]any)
	switch kind := text(b, "type"); kind {
	case "divider":
	case "header":
		c.textObject(path+".text", b["text"], maxHeader, "plain_text")
	case "section":
		c.section(path, b)
	case "context":
		c.number(path+".elements", len(elements), maxContext)
		for i, e := range elements {
			at := fmt.Sprintf("%s.elements[%d]", path, i)
			if o, _ := e.(object); text(o, "type") == "image" {
				c.image(at, o)
				continue
			}
			c.textObject(at, e, maxContextText, "plain_text", "mrkdwn")
		}
	case "image":
		c.image(path, b)
	case "actions":
		c.number(path+".elements", len(elements), maxActions)
		for i, e := range elements {
			at := fmt.Sprintf("%s.elements[%d]", path, i)
			o, _ := e.(object)
			if text(o, "type") == "button" {
				c.textObject(at+".text", o["text"], maxButton, "plain_text")
			}
		}
	case "markdown":
		c.text += utf8.RuneCountInString(text(b, "text"))
		if text(b, "text") == "" {
			c.bad(path+".text", "empty")
		}
	case "rich_text":
		c.richText(path, b)
	case "table":
		c.table(path, b)
	case "input", "alert", "file", "call":
		c.bad(path, "a %s is not for a webhook's messages", kind)
	case "container", "card", "carousel", "data_table", "video": // known, with rules that are not checked here
	default:
		c.bad(path+".type", "unknown block type %q", kind)
	}
}

func (c *checker) section(path string, b object) {
	fields, _ := b["fields"].([]any)
	if b["text"] == nil && len(fields) == 0 {
		c.bad(path, "neither text nor fields")
	}
	if b["text"] != nil {
		c.textObject(path+".text", b["text"], maxSection, "plain_text", "mrkdwn")
	}
	if b["fields"] != nil {
		c.number(path+".fields", len(fields), maxFields)
	}
	for i, f := range fields {
		c.textObject(fmt.Sprintf("%s.fields[%d]", path, i), f, maxField, "plain_text", "mrkdwn")
	}
}

func (c *checker) textObject(path string, value any, limit int, kinds ...string) {
	o, ok := value.(object)
	if !ok {
		c.bad(path, "not a text object")
		return
	}
	content, kind := text(o, "text"), text(o, "type")
	allowed := false
	for _, k := range kinds {
		allowed = allowed || k == kind
	}
	if !allowed {
		c.bad(path+".type", "%q, must be %s", kind, strings.Join(kinds, " or "))
	}
	if content == "" {
		c.bad(path+".text", "empty")
	}
	if kind == "mrkdwn" {
		if _, has := o["emoji"]; has {
			c.bad(path+".emoji", "only for plain_text")
		}
		c.markup(content)
	}
	c.text += utf8.RuneCountInString(content)
	c.length(path+".text", content, limit)
}

func (c *checker) image(path string, b object) {
	if text(b, "alt_text") == "" {
		c.bad(path+".alt_text", "missing")
	}
	c.length(path+".alt_text", text(b, "alt_text"), maxAlt)
	if b["slack_file"] == nil {
		c.link(path+".image_url", text(b, "image_url"))
	}
}

func (c *checker) link(path, address string) {
	c.length(path, address, maxURL)
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "mailto" && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		c.bad(path, "not an absolute http(s) URL")
	}
}

func (c *checker) richText(path string, b object) {
	elements, _ := b["elements"].([]any)
	if len(elements) == 0 {
		c.bad(path+".elements", "missing")
	}
	for i, value := range elements {
		at := fmt.Sprintf("%s.elements[%d]", path, i)
		e, _ := value.(object)
		switch kind := text(e, "type"); kind {
		case "rich_text_section", "rich_text_quote", "rich_text_preformatted":
			c.inline(at, e)
		case "rich_text_list":
			if style := text(e, "style"); style != "bullet" && style != "ordered" {
				c.bad(at+".style", "%q, must be bullet or ordered", style)
			}
			items, _ := e["elements"].([]any)
			if len(items) == 0 {
				c.bad(at+".elements", "missing")
			}
			for j, item := range items {
				o, _ := item.(object)
				if text(o, "type") != "rich_text_section" {
					c.bad(fmt.Sprintf("%s.elements[%d]", at, j), "a list holds rich_text_section")
				}
				c.inline(fmt.Sprintf("%s.elements[%d]", at, j), o)
			}
		default:
			c.bad(at+".type", "unknown element %q", kind)
		}
	}
}

// inline checks what a section of rich text holds.
func (c *checker) inline(path string, section object) {
	elements, ok := section["elements"].([]any)
	if !ok {
		c.bad(path+".elements", "missing")
	}
	for i, value := range elements {
		at := fmt.Sprintf("%s.elements[%d]", path, i)
		e, _ := value.(object)
		content := text(e, "text")
		c.text += utf8.RuneCountInString(content)
		switch kind := text(e, "type"); kind {
		case "text":
			if content == "" {
				c.bad(at+".text", "empty")
			}
		case "link":
			c.link(at+".url", text(e, "url"))
			if _, has := e["text"]; has && content == "" {
				c.bad(at+".text", "empty")
			}
		case "emoji":
			if text(e, "name") == "" {
				c.bad(at+".name", "missing")
			}
		case "user", "usergroup", "broadcast", "channel", "team":
			c.mentions = append(c.mentions, kind+" "+text(e, "range")+text(e, kind+"_id"))
		case "date":
			if e["timestamp"] == nil || text(e, "format") == "" {
				c.bad(at, "a date needs timestamp and format")
			}
		case "color", "tag":
		default:
			c.bad(at+".type", "unknown element %q", kind)
		}
	}
}

func (c *checker) table(path string, b object) {
	if c.tables++; c.tables > 1 {
		c.bad(path, "only one table in a message")
	}
	before := c.text
	rows, _ := b["rows"].([]any)
	c.number(path+".rows", len(rows), maxRows)
	for i, row := range rows {
		cells, _ := row.([]any)
		c.number(fmt.Sprintf("%s.rows[%d]", path, i), len(cells), maxColumns)
		for j, value := range cells {
			at := fmt.Sprintf("%s.rows[%d][%d]", path, i, j)
			cell, _ := value.(object)
			switch kind := text(cell, "type"); kind {
			case "raw_text":
				c.text += utf8.RuneCountInString(text(cell, "text"))
				if text(cell, "text") == "" {
					c.bad(at+".text", "empty")
				}
			case "raw_number":
				if _, ok := cell["value"].(json.Number); !ok {
					c.bad(at+".value", "missing")
				}
			case "rich_text":
				c.richText(at, cell)
			default:
				c.bad(at+".type", "unknown cell %q", kind)
			}
		}
	}
	if n := c.text - before; n > maxTableText {
		c.bad(path, "%d characters, at most %d", n, maxTableText)
	}
	settings, _ := b["column_settings"].([]any)
	if len(settings) > maxColumns {
		c.bad(path+".column_settings", "%d, at most %d", len(settings), maxColumns)
	}
	for i, value := range settings {
		setting, _ := value.(object)
		switch align, has := setting["align"]; {
		case !has, align == "left", align == "center", align == "right":
		default:
			c.bad(fmt.Sprintf("%s.column_settings[%d].align", path, i), "%v, must be left, center or right", align)
		}
	}
}

func (c *checker) number(path string, n, limit int) {
	if n == 0 || n > limit {
		c.bad(path, "%d, must be 1 to %d", n, limit)
	}
}

func (c *checker) length(path, s string, limit int) {
	if n := utf8.RuneCountInString(s); n > limit {
		c.bad(path, "%d characters, at most %d", n, limit)
	}
}

// markup notices the mentions in mrkdwn.
func (c *checker) markup(s string) {
	for _, m := range angled(s) {
		if strings.HasPrefix(m, "<!") && !strings.HasPrefix(m, "<!date^") || strings.HasPrefix(m, "<@") || strings.HasPrefix(m, "<#") {
			c.mentions = append(c.mentions, m)
		}
	}
}

// angled returns what stands in angle brackets, brackets included.
func angled(s string) []string {
	return regexp.MustCompile(`<[^<>]+>`).FindAllString(s, -1)
}

// text is a string field, or "".
func text(o object, field string) string {
	s, _ := o[field].(string)
	return s
}
