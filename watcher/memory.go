package watcher

// manyLooks is how many looks at images leave behind what is worth giving back: each has decoded a report, and of that
// nothing is kept.
const manyLooks = 100

// giveBackMemory gives memory back to the system when nothing is left to look at after many looks, as when clairwatch
// has begun or a Clair has newer data. Go keeps what it once had for minutes, and a part of it for good.
func (w *Watcher) giveBackMemory() {
	if w.looks.Load() < manyLooks || w.images.Len() > 0 {
		return
	}
	w.looks.Store(0)
	w.freeMemory()
}
