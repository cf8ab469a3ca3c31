package watcher

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/clairwatch/clairwatch/clair"
	"github.com/clairwatch/clairwatch/slack"
)

const (
	// notInShop ignores everything, in the images of the shop only.
	notInShop = "ignore: [{package: openssl, image: 'shop/*'}]\n"
	allHidden = "app1:v1 is running with 1 critical, ignored by this channel's settings"
	visible   = "1 critical in shop/app1:v1 is no longer held back or ignored by this channel's settings"
)

// mirrored is a pod that runs image number 1 under a name that is not the shop's.
func mirrored(name string) *corev1.Pod {
	pod := podOf("shop", name, 1)
	pod.Spec.Containers[0].Image = "registry.example.com/zz/copy:v1" // of two names messages have the first
	return pod
}

// looks counts the reports that Clair was asked for since they were counted last.
func (r *rig) looks() int {
	return len(slices.DeleteFunc(r.clairs[clairBase].called(), func(call string) bool { return call != "report" }))
}

// What is ignored in some images only is told when one of them comes to run under another name too, without any news of
// Clair's; and once, though that name goes and comes and other images are looked at meanwhile.
func TestIgnoredUnderOneName(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop") + notInShop})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.wantTexts(allHidden)
		r.run(mirrored("copy-0"), mirrored("copy-1")) // at once: neither may find the other one's name known
		r.pass(settled)
		r.wantTexts(allHidden, visible)
		r.delete("shop", "copy-1")
		r.pass(settled)
		r.looks()
		r.delete("shop", "copy-0")
		r.pass(settled)
		if n := r.looks(); n != 1 {
			t.Errorf("%d looks when the name has gone, want 1", n)
		}
		for range 3 {
			r.w.lookAllAt(clairBase)
			r.pass(time.Hour)
			r.run(mirrored("copy-0"))
			r.pass(time.Hour)
			r.delete("shop", "copy-0")
			r.pass(time.Hour)
		}
		r.wantTexts(allHidden, visible)
		// Both go, and what is back within 30 days is no news.
		r.delete("shop", "app-0")
		r.pass(2 * removalGrace)
		r.run(mirrored("copy-0"))
		r.pass(time.Hour)
		r.wantTexts(allHidden, visible, "app1:v1 is no longer running")
	})
}

// A pod that is given another name for the image that it runs counts from when that is known to be its name.
func TestIgnoredUntilAPodIsChanged(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop") + notInShop})
		pod := podOf("shop", "app-0", 1)
		r.run(pod)
		r.start()
		r.pass(settled)
		// While the image of a container is being changed nobody knows under which name it runs.
		changed := mirrored("app-0")
		changed.Status.ContainerStatuses[0].ImageID = pod.Status.ContainerStatuses[0].ImageID
		changed.Generation, changed.Status.ObservedGeneration = 2, 1
		r.change(changed)
		r.pass(settled)
		r.w.lookAllAt(clairBase)
		r.pass(time.Hour)
		r.wantTexts(allHidden)
		changed.Status.ObservedGeneration = 2
		r.change(changed)
		r.pass(settled)
		r.wantTexts(allHidden, "1 critical in zz/copy:v1 is no longer")
	})
}

// What waits because an image runs under a name that nobody ignores is not told when that name has gone.
func TestIgnoredSinceANameHasGone(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop") + notInShop})
		r.run(podOf("shop", "app-0", 1), mirrored("copy-0"))
		r.start()
		r.pass(settled)
		r.slack.forget()
		r.slack.set(func(slack.Webhook) error { return &slack.Error{Kind: slack.Temporary} })
		r.finds(1, critical, high)
		r.pass(time.Minute)
		if n := r.w.pending.count(); n != 1 {
			t.Fatalf("%d pieces of news wait, want 1", n)
		}
		r.delete("shop", "copy-0")
		r.pass(settled)
		if n := r.w.pending.count(); n != 0 {
			t.Errorf("%d pieces of news wait, of what is ignored", n)
		}
		r.slack.set(nil)
		r.pass(time.Hour)
		r.wantTexts()
	})
}

// An ignore of some images that an edit adds takes back what was told, as any does, also after the names have changed.
func TestIgnoreOfImagesIsAdded(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		const running = "app1:v1 is running with 1 critical"
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1), mirrored("copy-0"))
		r.start()
		r.pass(settled)
		r.wantTexts(running)
		r.settings(map[string]string{"shop": scanner("shop") + notInShop})
		r.pass(settled)
		r.delete("shop", "copy-0")
		r.pass(time.Hour)
		told := func() int {
			c, _ := r.w.book.Told(r.w.assigned.Load().of("shop")[0].destination, digest(1))
			return c.Total()
		}
		if told() != 1 {
			t.Error("a name that has gone takes back what was told")
		}
		r.settings(map[string]string{"shop": scanner("shop") + "ignore: [{id: CVE-2026-0001, image: 'shop/*'}]\n"})
		r.pass(time.Hour)
		if told() != 0 {
			t.Error("what is ignored counts as told")
		}
		r.settings(map[string]string{"shop": scanner("shop")})
		r.pass(time.Hour)
		r.wantTexts(running, visible)
	})
}

// Where nobody ignores anything in some images only, another name has nothing looked at.
func TestAnotherNameIsNoNews(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop") + "ignore: [{package: openssl}]\n"})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.looks()
		r.run(mirrored("copy-0"))
		r.pass(time.Hour)
		r.delete("shop", "copy-0")
		r.pass(time.Hour)
		if n := r.looks(); n != 0 {
			t.Errorf("%d looks, want none", n)
		}
		r.settings(map[string]string{"shop": scanner("shop") + notInShop})
		r.pass(time.Hour)
		r.looks()
		r.run(podOf("shop", "app-1", 1))
		r.delete("shop", "app-0")
		r.pass(time.Hour)
		if n := r.looks(); n != 0 {
			t.Errorf("%d looks at an image whose name has stayed, want none", n)
		}
	})
}

// What is kept of names goes with the records.
func TestJudgementsAreForgotten(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop") + notInShop})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(time.Hour)
		r.delete("shop", "app-0")
		r.pass(time.Hour)
		if n := len(r.w.judged.of); n != 1 {
			t.Errorf("%d images of which there is a record, want 1", n)
		}
		r.w.book.Forget(r.w.assigned.Load().of("shop")[0].destination, digest(1))
		r.pass(2 * sweepEvery)
		if n := len(r.w.judged.of); n != 0 {
			t.Errorf("%d are kept of which there is no record", n)
		}
	})
}

// Tags and digests make no names: no ignore goes by them.
func TestAnotherTagIsNoName(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop") + notInShop})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.looks()
		for n, suffix := range []string{":build-1", ":build-2", "", ":build-3@" + digest(1)} {
			pod := podOf("shop", fmt.Sprintf("app-%d", n+1), 1)
			pod.Spec.Containers[0].Image = "registry.example.com/shop/app1" + suffix
			r.run(pod)
			r.pass(time.Minute)
			r.delete("shop", pod.Name)
			r.pass(time.Minute)
		}
		if n := r.looks(); n != 0 {
			t.Errorf("%d looks at an image that got other tags, want none", n)
		}
		r.wantTexts(allHidden)
	})
}

// Of an image with more names than it is judged by nothing is ignored that is ignored in some images only, whatever the
// names are, until they are fewer.
func TestIgnoredUnderTooManyNames(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		named := func(n int) *corev1.Pod {
			pod := podOf("shop", fmt.Sprintf("app-%d", n), 1)
			pod.Spec.Containers[0].Image = fmt.Sprintf("registry.example.com/shop/app-%02d:v1", n)
			return pod
		}
		const running = "app-00:v1 is running with 1 critical, ignored by this channel's settings"
		const tooMany = "app-00:v1 is no longer held back or ignored"
		r.settings(map[string]string{"shop": scanner("shop") + notInShop})
		for n := range mostNames {
			r.run(named(n))
		}
		r.start()
		r.pass(settled)
		r.wantTexts(running)
		r.run(named(mostNames))
		r.pass(settled)
		r.wantTexts(running, tooMany)
		r.looks()
		for n := range 3 {
			r.run(named(mostNames + 1 + n))
			r.pass(time.Minute)
		}
		for n := range 3 {
			r.delete("shop", named(n).Name)
			r.pass(time.Minute)
		}
		if n := r.looks(); n != 0 {
			t.Errorf("%d looks while the names are too many, want none", n)
		}
		r.slack.forget()
		r.delete("shop", named(mostNames).Name)
		r.pass(settled)
		if n := r.looks(); n != 1 {
			t.Errorf("%d looks when the names are few enough, want 1", n)
		}
		r.finds(1, critical, high)
		r.pass(time.Hour)
		r.wantTexts()
	})
}

// However many names there are, no more of them are compared with the ignores than an image is judged by.
func TestNamesAreBounded(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop") + notInShop})
		for n := range 3 * mostNames {
			pod := podOf("shop", fmt.Sprintf("app-%d", n), 1)
			pod.Spec.Containers[0].Image = fmt.Sprintf("registry.example.com/shop/app-%d:v1", n)
			r.run(pod)
		}
		r.start()
		r.pass(settled)
		for key, j := range r.w.judged.of {
			if len(j.names) != mostNames+1 {
				t.Errorf("%d names are kept of %v, want %d", len(j.names), key, mostNames+1)
			}
		}
		if n := len(r.w.judged.of); n != 1 {
			t.Errorf("%d images were judged, want 1", n)
		}
	})
}

// What was told of an image under one name stays told while that name is away, unless somebody decides anew.
func TestIgnoredWhileANameIsAway(t *testing.T) {
	later := time.Now().AddDate(1, 0, 0).UTC().Format("2006-01-02")
	for name, c := range map[string]struct {
		rules string
		told  bool
	}{
		"another ignore":            {"ignore: [{package: openssl, image: 'shop/*'}, {id: CVE-1999-0001}]\n", true},
		"another one of images":     {"ignore: [{id: CVE-1999-0001, image: 'shop/*'}, {package: openssl, image: 'shop/*'}]\n", true},
		"a reason":                  {"ignore: [{package: openssl, image: 'shop/*', reason: why}]\n", true},
		"an end":                    {"ignore: [{package: openssl, image: 'shop/*', until: " + later + "}]\n", true},
		"a threshold":               {notInShop + "minSeverity: High\n", true},
		"the same, of all images":   {"ignore: [{package: openssl}]\n", false},
		"another one, that fits":    {"ignore: [{package: openssl, image: 'shop/*'}, {id: CVE-2026-0001, image: 'shop/*'}]\n", false},
		"the same, of fewer images": {"ignore: [{package: openssl, image: 'shop/app*'}]\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				const running = "app1:v1 is running with 1 critical"
				r.settings(map[string]string{"shop": scanner("shop") + notInShop})
				r.run(podOf("shop", "app-0", 1), mirrored("copy-0"))
				r.start()
				r.pass(settled)
				r.delete("shop", "copy-0")
				r.pass(time.Hour)
				r.settings(map[string]string{"shop": scanner("shop") + c.rules})
				r.pass(time.Hour)
				if told, _ := r.w.book.Told(r.w.assigned.Load().of("shop")[0].destination, digest(1)); (told.Total() == 1) != c.told {
					t.Errorf("%d are told, want that it stays told to be %t", told.Total(), c.told)
				}
				if !c.told {
					return
				}
				r.run(mirrored("copy-1"))
				r.pass(time.Hour)
				r.wantTexts(running)
			})
		})
	}
}

// An ignore of some images that was none for a while is a new one when it is there again.
func TestIgnoreOfImagesComesAgain(t *testing.T) {
	const running = "app1:v1 is running with 1 critical, ignored by this channel's settings"
	until := func(at time.Duration) string {
		return "ignore: [{package: openssl, image: 'shop/*', until: '" + time.Now().Add(at).UTC().Format(time.RFC3339) + "'}]\n"
	}
	for name, c := range map[string]struct{ first, again func() string }{
		"taken out": {func() string { return notInShop }, func() string { return notInShop }},
		"ended":     {func() string { return until(time.Hour) }, func() string { return until(24 * time.Hour) }},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				with := func(rules string) {
					t.Helper()
					r.settings(map[string]string{"shop": scanner("shop") + rules})
					r.pass(2 * time.Hour)
				}
				r.run(podOf("shop", "app-0", 1))
				r.settings(map[string]string{"shop": scanner("shop") + c.first()})
				r.start()
				r.pass(2 * time.Hour)
				if name == "taken out" {
					with("")
				}
				r.wantTexts(running, visible)
				with(c.again())
				with("")
				r.wantTexts(running, visible, visible)
			})
		})
	}
}

// An ignore takes back what was told also if the image is looked at again before the message of the look is accepted, or
// if the look has to wait for Clair's data.
func TestIgnoreIsAddedWithAnotherClair(t *testing.T) {
	for name, disturb := range map[string]func(r *rig){
		"looked at twice": func(r *rig) {
			r.slack.set(func(slack.Webhook) error { return &slack.Error{Kind: slack.Temporary} })
			r.pass(time.Minute)
			r.w.lookAllAt(secondBase)
			r.pass(time.Minute)
			if r.w.pending.count() != 1 {
				r.t.Fatalf("%d pieces of news wait, want 1", r.w.pending.count())
			}
			r.slack.set(nil)
		},
		"loading": func(r *rig) {
			r.pass(time.Minute)
			r.wantTexts("is running with")
		},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.clairs[secondBase].found[digest(1)] = []vulnerability{critical, high}
				r.clairs[secondBase].indexed[digest(1)] = true
				if name == "loading" {
					r.clairs[secondBase].updaters = []clair.Updater{updater("debian", 0)}
				}
				r.settings(map[string]string{"shop": scanner("shop")})
				r.run(podOf("shop", "app-0", 1))
				r.start()
				r.pass(settled)
				r.settings(map[string]string{"shop": scannerAt(secondBase, "shop") + "ignore: [{id: CVE-2026-0001, image: 'shop/*'}]\n"})
				disturb(r)
				r.pass(time.Hour)
				r.wantTexts("is running with", "by another Clair")
				r.settings(map[string]string{"shop": scannerAt(secondBase, "shop")})
				r.pass(time.Hour)
				r.wantTexts("is running with", "by another Clair", visible)
			})
		})
	}
}
