package watcher

import (
	"slices"
	"testing"
	"time"
)

// Of two Clairs one may be deleted from. The other one has nothing deleted, however long nothing has run.
func TestDeletedWhereItIsAllowed(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.DeleteFrom = []string{secondBase}
		both := "- name: one\n  clairBaseUrl: " + clairBase + "\n  slackWebhookUrl: " + webhook("shop") +
			"\n- name: two\n  clairBaseUrl: " + secondBase + "\n  slackWebhookUrl: " + webhook("shop") + "\n"
		r.settings(map[string]string{"shop": both})
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		r.delete("shop", "app-0")
		r.pass(deleteGrace + deleteAgain + time.Hour)
		if deleted := r.clairs[secondBase].deleted; !slices.Equal(deleted, []string{digest(1)}) {
			t.Errorf("deleted %v where it is allowed", deleted)
		}
		if deleted := r.clairs[clairBase].deleted; len(deleted) > 0 {
			t.Errorf("deleted %v where nobody has allowed it", deleted)
		}
	})
}

// An image that ended in one namespace long ago and in another a moment ago was in use until a moment ago.
func TestDeletedAfterTheLastUse(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.cfg.DeleteFrom = []string{clairBase}
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog")})
		r.run(podOf("shop", "app-0", 1), podOf("blog", "app-0", 1))
		r.start()
		r.pass(settled)
		r.delete("shop", "app-0")
		r.pass(deleteGrace + time.Hour)
		r.delete("blog", "app-0")
		r.pass(deleteGrace - time.Hour)
		if deleted := r.clairs[clairBase].deleted; len(deleted) > 0 {
			t.Errorf("deleted %v too early", deleted)
		}
		r.pass(2*time.Hour + removalGrace)
		if deleted := r.clairs[clairBase].deleted; !slices.Equal(deleted, []string{digest(1)}) {
			t.Errorf("deleted %v", deleted)
		}
	})
}
