package pages

import (
	"slices"
	"testing"

	"github.com/clairwatch/clairwatch/sandbox/browser"
)

// paper is a sheet of A4 with margins of a centimetre.
var paper = browser.Look{Width: 718, Height: 1047, Print: true, Dark: true} // who reads in the dark prints on white

// unprintedScript says what is not as it is to be on paper.
const unprintedScript = `(() => {
	const faults = []
	for (const e of document.querySelectorAll('form, nav, .skip')) if (e.checkVisibility()) faults.push('it has a ' + e.tagName)
	for (const e of document.querySelectorAll('details > :not(summary)')) if (!e.checkVisibility()) faults.push('it hides ' + e.textContent.trim().slice(0, 40))
	const [r, g, b] = getComputedStyle(document.body).color.match(/\d+/g).map(Number)
	if (r + g + b > 300) faults.push('its text is as light as ' + [r, g, b])
	return faults.slice(0, 10)
})()`

// testPrint looks at pages as they are printed.
func (o tools) testPrint(t *testing.T) {
	for _, v := range views() {
		if !slices.Contains([]string{"overview-400", "overview-severe", "image-900", "image-refused", "vulnerability-400", "namespace-400", "namespace-1"}, v.name) {
			continue // others are alike
		}
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			tab := o.open(t)
			done(t, tab.Look(paper))
			visit(t, tab, serve(t, v.source)+v.path, v.status)
			checkLayout(t, tab, paper)
			for _, f := range evaluate[[]string](t, tab, unprintedScript) {
				t.Error(f)
			}
		})
	}
}
