package registry

import (
	"net/http"
	"testing"
	"time"
)

func TestReadAllowance(t *testing.T) {
	tests := []struct {
		limit, remaining string
		reset            string
		said             bool
		free             int
		pause            time.Duration
	}{
		{limit: "100;w=21600", remaining: "76;w=21600", said: true, free: 66, pause: 36 * time.Minute},
		{limit: "100;w=21600", remaining: "11;w=21600", said: true, free: 1, pause: 36 * time.Minute},
		{limit: "100;w=21600", remaining: "10;w=21600", said: true, pause: 36 * time.Minute},
		{limit: "100;w=21600", remaining: "0", said: true, pause: 36 * time.Minute},
		{limit: "11", remaining: "3", said: true, free: 1, pause: time.Minute},
		{limit: "10", remaining: "2", said: true, free: 1, pause: time.Minute},
		{limit: "10", remaining: "1", said: true, pause: time.Minute},
		{limit: "9", remaining: "1", said: true, free: 1, pause: time.Minute},
		{limit: "1;w=60", remaining: "1", said: true, free: 1, pause: 6 * time.Second},
		{limit: "1;w=60", remaining: "0", said: true, pause: 6 * time.Second},
		{limit: "2147483647", remaining: "2147483647", said: true, free: 2147483647 - 214748365, pause: time.Minute},
		{limit: "100;w=21600", remaining: "10", reset: "300", said: true, pause: 5 * time.Minute},
		{limit: "100", remaining: "10", reset: " 90;w=60", said: true, pause: 90 * time.Second},
		{limit: "100;w=21600", remaining: "10", reset: "86400", said: true, pause: time.Hour},
		{limit: "100;w=21600", remaining: "10", reset: "1769860800", said: true, pause: 36 * time.Minute},
		{limit: "100;w=21600", remaining: "10", reset: "0", said: true, pause: 36 * time.Minute},
		{limit: "100;w=21600", remaining: "10", reset: "soon", said: true, pause: 36 * time.Minute},
		{limit: "100;w=21600", reset: "300"},
		{remaining: " 3 ; x ; w=60", said: true, free: 3, pause: 6 * time.Second},
		{remaining: "1;w=2", said: true, free: 1, pause: time.Second},
		{remaining: "1;w=2147483647", said: true, free: 1, pause: time.Hour},
		{remaining: "1;w=99999999999;w=x", said: true, free: 1, pause: time.Minute},
		{limit: "many", remaining: "4", said: true, free: 4, pause: time.Minute},
		{limit: "100;w=21600"},
		{limit: "100", remaining: "-1"},
		{limit: "100", remaining: "99999999999"},
		{limit: "100", remaining: "few"},
	}
	for _, tt := range tests {
		header := make(http.Header)
		header.Set("ratelimit-limit", tt.limit)
		header.Set("ratelimit-remaining", tt.remaining)
		header.Set("ratelimit-reset", tt.reset)
		a, said := readAllowance(header)
		if said != tt.said || said && (a.free() != tt.free || a.pause() != tt.pause) {
			t.Errorf("%q of %q, reset %q: %+v, %v: %d free, pause %s", tt.remaining, tt.limit, tt.reset, a, said, a.free(), a.pause())
		}
	}
}

// FuzzReadAllowance keeps no less than a tenth of ten or more, and pauses for a second to
// an hour.
func FuzzReadAllowance(f *testing.F) {
	f.Add("100;w=21600", "76;w=21600", "")
	f.Add("2147483647", "0;w=2147483647", "2147483647")
	f.Add("9", "1", "50")
	f.Fuzz(func(t *testing.T, limit, remaining, reset string) {
		a, _ := readAllowance(http.Header{"Ratelimit-Limit": {limit}, "Ratelimit-Remaining": {remaining}, "Ratelimit-Reset": {reset}})
		free := a.free()
		if free < 0 || free > a.remaining || a.limit >= 10 && free > 0 && 10*(a.remaining-free) < a.limit || a.limit < 10 && free != a.remaining {
			t.Errorf("%+v: %d free", a, free)
		}
		if p := a.pause(); p < time.Second || p > time.Hour {
			t.Errorf("%+v: pause %s", a, p)
		}
	})
}
