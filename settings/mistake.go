package settings

import (
	"fmt"
	"strings"
)

// Mistake is one thing that is wrong with the text of a key.
type Mistake struct {
	// Path is where: the key, or a field in it.
	Path string
	// Line is where in the key's text, from 1; for what is missing, where its Scanner begins. 0: no line of it can be named.
	Line int
	// What is wrong, and what would be right. It repeats nothing that may be a webhook.
	What string
}

// Error says where and what.
func (m Mistake) Error() string {
	if m.Line == 0 {
		return m.Path + ": " + m.What
	}
	return fmt.Sprintf("%s (line %d): %s", m.Path, m.Line, m.What)
}

// KeyError is all that is wrong with a key or its text, in the order of the text.
type KeyError []Mistake

// Error has a line for each mistake.
func (e KeyError) Error() string {
	lines := make([]string, 0, len(e))
	for _, m := range e {
		lines = append(lines, m.Error())
	}
	return strings.Join(lines, "\n")
}
