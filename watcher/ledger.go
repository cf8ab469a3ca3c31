package watcher

import (
	"context"
	"sync"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/registry"
)

// Destination is a Scanner as it is written in the settings: who is told. What was told to one
// destination says nothing about another.
type Destination struct {
	// Key is the key of the ConfigMap, Name the Scanner's name within it.
	Key, Name string
}

// Subject is what a destination can be told about: the image with a manifest digest, or an image that
// could not be scanned, by the id that runs.
type Subject struct {
	// Digest is the digest of the platform manifest; empty for an image that could not be scanned.
	Digest string
	// Image and Platform identify an image that could not be scanned; zero otherwise.
	Image    string
	Platform registry.Platform
}

// Told is what a message told a destination.
type Told struct {
	Destination Destination
	Subject     Subject
	// Record holds what is known now of an image that was scanned.
	Record findings.Record
	// Cause is why an image could not be scanned; empty for one that was. With a Subject that has no
	// Digest an empty Cause says that the failure is over.
	Cause Cause
}

// Ledger remembers what destinations were told. It is asked before anything is told, and written when
// Slack has accepted the message and before the next message of that channel.
type Ledger interface {
	// Known says whether anything was ever told to a destination.
	Known(Destination) bool
	// Record returns what a destination was told about the image with a manifest digest.
	Record(d Destination, digest string) (findings.Record, bool)
	// Failure returns the cause that a destination was told for an image that could not be scanned;
	// empty when it was told none, or when the image has been scanned since.
	Failure(d Destination, s Subject) Cause
	// Remember stores what was told, all of it or, with an error, none. It is called again with what it
	// did not store.
	Remember(ctx context.Context, told []Told) error
	// Manifest returns the platform manifest's digest of an image that a node runs; empty when it has
	// not been found out. It never changes.
	Manifest(id string, p registry.Platform) string
	// RememberManifest stores it.
	RememberManifest(id string, p registry.Platform, digest string)
}

// Memory is a Ledger that lasts as long as the process.
type Memory struct {
	mu        sync.Mutex
	known     map[Destination]bool
	records   map[Destination]map[string]findings.Record
	failures  map[Destination]map[Subject]Cause
	manifests map[Subject]string
}

var _ Ledger = (*Memory)(nil)

// NewMemory returns an empty ledger.
func NewMemory() *Memory {
	return &Memory{
		known:     make(map[Destination]bool),
		records:   make(map[Destination]map[string]findings.Record),
		failures:  make(map[Destination]map[Subject]Cause),
		manifests: make(map[Subject]string),
	}
}

// Known implements Ledger.
func (m *Memory) Known(d Destination) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known[d]
}

// Record implements Ledger.
func (m *Memory) Record(d Destination, digest string) (findings.Record, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.records[d][digest]
	return r, ok
}

// Failure implements Ledger.
func (m *Memory) Failure(d Destination, s Subject) Cause {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failures[d][s]
}

// Remember implements Ledger. It never fails.
func (m *Memory) Remember(_ context.Context, told []Told) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range told {
		m.known[t.Destination] = true
		if t.Subject.Digest == "" {
			if t.Cause == "" {
				delete(m.failures[t.Destination], t.Subject)
				continue
			}
			if m.failures[t.Destination] == nil {
				m.failures[t.Destination] = make(map[Subject]Cause)
			}
			m.failures[t.Destination][t.Subject] = t.Cause
			continue
		}
		if m.records[t.Destination] == nil {
			m.records[t.Destination] = make(map[string]findings.Record)
		}
		m.records[t.Destination][t.Subject.Digest] = t.Record
	}
	return nil
}

// Manifest implements Ledger.
func (m *Memory) Manifest(id string, p registry.Platform) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.manifests[Subject{Image: id, Platform: p}]
}

// RememberManifest implements Ledger.
func (m *Memory) RememberManifest(id string, p registry.Platform, digest string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.manifests[Subject{Image: id, Platform: p}] = digest
}
