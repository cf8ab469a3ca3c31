package watcher

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestNamespaceWithoutKey(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		const unwatched = "namespace is not watched"
		r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
		r.start()
		r.run(podOf("shop", "app-2", 3))
		r.pass(settled)
		r.wantTexts()
		r.wantCalls(0)
		r.wantLogged(1, unwatched)
		r.wantLogged(1, "no namespace is watched")

		r.settings(map[string]string{"shop": scanner("shop")})
		r.pass(settled)
		r.wantTexts("Now watching 3 images")

		// What is pending when the key goes is told to nobody.
		r.run(podOf("shop", "app-3", 4))
		r.settings(map[string]string{})
		r.pass(settled)
		r.wantTexts("Now watching 3 images")
		r.wantLogged(2, unwatched)
		if n := r.w.pending.count(); n != 0 {
			t.Errorf("%d pieces of news wait for nobody", n)
		}
		if left := r.w.progress.filter(func(image) bool { return true }); len(left) != 0 {
			t.Errorf("images of nobody are kept: %v", left)
		}

		// And when it comes back, what was told is not told again, and what was not is.
		r.settings(map[string]string{"shop": scanner("shop")})
		r.pass(settled)
		r.wantTexts("Now watching 3 images", "app4:v1 is running with")
	})
}

func TestKeyRemovedDuringScan(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.clairs[clairBase].slow = 20 * time.Second
		r.settings(map[string]string{"shop": scanner("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(10 * time.Second)
		r.settings(map[string]string{})
		r.pass(time.Minute)
		r.wantTexts()
		if n := r.w.pending.count(); n != 0 {
			t.Errorf("%d pieces of news wait for nobody", n)
		}
		if left := r.w.progress.count(); len(left) != 0 {
			t.Errorf("images of nobody are kept: %v", left)
		}
	})
}

func TestMistakesInSettings(t *testing.T) {
	mistakes := map[string]string{
		"no YAML":         "backend: [clair",
		"unknown backend": "backend: trivy\nclairBaseUrl: " + clairBase + "\nslackWebhookUrl: " + webhook("shop"),
		"bad webhook":     "clairBaseUrl: " + clairBase + "\nslackWebhookUrl: https://example.com" + webhookPath + "T/B/secret",
	}
	const logged = "mistake in the settings"
	for name, mistake := range mistakes {
		t.Run(name+" later", func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog")})
				r.start()
				for range 2 {
					r.settings(map[string]string{"shop": mistake, "blog": scanner("blog")})
				}
				r.settings(map[string]string{"shop": mistake, "blog": "# comment\n" + scanner("blog")})
				r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 2))
				r.pass(settled)
				if n := len(r.slack.accepted()); n != 2 {
					t.Errorf("%d messages, want that of each namespace", n)
				}
				r.wantLogged(1, `msg="`+logged+`"`)
				r.wantLogged(1, "the last good settings stay in force")

				r.settings(map[string]string{"shop": scanner("other"), "blog": scanner("blog")})
				r.wantLogged(1, logged+" is mended")
				r.run(podOf("shop", "app-1", 3))
				r.pass(settled)
				sent := r.slack.accepted()
				if want, _ := r.cfg.Webhook(webhook("other")); len(sent) != 3 || sent[2].channel != want.String() {
					t.Errorf("the mended settings are not in force: %v", sent)
				}
			})
		})
		t.Run(name+" from the start", func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.settings(map[string]string{"shop": mistake})
				r.run(podOf("shop", "app-0", 1), podOf("shop", "app-1", 2))
				r.start()
				r.pass(time.Hour)
				r.wantTexts()
				r.wantLogged(1, "the namespace is not watched until it is mended")
				r.wantLogged(0, "it has no key")
				r.settings(map[string]string{"shop": scanner("shop")})
				r.pass(settled)
				r.wantTexts("Now watching 2 images")
			})
		})
	}
}

func TestSettingsDeleted(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		r.start()
		r.check(r.kube.CoreV1().ConfigMaps("clairwatch").Delete(t.Context(), "clairwatch", metav1.DeleteOptions{}))
		r.wantLogged(1, "settings ConfigMap is gone")
		r.run(podOf("shop", "app-0", 1))
		r.pass(settled)
		r.wantTexts()
		r.settings(map[string]string{"shop": scanner("shop")})
		r.pass(settled)
		r.wantTexts("app1:v1 is running with")
	})
}

func TestSettingsOfOthersAreIgnored(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop")})
		m, err := r.kube.CoreV1().ConfigMaps("clairwatch").Get(t.Context(), "clairwatch", metav1.GetOptions{})
		r.check(err)
		m.Name = "kube-root-ca.crt"
		m.Data = nil
		_, err = r.kube.CoreV1().ConfigMaps("clairwatch").Create(t.Context(), m, metav1.CreateOptions{})
		r.check(err)
		r.start()
		r.run(podOf("shop", "app-0", 1))
		r.pass(settled)
		r.wantTexts("app1:v1 is running with")
	})
}

// A second backend and a second notifier are chosen by their names alone.
func TestSeams(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		grype, teams := newFakeClair(), &fakeSlack{}
		r.cfg.Backends["grype"] = func(string) (Clair, error) { return grype, nil }
		r.cfg.Notifiers["teams"] = teams
		r.settings(map[string]string{
			"shop": scanner("shop"),
			"blog": strings.Replace(scannerAt("http://grype.grype/", "blog"), "backend: clair", "backend: grype", 1),
			"news": strings.Replace(scanner("news"), "notifier: slack", "notifier: teams", 1),
			"typo": strings.Replace(scanner("typo"), "notifier: slack", "notifier: temas", 1),
		})
		r.run(podOf("shop", "a", 1), podOf("blog", "b", 2), podOf("news", "c", 3), podOf("typo", "d", 4))
		r.start()
		r.pass(settled)
		r.wantLogged(1, "did you mean")
		if len(grype.called()) == 0 {
			t.Error("the second backend was not asked")
		}
		if sent := teams.accepted(); len(sent) != 1 || !strings.Contains(sent[0].json, "app3") {
			t.Errorf("the second notifier has delivered %v", sent)
		}
		if sent := r.slack.accepted(); len(sent) != 2 {
			t.Errorf("the first notifier has delivered %v", sent)
		}
	})
}
