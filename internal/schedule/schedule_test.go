package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"elt/internal/schedule"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func parse(t testing.TB, spec string) schedule.Schedule {
	t.Helper()
	s, err := schedule.Parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhatCannotBeReadIsToldPlainly(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"a * * * *":  `"a * * * *" is no schedule: "a" is no number`,
		"0 25 * * *": `"0 25 * * *" is no schedule: end of range (25) above maximum (23): 25`,
	} {
		if _, err := schedule.Parse(spec); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", spec, err, want)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{ // the first slots after Tuesday, 24 November 2026
		"0 9 * * 7":       "11-29 09:00, 12-06 09:00",
		"0 9 * * 6-7":     "11-28 09:00, 11-29 09:00",
		"@daily":          "11-25 00:00, 11-26 00:00",
		"@hourly":         "11-24 13:00, 11-24 14:00",
		"30 2 */2 * mon":  "12-07 02:30, 12-21 02:30", // a star: both must fit
		"30 2 1,15 * mon": "11-30 02:30, 12-01 02:30", // no star: either
		"*/20 6-7 * * *":  "11-25 06:00, 11-25 06:20",
		"@every 6h":       "11-24 18:00, 11-25 00:00",
		"0 0 29 2 *":      "02-29 00:00, 02-29 00:00",
	} {
		s, at := parse(t, spec), time.Date(2026, 11, 24, 12, 10, 0, 0, time.UTC)
		var got []string
		for range 2 {
			at = s.Next(at)
			got = append(got, at.Format("01-02 15:04"))
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %v, want %s", spec, got, want)
		}
	}
	for _, bad := range []string{"", " ", "TZ=UTC", "CRON_TZ=", "TZ=0 1 * * *", "* * * *", "0 0 31 2 *", "@every 0s", "@every -1h", "@every x", "@every", "@nightly", "60 * * * *", "* * * * * *", "*/0 * * * *", "5-1 * * * *"} {
		if _, err := schedule.Parse(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"0 2 * * *", "@every 1h", "TZ=", "*/5 1-3,7 L * mon", "0 0 29 2 *", "0 0 * * 5-7"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		s, err := schedule.Parse(spec)
		if err != nil {
			return
		}
		at := time.Unix(0, 0).UTC()
		next := s.Next(at)
		if !next.After(at) || s.Last(next) != next {
			t.Errorf("%q is due at %s after %s", spec, next, at)
		}
	})
}

// The clocks leave times out and repeat others: each time of a fixed hour is due
// once a day, real time goes on.
func TestChangesOfClocks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ zone, spec, from, want string }{
		{"Europe/Berlin", "30 2 * * *", "2026-03-28", "28T02:30+01 29T03:00+02 30T02:30+02"},
		{"Europe/Berlin", "30 2 * * *", "2026-10-24", "24T02:30+02 25T02:30+02 26T02:30+01"},
		{"Europe/Berlin", "*/30 2 * * *", "2026-03-28", "28T02:00+01 28T02:30+01 29T03:00+02"},
		{"Europe/Berlin", "30 2,3 * * *", "2026-03-28", "28T02:30+01 28T03:30+01 29T03:00+02 29T03:30+02"},
		{"America/New_York", "30 2 * * *", "2026-03-07", "07T02:30-05 08T03:00-04 09T02:30-04"},
		{"America/New_York", "30 1 * * *", "2026-10-31", "31T01:30-04 01T01:30-04 02T01:30-05"},
		{"Australia/Lord_Howe", "15 2 * * *", "2026-10-03", "03T02:15+1030 04T02:30+11 05T02:15+11"},
		{"Australia/Lord_Howe", "45 1 * * *", "2026-04-04", "04T01:45+11 05T01:45+11 06T01:45+1030"},
		{"Africa/Cairo", "0 0 * * *", "2026-04-23", "23T00:00+02 24T01:00+03 25T00:00+03"},
		{"Asia/Beirut", "0 0 * * *", "2026-03-28", "28T00:00+02 29T01:00+03 30T00:00+03"},
		{"America/Sao_Paulo", "30 0 * * *", "2018-11-03", "03T00:30-03 04T01:00-02 05T00:30-02"},
		{"America/Nuuk", "30 23 * * *", "2026-03-27", "27T23:30-02 29T00:00-01 29T23:30-01"},
		{"Pacific/Apia", "0 9 * * *", "2011-12-29", "29T09:00-10 31T09:00+14"},
		{"Europe/Berlin", "0 * * * *", "2026-03-29", "29T00:00+01 29T01:00+01 29T03:00+02 29T04:00+02"},
		{"Europe/Berlin", "0 * * * *", "2026-10-25", "25T00:00+02 25T01:00+02 25T02:00+02 25T02:00+01 25T03:00+01"},
		{"UTC", "0 2 * * *", "2026-03-29", "29T02:00+00 30T02:00+00"},
	} {
		loc := zone(t, c.zone)
		at, err := time.ParseInLocation(time.DateOnly, c.from, loc)
		if err != nil {
			t.Fatal(err)
		}
		s := parse(t, c.spec)
		at = at.Add(-time.Second)
		var got []string
		for range strings.Fields(c.want) {
			at = s.Next(at)
			offset := strings.Replace(strings.TrimSuffix(at.Format("-07:00"), ":00"), ":", "", 1)
			got = append(got, at.Format("02T15:04")+offset)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s in %s: %s, want %s", c.spec, c.zone, strings.Join(got, " "), c.want)
		}
	}
}

// TestInvariant11Slots holds for random specs and zones what the record of slots
// rests on: slots increase, Last is the inverse of Next, Between lists the same
// ones, and a spec of one fixed time has one for each day that the zone has.
func TestInvariant11Slots(t *testing.T) {
	t.Parallel()
	zones := []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Beirut", "America/Sao_Paulo", "Africa/Casablanca", "America/Nuuk", "Pacific/Apia", "America/Havana", "UTC"}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 100 {
		loc := zone(t, zones[r.IntN(len(zones))])
		spec, fixed := random(r)
		s := parse(t, spec)
		from := time.Date(2011+r.IntN(16), time.Month(1+r.IntN(12)), 1+r.IntN(28), r.IntN(24), r.IntN(60), 30, 0, loc)
		var slots []time.Time
		for at := s.Next(from); len(slots) < 200 && !at.IsZero(); at = s.Next(at) {
			slots = append(slots, at)
		}
		for i, slot := range slots {
			before := from
			if i > 0 {
				before = slots[i-1]
			}
			if !slot.After(before) || !s.Last(slot).Equal(slot) || i > 0 && !s.Last(slot.Add(-1)).Equal(before) {
				t.Fatalf("%s in %s: slot %d is %s after %s, Last gives %s and %s", spec, loc, i, slot, before, s.Last(slot), s.Last(slot.Add(-1)))
			}
		}
		between := s.Between(from, slots[len(slots)-1], 1000)
		if len(between) != len(slots)-1 || !between[0].Equal(slots[0]) {
			t.Fatalf("%s in %s: %d slots between %s and %s, want %d", spec, loc, len(between), from, slots[len(slots)-1], len(slots)-1)
		}
		if fixed {
			daily(t, s, spec, loc, from.Year())
		}
	}
}

// daily wants one slot for each local day of a year.
func daily(t *testing.T, s schedule.Schedule, spec string, loc *time.Location, year int) {
	t.Helper()
	first := time.Date(year, 1, 2, 12, 0, 0, 0, loc)
	days := 0
	for d := first; d.Year() == year; d = d.AddDate(0, 0, 1) {
		days++
	}
	last := first
	for n := range days {
		at := s.Next(last)
		if gap := at.Sub(last); gap <= 0 || gap > 49*time.Hour {
			t.Fatalf("%s in %s: slot %d of %d is %s, after %s", spec, loc, n, year, at, last)
		}
		last = at
	}
	end := first.AddDate(0, 0, days)
	if got := len(s.Between(first, end, 1000)); got != days && !(loc.String() == "Pacific/Apia" && year == 2011 && got == days-1) {
		t.Fatalf("%s in %s: %d slots in %d days of %d", spec, loc, got, days, year)
	}
}

// random is a spec, and whether it names one time of every day.
func random(r *rand.Rand) (spec string, fixed bool) {
	switch r.IntN(6) {
	case 0, 1:
		return fmt.Sprintf("%d %d * * *", r.IntN(60), r.IntN(24)), true
	case 2:
		return fmt.Sprintf("*/%d %d-%d * * *", 1+r.IntN(30), r.IntN(6), 6+r.IntN(18)), false
	case 3:
		return fmt.Sprintf("%d * * * *", r.IntN(60)), false
	case 4:
		return fmt.Sprintf("%d %d %d * %d", r.IntN(60), r.IntN(4), 1+r.IntN(28), r.IntN(7)), false
	default:
		return fmt.Sprintf("@every %dm", 1+r.IntN(3000)), false
	}
}
