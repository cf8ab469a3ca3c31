package watcher

import (
	"fmt"
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
		ns := rng.IntN(3) // the first has so few images that it is without any now and then
		img := image{namespace: strconv.Itoa(ns), id: strconv.Itoa(rng.IntN(2 + 2*ns))}
		_, known := p.images[img.namespace][img]
		switch rng.IntN(6) {
		case 0, 1:
			if resting := p.images[img.namespace][img].resting; looks(p, img) == (known && !resting) {
				t.Fatalf("start of an image that is known: %v, resting: %v", known, resting)
			}
		case 2:
			p.reach(img, states[1+rng.IntN(2)])
		case 3:
			was := p.images[img.namespace][img]
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
		among, untried := make(map[string][]image), make(map[string]int)
		for img, s := range p.all() {
			among[img.namespace] = append(among[img.namespace], img)
			if s.state == StateUntried {
				untried[img.namespace]++
			}
		}
		for ns := range 3 {
			ns := strconv.Itoa(ns)
			if got := p.waiting([]string{ns}); got != untried[ns] {
				t.Fatalf("%d untried in %s, want %d", got, ns, untried[ns])
			}
			if got := p.filterIn(ns, func(image) bool { return true }); len(got) != len(among[ns]) {
				t.Fatalf("%v in %s, want %v", got, ns, among[ns])
			}
		}
		total := 0
		for _, n := range p.count() {
			total += n
		}
		want := 0
		for _, images := range p.images {
			want += len(images)
		}
		if total != want {
			t.Fatalf("counted %d images, want %d", total, want)
		}
		if got := p.namespaces(); len(got) != len(among) {
			t.Fatalf("images in the namespaces %v, want those of %v", got, among)
		}
	}
}

// looks says whether a new pod has an image looked at.
func looks(p *progress, img image) bool {
	_, look := p.start(img)
	return look
}

func TestOverLimit(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.MaxImages = 10
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog")})
		for n := range 13 {
			r.run(podOf("shop", fmt.Sprintf("app-%d", n), n+1))
		}
		r.run(podOf("blog", "app-0", 1))
		r.start()
		r.pass(settled)
		r.wantEach("shop", "Now watching 13 images…3…could not be scanned…maxImages")
		r.wantEach("blog", "is running with")
		states := r.w.progress.count()
		if states[StateScanned] != 11 || states[State(CauseOverLimit)] != 3 {
			t.Errorf("states: %v", states)
		}
		// Told once, also after a restart, which looks at the same ones.
		r.restart()
		r.pass(2 * recheck)
		r.wantEach("shop", "Now watching 13 images")
		// When one ends another one's turn has come.
		for img, state := range r.w.progress.states() {
			if img.namespace == "shop" && state == StateScanned {
				n, err := strconv.ParseInt(img.id[len("sha256:"):], 16, 64)
				r.check(err)
				r.delete("shop", fmt.Sprintf("app-%d", n-1))
				break
			}
		}
		r.pass(settled)
		if states := r.w.progress.count(); states[StateScanned] != 11 || states[State(CauseOverLimit)] != 2 {
			t.Errorf("states after one has ended: %v", states)
		}
	})
}

// A look that began before an image was marked has not seen what the mark is about: it was waited for no longer, and
// told in a message of its own.
func TestLookLeavesYoungerMark(t *testing.T) {
	img := image{namespace: "shop", id: "sha256:1"}
	p := newProgress()
	p.start(img)
	p.markDue([]image{img})
	older := p.beginLook()
	p.markDue([]image{img})
	p.reach(img, StateScanned)
	p.markLooked(img, older)
	if !p.isDue(img) || p.outstanding([]string{img.namespace}) != 1 {
		t.Error("a look took away a mark that is younger than itself")
	}
	p.fail(img, State(CauseClairFailed), false)
	p.markLooked(img, p.beginLook())
	if p.isDue(img) || p.outstanding([]string{img.namespace}) != 0 {
		t.Error("a look left a mark that is older than itself")
	}
	p.markDue([]image{img})
	p.forget(img)
	if p.outstanding([]string{img.namespace}) != 0 {
		t.Error("an image that is gone is waited for")
	}
}
