package ledger

// Stats says how much a book holds.
type Stats struct {
	// Destinations, Records and Failures count what is known.
	Destinations, Records, Failures int
	// Findings counts those of all records: a finding of two records is two.
	Findings int
	// LeftOut counts records and failures that are not stored because all shards are full: after a restart
	// they are unknown.
	LeftOut int
	// Bytes is the size of each shard when it was last encoded or loaded; zero for one that never was.
	Bytes [Shards]int
}

// Stats returns how much the book holds.
func (b *Book) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	stats := Stats{Destinations: len(b.destinations), LeftOut: len(b.leftOut)}
	for _, d := range b.destinations {
		stats.Records += len(d.records)
		stats.Failures += len(d.failures)
		for _, it := range d.records {
			stats.Findings += len(it.entries)
		}
	}
	for s := range b.shards {
		stats.Bytes[s] = b.shards[s].bytes
	}
	return stats
}
