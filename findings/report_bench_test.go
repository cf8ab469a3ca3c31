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
