package watcher

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/findings"
)

// The ways in which images can be alike.
const (
	// alikeAll: all have the same packages in the same versions, of which each has 1 to 6 findings, as images that are
	// built from one.
	alikeAll = "same versions"
	// alikeNames: each has the same packages in versions of its own, each with 1 to 6 findings.
	alikeNames = "own versions"
	// alikeAdvisories: each has the same packages in versions of its own, each with one finding.
	alikeAdvisories = "a version for each finding"
)

// reportsOf makes reports of 120 findings, each as Clair gives them: no two share a byte.
func reportsOf(alike string) func(image int) findings.Report {
	return func(image int) findings.Report {
		vr := &claircore.VulnerabilityReport{
			Packages:               make(map[string]*claircore.Package),
			Vulnerabilities:        make(map[string]*claircore.Vulnerability),
			PackageVulnerabilities: make(map[string][]string),
		}
		random := rand.New(rand.NewPCG(1, 2))
		for n, pkg := 0, 0; n < 120; pkg++ {
			id, name, version := fmt.Sprint(pkg), fmt.Sprintf("library-%d", pkg), fmt.Sprintf("3.0.%d-1~deb12u2", pkg)
			if alike != alikeAll {
				version = fmt.Sprintf("3.%d.%d-1~deb12u2", image, pkg)
			}
			vr.Packages[id] = &claircore.Package{ID: id, Name: name, Version: version}
			of := 1
			if alike != alikeAdvisories {
				of += random.IntN(6)
			}
			for range min(of, 120-n) {
				cve := fmt.Sprintf("CVE-2026-%05d", n)
				vr.Vulnerabilities[cve] = &claircore.Vulnerability{
					ID: cve, Name: cve, Updater: "debian/updater", NormalizedSeverity: claircore.High, FixedInVersion: fmt.Sprintf("3.1.%d-1~deb12u3", n%3),
					Links: "https://security-tracker.debian.org/tracker/" + cve,
					Description: fmt.Sprintf("Issue summary: applications that do certificate name checks, as TLS clients do, may read an invalid memory address (%d), "+
						"which ends the application. Impact summary: abnormal termination can be a denial of service. See GHSA-aaaa-bbbb-cccc.", n),
				}
				vr.PackageVulnerabilities[id] = append(vr.PackageVulnerabilities[id], cve)
				n++
			}
		}
		return findings.FromClair(vr)
	}
}

// BenchmarkFacts keeps the findings of 1,000 images of 120 findings each. B/finding is what stays of each.
func BenchmarkFacts(b *testing.B) {
	const images, each = 1000, 120
	for _, alike := range []string{alikeAll, alikeNames, alikeAdvisories} {
		b.Run(alike, func(b *testing.B) {
			report := reportsOf(alike)
			var stays uint64
			for b.Loop() {
				b.StopTimer()
				before := live()
				b.StartTimer()
				kept := make([]*facts, images)
				for i := range kept {
					b.StopTimer()
					fs := report(i).Findings
					if len(fs) != each {
						b.Fatalf("%d findings", len(fs))
					}
					b.StartTimer()
					kept[i] = factsOf(fs)
				}
				b.StopTimer()
				stays = live() - before
				runtime.KeepAlive(kept)
				b.StartTimer()
			}
			b.ReportMetric(float64(stays)/images/each, "B/finding")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*images*each), "ns/finding")
		})
	}
}
