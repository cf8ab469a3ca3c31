package registry

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// keptShare is the part of an account's pulls that is left to the nodes: a tenth. Of
	// so few that a tenth is not one none is left, or we would never pull.
	keptShare = 10
	// longestReset is the time beyond which a reset is none, but a date by the clock of
	// Unix, as some have it.
	longestReset = 24 * time.Hour
)

// allowance is what a registry says of an account's pulls.
type allowance struct {
	limit     int // in a window; 0: it does not say
	remaining int
	window    time.Duration // 0: it does not say
	reset     time.Duration // until there are as many as the limit; 0: it does not say
}

// free is how many of the remaining pulls are not kept for the nodes.
func (a allowance) free() int {
	if a.limit < keptShare {
		return a.remaining
	}
	kept := (a.limit-1)/keptShare + 1 // rounded up
	return max(a.remaining-kept, 0)
}

// pause is the time until there are more: what the registry says, or else that in which
// about as many pulls come back as are kept.
func (a allowance) pause() time.Duration {
	pause := firstPause
	switch {
	case a.reset > 0:
		pause = a.reset
	case a.window > 0:
		pause = a.window / keptShare
	}
	return min(max(pause, time.Second), longestPause)
}

// readAllowance reads the headers of Docker Hub and of those that took them over:
// "ratelimit-limit: 100;w=21600" and "ratelimit-remaining: 76;w=21600", the window in
// seconds; and the third one of the draft that they are from (RateLimit header fields for
// HTTP, up to its seventh version), "ratelimit-reset: 50", seconds too. It is false where
// no number of remaining pulls is said.
func readAllowance(header http.Header) (allowance, bool) {
	remaining, window, ok := readQuantity(header.Get("RateLimit-Remaining"))
	if !ok {
		return allowance{}, false
	}
	limit, w, _ := readQuantity(header.Get("RateLimit-Limit"))
	a := allowance{limit: limit, remaining: remaining, window: max(window, w)}
	if seconds, _, ok := readQuantity(header.Get("RateLimit-Reset")); ok {
		if reset := time.Duration(seconds) * time.Second; reset <= longestReset {
			a.reset = reset
		}
	}
	return a, true
}

// readQuantity reads "N" or "N;w=seconds".
func readQuantity(s string) (n int, window time.Duration, ok bool) {
	first, params, _ := strings.Cut(s, ";")
	number, err := strconv.ParseUint(strings.TrimSpace(first), 10, 31)
	if err != nil {
		return 0, 0, false
	}
	for param := range strings.SplitSeq(params, ";") {
		if value, found := strings.CutPrefix(strings.TrimSpace(param), "w="); found {
			if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
				window = time.Duration(seconds) * time.Second
			}
		}
	}
	return int(number), window, true
}
