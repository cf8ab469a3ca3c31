package web

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// mostBytes is how long an answer may be: who reads slowly holds it for as long as that takes.
const mostBytes = 8 << 20

// retryAfter is when to ask again what was answered with 503.
const retryAfter = 30 * time.Second

// errTooLong says that an answer is longer than mostBytes.
var errTooLong = errors.New("the answer is too long")

// finished is an answer that only waits to be sent. It holds nothing of what it was made from.
type finished struct {
	// status is that of HTTP, kind the Content-Type.
	status int
	kind   string
	body   []byte
}

// send sends it whole, with the status that fits.
func (f finished) send(w http.ResponseWriter) {
	h := w.Header()
	switch f.status {
	case http.StatusMethodNotAllowed:
		h.Set("Allow", "GET, HEAD")
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(int(retryAfter/time.Second)))
	}
	h.Set("Content-Type", f.kind)
	h.Set("Content-Length", strconv.Itoa(len(f.body)))
	w.WriteHeader(f.status)
	_, _ = w.Write(f.body) // who does not wait for the answer does not need it
}

// draft is an answer that is being made. What would make it longer than mostBytes it refuses with errTooLong.
type draft struct{ made bytes.Buffer }

func (d *draft) Write(part []byte) (int, error) {
	if d.made.Len()+len(part) > mostBytes {
		return 0, errTooLong
	}
	return d.made.Write(part)
}

// bytes are those of the answer, without the room for more that the draft has.
func (d *draft) bytes() []byte { return bytes.Clone(d.made.Bytes()) }
