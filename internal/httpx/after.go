package httpx

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// RetryAfter returns how long a reply asks to wait, in either form of
// Retry-After: seconds, or a date, which counts from the reply's own Date where
// it has one, since the clocks may differ. ok is false where the header is
// missing or says nothing that can be read. A date that has passed is 0.
func RetryAfter(h http.Header, now time.Time) (wait time.Duration, ok bool) {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return 0, false
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		const most = 365 * 24 * time.Hour // a wait that fits a Duration
		if !(seconds >= 0) {
			return 0, false
		}
		if seconds > most.Seconds() {
			return most, true
		}
		return time.Duration(seconds * float64(time.Second)), true
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	if theirs, err := http.ParseTime(h.Get("Date")); err == nil {
		now = theirs
	}
	return max(0, at.Sub(now)), true
}
