package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// The forms of what a command prints.
const (
	formTable = "table"
	formJSON  = "json"
)

// longestCell is the number of characters of one text from outside that a terminal gets. What people have to read is
// shorter.
const longestCell = 400

// choice is the value of a flag that takes one of a few words.
type choice struct {
	value string
	of    []string
	// kind is what help shows in place of the value; empty: the words.
	kind string
}

// String is the word.
func (c *choice) String() string { return c.value }

// Set takes one of the words, in any case.
func (c *choice) Set(s string) error {
	i := slices.IndexFunc(c.of, func(word string) bool { return strings.EqualFold(word, s) })
	if i < 0 {
		return fmt.Errorf("want one of %s", strings.Join(c.of, ", "))
	}
	c.value = c.of[i]
	return nil
}

// Type is what help shows in place of the value.
func (c *choice) Type() string { return cmp.Or(c.kind, strings.Join(c.of, "|")) }

// choiceFlag defines a flag that takes one of a few words.
func choiceFlag(cmd *cobra.Command, c *choice, name, shorthand, usage string) {
	cmd.Flags().VarP(c, name, shorthand, usage)
	// The flag is there, so this cannot fail.
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(c.of, cobra.ShellCompDirectiveNoFileComp))
}

// outputFlag defines the flag that chooses the form of the output.
func outputFlag(cmd *cobra.Command) *choice {
	output := &choice{value: formTable, of: []string{formTable, formJSON}}
	choiceFlag(cmd, output, "output", "o", "form of the output")
	return output
}

// printable makes one harmless line of a text from outside: what would move the cursor, change how the rest reads, or
// not show, becomes a replacement character, and what is too long is cut in the middle.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case invisible(r):
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
	if utf8.RuneCountInString(s) <= longestCell {
		return s
	}
	runes := []rune(s)
	const tail = longestCell * 2 / 5 // names differ at their ends
	return string(runes[:longestCell-tail-1]) + "…" + string(runes[len(runes)-tail:])
}

// invisible says whether a character controls the terminal or the direction of what follows, or ends a line.
func invisible(r rune) bool { return unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) }

// writeTable writes rows under a head, in columns.
func writeTable(to io.Writer, head []string, rows [][]string) error {
	// Not tabwriter's own padding at the end of lines, which it has where the last cell is empty.
	var aligned bytes.Buffer
	w := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{head}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = printable(cell)
		}
		_, _ = fmt.Fprintln(w, strings.Join(cells, "\t")) // to memory
	}
	_ = w.Flush()
	for line := range strings.Lines(aligned.String()) {
		if _, err := fmt.Fprintln(to, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// writeJSON writes a value as indented JSON that is harmless on a terminal: characters that would control it are
// written as \u, which means the same.
func writeJSON(to io.Writer, v any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("encoding the result: %w", err)
	}
	var b strings.Builder
	for _, r := range text.String() {
		switch {
		case r == '\n' || !invisible(r): // the encoder's own line ends; those of texts are escaped by it
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	_, err := io.WriteString(to, b.String())
	return err
}

// counted writes a number with its noun.
func counted(n int, noun string) string {
	switch stem, y := strings.CutSuffix(noun, "y"); {
	case n == 1:
		return "1 " + noun
	case y && strings.TrimRight(stem, "aeiou") == stem: // not days and keys
		return strconv.Itoa(n) + " " + stem + "ies"
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
