package findings

import "time"

func (r Rules) At(image string, now time.Time) Rules { return r }
func (r Rules) Next(now time.Time) time.Time {
	var next time.Time
	for _, i := range r.Ignore {
		if i.Until.After(now) && (next.IsZero() || i.Until.Before(next)) {
			next = i.Until
		}
	}
	return next
}
