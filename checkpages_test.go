package main

import (
	"path/filepath"
	"slices"
	"testing"
)

// TestCheckPages says who may see the pages, with the file of the token where it is and where it is not.
func TestCheckPages(t *testing.T) {
	const what = "who may see the pages"
	folder := t.TempDir()
	none, elsewhere := filepath.Join(folder, "none"), filepath.Join(folder, "gone", "web-token")
	for name, c := range map[string]struct {
		web     WebConfig
		offline bool
		want    row
	}{
		"usual":             {WebConfig{Listen: "127.0.0.1:8081"}, false, row{what, isOK, "who reaches loopback where the daemon runs, as by kubectl port-forward"}},
		"by name":           {WebConfig{Listen: "localhost:8081"}, false, row{what, isOK, "who reaches loopback where the daemon runs, as by kubectl port-forward"}},
		"off":               {WebConfig{}, false, row{what, isInfo, "nobody: there are none, and so nothing that explain could ask (web.listen is empty)"}},
		"open":              {WebConfig{Listen: ":8081"}, false, row{what, isWarning, "anybody who reaches their address: set web.tokenFile to let in nobody without the token"}},
		"open by a name":    {WebConfig{Listen: "pages.internal:8081"}, false, row{what, isWarning, "anybody who reaches their address: set web.tokenFile to let in nobody without the token"}},
		"no address":        {WebConfig{Listen: "8081"}, false, row{what, isSkipped, mendFirst}},
		"token":             {WebConfig{Listen: ":8081", TokenFile: writeFile(t, "web-token", pagesToken)}, false, row{what, isOK, "who has the token"}},
		"token, offline":    {WebConfig{Listen: ":8081", TokenFile: writeFile(t, "web-token", pagesToken)}, true, row{what, isOK, "who has the token"}},
		"no path":           {WebConfig{Listen: ":8081", TokenFile: pagesToken}, false, row{what, isSkipped, mendFirst}},
		"no file":           {WebConfig{Listen: ":8081", TokenFile: none}, false, row{what, isProblem, "the file " + none + " cannot be read: no such file or directory; it must hold a token such as openssl rand -hex 32 makes"}},
		"no file, offline":  {WebConfig{Listen: ":8081", TokenFile: none}, true, row{what, isProblem, "the file " + none + " cannot be read: no such file or directory; it must hold a token such as openssl rand -hex 32 makes"}},
		"no folder":         {WebConfig{Listen: ":8081", TokenFile: elsewhere}, false, row{what, isProblem, "the file " + elsewhere + " cannot be read: no such file or directory; it must hold a token such as openssl rand -hex 32 makes"}},
		"elsewhere, as yet": {WebConfig{Listen: ":8081", TokenFile: elsewhere}, true, row{what, isInfo, "who has the token; its file is not here and was not looked at: check it where the daemon runs"}},
	} {
		cfg := defaults()
		cfg.Web = c.web
		checks := &checkup{cfg: cfg, options: checkOptions{offline: c.offline}}
		if got := checks.checkPages(); !slices.Equal(got, []row{c.want}) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
