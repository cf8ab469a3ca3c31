package pages

import (
	"slices"
	"testing"

	"github.com/clairwatch/clairwatch/sandbox/browser"
)

// stopsScript gives each element that the Tab key is to reach its place, in the order of the page.
const stopsScript = `(() => {
	const stops = [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary')]
		.filter(e => e.checkVisibility({ visibilityProperty: true }))
	stops.forEach((e, i) => { e.dataset.stop = i })
	return stops.length
})()`

// focus is what has the focus.
type focus struct {
	Stop  int    // its place; -1: nothing has it
	Shown string // empty, or why it is not seen to have it
	Name  string
}

const focusScript = `(() => {
	const e = document.activeElement
	if (!e || e === document.body) return { Stop: -1, Shown: '', Name: 'nothing' }
	const style = getComputedStyle(e), box = e.getBoundingClientRect()
	let shown = ''
	if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2) shown = 'it has no outline'
	else if (box.top < -1 || box.left < -1 || box.bottom > innerHeight + 1 || box.right > innerWidth + 1) shown = 'it is out of sight at ' + [box.left, box.top, box.right, box.bottom, innerWidth, innerHeight].map(Math.round)
	else {
		const line = e.getClientRects()[0] // what is broken over two lines has its middle elsewhere
		const on = document.elementFromPoint(line.left + line.width / 2, line.top + line.height / 2)
		if (!on || !(e.contains(on) || on.contains(e))) shown = 'something lies over it'
	}
	return { Stop: Number(e.dataset.stop ?? -1), Shown: shown, Name: e.tagName + ' ' + (e.textContent || e.name) }
})()`

// testKeyboard goes through pages with the Tab key alone.
func (o tools) testKeyboard(t *testing.T) {
	for _, v := range views() {
		if !slices.Contains([]string{"overview-1", "overview-filtered", "image-filtered", "vulnerability-mentioned", "namespace-1", "no-such-page"}, v.name) {
			continue // others are alike, or have hundreds of links
		}
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			tab := o.open(t)
			done(t, tab.Look(looks[0].Look))
			visit(t, tab, serve(t, v.source)+v.path, v.status)
			stops := evaluate[int](t, tab, stopsScript)
			if stops < 3 {
				t.Errorf("%d things to stop at", stops)
			}
			for i := range stops {
				done(t, tab.Press(browser.TabKey))
				switch f := evaluate[focus](t, tab, focusScript); {
				case f.Stop != i:
					t.Fatalf("stop %d of %d is at %d: %s", i, stops, f.Stop, f.Name)
				case f.Shown != "":
					t.Errorf("%s has the focus, and %s", f.Name, f.Shown)
				}
			}
		})
	}
	t.Run("skip", func(t *testing.T) {
		t.Parallel()
		tab := o.open(t)
		visit(t, tab, serve(t, sourceOf(1))+"/", 200)
		done(t, tab.Press(browser.TabKey))
		if !evaluate[bool](t, tab, "document.activeElement.matches('.skip')") {
			t.Fatal("the first stop is not what skips to the content")
		}
		done(t, tab.Press(browser.Enter))
		done(t, tab.Press(browser.TabKey))
		if !evaluate[bool](t, tab, "location.hash === '#main' && document.activeElement.closest('main') !== null") {
			t.Error("what skips to the content does not")
		}
	})
	t.Run("details", func(t *testing.T) {
		t.Parallel()
		tab := o.open(t)
		visit(t, tab, serve(t, sourceOf(400))+"/", 200)
		const isOpen = "document.querySelector('details').open"
		done(t, tab.Evaluate("document.querySelector('summary').focus()", nil))
		for i, key := range []string{browser.Enter, browser.Space, browser.Space, browser.Enter} {
			done(t, tab.Press(key))
			if open := evaluate[bool](t, tab, isOpen); open != (i%2 == 0) {
				t.Errorf("after %d keys, open is %t", i+1, open)
			}
		}
	})
}
