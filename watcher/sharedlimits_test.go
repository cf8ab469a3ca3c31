package watcher

import (
	"slices"
	"strings"
	"testing"

	"github.com/clairwatch/clairwatch/ledger"
	"github.com/clairwatch/clairwatch/registry"
)

// Who has a key of its own and who hears of all the others each hear of an image that cannot be scanned, whoever was
// told first: their channels are two, though their Scanners have one name.
func TestFailureIsNotSharedWithAKeyOfItsOwn(t *testing.T) {
	for first, second := range map[string]string{"own": "shop", "shop": "own"} {
		t.Run(first+" first", func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.settings(map[string]string{"_all": scanner("all"), "own": scanner("own")})
				r.registry.failWith(func(int) error { return registry.ErrNotFound })
				r.run(podOf(first, "app-0", 1))
				r.start()
				r.pass(settled)
				r.run(podOf(second, "app-0", 1))
				r.pass(settled)
				r.wantEach("own", "app1:v1 could not be scanned…own")
				r.wantEach("all", "app1:v1 could not be scanned…shop")
			})
		})
	}
}

// A Scanner of _all that is added hears of what cannot be scanned, though another one has.
func TestFailureIsNotSharedWithAnotherScanner(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		named := func(name string) string {
			return "- name: " + name + "\n  " + strings.ReplaceAll(scanner(name), "\n", "\n  ") + "\n"
		}
		r.settings(map[string]string{"_all": named("a")})
		r.registry.failWith(func(int) error { return registry.ErrNotFound })
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.settings(map[string]string{"_all": named("a") + named("b")})
		r.run(podOf("blog", "app-0", 1))
		r.pass(settled)
		r.wantEach("a", "app1:v1 could not be scanned…shop")
		r.wantEach("b", "app1:v1 could not be scanned")
	})
}

// An image that cannot be scanned for another reason than in the namespace of before is told again.
func TestFailureOfAnotherCauseIsNotShared(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"_all": scanner("all")})
		r.registry.failWith(func(int) error { return registry.ErrNotFound })
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.registry.failWith(func(int) error { return registry.ErrUnsupported })
		r.run(podOf("blog", "app-0", 1))
		r.pass(settled)
		r.wantTexts("could not be scanned: "+advice[CauseNotFound][0]+"…shop", "could not be scanned: "+advice[CauseUnsupported][0]+"…blog")
	})
}

// What a namespace itself causes is never that of another: credentials, the pull secrets of its pods, its number of images.
func TestCausesOfANamespace(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		shop, blog := ledger.Destination{Key: "shop", Name: "default"}, ledger.Destination{Key: "blog", Name: "default"}
		img := func(cause Cause) ledger.Image {
			return ledger.Image{ID: "of " + string(cause), Platform: "linux/amd64"}
		}
		var told []ledger.Told
		for cause := range advice {
			told = append(told, ledger.Told{Destination: shop, Image: img(cause), Failure: ledger.Failure{Cause: string(cause)}, Shared: true})
		}
		r.remember(told...)
		r.settings(map[string]string{"_all": scanner("all")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		for cause := range advice {
			shared := r.w.sharesFailure(blog, img(cause), cause)
			own := slices.Contains([]Cause{"unauthorized", "pull_secret", "over_limit"}, cause)
			if shared == own {
				t.Errorf("%s is shared: %t", cause, shared)
			}
		}
	})
}

// That a Job ends is not told, though its image was told of in another namespace.
func TestAllShareJobs(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"_all": scanner("all")})
		r.run(byJob(podOf("shop", "backup", 1)))
		r.start()
		r.pass(settled)
		r.run(byJob(podOf("blog", "backup", 1)))
		r.pass(settled)
		r.delete("shop", "backup")
		r.delete("blog", "backup")
		r.pass(2 * removalGrace)
		r.wantTexts("app1:v1 is running with")
	})
}
