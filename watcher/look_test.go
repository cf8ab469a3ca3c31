package watcher

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// reference is image number n of the shop, and what a container's status says when it runs it.
func reference(n int) (image, id string) {
	return fmt.Sprintf("registry.example.com/shop/app%d:v1", n), fmt.Sprintf("registry.example.com/shop/app%d@%s", n, digest(n))
}

// The ways in which a pod has image number 2 beside number 1.
var besides = map[string]func() []*corev1.Pod{
	"init": func() []*corev1.Pod {
		pod := podOf("shop", "app-0", 1)
		image, id := reference(2)
		pod.Spec.InitContainers = []corev1.Container{{Name: "setup", Image: image}}
		pod.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "setup", Image: image, ImageID: id}}
		return []*corev1.Pod{pod}
	},
	"ephemeral": func() []*corev1.Pod {
		pod := podOf("shop", "app-0", 1)
		image, id := reference(2)
		pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: image}}}
		pod.Status.EphemeralContainerStatuses = []corev1.ContainerStatus{{Name: "debug", Image: image, ImageID: id}}
		return []*corev1.Pod{pod}
	},
	"volumes": func() []*corev1.Pod {
		image, _ := reference(2)
		return []*corev1.Pod{mounting(image + "@" + digest(2))}
	},
	"finished": func() []*corev1.Pod {
		ended := podOf("shop", "migration", 2)
		ended.Status.Phase = corev1.PodSucceeded
		return []*corev1.Pod{podOf("shop", "app-0", 1), ended}
	},
}

// An image that is not looked at is not told, and neither is that it is not looked at any more: it runs.
func TestLookOffAndOn(t *testing.T) {
	const first, second, gone = "shop/app1:v1 is running with", "shop/app2:v1", "app1:v1 is no longer running"
	for name, pods := range besides {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				look := func(yes bool) {
					r.settings(map[string]string{"shop": scanner("shop") + fmt.Sprintf("look: {%s: %v}\n", name, yes)})
					r.pass(2 * removalGrace)
				}
				r.run(pods()...)
				look(false)
				r.start()
				r.pass(lookedAt)
				r.wantTexts(first)
				if n := len(r.w.Running()); n != 1 {
					t.Errorf("the pages show %d images, want one", n)
				}
				look(true)
				r.wantTexts(first, second)
				look(false)
				r.wantTexts(first, second)
				r.restart()
				r.pass(2 * removalGrace)
				look(true)
				r.restart()
				r.pass(2 * removalGrace)
				r.wantTexts(first, second)
				// What nobody looks at ends in silence.
				look(false)
				for _, pod := range pods() {
					r.delete("shop", pod.Name)
				}
				r.pass(2 * removalGrace)
				r.wantTexts(first, second, gone)
				look(true)
				r.wantTexts(first, second, gone)
			})
		})
	}
}

// Of two Scanners each has its own look.
func TestLookOfEach(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": "- clairBaseUrl: " + clairBase + "\n  slackWebhookUrl: " + webhook("shop") + "\n" +
			"- name: apps\n  clairBaseUrl: " + clairBase + "\n  slackWebhookUrl: " + webhook("apps") + "\n  look: {init: false}\n"})
		r.run(besides["init"]()...)
		r.start()
		r.pass(lookedAt)
		r.wantEach("shop", "Now watching 2 images")
		r.wantEach("apps", "shop/app1:v1 is running with")
		r.delete("shop", "app-0")
		r.pass(2 * removalGrace)
		r.wantEach("shop", "Now watching 2 images", "2 images are no longer running")
		r.wantEach("apps", "shop/app1:v1 is running with", "app1:v1 is no longer running")
	})
}

// A pod that ends is still there: its image is not told as gone.
func TestFinishedWhileItIsLookedAt(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop") + "look: {finished: false}\n"})
		pod := podOf("shop", "app-0", 1)
		r.run(pod)
		r.start()
		r.pass(settled)
		ended := pod.DeepCopy()
		ended.Status.Phase = corev1.PodFailed
		r.change(ended)
		r.pass(2 * removalGrace)
		r.wantTexts("app1:v1 is running with")
		if n := len(r.w.Running()); n != 0 {
			t.Errorf("the pages show %d images", n)
		}
		r.delete("shop", "app-0")
		r.pass(2 * removalGrace)
		r.run(podOf("shop", "app-1", 1))
		r.pass(lookedAt)
		r.wantTexts("app1:v1 is running with")
	})
}

// The author of a pod can take it out where the Scanner lets that be, and put it back.
func TestOptOut(t *testing.T) {
	out := func(pod *corev1.Pod, value string) *corev1.Pod {
		pod = pod.DeepCopy()
		pod.Annotations = map[string]string{optOut: value}
		return pod
	}
	inRig(t, func(t *testing.T, r *rig) {
		app, quiet := podOf("shop", "app-0", 1), podOf("shop", "quiet", 2)
		r.settings(map[string]string{"shop": scanner("shop") + "look: {optOut: true}\n"})
		r.run(app, out(quiet, "false"))
		r.start()
		r.pass(settled)
		r.wantTexts("app1:v1 is running with")
		r.change(out(app, "false"))
		r.pass(2 * removalGrace)
		if n := len(r.w.Running()); n != 0 {
			t.Errorf("the pages show %d images", n)
		}
		r.restart()
		r.pass(2 * removalGrace)
		r.change(out(app, "true")) // no other value takes it out
		r.pass(2 * removalGrace)
		r.wantTexts("app1:v1 is running with")
		r.change(quiet)
		r.pass(2 * removalGrace)
		r.wantTexts("app1:v1 is running with", "app2:v1 is running with")
		// Where the Scanner does not let it be the annotation says nothing.
		r.run(out(podOf("shop", "other", 3), "false"))
		r.pass(settled)
		r.wantTexts("app1:v1 is running with", "app2:v1 is running with")
		r.settings(map[string]string{"shop": scanner("shop")})
		r.pass(settled)
		r.wantTexts("app1:v1 is running with", "app2:v1 is running with", "app3:v1 is running with")
		r.settings(map[string]string{"shop": scanner("shop") + "look: {optOut: true}\n"})
		r.pass(2 * removalGrace)
		r.delete("shop", "other")
		r.pass(2 * removalGrace)
		r.wantTexts("app1:v1 is running with", "app2:v1 is running with", "app3:v1 is running with")
	})
}

// until is a time from now as an ignore has it.
func until(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }

// What was ignored until a time is told as visible from then on, once, without that anything else happens.
func TestIgnoreEnds(t *testing.T) {
	const first, visible = "app1:v1 is running with 1 high", "👀…CVE-2026-0001"
	for name, test := range map[string]struct {
		key  string
		away bool // it ends while no daemon runs
	}{"key": {key: "shop"}, "all": {key: "_all"}, "away": {key: "shop", away: true}} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.clairs[clairBase].found[digest(1)] = []vulnerability{critical, high}
				r.settings(map[string]string{test.key: scanner("shop") + "ignore: [{id: cve-2026-0001, until: '" + until(2*time.Hour) + "'}]\n"})
				r.run(podOf("shop", "app-0", 1))
				r.start()
				r.pass(time.Hour)
				r.wantTexts(first)
				if test.away {
					r.skip(2 * time.Hour)
				} else {
					r.pass(time.Hour - time.Minute)
					r.wantTexts(first)
				}
				r.pass(lookedAt)
				r.wantTexts(first, visible)
				r.pass(24 * time.Hour)
				r.restart()
				r.pass(24 * time.Hour)
				// That it is taken out then changes nothing.
				r.settings(map[string]string{test.key: scanner("shop")})
				r.pass(time.Hour)
				r.wantTexts(first, visible)
			})
		})
	}
}
