package findings

import "testing"

// BenchmarkFromClair flattens the largest report that was recorded, which has 1 MB.
func BenchmarkFromClair(b *testing.B) {
	for _, name := range []string{"big.json.gz", "enriched.json"} {
		vr := decode(b, recording(b, name))
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				FromClair(vr)
			}
		})
	}
}

// BenchmarkSummarize sums up the largest report that was recorded, as a message tells it.
func BenchmarkSummarize(b *testing.B) {
	r := FromClair(decode(b, recording(b, "big.json.gz")))
	b.ReportAllocs()
	for b.Loop() {
		r.Summarize(12, Rules{})
	}
}
