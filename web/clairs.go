package web

import "time"

// staleAfter is the age from which the data of a Clair stands out: a Clair updates it every 6 hours unless it is told
// otherwise, and a source may well have nothing new for a day.
const staleAfter = 48 * time.Hour

// clairRow is a Clair of the settings.
type clairRow struct {
	Clair
	// Since is since when it does not answer, Asked when it last said what data it has, and Updated when that was updated
	// last. None: nobody knows.
	Since, Asked, Updated moment
	// Mute says that it answers, but gives no reports; Stale that its data is old; New that it was never heard of.
	Mute, Stale, New bool
}

// newClairRow says how a Clair fares.
func newClairRow(c Clair, now time.Time) clairRow {
	updated := c.Newest
	if updated.After(now) {
		updated = now // its clock is ahead of ours
	}
	return clairRow{
		Clair:   c,
		Since:   newMoment(c.Away, now),
		Asked:   newMoment(c.Asked, now),
		Updated: newMoment(updated, now),
		Mute:    !c.Up && c.Away.IsZero() && !c.Asked.IsZero(),
		Stale:   !c.Newest.IsZero() && now.Sub(c.Newest) > staleAfter,
		New:     !c.Up && c.Away.IsZero() && c.Asked.IsZero(),
	}
}

// fine says that there is nothing to see to.
func (r clairRow) fine() bool { return r.Away.IsZero() && !r.Mute && !r.Stale && !r.Loading }

// clairRows are the Clairs of the settings.
type clairRows struct {
	// Troubled are the first of those that need to be seen to, Fine of the others.
	Troubled, Fine []clairRow
	// AllTroubled and AllFine are the numbers of all of them.
	AllTroubled, AllFine int
	// Oldest is the one of all that are fine whose data was updated the longest ago; without a time, nobody knows of any.
	Oldest clairRow
}

func newClairRows(clairs []Clair, now time.Time) clairRows {
	var rows clairRows
	for _, c := range clairs {
		row := newClairRow(c, now)
		if !row.fine() {
			if rows.AllTroubled++; len(rows.Troubled) < mostClairs {
				rows.Troubled = append(rows.Troubled, row)
			}
			continue
		}
		if rows.AllFine++; len(rows.Fine) < mostClairs {
			rows.Fine = append(rows.Fine, row)
		}
		if !c.Newest.IsZero() && (rows.Oldest.Newest.IsZero() || c.Newest.Before(rows.Oldest.Newest)) {
			rows.Oldest = row
		}
	}
	return rows
}

// MoreTroubled is how many there are besides those that are shown.
func (r clairRows) MoreTroubled() int { return r.AllTroubled - len(r.Troubled) }

// MoreFine is how many there are besides those that are shown.
func (r clairRows) MoreFine() int { return r.AllFine - len(r.Fine) }
