package watcher

import (
	"fmt"
	"strings"
	"testing"

	"github.com/clairwatch/clairwatch/clair"
)

// Each key with mistakes of its own is named with all of them; one that no namespace can have may be a part of a webhook,
// and is not repeated. Whoever only inherits a mistake is not named.
func TestMistaken(t *testing.T) {
	const secret = "rkQz81bWmNe5TyUa7sDfGh3J"
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop"), "blog": scanner("blog")})
		r.start()
		r.settings(map[string]string{
			"_defaults": "minSeverity: Lwo\n", "shop": scanner("shop") + "colour: red\nnmae: x\n", "blog": scanner("blog"), secret: scanner("lab"),
		})
		got := make(map[string]Mistaken)
		for _, m := range r.w.Mistaken() {
			got[m.Key] = m
		}
		if len(got) != 3 || len(got["_defaults"].Mistakes) != 1 || len(got["shop"].Mistakes) != 2 || len(got["(no namespace)"].Mistakes) != 1 {
			t.Errorf("%+v", got)
		}
		if effect := got["shop"].Effect; effect != "the last good settings stay in force" {
			t.Errorf("shop: %s", effect)
		}
		if strings.Contains(fmt.Sprint(got), secret) {
			t.Errorf("a key is shown: %v", got)
		}
	})
}

// How often entries of ignore match is not known as long as an image has no report.
func TestExplainIgnoreIsNotCounted(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.settings(map[string]string{"shop": scanner("shop") + "ignore: [{id: CVE-2026-0001}]\n"})
		r.clairs[clairBase].found[digest(1)] = mixed
		r.run(podOf("shop", "app-0", 1))
		r.start()
		r.pass(settled)
		if s := r.explain("shop", "").Scanners[0]; !s.IgnoreCounted || s.Ignore[0].Matches != 1 {
			t.Errorf("%+v", s)
		}
		r.clairs[clairBase].set(func(c *fakeClair) {
			c.failOf = map[string]error{digest(2): &clair.Error{Op: "asking for the report", Kind: clair.TooLarge}}
		})
		r.run(podOf("shop", "app-1", 2))
		r.pass(settled)
		if s := r.explain("shop", "").Scanners[0]; s.IgnoreCounted {
			t.Errorf("%+v", s)
		}
	})
}
