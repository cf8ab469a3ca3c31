package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/findings"
)

// example returns a book that has everything in it once, in one shard.
func example() *Book {
	b := New()
	shop, ops := Destination{Key: "shop", Name: "default"}, Destination{Key: "_all", Name: "ops"}
	amd, arm := "linux/amd64", "linux/arm64/v8"
	day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	basis := findings.Basis{Clair: 1, State: "0123456789abcdef", Updaters: []findings.ID{findings.NameID("alpine"), findings.NameID("debian")}}
	slices.Sort(basis.Updaters)
	entries := []findings.Entry{
		{ID: 1, Severity: 0}, {ID: 2, Severity: 1, Told: true}, {ID: 3, Severity: 2, Told: true, Absent: true},
		{ID: 4, Severity: 3, Absent: true}, {ID: 5, Severity: 4, Told: true}, {ID: 1 << 63, Severity: 5, Told: true},
	}
	other := slices.Clone(entries[1:5])
	other[0].Severity, other[3].Told = 4, false
	b.SetManifest(Image{ID: digestOf("a"), Platform: amd}, digestOf("a"))
	b.SetManifest(Image{ID: digestOf("index"), Platform: amd}, digestOf("a"))
	b.SetManifest(Image{ID: digestOf("index"), Platform: arm}, digestOf("b"))
	b.SetManifest(Image{ID: "an id of another kind", Platform: arm}, "sha512:ab")
	b.SetCreated(1, digestOf("a"), true)
	b.SetCreated(2, digestOf("b"), true)
	b.Remember([]Told{
		{Destination: shop, Digest: digestOf("a"), Name: "shop/web:1.2", Change: findings.NewRecord(basis, entries), At: day.Add(-time.Minute)},
		{Destination: shop, Digest: digestOf("b"), Change: findings.NewRecord(findings.Basis{Clair: 2}, other), At: day.Add(-time.Minute)},
		{Destination: shop, Digest: "sha512:ab", Change: findings.NewRecord(findings.Basis{Clair: 3, Updaters: []findings.ID{}}, nil)},
		{Destination: ops, Image: Image{ID: digestOf("c"), Platform: arm}, Failure: Failure{Cause: "not found", Next: day}},
		{Destination: ops, Image: Image{ID: digestOf("d"), Platform: arm}, Failure: Failure{Cause: "not found"}},
	})
	for _, it := range contents(b) {
		if it.shard != 0 {
			b.move(it, 0)
		}
	}
	for _, d := range b.destinations {
		d.home = 0
	}
	b.SetGone(shop, digestOf("b"), day.Add(time.Hour))
	b.SetJobs(shop, digestOf("b"), true)
	b.SetFailureGone(ops, Image{ID: digestOf("d"), Platform: arm}, day)
	b.SetAbsent(ops, day)
	return b
}

func encoded(t testing.TB, b *Book) []byte {
	t.Helper()
	data, _, _, err := b.Encode(0, 3)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var update = flag.Bool("update", false, "write the golden files")

// Shards that are stored must stay readable. The bytes are compared before they are compressed: flate may write
// them in another way from one version of Go to the next.
func TestGolden(t *testing.T) {
	file := filepath.Join("testdata", fmt.Sprintf("shard.v%d", version))
	b := example()
	data := encoded(t, b)
	if *update {
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, _, raw, packed, err := unseal(data)
	if err != nil {
		t.Fatal(err)
	}
	term, v, goldenRaw, goldenPacked, err := unseal(golden)
	if err != nil || term != 3 || v != version {
		t.Fatalf("term %d, version %d, error %v", term, v, err)
	}
	if !bytes.Equal(raw, goldenRaw) || !bytes.Equal(packed, goldenPacked) {
		t.Errorf("what is written has changed: that needs a new version\n%q\n%q", packed, goldenPacked)
	}
	loaded := New()
	if _, err := loaded.Load(0, golden); err != nil {
		t.Fatal(err)
	}
	if show(loaded) != show(b) {
		t.Errorf("loaded is\n%s\nnot\n%s", show(loaded), show(b))
	}
}

// golden1 returns a shard of version 1, as daemons have stored it: the example without a time of its records.
func golden1(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "shard.v1"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// What a daemon of before has stored is read, needs no write for it, and is written in the last version. The times that
// it does not have are not made up later.
func TestVersion1(t *testing.T) {
	want := example()
	for _, it := range contents(want) {
		it.since = 0
	}
	b := New()
	if term, err := b.Load(0, golden1(t)); err != nil || term != 3 {
		t.Fatalf("term %d, error %v", term, err)
	}
	if show(b) != show(want) || b.Dirty() != nil {
		t.Errorf("loaded is\n%s\nnot\n%s\ndirty %v", show(b), show(want), b.Dirty())
	}
	for _, d := range b.Destinations() {
		for _, h := range b.Held(d) {
			b.Remember([]Told{{Destination: d, Digest: h.Digest, At: time.Unix(1_790_000_000, 0)}})
		}
	}
	if show(b) != show(want) || b.Dirty() != nil {
		t.Errorf("told once more it is\n%s\nnot\n%s\ndirty %v", show(b), show(want), b.Dirty())
	}
	data := encoded(t, b)
	again := New()
	if _, err := again.Load(0, data); err != nil || data[len(magic)] != version {
		t.Fatalf("version %d, error %v", data[len(magic)], err)
	}
	if show(again) != show(want) {
		t.Errorf("written and loaded it is\n%s\nnot\n%s", show(again), show(want))
	}
}

// What is stored is what is loaded, and is written again in the same bytes.
func TestRoundTrip(t *testing.T) {
	for seed := range uint64(40) {
		w := &world{rand.New(rand.NewPCG(seed, 5)), 60, 30}
		b := New()
		for range 60 {
			w.change(b)
			if w.IntN(3) == 0 {
				w.forget(b)
			}
		}
		stored := make(map[int][]byte)
		write(t, b, stored, b.Dirty())
		loaded := load(t, stored)
		if show(loaded) != show(b) || loaded.Dirty() != nil {
			t.Fatalf("seed %d: loaded is\n%s\nnot\n%s\ndirty %v", seed, show(loaded), show(b), loaded.Dirty())
		}
		if what := consistent(loaded); what != "" {
			t.Fatalf("seed %d: %s", seed, what)
		}
		for s, data := range stored {
			if again, _, _, err := loaded.Encode(s, 1); err != nil || !bytes.Equal(again, data) {
				t.Fatalf("seed %d: shard %d is written in %d other bytes, error %v", seed, s, len(again), err)
			}
		}
	}
}

func TestEveryWrongBit(t *testing.T) {
	data := encoded(t, example())
	for i := range 8 * len(data) {
		wrong := slices.Clone(data)
		wrong[i/8] ^= 1 << (i % 8)
		b := New()
		if _, err := b.Load(0, wrong); !errors.Is(err, ErrUnreadable) {
			t.Fatalf("bit %d: error %v", i, err)
		}
		if _, err := Term(wrong); !errors.Is(err, ErrUnreadable) {
			t.Fatalf("bit %d: error of the term: %v", i, err)
		}
		if len(b.Destinations()) > 0 || b.Dirty() != nil {
			t.Fatalf("bit %d: something was loaded", i)
		}
	}
	for n := range len(data) {
		if _, err := New().Load(0, data[:n]); !errors.Is(err, ErrUnreadable) {
			t.Fatalf("cut off after %d bytes: error %v", n, err)
		}
	}
	if _, err := New().Load(0, append(slices.Clone(data), 0)); !errors.Is(err, ErrUnreadable) {
		t.Fatalf("a byte more: error %v", err)
	}
}

// sealed returns parts as Encode would.
func sealed(t testing.TB, raw, packed []byte) []byte {
	t.Helper()
	data, err := seal(1, raw, packed)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// ofVersion returns the bytes of a shard as if they were of another version.
func ofVersion(v byte, data []byte) []byte {
	data = slices.Clone(data)
	data[len(magic)] = v
	binary.BigEndian.PutUint64(data[sumAt:], checksum(data))
	return data
}

func TestUnreadable(t *testing.T) {
	newer := ofVersion(version+1, encoded(t, example()))
	numbers := func(ns ...uint64) []byte {
		var b []byte
		for _, n := range ns {
			b = binary.AppendUvarint(b, n)
		}
		return b
	}
	one := numbers(1, 0, 0, 0) // a destination
	// A record of it up to the number of its findings.
	record := append(slices.Clone(one), numbers(1, 0, 0, digestText, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)...)
	// The same with a time, and whole.
	timed := append(slices.Clone(record[:len(record)-1]), numbers(recordSince, 0, 1_790_000_000, 0, 0, 0)...)
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"nothing":                 {nil, ErrUnreadable},
		"something else":          {[]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: clairwatch}\n"), ErrUnreadable},
		"too long":                {append([]byte(magic), make([]byte, maxData)...), ErrUnreadable},
		"newer":                   {newer, ErrNewer},
		"older":                   {ofVersion(oldest-1, newer), ErrUnreadable},
		"more than version 1 has": {ofVersion(1, sealed(t, nil, timed)), ErrUnreadable},
		"no such flag":            {sealed(t, nil, append(slices.Clone(record[:len(record)-1]), numbers(2*recordSince, 0, 0, 0)...)), ErrUnreadable},
		"no such time":            {sealed(t, nil, append(slices.Clone(record[:len(record)-1]), numbers(recordSince, 1, 0, 0, 0)...)), ErrUnreadable},
		"a beginning too late":    {sealed(t, nil, append(slices.Clone(record[:len(record)-1]), numbers(recordSince, 0, maxTime+1, 0, 0, 0)...)), ErrUnreadable},
		"empty":                   {sealed(t, nil, nil), ErrUnreadable},
		"fewer than it says":      {sealed(t, nil, numbers(1)), ErrUnreadable},
		"more than it says":       {sealed(t, nil, numbers(0, 0, 0, 0)), ErrUnreadable},
		"more hashes":             {sealed(t, make([]byte, 8), numbers(0, 0, 0)), ErrUnreadable},
		"record of nobody":        {sealed(t, make([]byte, 8), append(numbers(0), record[4:]...)), ErrUnreadable},
		"larger when packed out":  {sealed(t, nil, make([]byte, maxPacked+1)), ErrUnreadable},
		"destinations too many":   {sealed(t, nil, numbers(1<<60)), ErrUnreadable},
		"text too long":           {sealed(t, nil, numbers(1, 3, 'a', 'b')), ErrUnreadable},
		"findings too many":       {sealed(t, make([]byte, 8), append(slices.Clone(record), numbers(1<<40)...)), ErrUnreadable},
		"finding of no number":    {sealed(t, make([]byte, 16), append(slices.Clone(record), numbers(1, 7, 0, 0, 0)...)), ErrUnreadable},
		"finding twice":           {sealed(t, make([]byte, 24), append(slices.Clone(record), numbers(2, 0, 0, 0, 0, 0, 0)...)), ErrUnreadable},
		"no such severity":        {sealed(t, make([]byte, 16), append(slices.Clone(record), numbers(1, 0, 6, 0, 0)...)), ErrUnreadable},
		"no such unusual finding": {sealed(t, make([]byte, 16), append(slices.Clone(record), numbers(1, 0, 0, 1, 1, 0, 0)...)), ErrUnreadable},
		"a time too late":         {sealed(t, nil, numbers(1, 0, 0, 1<<62, 0, 0)), ErrUnreadable},
		"no such platform":        {sealed(t, nil, append(slices.Clone(one), numbers(0, 1, 0, digestText, 0, 5, 0, 0, 0, 0)...)), ErrUnreadable},
	} {
		b := New()
		if _, err := b.Load(0, c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v", name, err)
		}
		if len(b.Destinations()) > 0 || b.Dirty() != nil {
			t.Errorf("%s: something was loaded", name)
		}
	}
	// The examples above are what they seem: with a right end they can be read.
	for name, data := range map[string][]byte{
		"nothing":      sealed(t, nil, numbers(0, 0, 0)),
		"a time":       sealed(t, make([]byte, 8), timed),
		"two findings": sealed(t, append(make([]byte, 23), 1), append(slices.Clone(record), numbers(2, 0, 0, 0, 0, 0, 0)...)),
	} {
		if _, err := New().Load(0, data); err != nil {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if term, err := Term(newer); term != 3 || err != nil {
		t.Errorf("the term of a later version is %d, error %v", term, err)
	}
}

// Few bytes must not become much memory.
func TestAllocationIsBounded(t *testing.T) {
	const dictionary = 80_000 // hashes that a shard has room for
	var raw []byte
	for i := range uint64(dictionary + 1) {
		raw = binary.BigEndian.AppendUint64(raw, i)
	}
	zeros := func(n int) []byte { return make([]byte, n) }
	count := func(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }
	// One record with a new finding for each hash, and then others with all of them.
	rows := (maxPacked - 2*dictionary - 100) / (dictionary + 10)
	first := slices.Concat(zeros(13), count(dictionary), zeros(2*dictionary+1))
	var others, failures, names []byte
	for i := range rows {
		others = slices.Concat(others, []byte{0, 0, digestText, 1, byte(i), 0, 0, 1, 1, 0}, count(dictionary), zeros(dictionary+1))
	}
	for i := range maxThings {
		failures = append(failures, 0, digestText, 3, byte(i), byte(i>>8), byte(i>>16), 1, 1, 0, 0)
		names = append(names, 3, byte(i), byte(i>>8), byte(i>>16), 0, 0)
	}
	failures = failures[:10*(maxThings-2)]
	for name, c := range map[string]struct {
		raw, packed []byte
		want        error
	}{
		"destinations":          {nil, slices.Concat(count(maxThings), names, zeros(2)), nil},
		"too many destinations": {nil, slices.Concat(count(maxThings+1), zeros(3*maxThings+5)), ErrUnreadable},
		"findings":              {raw, slices.Concat([]byte{1, 0, 0, 0}, count(1+rows), first, others, zeros(1)), nil},
		"failures":              {nil, slices.Concat([]byte{1, 0, 0, 0, 0}, count(maxThings-1), zeros(9), failures), nil},
		"too many failures":     {nil, slices.Concat([]byte{1, 0, 0, 0, 0}, count(maxThings), zeros(9), failures), ErrUnreadable},
		"the same twice":        {nil, slices.Concat(count(2), zeros(8)), ErrUnreadable},
		"endless when unpacked": {nil, zeros(256 << 20), ErrUnreadable},
	} {
		data := sealed(t, c.raw, c.packed)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := New().Load(0, data)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: error %v", name, err)
		}
		used := (after.TotalAlloc - before.TotalAlloc) >> 20
		t.Logf("%s: %d MiB allocated for %d KiB", name, used, len(data)>>10)
		if used > 200 {
			t.Errorf("%s: %d MiB allocated for %d KiB", name, used, len(data)>>10)
		}
	}
}

func FuzzLoad(f *testing.F) {
	data := encoded(f, example())
	f.Add(data[:len(data)/2])
	f.Add([]byte(magic))
	for _, data := range [][]byte{data, golden1(f)} {
		f.Add(data)
		_, _, raw, packed, err := unseal(data)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append(append([]byte{byte(len(raw))}, raw...), packed...))
		for i := 0; i < len(packed); i += 7 {
			wrong := slices.Clone(packed)
			wrong[i] ^= 3
			f.Add(append(append([]byte{byte(len(raw))}, raw...), wrong...))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		New().Load(0, data)
		Term(data)
		// The checksum would hide all that comes after it.
		if len(data) < 2 || len(data) > maxPacked {
			return
		}
		n := min(int(data[0]), len(data)-1)
		whole := sealed(t, data[1:1+n], data[1+n:])
		for v := byte(oldest); v <= version; v++ {
			loadFuzzed(t, ofVersion(v, whole))
		}
	})
}

// loadFuzzed loads bytes: they are refused whole, or are what they are also when they are stored again.
func loadFuzzed(t *testing.T, data []byte) {
	b := New()
	if _, err := b.Load(0, data); err != nil {
		if !errors.Is(err, ErrUnreadable) || len(b.Destinations()) > 0 {
			t.Fatalf("error %v, with %v loaded", err, b.Destinations())
		}
		return
	}
	if what := consistent(b); what != "" {
		t.Fatal(what)
	}
	stored := make(map[int][]byte)
	for s := range Shards {
		if s == 0 || b.shards[s].dirty() {
			write(t, b, stored, []int{s})
		}
	}
	again := load(t, stored)
	if show(again) != show(b) || again.Dirty() != nil {
		t.Fatalf("once more it is\n%s\nnot\n%s\ndirty %v", show(again), show(b), again.Dirty())
	}
}
