package watcher

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// byFile is settings whose webhook is in a file.
func byFile(name string) string {
	return "clairBaseUrl: " + clairBase + "\nslackWebhookFile: " + name + "\n"
}

// put writes a file of the folder of webhooks as the kubelet does: in one step. An empty text takes it away.
func (r *rig) put(name, text string) {
	r.t.Helper()
	path := filepath.Join(r.cfg.WebhookFolder, name)
	if text == "" {
		r.check(os.Remove(path))
		return
	}
	r.check(os.WriteFile(path+".new", []byte(text), 0o600))
	r.check(os.Rename(path+".new", path))
}

func TestWebhookFile(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.WebhookFolder = t.TempDir()
		const mistake = "Warning SettingsMistake shop.slackWebhookFile (line 2): "
		missing := mistake + "there is no file shop in " + r.cfg.WebhookFolder + " (webhookFolder): put it into the Secret that is mounted there; "
		r.settings(map[string]string{"shop": byFile("shop"), "blog": scanner("blog")})
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 2))
		r.start()
		r.pass(time.Hour)
		r.wantTold(missing + "the namespace is not watched until it is mended")
		r.wantLogged(1, "mistake in the settings")
		r.wantEach("blog", "app2:v1 is running with")

		// It appears.
		r.put("shop", webhook("shop")+"\n")
		r.pass(2*sweepEvery + settled)
		r.wantTold("Normal SettingsMended shop: mended")
		r.wantEach("shop", "app1:v1 is running with")

		// It rotates: what is new goes to the other channel, and nothing is repeated.
		r.put("shop", webhook("other"))
		r.pass(2 * sweepEvery)
		r.run(podOf("shop", "app-1", 3))
		r.pass(time.Hour)
		r.wantEach("shop", "app1:v1 is running with")
		r.wantEach("other", "app3:v1 is running with")
		r.wantTold()

		// What is no webhook leaves the last good one in force, until it is one again.
		r.put("shop", "https://example.com"+webhookPath+"X/B/secret")
		r.pass(2 * sweepEvery)
		r.wantTold(mistake + "what the file shop holds: ")
		if got := r.metric("clairwatch_settings_mistakes", "shop"); got != 1 {
			t.Errorf("%v mistakes, want 1", got)
		}
		r.put("shop", "")
		r.pass(2 * sweepEvery)
		r.wantTold(missing + "the last good settings stay in force")
		r.run(podOf("shop", "app-2", 4))
		r.pass(settled)
		r.wantEach("other", "app3:v1", "app4:v1 is running with")
		r.put("shop", webhook("other"))
		r.pass(2 * sweepEvery)
		r.wantTold("Normal SettingsMended shop: mended")

		// What is wrong with the text is said, not what is with the file of before.
		r.settings(map[string]string{"shop": byFile("shop") + "minSeverty: Low\n", "blog": scanner("blog")})
		r.put("shop", "")
		r.pass(2 * sweepEvery)
		r.wantTold("Warning SettingsMistake shop.minSeverty (line 3): ")
		r.pass(time.Hour)
		r.run(podOf("shop", "app-3", 5))
		r.pass(settled)
		r.wantTold()
		r.wantEach("other", "app3:v1", "app4:v1", "app5:v1 is running with")
		r.settings(map[string]string{"shop": byFile("shop"), "blog": scanner("blog")})
		r.wantTold(mistake + "there is no file shop")

		// After a restart nobody knows the last good one.
		r.restart()
		r.run(podOf("shop", "app-4", 6))
		r.pass(time.Hour)
		r.wantTold(missing + "the namespace is not watched")
		r.put("shop", webhook("other"))
		r.pass(2*sweepEvery + settled)
		r.wantTold("Normal SettingsMended shop: mended")
		r.wantEach("other", "app3:v1", "app4:v1", "app5:v1", "app6:v1 is running with")
		r.wantEach("shop", "app1:v1")
		r.wantEach("blog", "app2:v1")
	})
}

// One file serves many keys, and those of others are not harmed by one that is wrong.
func TestWebhookFileOfMany(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.WebhookFolder = t.TempDir()
		r.put("team", webhook("team"))
		r.settings(map[string]string{"_defaults": "clairBaseUrl: " + clairBase + "\nslackWebhookFile: team", "_all": "name: default", "shop": "minSeverity: Low", "blog": "slackWebhookFile: blog"})
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 2), podOf("lab", "app-0", 3))
		r.start()
		r.pass(settled)
		r.wantEach("team", "Now watching 2 images")
		r.wantTold("Warning SettingsMistake blog.slackWebhookFile (line 1): there is no file blog")
		r.put("team", webhook("other"))
		r.pass(2 * sweepEvery)
		r.run(podOf("shop", "app-1", 4), podOf("lab", "app-1", 5))
		r.pass(settled)
		r.wantEach("team", "Now watching 2 images")
		r.wantEach("other", "app4:v1 is running with", "app5:v1 is running with")
	})
}

// Of a list the Scanner is named; a file that all inherit has no line of the key's; and a folder that is not there is said
// to be missing.
func TestWebhookFileIsNamed(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.WebhookFolder = filepath.Join(t.TempDir(), "none")
		r.settings(map[string]string{
			"_defaults": "clairBaseUrl: " + clairBase + "\nslackWebhookFile: all",
			"list":      "- name: a\n  slackWebhookUrl: " + webhook("a") + "\n- name: b\n  slackWebhookFile: b",
			"inherits":  "minSeverity: Low",
		})
		r.start()
		missing := r.cfg.WebhookFolder + " (webhookFolder) does not exist: mount a Secret there that has a file "
		r.wantTold("Warning SettingsMistake inherits.slackWebhookFile: "+missing+"all", "Warning SettingsMistake list[1].slackWebhookFile (line 4): "+missing+"b")
	})
}

// A mistake in what all inherit does not hide that a file has gone, and what was in force stays so.
func TestWebhookFileGoneWhileDefaultsAreWrong(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.WebhookFolder = t.TempDir()
		r.put("shop", webhook("shop"))
		r.settings(map[string]string{"_defaults": "minSeverity: Low", "shop": byFile("shop")})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.settings(map[string]string{"_defaults": "minSeverity: Lwo", "shop": "# another line\n" + byFile("shop")})
		r.wantTold("Warning SettingsMistake _defaults.minSeverity (line 1): ")
		r.put("shop", "")
		r.pass(2 * sweepEvery)
		r.wantTold("Warning SettingsMistake shop.slackWebhookFile: there is no file shop in " + r.cfg.WebhookFolder + " (webhookFolder): put it into the Secret that is mounted there; the last good settings stay in force") // the line of what is in force is another
		r.wantLogged(2, "mistake in the settings")
		r.run(podOf("shop", "app-1", 2))
		r.pass(settled)
		r.wantEach("shop", "app1:v1 is running with", "app2:v1 is running with")
		r.put("shop", webhook("shop"))
		r.pass(2 * sweepEvery)
		r.wantTold()
		r.settings(map[string]string{"_defaults": "minSeverity: Low", "shop": byFile("shop")})
		r.wantTold("Normal SettingsMended _defaults: mended", "Normal SettingsMended shop: mended")
	})
}
