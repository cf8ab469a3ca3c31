package registry_test

import (
	"testing"

	"github.com/clairwatch/clairwatch/registry"
)

// BenchmarkIdentify reads the image of a container as containerd shows it.
func BenchmarkIdentify(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := registry.Identify("registry.example.com/shop/app:1.27.3", "registry.example.com/shop/app@"+digestA); err != nil {
			b.Fatal(err)
		}
	}
}
