// Package window owns half-open intervals of time and the calendar that cuts them.
package window

import "time"

// Window is the half-open interval [Start, End) in UTC.
// A zero Start or End is unbounded on that side; the zero Window covers all time.
type Window struct{ Start, End time.Time }

// IsZero reports whether w is unbounded on both sides.
func (w Window) IsZero() bool { return w.Start.IsZero() && w.End.IsZero() }

// Contains reports whether t lies in [Start, End).
func (w Window) Contains(t time.Time) bool {
	return (w.Start.IsZero() || !t.Before(w.Start)) && (w.End.IsZero() || t.Before(w.End))
}

// String prints w as FROM..TO in RFC 3339, an unbounded side left empty.
func (w Window) String() string {
	side := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	return side(w.Start) + ".." + side(w.End)
}

// StartOfDay returns the first instant of t's calendar day in loc. In a zone
// whose clocks jump over midnight that is the first instant after the gap.
func StartOfDay(t time.Time, loc *time.Location) time.Time {
	y, m, d := t.In(loc).Date()
	noon := time.Date(y, m, d, 12, 0, 0, 0, loc)
	at := time.Date(y, m, d, 0, 0, 0, 0, loc)
	for at.Day() != d && at.Before(noon) { // normalised into the day before: walk out of the gap
		at = at.Add(15 * time.Minute)
	}
	return at
}

// Days returns the window that covers the calendar days of loc from the day of
// from to the day before until's day, so that its length is a whole number of
// local days, 23 and 25 hour days included.
func Days(from, until time.Time, loc *time.Location) Window {
	return Window{Start: StartOfDay(from, loc).UTC(), End: StartOfDay(until, loc).UTC()}
}

// Join puts those of windows, which are in order, together that meet.
func Join(windows []Window) []Window {
	var out []Window
	for _, w := range windows {
		if n := len(out); n > 0 && out[n-1].End.Equal(w.Start) {
			out[n-1].End = w.End
			continue
		}
		out = append(out, w)
	}
	return out
}
