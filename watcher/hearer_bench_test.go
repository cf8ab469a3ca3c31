package watcher

import (
	"fmt"
	"testing"

	"github.com/quay/claircore"

	"github.com/clairwatch/clairwatch/findings"
	"github.com/clairwatch/clairwatch/ledger"
)

// BenchmarkDecide says what 50 Scanners do with each of 10,000 findings.
func BenchmarkDecide(b *testing.B) {
	const hearers, number = 50, 10_000
	w := newBenchWatcher(b)
	report := findings.Report{Digest: digest(1)}
	for i := range number {
		report.Findings = append(report.Findings, findings.Finding{
			Name: fmt.Sprintf("CVE-2026-%05d", i), Package: fmt.Sprintf("library-%d", i%500), Installed: "1", Severity: findings.Severities[i%len(findings.Severities)],
		})
	}
	findings.Sort(report.Findings)
	rules := findings.Rules{MinSeverity: claircore.High}
	for i := range 100 {
		rules.Ignore = append(rules.Ignore, findings.Ignore{ID: fmt.Sprintf("CVE-2026-%05d", 7*i), Reason: "a"})
	}
	all := make([]Hearer, hearers)
	for i := range all {
		d := ledger.Destination{Key: fmt.Sprintf("ns-%d", i), Name: "default"}
		w.book.Remember([]ledger.Told{{Destination: d, Digest: report.Digest, Change: report.Record(findings.Basis{Clair: 1}, rules)}})
		all[i].Rules = rules
		all[i].add(d)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := w.decide(b.Context(), all, "", report); err != nil {
			b.Fatal(err)
		}
	}
}
