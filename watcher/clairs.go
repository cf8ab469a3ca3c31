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
	// events are what is done when the data of a Clair changes, or whether it answers.
	events func(base string) dataEvents

	mu     sync.Mutex
	byBase map[string]*service
}

// service is one Clair, the lines of those that want something of it, and what is known of its data.
type service struct {
	Clair
	// indexing are those that want it to index an image, reading those that want to know what it says of one.
	indexing, reading *line

	data *dataSource
	// waited is set once the log has said that first reports wait for its data.
	waited atomic.Bool
}

func newClairs(dial func(base string) (Clair, error), call func(image), events func(base string) dataEvents) *clairs {
	return &clairs{dial: dial, call: call, events: events, byBase: make(map[string]*service)}
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
	indexing, reports := client.Slots()
	s := &service{
		Clair:    client,
		indexing: newLine(indexing, c.call),
		reading:  newLine(reports, c.call),
		data:     newDataSource(c.events(base)),
	}
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
			ls = append(ls, s.reading, s.indexing)
		}
	}
	return ls
}
