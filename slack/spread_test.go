package slack

import (
	"strings"
	"testing"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/findings"
)

// One version ends a vulnerability only when it does so in all images, also in those that no row shows.
func TestWidespreadFixesOfAllImages(t *testing.T) {
	w := widespread()
	for len(w.Rows) <= mostAffected {
		w.Rows = append(w.Rows, w.Rows[0])
	}
	const differs = "fixes differ by image"
	if text := w.Message().Text(); strings.Contains(text, differs) {
		t.Errorf("of one version: %q", text)
	}
	for name, fixed := range map[string]string{"another version": "3.5.4-1", "none": ""} {
		w.Rows[len(w.Rows)-1].FixedIn = fixed
		m := w.Message()
		payload, err := m.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(m.Text(), differs) || !strings.Contains(string(payload), "Update to") {
			t.Errorf("%s in an image that is not shown: %s", name, payload)
		}
	}
}

// A link is as long as what Slack gets, in which & takes five characters.
func TestAnchorIsShort(t *testing.T) {
	const begin = "https://example.com/?"
	if anchor("All images", begin+strings.Repeat("&", (longestLink-len(begin))/len("&amp;"))) == nil {
		t.Error("an address that fits is no link")
	}
	if anchor("All images", begin+strings.Repeat("&", longestLink/2)) != nil {
		t.Error("an address that is too long once it is escaped is a link")
	}
}

// A word that ends where the excerpt does is whole.
func TestExcerptKeepsItsLastWord(t *testing.T) {
	if got, want := excerpt("aaa bbb cc dd", 11), "aaa bbb cc…"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What the rules hold back is said also where there is nothing else to say.
func TestInventorySaysWhatIsHeldBack(t *testing.T) {
	v := Inventory{
		Images: 1, Counts: findings.Counts{High: 1}, Hidden: findings.Counts{Low: 3}, Rules: findings.Rules{MinSeverity: claircore.High},
		Worst: []Row{{Image: Image{Name: "registry.example.com/shop/api:1"}, Counts: findings.Counts{High: 1}}},
	}
	payload, err := v.Message().JSON()
	if err != nil {
		t.Fatal(err)
	}
	if want := "Not counted here: 3 vulnerabilities below this channel's minimum severity (high)"; !strings.Contains(string(payload), want) {
		t.Errorf("does not say %q: %s", want, payload)
	}
	v.Hidden = findings.Counts{}
	if payload, err = v.Message().JSON(); err != nil || strings.Contains(string(payload), "Not counted") {
		t.Errorf("of nothing held back: %s, %v", payload, err)
	}
}
