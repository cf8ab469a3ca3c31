package slackstand

import (
	"encoding/json"
	"strings"
)

// gap is the number of columns between two columns of a table.
const gap = 2

// narrow is the width that no column of a table is squeezed below.
const narrow = 8

// table aligns the cells and, where they need more than width, breaks those of
// the widest columns. Slack sets the first row off as the header.
func (p *page) table(b object, width int) []string {
	rows, _ := b["rows"].([]any)
	var cells [][][]span
	var widths []int
	for _, r := range rows {
		values, _ := r.([]any)
		var row [][]span
		for i, value := range values {
			spans := cellSpans(value)
			if !p.style.Colour {
				for j := range spans {
					spans[j].url = "" // its label says enough, and a URL would not fit
				}
			}
			if i == len(widths) {
				widths = append(widths, 1)
			}
			for _, line := range breakLines(spans, 1000) {
				widths[i] = max(widths[i], lineColumns(line))
			}
			row = append(row, spans)
		}
		cells = append(cells, row)
	}
	squeeze(widths, width)
	settings, _ := b["column_settings"].([]any)
	aligns := make([]string, len(widths))
	for i := range min(len(settings), len(aligns)) {
		o, _ := settings[i].(object)
		aligns[i] = text(o, "align")
	}
	var lines []string
	for i, row := range cells {
		lines = append(lines, p.row(row, widths, aligns)...)
		if i == 0 && len(cells) > 1 {
			rules := make([]string, len(widths))
			for j, w := range widths {
				rules[j] = strings.Repeat("─", w)
			}
			lines = append(lines, strings.Join(rules, strings.Repeat("─", gap)))
		}
	}
	return lines
}

// squeeze makes the widest columns narrower until all fit into width.
func squeeze(widths []int, width int) {
	for {
		total, widest := gap*(len(widths)-1), 0
		for i, w := range widths {
			total += w
			if w > widths[widest] {
				widest = i
			}
		}
		if total <= width || len(widths) == 0 || widths[widest] <= narrow {
			return
		}
		widths[widest]--
	}
}

// row sets cells side by side, each broken to its column's width.
func (p *page) row(cells [][]span, widths []int, aligns []string) []string {
	var columnsOf [][][]span
	height := 0
	for i, cell := range cells {
		broken := breakLines(cell, widths[i])
		columnsOf = append(columnsOf, broken)
		height = max(height, len(broken))
	}
	lines := make([]string, height)
	for y := range lines {
		var b strings.Builder
		for i, broken := range columnsOf {
			var line []span
			if y < len(broken) {
				line = broken[y]
			}
			space := max(widths[i]-lineColumns(line), 0)
			before := 0
			if i < len(aligns) && aligns[i] == "right" {
				before = space
			} else if i < len(aligns) && aligns[i] == "center" {
				before = space / 2
			}
			b.WriteString(strings.Repeat(" ", before))
			b.WriteString(p.style.paint(line))
			b.WriteString(strings.Repeat(" ", space-before))
			if i < len(columnsOf)-1 {
				b.WriteString(strings.Repeat(" ", gap))
			}
		}
		lines[y] = strings.TrimRight(b.String(), " ")
	}
	return lines
}

func lineColumns(line []span) int {
	n := 0
	for _, s := range line {
		n += columns(s.text)
	}
	return n
}

func cellSpans(value any) []span {
	cell, _ := value.(object)
	switch text(cell, "type") {
	case "raw_text":
		return []span{{text: text(cell, "text")}}
	case "raw_number":
		if n, ok := cell["value"].(json.Number); ok {
			return []span{{text: n.String()}}
		}
	case "rich_text":
		elements, _ := cell["elements"].([]any)
		var spans []span
		for i, e := range elements {
			if i > 0 {
				spans = append(spans, span{text: "\n"})
			}
			o, _ := e.(object)
			spans = append(spans, inlineSpans(o)...)
		}
		return spans
	}
	return nil
}
