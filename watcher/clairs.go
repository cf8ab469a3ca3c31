package watcher

import (
	"fmt"
	"sync"
)

// clairs are the clients of the Clairs in the settings, made when first needed.
type clairs struct {
	dial func(base string) (Clair, error)

	mu     sync.Mutex
	byBase map[string]Clair
}

func newClairs(dial func(base string) (Clair, error)) *clairs {
	return &clairs{dial: dial, byBase: make(map[string]Clair)}
}

// at returns the client of the Clair at a base address.
func (c *clairs) at(base string) (Clair, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if client, ok := c.byBase[base]; ok {
		return client, nil
	}
	client, err := c.dial(base)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoClair, err)
	}
	c.byBase[base] = client
	return client, nil
}
