package slack

import "testing"

// BenchmarkMessage builds messages and encodes them, as they are sent.
func BenchmarkMessage(b *testing.B) {
	for name, build := range map[string]func() Message{
		"report":    func() Message { return checkout().Message() },
		"inventory": func() Message { return inventory().Message() },
		"sourced":   func() Message { return change(Sourced, 20).Message() },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := build().JSON(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
