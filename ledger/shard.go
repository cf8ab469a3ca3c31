package ledger

import (
	"cmp"
	"slices"
)

// Shards is how many pieces the ledger is stored in.
const Shards = 16

// Limit is how many bytes a shard has at most: what stores it takes a mebibyte, with all that is around the
// bytes.
const Limit = 700 << 10

// nowhere is the shard of an item that is left out.
const nowhere = -1

// shard is what is known of one of the pieces.
type shard struct {
	items  []*item // oldest first
	weight int     // of all items
	// bytes is the size when it was last encoded or loaded, and encoded the weight then.
	bytes, encoded int
	// changed counts the changes; saved is what changed was when the bytes were made that are stored.
	changed, saved uint64
	// needs says, for each of the others, what it has to have saved before this one may be written: what
	// was moved there is stored here only.
	needs [Shards]uint64
}

// size estimates the bytes of the shard: it has become larger with what it holds.
func (s *shard) size() int {
	if s.encoded == 0 {
		return s.weight
	}
	return int(int64(s.bytes) * int64(s.weight) / int64(s.encoded))
}

func (s *shard) dirty() bool { return s.changed != s.saved }

// Saved says that the bytes of a version of a shard are stored. The shard is clean if it has not changed
// since.
func (b *Book) Saved(shard int, version uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.shards[shard]
	s.saved = max(s.saved, version)
}

// Touch makes a shard dirty: what is stored of it is not what was saved any more.
func (b *Book) Touch(shard int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.touch(shard)
}

// Dirty returns the shards with changes that are not saved, in the order in which to write them.
func (b *Book) Dirty() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all [Shards]bool
	for s := range all {
		all[s] = true
	}
	return b.unsaved(all)
}

// unsaved returns those of some shards that are dirty, and those that have to be written for them, in the
// order in which to write them.
func (b *Book) unsaved(concerned [Shards]bool) []int {
	var order []int
	var visit func(s int)
	visit = func(s int) {
		if slices.Contains(order, s) {
			return
		}
		for _, t := range b.before(s) {
			visit(t)
		}
		order = append(order, s)
	}
	for s, is := range concerned {
		if is && b.shards[s].dirty() {
			visit(s)
		}
	}
	return order
}

// before returns the shards that have to be written before one may be.
func (b *Book) before(s int) []int {
	var before []int
	for t, version := range b.shards[s].needs {
		if b.shards[t].saved < version {
			before = append(before, t)
		}
	}
	return before
}

// waitsFor says whether a shard may not be written before another one is. Such a wait must never become a
// circle.
func (b *Book) waitsFor(s, other int) bool {
	for _, t := range b.before(s) {
		if t == other || b.waitsFor(t, other) {
			return true
		}
	}
	return false
}

// touch makes a shard dirty.
func (b *Book) touch(s int) {
	if s != nowhere {
		b.shards[s].changed++
	}
}

// touchDestination makes all shards dirty in which a destination stands.
func (b *Book) touchDestination(d *destination) {
	for s, n := range d.in {
		if n > 0 || s == d.home {
			b.touch(s)
		}
	}
}

// weigh estimates the bytes of an item. Their sum is corrected by what a shard really had.
func weigh(it *item) int {
	if it.manifest == nil {
		return 48
	}
	// An image with very many findings shares but few of them with others.
	alone := max(0, len(it.entries)-2000)
	return 80 + 2*len(it.entries) + 8*alone
}

// put puts an item into a shard.
func (b *Book) put(it *item, shard int) {
	s := &b.shards[shard]
	s.items = append(s.items, it)
	it.shard, it.weight = shard, weigh(it)
	s.weight += it.weight
	it.of.in[shard]++
}

// take takes an item out of its shard.
func (b *Book) take(it *item) {
	s := &b.shards[it.shard]
	s.items = without(s.items, it)
	s.weight -= it.weight
	it.of.in[it.shard]--
	it.shard = nowhere
}

// reweigh notes that an item has changed its size.
func (b *Book) reweigh(it *item) {
	if it.shard == nowhere {
		return
	}
	b.shards[it.shard].weight += weigh(it) - it.weight
	it.weight = weigh(it)
}

// full is the estimated size up to which a shard takes items. The rest is for what these grow by, and for the
// error of the estimate.
func (b *Book) full() int { return b.limit / 20 * 19 }

// hasRoom says whether an item can go to a shard.
func (b *Book) hasRoom(shard int, it *item) bool {
	return b.shards[shard].size()+weigh(it) <= b.full()
}

// emptiest returns the shard with most room.
func (b *Book) emptiest() int {
	least := 0
	for s := range b.shards {
		if b.shards[s].size() < b.shards[least].size() {
			least = s
		}
	}
	return least
}

// shardFor returns the shard for a new item: its destination's, or another one when that is full.
func (b *Book) shardFor(it *item) int {
	home := it.of.home
	if b.hasRoom(home, it) {
		return home
	}
	if s := b.roomBeside(home, it); s != nowhere {
		b.moveHome(it.of, s)
		return s
	}
	return home // its bytes may be fewer than they seem; if not, Encode knows what to do
}

// roomBeside returns the shard with most room that has room for an item and is not one given, nor waits for
// it; nowhere when there is none.
func (b *Book) roomBeside(shard int, it *item) int {
	least := nowhere
	for s := range b.shards {
		if s == shard || !b.hasRoom(s, it) || b.waitsFor(s, shard) {
			continue
		}
		if least == nowhere || b.shards[s].size() < b.shards[least].size() {
			least = s
		}
	}
	return least
}

// moveHome makes another shard the one that a destination's next items go to. It has to be written first:
// the destination itself stands there.
func (b *Book) moveHome(d *destination, to int) {
	from := d.home
	d.home = to
	b.touch(from)
	b.touch(to)
	b.shards[from].needs[to] = b.shards[to].changed
}

// move moves an item to another shard, which has to be written first.
func (b *Book) move(it *item, to int) {
	from := it.shard
	b.take(it)
	b.put(it, to)
	b.touch(from)
	b.touch(to)
	b.shards[from].needs[to] = b.shards[to].changed
}

// leave leaves an item out: it is in memory only.
func (b *Book) leave(it *item) {
	b.touch(it.shard)
	b.take(it)
	b.leftOut = append(b.leftOut, it)
}

// relieve takes items out of a shard until it has no more than some weight. It says whether there were any.
//
// The newest ones go to where there is room. When there is none, those that are gone are left out, of all
// shards, those first that have been gone for longest; and when none is gone, the newest ones.
func (b *Book) relieve(shard, weight int) bool {
	s := &b.shards[shard]
	if len(s.items) == 0 {
		return false
	}
	gone := b.gone()
	for s.weight > weight && len(s.items) > 0 {
		newest := s.items[len(s.items)-1]
		to := newest.of.home
		if to == shard || !b.hasRoom(to, newest) || b.waitsFor(to, shard) {
			to = b.roomBeside(shard, newest)
		}
		switch {
		case weigh(newest) > b.full(): // it has grown too large for any
			b.leave(newest)
		case to != nowhere:
			if newest.of.home == shard {
				b.moveHome(newest.of, to)
			}
			b.move(newest, to)
		case len(gone) > 0:
			if gone[0].shard != nowhere {
				b.leave(gone[0])
			}
			gone = gone[1:]
		default:
			b.leave(newest)
		}
	}
	return true
}

// gone returns the items of all shards that are gone, those first that have been so for longest.
func (b *Book) gone() []*item {
	var gone []*item
	for s := range b.shards {
		for _, it := range b.shards[s].items {
			if it.gone != 0 {
				gone = append(gone, it)
			}
		}
	}
	slices.SortStableFunc(gone, func(a, b *item) int { return cmp.Compare(a.gone, b.gone) })
	return gone
}

// takeBack puts what was left out into shards that have room again: first what runs.
func (b *Book) takeBack() {
	if len(b.leftOut) == 0 {
		return
	}
	slices.SortStableFunc(b.leftOut, func(a, b *item) int { return -cmp.Compare(latest(a.gone), latest(b.gone)) })
	left := b.leftOut[:0]
	for _, it := range b.leftOut {
		shard := it.of.home
		if !b.hasRoom(shard, it) {
			shard = b.roomBeside(nowhere, it)
		}
		if shard == nowhere {
			left = append(left, it)
			continue
		}
		b.put(it, shard)
		b.touch(shard)
	}
	clear(b.leftOut[len(left):])
	b.leftOut = left
}

// latest returns a time that can be compared, where zero means never.
func latest(gone int64) uint64 { return uint64(gone) - 1 }
