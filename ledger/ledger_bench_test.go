package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/findings"
)

// fleet makes the records of images, always the same ones of a seed.
type fleet struct {
	random *rand.Rand
	times  *rand.Rand // of its own, so that the findings are the same ones without times
	basis  findings.Basis
	// shared are the findings of base images, own those that any image may have besides; as many of them as
	// perImage says.
	shared   [][]findings.Entry
	own      []findings.Entry
	perImage int
	images   int
	// inventory says that a destination was told of all of its images in one message; else each has its own.
	inventory bool
}

// entriesOf returns n findings, of severities as they are in a Debian image.
func (f *fleet) entriesOf(n int) []findings.Entry {
	severities := []findings.Severity{0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4, 4, 4, 5}
	entries := make([]findings.Entry, n)
	for i := range entries {
		entries[i] = findings.Entry{ID: findings.ID(f.random.Uint64()), Severity: severities[f.random.IntN(len(severities))]}
	}
	return entries
}

func (f *fleet) pick(from []findings.Entry, n int) []findings.Entry {
	picked := make([]findings.Entry, 0, n)
	for _, i := range f.random.Perm(len(from))[:n] {
		picked = append(picked, from[i])
	}
	return picked
}

func newFleet() *fleet {
	f := &fleet{random: rand.New(rand.NewPCG(3, 14)), times: rand.New(rand.NewPCG(2, 71)), basis: findings.Basis{Clair: findings.NameID("http://clair:6060/"), State: "0123456789abcdef0123456789abcdef"}}
	for i := range 40 {
		f.basis.Updaters = append(f.basis.Updaters, findings.ID(i)<<56|findings.ID(f.random.Uint64()>>8))
	}
	return f
}

// layered returns a fleet of images on 200 base images: 250 findings are those of the base, 50 their own.
func layered() *fleet {
	f := newFleet()
	pool := f.entriesOf(20_000)
	for range 200 {
		f.shared = append(f.shared, f.pick(pool, 250))
	}
	f.own, f.perImage, f.inventory = f.entriesOf(10_000), 50, true
	return f
}

// scattered returns a fleet of images that have nothing in common.
func scattered() *fleet {
	f := newFleet()
	f.shared = [][]findings.Entry{nil}
	f.own, f.perImage = f.entriesOf(30_000), 300
	return f
}

// next returns what is told of one more image to a destination that wants to hear of a severity and worse.
func (f *fleet) next(b *Book, d Destination, least findings.Severity) Told {
	f.images++
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], uint64(f.images))
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(number[:]))
	image := Image{ID: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(digest))), Platform: "linux/amd64"}
	b.SetManifest(image, digest)
	entries := append(f.pick(f.own, f.perImage), f.shared[f.random.IntN(len(f.shared))]...)
	for i := range entries {
		entries[i].Told = entries[i].Severity >= least
	}
	name := fmt.Sprintf("registry.example.com/%s/service-%d:1.%d.%d", d.Key, f.images, f.random.IntN(30), f.random.IntN(10))
	return Told{Destination: d, Digest: digest, Name: name, Change: findings.NewRecord(f.basis, entries), At: f.at()}
}

// at returns when a message is told: any second of a year.
func (f *fleet) at() time.Time { return time.Unix(1_790_000_000+f.times.Int64N(365*24*3600), 0) }

func namespace(i int) Destination {
	return Destination{Key: fmt.Sprintf("namespace-%d", i), Name: "default"}
}

// fill tells n images to each of some destinations, and stores what has to be stored after each of them. It
// returns how many bytes that were.
func (f *fleet) fill(tb testing.TB, b *Book, stored map[int][]byte, destinations, n int) (written int) {
	for d := range destinations {
		told := make([]Told, n)
		for i := range told {
			told[i] = f.next(b, namespace(d), findings.Severity(d%3*2))
			if f.inventory {
				told[i].At = told[0].At
			}
		}
		written += write(tb, b, stored, b.Remember(told))
	}
	return written
}

// write stores shards, and those that have to be stored before them, as the caller of a book has to. It returns
// how many bytes that were.
func write(tb testing.TB, b *Book, stored map[int][]byte, shards []int) (written int) {
	for _, s := range shards {
		data, version, before, err := b.Encode(s, 1)
		if err != nil {
			tb.Fatal(err)
		}
		written += write(tb, b, stored, before)
		stored[s] = data
		b.Saved(s, version)
		written += len(data)
	}
	return written
}

// Images as they are: most of their findings are those of a base image that others have too.
func BenchmarkLayered(b *testing.B) { benchmark(b, layered) }

// The worst case.
func BenchmarkScattered(b *testing.B) { benchmark(b, scattered) }

// benchmark measures a book of 10,000 images with 300 findings each in 50 destinations; and a first start, with an
// inventory of 500 images for each of 20 destinations, whose time is for the most part that of making them up.
func benchmark(b *testing.B, fleet func() *fleet) {
	stored := make(map[int][]byte)
	book := New()
	fleet().fill(b, book, stored, 50, 200)
	write(b, book, stored, book.Dirty())
	stats := book.Stats()
	if stats.LeftOut != 0 || len(book.Dirty()) != 0 {
		b.Fatalf("%d items left out, dirty: %v", stats.LeftOut, book.Dirty())
	}
	size, largest := 0, 0
	for _, data := range stored {
		size += len(data)
		largest = max(largest, len(data))
	}
	b.Run("load", func(b *testing.B) {
		var before, after runtime.MemStats
		for b.Loop() {
			b.StopTimer()
			runtime.GC()
			runtime.ReadMemStats(&before)
			b.StartTimer()
			book := New()
			for s, data := range stored {
				if _, err := book.Load(s, data); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			runtime.GC()
			runtime.ReadMemStats(&after)
			if d := book.Dirty(); len(d) > 0 {
				b.Fatalf("dirty after the start: %v", d)
			}
			b.StartTimer()
		}
		b.ReportMetric(float64(size), "bytes")
		b.ReportMetric(float64(largest), "largest")
		b.ReportMetric(float64(size)/float64(stats.Findings), "bytes/finding")
		b.ReportMetric(float64(int(after.HeapAlloc)-int(before.HeapAlloc))/(1<<20), "MiB-heap")
	})
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			if _, _, _, err := book.Encode(0, 1); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("first-start", func(b *testing.B) {
		written := 0
		for b.Loop() {
			b.StopTimer()
			f := fleet()
			b.StartTimer()
			written = f.fill(b, New(), make(map[int][]byte), 20, 500)
		}
		b.ReportMetric(float64(written), "bytes-written")
	})
}
