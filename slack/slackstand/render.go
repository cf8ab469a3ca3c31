package slackstand

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"regexp"
	"strings"
	"time"
)

// Style says how [Render] shows a message.
type Style struct {
	// Width is the number of columns; zero means 100.
	Width int
	// Colour uses the terminal's colours, bold and clickable links (OSC 8).
	// Without it a link is its label and its URL, in a table only its label.
	Colour bool
}

// Render shows a message as a person would see it in Slack, with a newline at
// the end: blocks from top to bottom, attachments behind their coloured bar. A
// message that has no blocks is shown by its text.
func Render(m Message, style Style) string {
	if style.Width == 0 {
		style.Width = 100
	}
	var p object
	decoder := json.NewDecoder(bytes.NewReader(m.Payload))
	decoder.UseNumber()
	if err := decoder.Decode(&p); err != nil {
		return "(not a JSON object)\n"
	}
	page := page{style: style}
	blocks, _ := p["blocks"].([]any)
	if len(blocks) == 0 && text(p, "text") != "" {
		page.lines = append(page.lines, page.wrap(mrkdwn(text(p, "text")), style.Width)...)
	}
	page.blocks(blocks, style.Width)
	attachments, _ := p["attachments"].([]any)
	for _, a := range attachments {
		o, _ := a.(object)
		page.attachment(o)
	}
	var b strings.Builder
	for _, line := range page.lines {
		b.WriteString(strings.TrimRight(line, " "))
		b.WriteByte('\n')
	}
	return b.String()
}

// page collects the lines of a message.
type page struct {
	style Style
	lines []string
}

// attachment puts blocks, or the legacy texts, behind a bar.
func (p *page) attachment(a object) {
	const bar = "▌ "
	width := p.style.Width - len([]rune(bar))
	inner := page{style: p.style}
	blocks, _ := a["blocks"].([]any)
	inner.blocks(blocks, width)
	if len(blocks) == 0 {
		for _, field := range []string{"pretext", "title", "text", "footer"} {
			if s := text(a, field); s != "" {
				inner.lines = append(inner.lines, inner.wrap(mrkdwn(s), width)...)
			}
		}
		if len(inner.lines) == 0 {
			inner.lines = inner.wrap(mrkdwn(text(a, "fallback")), width)
		}
	}
	for _, line := range inner.lines {
		p.lines = append(p.lines, p.style.bar(bar, text(a, "color"))+line)
	}
}

func (p *page) blocks(blocks []any, width int) {
	for i, value := range blocks {
		b, _ := value.(object)
		if i > 0 && roomy(b) {
			p.lines = append(p.lines, "")
		}
		p.lines = append(p.lines, p.block(b, width)...)
	}
}

// roomy says whether Slack leaves room above a block, as it does above what is
// not just text.
func roomy(b object) bool {
	elements, _ := b["elements"].([]any)
	kind := text(b, "type")
	return kind == "table" || kind == "image" || kind == "rich_text" && len(elements) > 1
}

func (p *page) block(b object, width int) []string {
	switch text(b, "type") {
	case "header":
		return p.wrap([]span{{text: content(b["text"]), bold: true}}, width)
	case "section":
		return p.section(b, width)
	case "context":
		return p.context(b, width)
	case "divider":
		return []string{strings.Repeat("─", width)}
	case "rich_text":
		return p.richText(b, width)
	case "table":
		return p.table(b, width)
	case "image":
		return p.wrap([]span{{text: "[image: " + text(b, "alt_text") + "]", grey: true}}, width)
	case "markdown":
		return p.wrap([]span{{text: text(b, "text")}}, width)
	case "actions":
		elements, _ := b["elements"].([]any)
		var spans []span
		for _, e := range elements {
			o, _ := e.(object)
			spans = append(spans, span{text: "[ " + content(o["text"]) + " ]", url: text(o, "url")}, span{text: " "})
		}
		return p.wrap(spans, width)
	}
	return p.wrap([]span{{text: "[" + text(b, "type") + "]", grey: true}}, width)
}

func (p *page) section(b object, width int) []string {
	var lines []string
	if b["text"] != nil {
		lines = p.wrap(textSpans(b["text"]), width)
	}
	fields, _ := b["fields"].([]any)
	for i := 0; i < len(fields); i += 2 {
		row := [][]span{textSpans(fields[i]), nil}
		if i+1 < len(fields) {
			row[1] = textSpans(fields[i+1])
		}
		lines = append(lines, p.row(row, []int{width / 2, width - width/2 - gap}, nil)...)
	}
	return lines
}

// context is Slack's small grey text; its elements stand side by side.
func (p *page) context(b object, width int) []string {
	elements, _ := b["elements"].([]any)
	var spans []span
	for i, e := range elements {
		if i > 0 {
			spans = append(spans, span{text: "  ", grey: true})
		}
		o, _ := e.(object)
		if text(o, "type") == "image" {
			spans = append(spans, span{text: "[" + text(o, "alt_text") + "]", grey: true})
			continue
		}
		for _, s := range textSpans(e) {
			s.grey = true
			spans = append(spans, s)
		}
	}
	return p.wrap(spans, width)
}

func (p *page) richText(b object, width int) []string {
	elements, _ := b["elements"].([]any)
	var lines []string
	for _, value := range elements {
		e, _ := value.(object)
		switch text(e, "type") {
		case "rich_text_list":
			lines = append(lines, p.list(e, width)...)
		case "rich_text_quote":
			for _, line := range p.wrap(inlineSpans(e), width-2) {
				lines = append(lines, "│ "+line)
			}
		case "rich_text_preformatted":
			for _, line := range p.wrap(inlineSpans(e), width-4) {
				lines = append(lines, "    "+line)
			}
		default:
			lines = append(lines, p.wrap(inlineSpans(e), width)...)
		}
	}
	return lines
}

func (p *page) list(e object, width int) []string {
	items, _ := e["elements"].([]any)
	indent := "  "
	if n, ok := e["indent"].(json.Number); ok {
		if levels, err := n.Int64(); err == nil && levels > 0 && levels < 9 {
			indent += strings.Repeat("  ", int(levels))
		}
	}
	var lines []string
	for i, item := range items {
		o, _ := item.(object)
		mark := "• "
		if text(e, "style") == "ordered" {
			mark = fmt.Sprintf("%d. ", i+1)
		}
		for j, line := range p.wrap(inlineSpans(o), width-len(indent)-len([]rune(mark))) {
			if j > 0 {
				mark = strings.Repeat(" ", len([]rune(mark)))
			}
			lines = append(lines, indent+mark+line)
		}
	}
	return lines
}

// content is the text of a text object.
func content(value any) string {
	o, _ := value.(object)
	return text(o, "text")
}

func textSpans(value any) []span {
	o, _ := value.(object)
	if text(o, "type") == "mrkdwn" {
		return mrkdwn(text(o, "text"))
	}
	return []span{{text: text(o, "text")}}
}

// inlineSpans reads what a section of rich text holds.
func inlineSpans(section object) []span {
	elements, _ := section["elements"].([]any)
	var spans []span
	for _, value := range elements {
		e, _ := value.(object)
		style, _ := e["style"].(object)
		s := span{
			text: text(e, "text"), url: text(e, "url"),
			bold: style["bold"] == true, italic: style["italic"] == true,
			code: style["code"] == true, strike: style["strike"] == true,
		}
		switch kind := text(e, "type"); kind {
		case "link":
			if s.text == "" {
				s.text = s.url
			}
		case "emoji":
			s.text = ":" + text(e, "name") + ":"
		case "user", "usergroup", "channel", "team":
			s.text = "@" + text(e, kind+"_id")
		case "broadcast":
			s.text = "@" + text(e, "range")
		case "tag":
			s.text = "[" + s.text + "]"
		case "date":
			s.text = date(e)
		}
		spans = append(spans, s)
	}
	return spans
}

func date(e object) string {
	if n, ok := e["timestamp"].(json.Number); ok {
		if seconds, err := n.Int64(); err == nil {
			return time.Unix(seconds, 0).UTC().Format("2006-01-02 15:04 UTC")
		}
	}
	return text(e, "fallback")
}

// mrkdwn reads Slack's own markup: links, *bold*, _italic_, ~strike~ and `code`.
func mrkdwn(s string) []span {
	var spans []span
	marks := regexp.MustCompile("<[^<>]+>|\\*[^*\\n]+\\*|`[^`\\n]+`|\\b_[^_\\n]+_\\b|~[^~\\n]+~")
	at := 0
	for _, found := range marks.FindAllStringIndex(s, -1) {
		spans = append(spans, span{text: html.UnescapeString(s[at:found[0]])})
		spans = append(spans, marked(s[found[0]:found[1]]))
		at = found[1]
	}
	return append(spans, span{text: html.UnescapeString(s[at:])})
}

func marked(mark string) span {
	inner := html.UnescapeString(mark[1 : len(mark)-1])
	switch mark[0] {
	case '*':
		return span{text: inner, bold: true}
	case '_':
		return span{text: inner, italic: true}
	case '~':
		return span{text: inner, strike: true}
	case '`':
		return span{text: inner, code: true}
	}
	address, label, labelled := strings.Cut(inner, "|")
	switch {
	case address == "":
		return span{text: label}
	case !strings.ContainsAny(address[:1], "!@#"):
		if !labelled {
			label = address
		}
		return span{text: label, url: address}
	case labelled:
		return span{text: label, bold: true}
	}
	return span{text: "@" + address[1:], bold: true}
}
