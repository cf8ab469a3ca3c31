package watcher

import (
	"math/rand/v2"
	"strconv"
	"testing"
)

// TestProgressCounts compares the counters with what they count, after every one of many operations.
func TestProgressCounts(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	p := newProgress()
	states := States()
	for range 20000 {
		img := image{namespace: strconv.Itoa(rng.IntN(3)), id: strconv.Itoa(rng.IntN(6))}
		_, known := p.images[img]
		switch rng.IntN(6) {
		case 0, 1:
			if resting := p.images[img].resting; looks(p, img) == (known && !resting) {
				t.Fatalf("start of an image that is known: %v, resting: %v", known, resting)
			}
		case 2:
			p.reach(img, states[1+rng.IntN(2)])
		case 3:
			was := p.images[img]
			now, changed := p.fail(img, states[3+rng.IntN(2)], rng.IntN(2) == 0)
			if now.failures != was.failures+1 || now.alike > now.failures || now.alike < 1 || changed != (now.alike == 1 || was.state != now.state) {
				t.Fatalf("from %+v to %+v, changed: %v", was, now, changed)
			}
		case 4:
			p.forget(img)
		case 5:
			c := strconv.Itoa(rng.IntN(2))
			was := p.isIndexed(img, c)
			if isNew := p.markIndexed(img, c); isNew != (known && !was) || p.isIndexed(img, c) != known {
				t.Fatalf("markIndexed: %v of an image that is known: %v and was indexed: %v", isNew, known, was)
			}
		}
		untried := make(map[string]int)
		for img, s := range p.images {
			if s.state == StateUntried {
				untried[img.namespace]++
			}
		}
		for ns := range 3 {
			ns := strconv.Itoa(ns)
			if got := p.waiting([]string{ns}); got != untried[ns] {
				t.Fatalf("%d untried in %s, want %d", got, ns, untried[ns])
			}
		}
		total := 0
		for _, n := range p.count() {
			total += n
		}
		if total != len(p.images) {
			t.Fatalf("counted %d images, want %d", total, len(p.images))
		}
	}
}

// looks says whether a new pod has an image looked at.
func looks(p *progress, img image) bool {
	_, look := p.start(img)
	return look
}
