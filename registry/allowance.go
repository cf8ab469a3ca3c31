package registry

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// keptShare is the part of an account's pulls that is left to the nodes: a tenth.
const keptShare = 10

// allowance is what a registry says of an account's pulls.
type allowance struct {
	limit     int // in a window; 0: it does not say
	remaining int
	window    time.Duration // 0: it does not say
}

// free is how many of the remaining pulls are not kept for the nodes.
func (a allowance) free() int {
	kept := a.limit / keptShare
	if a.limit%keptShare > 0 {
		kept++
	}
	return max(a.remaining-kept, 0)
}

// pause is the time in which about as many pulls come back as are kept.
func (a allowance) pause() time.Duration {
	if a.window == 0 {
		return firstPause
	}
	return min(max(a.window/keptShare, time.Second), longestPause)
}

// readAllowance reads the headers of Docker Hub and of those that took them over:
// "ratelimit-limit: 100;w=21600" and "ratelimit-remaining: 76;w=21600", the window in
// seconds. It is false where no number of remaining pulls is said.
func readAllowance(header http.Header) (allowance, bool) {
	remaining, window, ok := readQuantity(header.Get("RateLimit-Remaining"))
	if !ok {
		return allowance{}, false
	}
	limit, w, _ := readQuantity(header.Get("RateLimit-Limit"))
	return allowance{limit: limit, remaining: remaining, window: max(window, w)}, true
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
