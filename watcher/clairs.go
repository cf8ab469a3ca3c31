package watcher

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// clairs are the Clairs in the settings. Their clients are made when first needed.
type clairs struct {
	dial func(base string) (Clair, error)
	// call has an image looked at that has a slot now.
	call func(image)
	// changed has all images of a Clair looked at whose data or scanners are other ones now.
	changed func(base string)

	mu     sync.Mutex
	byBase map[string]*service
}

// service is one Clair, and the line of those that want it to index an image.
type service struct {
	Clair
	line *line
	data dataSource
	// waited is set once the log has said that first reports wait for its data.
	waited atomic.Bool
}

func newClairs(dial func(base string) (Clair, error), call func(image), changed func(base string)) *clairs {
	return &clairs{dial: dial, call: call, changed: changed, byBase: make(map[string]*service)}
}

// at returns the Clair at a base address.
func (c *clairs) at(base string) (*service, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.byBase[base]; ok {
		return s, nil
	}
	client, err := c.dial(base)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoClair, err)
	}
	s := &service{Clair: client, line: newLine(client.Slots(), c.call)}
	s.data.onChange = func() { c.changed(base) }
	c.byBase[base] = s
	return s, nil
}

// abandon has an image wait at no Clair but some: it is gone, it has what it waited for, or the settings
// have changed.
func (c *clairs) abandon(img image, except []string) {
	for _, l := range c.lines(except) {
		l.abandon(img)
	}
}

func (c *clairs) lines(except []string) []*line {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ls []*line
	for base, s := range c.byBase {
		if !slices.Contains(except, base) {
			ls = append(ls, s.line)
		}
	}
	return ls
}
