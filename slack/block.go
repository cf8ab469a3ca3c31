package slack

import (
	"strings"

	slackgo "github.com/slack-go/slack"
)

// inline is a piece of rich text. Slack parses nothing in it, so strings from outside belong here.
type inline = slackgo.RichTextSectionElement

func plain(s string) inline { return slackgo.NewRichTextSectionTextElement(s, nil) }

func bold(s string) inline {
	return slackgo.NewRichTextSectionTextElement(s, &slackgo.RichTextSectionTextStyle{Bold: true})
}

func code(s string) inline {
	return slackgo.NewRichTextSectionTextElement(orDash(s), &slackgo.RichTextSectionTextStyle{Code: true})
}

// linked links a text where there is a usable address, and shows the bare text otherwise.
func linked(s, link string, strong bool) inline {
	var style *slackgo.RichTextSectionTextStyle
	if strong {
		style = &slackgo.RichTextSectionTextStyle{Bold: true}
	}
	if a, ok := address(link); ok {
		return slackgo.NewRichTextSectionLinkElement(a, orDash(s), style)
	}
	return slackgo.NewRichTextSectionTextElement(orDash(s), style)
}

// paragraph is a line of text in normal size.
func paragraph(line []inline) slackgo.Block {
	return slackgo.NewRichTextBlock("", slackgo.NewRichTextSection(line...))
}

// bullets is a list, under a title unless that is nil.
func bullets(title []inline, items [][]inline) slackgo.Block {
	var es []slackgo.RichTextElement
	if title != nil {
		es = append(es, slackgo.NewRichTextSection(title...))
	}
	if len(items) > 0 {
		var sections []slackgo.RichTextElement
		for _, it := range items {
			sections = append(sections, slackgo.NewRichTextSection(it...))
		}
		es = append(es, slackgo.NewRichTextList(slackgo.RTEListBullet, 0, sections...))
	}
	return slackgo.NewRichTextBlock("", es...)
}

// column is the head of a table's column.
type column struct {
	title string
	align slackgo.ColumnAlignment
}

// table is a grid of rich text under a bold head; every row has as many cells as there are columns.
func table(columns []column, rows [][][]inline) slackgo.Block {
	t := slackgo.NewTableBlock("")
	head := make([]slackgo.TableCell, 0, len(columns))
	for _, c := range columns {
		head = append(head, cell(bold(c.title)))
		// Align is always set: left empty it is sent as "", which Slack's reference does not allow.
		t.ColumnSettings = append(t.ColumnSettings, slackgo.ColumnSetting{Align: c.align, IsWrapped: true})
	}
	t.Rows = append(t.Rows, head)
	for _, r := range rows {
		cells := make([]slackgo.TableCell, 0, len(r))
		for _, c := range r {
			cells = append(cells, cell(c...))
		}
		t.Rows = append(t.Rows, cells)
	}
	return t
}

func cell(line ...inline) slackgo.TableCell {
	return slackgo.NewTableRichTextCell(slackgo.NewRichTextSection(line...))
}

// grey is a line in small grey letters; elements that are nil are left out.
func grey(elements ...slackgo.MixedElement) slackgo.Block {
	var es []slackgo.MixedElement
	for _, e := range elements {
		if e != nil {
			es = append(es, e)
		}
	}
	return slackgo.NewContextBlock("", es...)
}

// verbatim is grey text that Slack does not parse; nil when it is empty.
func verbatim(s string) slackgo.MixedElement {
	if s == "" {
		return nil
	}
	t := slackgo.NewTextBlockObject(slackgo.PlainTextType, s, false, false)
	return t
}

// markup is grey mrkdwn; what comes from outside must have gone through mono or escape.
func markup(s string) slackgo.MixedElement {
	return slackgo.NewTextBlockObject(slackgo.MarkdownType, s, false, false)
}

// anchor is a grey link; nil when there is no usable address.
func anchor(label, link string) slackgo.MixedElement {
	a, ok := address(link)
	if !ok || len(escape(a)) > longestLink { // escaped it can be five times as long
		return nil
	}
	return markup("<" + escape(a) + "|" + escape(label) + ">")
}

// reference is a name within mrkdwn, linked where there is a usable address.
func reference(name, link string) string {
	a, ok := address(link)
	label := strings.TrimSpace(unformatted(name))
	if !ok || label == "" || len(escape(a)) > longestGreyLink {
		return mono(name)
	}
	return "<" + escape(a) + "|" + escape(label) + ">"
}
