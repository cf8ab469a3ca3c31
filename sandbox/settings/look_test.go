package settings

import "testing"

// annotation is how the author of a pod takes it out.
const annotation = "clairwatch.io/scan"

// initContainers stops looking at them, and begins again.
func (c *cluster) initContainers(t *testing.T) {
	const off = "look: {init: false}\n"
	main, first := c.take(t), c.take(t)
	c.runPod(t, "inits", nil, main, first)
	c.edit(t, "inits", c.scanner("inits"))
	c.hears(t, "inits", "Now watching 2 images in inits", main.name, first.name)
	c.silently(t, "inits", c.scanner("inits", off), main)
	other, second := c.take(t), c.take(t)
	c.runPod(t, "inits", nil, other, second)
	c.hears(t, "inits", other.name+" is running with", "!"+second.name)
	// What runs no longer is told together: the image that nobody looks at is not among it.
	c.remove(t, "inits", other)
	c.hears(t, "inits", other.name+" is no longer running")
	third := c.take(t)
	marker := c.take(t)
	c.runPod(t, "inits", nil, marker, third)
	c.hears(t, "inits", marker.name+" is running with", "!"+third.name)
	c.edit(t, "inits", c.scanner("inits"))
	c.hears(t, "inits", third.name+" is running with")
}

// optOut lets the authors of pods take them out, and no longer.
func (c *cluster) optOut(t *testing.T) {
	const on = "look: {optOut: true}\n"
	out := map[string]string{annotation: "false"}
	early, plain := c.take(t), c.take(t)
	c.runPod(t, "opts", out, early)
	c.runPod(t, "opts", nil, plain)
	c.edit(t, "opts", c.scanner("opts"))
	c.hears(t, "opts", "Now watching 2 images in opts", early.name, plain.name)
	c.silently(t, "opts", c.scanner("opts", on), plain)
	late, marker := c.take(t), c.take(t)
	c.runPod(t, "opts", out, late)
	c.runPod(t, "opts", nil, marker)
	c.hears(t, "opts", marker.name+" is running with", "!"+late.name)
	// A running pod is annotated, another one ends: only that is told.
	c.annotate(t, "opts", plain, annotation)
	c.remove(t, "opts", marker)
	c.hears(t, "opts", marker.name+" is no longer running")
	c.edit(t, "opts", c.scanner("opts"))
	c.hears(t, "opts", late.name+" is running with")
}
