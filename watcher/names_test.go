package watcher

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

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
