package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/clairwatch/clairwatch/slack/slackstand"
)

// TestRead understands messages, and says so where it cannot.
func TestRead(t *testing.T) {
	section := func(text string) string {
		return `{"type":"context","elements":[{"type":"mrkdwn","text":"` + text + `"}]}`
	}
	table := func(cells ...string) string {
		var row []string
		for _, c := range cells {
			row = append(row, `{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":"`+c+`"}]}]}`)
		}
		return `{"type":"table","rows":[[` + strings.Join(row, ",") + `]]}`
	}
	message := func(text string, blocks ...string) string {
		return `{"text":"` + text + `","attachments":[{"fallback":"` + text + `","blocks":[` + strings.Join(blocks, ",") + `]}]}`
	}
	const (
		second = "CVE-2099-0002"
		all    = "disclosed " + web + " " + cve + ", disclosed " + web + " " + second + ", disclosed " + api + " " + cve + ", disclosed " + api + " " + second
	)
	for _, test := range []struct {
		name, payload, want string
		more                int
		strange             string
	}{
		{"a report", message("🔴 "+web+" is running with 2 critical", table("glibc", second), section("and 4 more")), "running " + web, 0, ""},
		{"an inventory", message("🔴 Now watching 2 images in north: 2 critical", table(web), table(api)), "running " + web + ", running " + api, 0, ""},
		{"one that could not be scanned", message("🆕 2 new images in north", table(web), section("Unauthorized: `"+api+"`")), "running " + web + ", could not be scanned " + api, 0, ""},
		{"an inventory of many", message("Now watching 20 images", table(web), section("12 more with vulnerabilities")), "running " + web, 0, "it does not name all"},
		{"in one image", message("🔴 "+web+": 1 newly disclosed high vulnerability", table("glibc", cve)), "disclosed " + web + " " + cve, 0, ""},
		{"more in one image", message("🔴 "+web+": 3 newly disclosed vulnerabilities, 2 high", table("glibc", cve+" and 2 more")), "disclosed " + web + " " + cve, 2, ""},
		{"more than it counts", message("🔴 "+web+": 1 newly disclosed vulnerability", table(cve, second)), "disclosed " + web + " " + cve + ", disclosed " + web + " " + second, -1, "it names more"},
		{"in two images", message("🔴 "+cve+" (high) in glibc now affects 2 running images; no fix yet", table(web), table(api)), "disclosed " + web + " " + cve + ", disclosed " + api + " " + cve, 0, ""},
		{"in many images", message("🔴 "+cve+" now affects 20 running images", table(web), section("8 of 20 images")), "disclosed " + web + " " + cve, 0, "it does not name all"},
		{"many in two images", message("🔴 2 vulnerabilities newly disclosed in 2 running images", table(cve, second), section("In `"+web+"`, `"+api+"`")), all, 0, "it does not say which"},
		{"nothing by its name", message("🔴 something now affects 1 running image", table(web)), "", 0, "it names no vulnerability"},
		{"gone", `{"text":"🧹 2 images are no longer running in north","blocks":[` + section("`"+web+"`, `"+api+"`") + `]}`, "gone " + web + ", gone " + api, 0, ""},
		{"many gone", `{"text":"🧹 9 images are no longer running","blocks":[` + section("`"+web+"` and 8 more") + `]}`, "gone " + web, 0, "it does not name all"},
		{"failed", `{"text":"⚠️ ` + web + ` could not be scanned: unauthorized"}`, "could not be scanned " + web + " unauthorized", 0, ""},
		{"two failed", message("⚠️ 2 images could not be scanned: unauthorized", section("⚠️ *2 images* could not be scanned: unauthorized"), section("`"+web+"`, `"+api+"`")), "could not be scanned " + web + " unauthorized, could not be scanned " + api + " unauthorized", 0, ""},
		{"an inventory of nothing", message("Now watching 0 images in north"), "", 0, "it names no image"},
		{"recovered", `{"text":"▶️ ` + web + ` is scanned again; before: unauthorized"}`, "scanned again " + web, 0, ""},
		{"another kind", `{"text":"📈 The severity of 1 vulnerability in ` + web + ` rose"}`, "", 0, "nothing happened"},
		{"no image", `{"text":"🧹 an image is no longer running"}`, "", 0, "it names no image"},
		{"news of no image", `{"text":"🔴 an image: 1 newly disclosed high vulnerability"}`, "", 0, "it names no image"},
		{"no message", `[]`, "", 0, "it is no message"},
	} {
		l := read(slackstand.Message{Path: "/services/T/B/north", Payload: []byte(test.payload)})
		var got []string
		for _, s := range l.tellings {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s", s.kind, s.image, s.cve+s.cause)))
		}
		if test.want != strings.Join(got, ", ") {
			t.Errorf("%s: told %q, want %q", test.name, got, test.want)
		}
		if l.channel != "north" || l.more != test.more {
			t.Errorf("%s: %s, %d more; want %d", test.name, l.channel, l.more, test.more)
		}
		if (l.strange == "") != (test.strange == "") || !strings.HasPrefix(l.strange, test.strange) {
			t.Errorf("%s: strange because %q, want %q", test.name, l.strange, test.strange)
		}
	}
}
