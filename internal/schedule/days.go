package schedule

import (
	"slices"
	"time"
)

// day lists the slots of one local day in order; none when the day is not due, or
// when the zone leaves it out as a whole.
func (s Schedule) day(year int, month time.Month, day int, loc *time.Location) []time.Time {
	date := time.Date(year, month, day, 0, 0, 0, 0, time.UTC) // brings day into its month
	year, month, day = date.Date()
	if !s.due(date) {
		return nil
	}
	start, end := clock(year, month, day, 0, 0, loc), clock(year, month, day+1, 0, 0, loc)
	if !start.Before(end) {
		return nil
	}
	if s.hourly {
		return s.realTime(start, end)
	}
	var slots []time.Time
	for h := range 24 {
		for m := range 60 {
			if s.hour>>h&1 == 1 && s.minute>>m&1 == 1 {
				slots = append(slots, clock(year, month, day, h, m, loc))
			}
		}
	}
	slices.SortFunc(slots, time.Time.Compare) // in a repeated hour the order of the clock is not that of time
	return slices.CompactFunc(slots, time.Time.Equal)
}

// realTime lists the instants in [start, end) whose minute fits.
func (s Schedule) realTime(start, end time.Time) []time.Time {
	var slots []time.Time
	for t := start; t.Before(end); t = t.Add(time.Minute) {
		if s.minute>>t.Minute()&1 == 1 {
			slots = append(slots, t)
		}
	}
	return slots
}

// due reports whether the fields of days fit date.
func (s Schedule) due(date time.Time) bool {
	if s.month>>int(date.Month())&1 == 0 {
		return false
	}
	dom, dow := s.dom>>date.Day()&1 == 1, s.dow>>int(date.Weekday())&1 == 1
	if s.anyDOM || s.anyDOW {
		return dom && dow
	}
	return dom || dow
}

// clock is the first instant at which the clocks of loc show a time of a day, and
// the first one after the gap when they never show it.
func clock(year int, month time.Month, day, hour, minute int, loc *time.Location) time.Time {
	t := time.Date(year, month, day, hour, minute, 0, 0, loc)
	wanted := time.Date(year, month, day, hour, minute, 0, 0, time.UTC)
	shown := wall(t)
	start, end := t.ZoneBounds()
	switch {
	case shown.After(wanted): // t lies behind the gap
		return start
	case shown.Before(wanted):
		return end
	case start.IsZero():
		return t
	}
	// Which of two occurrences t is, nobody promises: look whether the zone before
	// its own shows the same time.
	_, before := start.Add(-1).Zone()
	if first := wanted.Add(-time.Duration(before) * time.Second); first.Before(start) {
		return first.In(loc)
	}
	return t
}

// wall is what the clocks of t show, as a time that can be compared with others.
func wall(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}
