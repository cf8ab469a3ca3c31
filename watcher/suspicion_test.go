package watcher

import (
	"testing"
	"time"
)

// One image that fails is taken for all of them only when the Clair has given no report for a while, and not again and
// again.
func TestSuspicion(t *testing.T) {
	var s suspicion
	began := time.Now()
	for _, step := range []struct {
		name      string
		at        time.Duration
		answers   bool // otherwise an image has failed
		is, isNew bool
		after     time.Duration
	}{
		{"a report", 0, true, false, false, 0},
		{"another image has just had one", suspectAfter - time.Second, false, false, false, 0},
		{"nobody has had one for long", suspectAfter, false, true, true, 0},
		{"one more image", suspectAfter + time.Second, false, true, false, 0},
		{"a report again", suspectAfter + time.Minute, true, true, true, time.Minute},
		{"one more report", suspectAfter + 2*time.Minute, true, false, false, 0},
		{"none for long, soon after the last time", suspectAfter + suspectPause - time.Second, false, false, false, 0},
		{"none for long, and the last time is long ago", suspectAfter + suspectPause, false, true, true, 0},
	} {
		now := began.Add(step.at)
		if step.answers {
			if after, was := s.clear(now); was != step.is || after != step.after {
				t.Errorf("%s: it was suspected: %v, for %s; want %v, %s", step.name, was, after, step.is, step.after)
			}
			if s.is() {
				t.Errorf("%s: still suspected", step.name)
			}
			continue
		}
		if is, isNew := s.arise(now); is != step.is || isNew != step.isNew || s.is() != step.is {
			t.Errorf("%s: suspected: %v, new: %v; want %v, %v", step.name, is, isNew, step.is, step.isNew)
		}
	}
}
