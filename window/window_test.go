package window

import (
	"testing"
	"time"
	_ "time/tzdata" // the zones of these tests, on a machine that has none
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func instant(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// Every instant of a day has the same start, and the start is in that day.
func TestStartOfDay(t *testing.T) {
	for _, c := range []struct{ zone, at, want string }{
		{"UTC", "2026-03-29T23:59:59Z", "2026-03-29T00:00:00Z"},
		{"Europe/Berlin", "2026-03-29T00:30:00Z", "2026-03-28T23:00:00Z"},
		{"Europe/Berlin", "2026-03-29T21:59:59Z", "2026-03-28T23:00:00Z"},
		{"Europe/Berlin", "2026-03-29T22:00:00Z", "2026-03-29T22:00:00Z"},
		{"Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-24T22:00:00Z"}, // the first 02:30
		{"Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-24T22:00:00Z"}, // the second
		{"Europe/Berlin", "2026-10-25T22:59:59Z", "2026-10-24T22:00:00Z"},
		{"Europe/Berlin", "2026-10-25T23:00:00Z", "2026-10-25T23:00:00Z"},
		{"America/Sao_Paulo", "2018-11-04T02:59:59Z", "2018-11-03T03:00:00Z"},
		{"America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-11-04T03:00:00Z"}, // 00:00 does not exist
		{"America/Sao_Paulo", "2018-11-04T15:00:00Z", "2018-11-04T03:00:00Z"},
		{"Africa/Cairo", "2023-04-28T09:00:00Z", "2023-04-27T22:00:00Z"},      // 00:00 does not exist
		{"Africa/Cairo", "2023-10-26T21:30:00Z", "2023-10-25T21:00:00Z"},      // 23:30 for the second time
		{"America/Sao_Paulo", "2018-02-18T02:30:00Z", "2018-02-17T02:00:00Z"}, // 23:30 for the second time
		{"America/Sao_Paulo", "2018-02-18T03:00:00Z", "2018-02-18T03:00:00Z"},
		{"Asia/Kathmandu", "2026-05-05T18:15:00Z", "2026-05-05T18:15:00Z"},
		{"America/Havana", "2025-11-02T05:30:00Z", "2025-11-02T04:00:00Z"}, // midnight happens twice
		{"America/Havana", "2025-11-02T04:30:00Z", "2025-11-02T04:00:00Z"},
	} {
		got := StartOfDay(instant(t, c.at), zone(t, c.zone))
		if want := instant(t, c.want); !got.Equal(want) {
			t.Errorf("StartOfDay(%s, %s) = %s, want %s", c.at, c.zone, got.UTC().Format(time.RFC3339), c.want)
		}
	}
}

func TestDaysHaveTheLengthOfTheLocalDay(t *testing.T) {
	for _, c := range []struct {
		zone, from, until string
		hours             int
	}{
		{"Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z", 24},
		{"Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-30T12:00:00Z", 23},
		{"Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-26T12:00:00Z", 25},
		{"Europe/Berlin", "2026-03-23T12:00:00Z", "2026-03-30T12:00:00Z", 7*24 - 1},
		{"America/Sao_Paulo", "2018-11-04T15:00:00Z", "2018-11-05T15:00:00Z", 23},
		{"Africa/Cairo", "2023-04-28T09:00:00Z", "2023-04-29T09:00:00Z", 23},
		{"Africa/Cairo", "2023-10-26T09:00:00Z", "2023-10-27T09:00:00Z", 25},
		{"Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-29T20:00:00Z", 0},
	} {
		w := Days(instant(t, c.from), instant(t, c.until), zone(t, c.zone))
		if got := w.End.Sub(w.Start); got != time.Duration(c.hours)*time.Hour {
			t.Errorf("Days(%s, %s, %s) = %s, which is %s, want %dh", c.from, c.until, c.zone, w, got, c.hours)
		}
		if w.Start.Location() != time.UTC || w.End.Location() != time.UTC {
			t.Errorf("Days(%s, %s, %s) is not in UTC", c.from, c.until, c.zone)
		}
	}
}

// Neighbouring days meet: no instant of a year is in two of them or in none.
func TestDaysTileTheYear(t *testing.T) {
	for _, c := range []struct {
		zone string
		year int
	}{{"Europe/Berlin", 2026}, {"America/Sao_Paulo", 2018}, {"Africa/Cairo", 2023}, {"America/Havana", 2025}} {
		loc := zone(t, c.zone)
		end := StartOfDay(time.Date(c.year, 1, 1, 12, 0, 0, 0, loc), loc)
		for day := range 365 {
			noon := time.Date(c.year, 1, 1+day, 12, 0, 0, 0, loc)
			w := Days(noon, time.Date(c.year, 2, day-29, 12, 0, 0, 0, loc), loc)
			if !w.Start.Equal(end) || !w.Contains(noon) {
				t.Fatalf("%s: the day of %s is %s, but the day before ends at %s", c.zone, noon, w, end.UTC())
			}
			if first := w.Start.In(loc); first.Day() != noon.Day() || first.Add(-time.Nanosecond).Day() == noon.Day() {
				t.Fatalf("%s: %s is not the first instant of %s", c.zone, first, noon.Format(time.DateOnly))
			}
			end = w.End
		}
	}
}

func TestContainsIsHalfOpen(t *testing.T) {
	start, end := instant(t, "2026-01-01T00:00:00Z"), instant(t, "2026-01-02T00:00:00Z")
	for _, c := range []struct {
		w    Window
		at   time.Time
		want bool
	}{
		{Window{start, end}, start, true},
		{Window{start, end}, start.Add(-1), false},
		{Window{start, end}, end.Add(-1), true},
		{Window{start, end}, end, false},
		{Window{start, start}, start, false},
		{Window{Start: start}, end.AddDate(100, 0, 0), true},
		{Window{Start: start}, start.Add(-1), false},
		{Window{End: end}, start.AddDate(-100, 0, 0), true},
		{Window{End: end}, end, false},
		{Window{}, start, true},
	} {
		if got := c.w.Contains(c.at); got != c.want {
			t.Errorf("%s contains %s: %t, want %t", c.w, c.at.Format(time.RFC3339Nano), got, c.want)
		}
	}
}

func TestStringAndIsZero(t *testing.T) {
	start := instant(t, "2026-03-29T00:00:00+01:00")
	end := instant(t, "2026-03-30T00:00:00+02:00")
	for _, c := range []struct {
		w    Window
		want string
	}{
		{Window{start, end}, "2026-03-28T23:00:00Z..2026-03-29T22:00:00Z"},
		{Window{Start: start}, "2026-03-28T23:00:00Z.."},
		{Window{End: end}, "..2026-03-29T22:00:00Z"},
		{Window{}, ".."},
	} {
		if got := c.w.String(); got != c.want {
			t.Errorf("String() = %q, want %q", got, c.want)
		}
		if got := c.w.IsZero(); got != (c.want == "..") {
			t.Errorf("%s: IsZero() = %t", c.want, got)
		}
	}
}
