package ledger

// Sharer is a destination that was told of an image for others too.
type Sharer struct {
	Destination
	// Jobs says that only Jobs ran the image.
	Jobs bool
}

// Sharers returns the destinations with a record of an image that is Shared and not gone, in no order.
func (b *Book) Sharers(digest string) []Sharer {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.manifests[digest]
	if m == nil {
		return nil
	}
	var all []Sharer
	for _, it := range m.records {
		if it.record.shared && it.gone == 0 {
			all = append(all, Sharer{it.of.Destination, it.jobs})
		}
	}
	return all
}

// FailureSharers returns the destinations with a failure of an image that is Shared and not gone, in no order.
func (b *Book) FailureSharers(i Image) []Destination {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []Destination
	for d, known := range b.destinations {
		if it := known.failures[i]; it != nil && it.failure.shared && it.gone == 0 {
			all = append(all, d)
		}
	}
	return all
}
