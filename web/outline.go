package web

// deepestLine is how deep lines can be nested in an outline; deeper ones stand beside each other there.
const deepestLine = 6

// outline is a line with what belongs to it.
type outline struct {
	Text  string
	Under []outline
}

// newOutline nests lines by their depth. A line that is deeper than by one belongs to the one before all the same.
func newOutline(lines []Line) []outline {
	top, _ := nest(lines, 0, 0)
	return top
}

// nest takes the lines that are at least as deep as a depth, level levels down, and returns what is left.
func nest(lines []Line, depth, level int) (nested []outline, rest []Line) {
	for len(lines) > 0 && lines[0].Depth >= depth {
		o := outline{Text: lines[0].Text}
		at := lines[0].Depth
		lines = lines[1:]
		if len(lines) > 0 && lines[0].Depth > at && level < deepestLine {
			o.Under, lines = nest(lines, at+1, level+1)
		}
		nested = append(nested, o)
	}
	return nested, lines
}
