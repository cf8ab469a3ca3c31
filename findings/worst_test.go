package findings

import (
	"testing"

	"github.com/quay/claircore"
)

// A message counts a vulnerability with the severity of the image in which it is worst, wherever that image stands.
func TestSpreadsCountTheWorst(t *testing.T) {
	var shares []Share
	for _, s := range []Severity{claircore.Medium, claircore.Critical, claircore.Low} {
		fs := []Finding{{Name: "CVE-1", source: "a", Severity: s}}
		shares = append(shares, Share{Entries: NewRecord(Basis{}, tellAll(fs)).Entries, Named: fs})
	}
	spreads, counts := Spreads(shares)
	if counts != (Counts{Critical: 1}) || len(spreads) != 1 || spreads[0].Finding.Severity != claircore.Critical || spreads[0].Images != 3 {
		t.Errorf("got %+v, %+v", spreads, counts)
	}
}
