package window

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Span is a length on the calendar: so many hours, days, weeks or months. A day
// has 23, 24 or 25 hours, as the zone wants it, and a month the days it has.
type Span struct {
	N    int
	Unit string // h, d, w or mo
}

// ParseSpan reads 1d, 12h, 2w or 1mo.
func ParseSpan(s string) (Span, error) {
	m := regexp.MustCompile(`^([0-9]{1,5})(h|d|w|mo)$`).FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return Span{}, fmt.Errorf("%q is no span of time, expected a number and h, d, w or mo, such as 12h, 1d, 2w or 1mo", s)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil || n == 0 {
		return Span{}, fmt.Errorf("%q is no span of time: it has no length", s)
	}
	return Span{N: n, Unit: m[2]}, nil
}

// String is what ParseSpan reads.
func (s Span) String() string { return strconv.Itoa(s.N) + s.Unit }

// Parse reads the range of a backfill: 30d, the days that end with the one of
// now, or FROM..TO, half-open, both dates (the days of loc) or times (RFC 3339, or
// in loc without an offset). FROM.. ends as 30d does.
func Parse(s string, now time.Time, loc *time.Location) (Window, error) {
	tomorrow := addDays(now, 1, loc)
	from, to, isRange := strings.Cut(strings.TrimSpace(s), "..")
	if !isRange {
		span, err := ParseSpan(s)
		if err != nil {
			return Window{}, fmt.Errorf("%q is no range of time, expected a span such as 30d, or FROM..TO such as 2026-01-01..2026-02-01", s)
		}
		return Window{Start: span.before(now, loc).UTC(), End: tomorrow.UTC()}, nil
	}
	start, err := parseTime(from, loc)
	if err != nil {
		return Window{}, err
	}
	end := tomorrow
	if strings.TrimSpace(to) != "" {
		if end, err = parseTime(to, loc); err != nil {
			return Window{}, err
		}
	}
	if !start.Before(end) {
		return Window{}, fmt.Errorf("the range %s is empty: it ends, half-open, where it begins or before", s)
	}
	return Window{Start: start.UTC(), End: end.UTC()}, nil
}

// before is where a range of length s begins that ends with the day of now.
func (s Span) before(now time.Time, loc *time.Location) time.Time {
	switch s.Unit {
	case "h": // whole hours, so that the same again within one is the same range
		return now.Truncate(time.Hour).Add(-time.Duration(s.N) * time.Hour)
	case "w":
		return addDays(now, 1-7*s.N, loc)
	case "mo":
		y, m, d := now.In(loc).Date()
		last := time.Date(y, m-time.Month(s.N)+1, 0, 12, 0, 0, 0, loc)
		return addDays(time.Date(last.Year(), last.Month(), min(d, last.Day()), 12, 0, 0, 0, loc), 1, loc)
	}
	return addDays(now, 1-s.N, loc)
}

// addDays is the start of the day that is n days after that of t.
func addDays(t time.Time, n int, loc *time.Location) time.Time {
	y, m, d := t.In(loc).Date()
	return StartOfDay(time.Date(y, m, d+n, 12, 0, 0, 0, loc), loc)
}

func parseTime(s string, loc *time.Location) (time.Time, error) {
	s = strings.TrimSpace(s)
	if day, err := time.ParseInLocation(time.DateOnly+" 15", s+" 12", loc); err == nil {
		return StartOfDay(day, loc), nil
	}
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return at, nil
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02 15:04:05"} {
		if at, err := time.ParseInLocation(layout, s, loc); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no date or time, expected 2026-01-01, 2026-01-01T06:00 or 2026-01-01T06:00:00+01:00", s)
}

// Cut splits w, bounded on both sides, into windows of length s: they tile it,
// and end at starts of days of loc, of hours, or of months. The first and the
// last may be shorter.
func (s Span) Cut(w Window, loc *time.Location) []Window {
	var out []Window
	for at := w.Start; at.Before(w.End); {
		next := s.next(at, loc)
		if next.After(w.End) {
			next = w.End
		}
		out = append(out, Window{Start: at.UTC(), End: next.UTC()})
		at = next
	}
	return out
}

// next is the first boundary after at.
func (s Span) next(at time.Time, loc *time.Location) time.Time {
	switch s.Unit {
	case "h": // counted from the start of the day, which ends the last of its windows
		step, day := time.Duration(s.N)*time.Hour, StartOfDay(at, loc)
		end, midnight := day.Add((at.Sub(day)/step+1)*step), addDays(at, 1, loc)
		if end.After(midnight) {
			return midnight
		}
		return end
	case "w":
		return addDays(at, 7*s.N, loc)
	case "mo":
		y, m, _ := at.In(loc).Date()
		return StartOfDay(time.Date(y, m+time.Month(s.N), 1, 12, 0, 0, 0, loc), loc)
	}
	return addDays(at, s.N, loc)
}

// WholeDays is w extended to the days of loc that it touches.
func (w Window) WholeDays(loc *time.Location) Window {
	out := Window{Start: StartOfDay(w.Start, loc).UTC(), End: StartOfDay(w.End, loc).UTC()}
	if out.End.Before(w.End) {
		out.End = addDays(w.End, 1, loc).UTC()
	}
	return out
}

// Overlaps reports whether an instant lies in both windows.
func (w Window) Overlaps(o Window) bool {
	return (w.End.IsZero() || o.Start.IsZero() || o.Start.Before(w.End)) && (o.End.IsZero() || w.Start.IsZero() || w.Start.Before(o.End))
}
