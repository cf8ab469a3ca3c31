package pages

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/sandbox/browser"
	"github.com/clairwatch/clairwatch/web"
)

// readmeLook is that of the README's picture. To renew docs/pages.png, in the folder sandbox:
//
//	shots=$(mktemp -d)
//	BROWSER_SHOTS="$shots" go test -count=1 -run TestPages/readme ./pages
//	pngquant 128 --force --output ../docs/pages.png "$shots/readme.png"
var readmeLook = browser.Look{Width: 1280, Height: 900}

// shop is a cluster as one would like to have it: everything is known, and there is something to do.
func shop() *source {
	const platform = "linux/amd64"
	s := &source{
		cluster:  web.Cluster{Name: "production", Leads: true, Since: noon.Add(-12 * 24 * time.Hour)},
		clairs:   []web.Clair{{URL: clairURL, Up: true, Asked: noon.Add(-4 * time.Minute), Newest: noon.Add(-2 * time.Hour)}},
		channels: []web.Channel{{Name: "hooks.slack.com/…#90b77e", Namespaces: []string{"data", "ingress", "monitoring", "payments", "shop", "web"}}},
	}
	for i, r := range []struct {
		name, namespace, kind, workload string
		pods                            int
		counts                          findings.Counts
		days                            int // since it was told
	}{
		{"ghcr.io/acme/checkout-api:4.12.0", "shop", "Deployment", "checkout", 12, findings.Counts{Critical: 2, High: 9, Medium: 31, Low: 44, Negligible: 18, Fixable: 27}, 3},
		{"ghcr.io/acme/invoice-worker:2.3.1", "payments", "Deployment", "invoices", 6, findings.Counts{Critical: 2, High: 5, Medium: 22, Low: 40, Negligible: 18, Fixable: 19}, 41},
		{"docker.io/library/postgres:15.3", "data", "StatefulSet", "orders-db", 3, findings.Counts{Critical: 1, High: 11, Medium: 24, Low: 37, Negligible: 21, Fixable: 30}, 96},
		{"ghcr.io/acme/storefront:8.0.2", "web", "Deployment", "storefront", 18, findings.Counts{High: 4, Medium: 12, Low: 9, Fixable: 11}, 1},
		{"quay.io/prometheus/prometheus:v2.45.0", "monitoring", "StatefulSet", "prometheus", 2, findings.Counts{High: 3, Medium: 8, Low: 2, Fixable: 13}, 60},
		{"registry.example.com/payments/ledger:3.1.0", "payments", "Deployment", "ledger", 4, findings.Counts{High: 2, Medium: 17, Low: 38, Negligible: 18, Fixable: 6}, 22},
		{"docker.io/library/redis:7.2.1", "data", "StatefulSet", "sessions", 3, findings.Counts{High: 2, Medium: 9, Low: 31, Negligible: 16, Fixable: 7}, 17},
		{"registry.k8s.io/ingress-nginx/controller:v1.9.4", "ingress", "DaemonSet", "ingress-nginx", 5, findings.Counts{High: 1, Medium: 6, Low: 1, Fixable: 8}, 8},
		{"ghcr.io/acme/search:1.27.4", "shop", "Deployment", "search", 6, findings.Counts{Medium: 4, Low: 7, Fixable: 4}, 5},
		{"quay.io/prometheus/node-exporter:v1.7.0", "monitoring", "DaemonSet", "node-exporter", 9, findings.Counts{Medium: 2, Fixable: 2}, 60},
		{"ghcr.io/acme/images:0.18.0", "web", "Deployment", "images", 4, findings.Counts{}, 2},
	} {
		s.images = append(s.images, web.Image{
			Name: r.name, Digest: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(r.name))), Platform: platform, Namespaces: []string{r.namespace}, Pods: r.pods,
			Workloads: []web.Workload{{Kind: r.kind, Namespace: r.namespace, Name: r.workload, Pods: r.pods}},
			State:     "scanned", Found: true, Counts: r.counts, Told: true, Since: noon.Add(-time.Duration(r.days)*24*time.Hour - time.Duration(i)*time.Hour),
		})
	}
	slices.SortStableFunc(s.images, func(a, b web.Image) int {
		return cmp.Or(cmp.Compare(b.Counts.Critical, a.Counts.Critical), cmp.Compare(b.Counts.High, a.Counts.High))
	})
	return s
}

// testReadme looks at what the README shows, and takes its picture.
func (o tools) testReadme(t *testing.T) {
	root := serve(t, shop())
	tab := o.open(t)
	done(t, tab.Look(readmeLook))
	visit(t, tab, root+"/", 200)
	checkLayout(t, tab, readmeLook)
	if shots := os.Getenv(shotsFolder); shots != "" {
		const bottom = "Math.floor(document.querySelector('table.images tbody').rows[5].getBoundingClientRect().bottom)"
		shoot(t, tab, filepath.Join(shots, "readme.png"), evaluate[int](t, tab, bottom), 2)
	}
	o.checkAccessibility(t, tab)
}
