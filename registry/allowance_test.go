package registry

import (
	"net/http"
	"testing"
	"time"
)

func TestReadAllowance(t *testing.T) {
	tests := []struct {
		limit, remaining string
		said             bool
		free             int
		pause            time.Duration
	}{
		{limit: "100;w=21600", remaining: "76;w=21600", said: true, free: 66, pause: 36 * time.Minute},
		{limit: "100;w=21600", remaining: "11;w=21600", said: true, free: 1, pause: 36 * time.Minute},
		{limit: "100;w=21600", remaining: "10;w=21600", said: true, pause: 36 * time.Minute},
		{limit: "100;w=21600", remaining: "0", said: true, pause: 36 * time.Minute},
		{limit: "5", remaining: "2", said: true, free: 1, pause: time.Minute},
		{limit: "5", remaining: "1", said: true, pause: time.Minute},
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
		a, said := readAllowance(header)
		if said != tt.said || said && (a.free() != tt.free || a.pause() != tt.pause) {
			t.Errorf("%q of %q: %+v, %v: %d free, pause %s", tt.remaining, tt.limit, a, said, a.free(), a.pause())
		}
	}
}

// FuzzReadAllowance keeps no less than a tenth, and pauses for a second to an hour.
func FuzzReadAllowance(f *testing.F) {
	f.Add("100;w=21600", "76;w=21600")
	f.Add("2147483647", "0;w=2147483647")
	f.Fuzz(func(t *testing.T, limit, remaining string) {
		a, _ := readAllowance(http.Header{"Ratelimit-Limit": {limit}, "Ratelimit-Remaining": {remaining}})
		if free := a.free(); free < 0 || free > 0 && 10*(a.remaining-free) < a.limit {
			t.Errorf("%+v: %d free", a, free)
		}
		if p := a.pause(); p < time.Second || p > time.Hour {
			t.Errorf("%+v: pause %s", a, p)
		}
	})
}
