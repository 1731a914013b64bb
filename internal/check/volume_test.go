package check

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// series makes n daily counts of one kind of business, phase shifts the week.
func series(kind string, n, phase int, rng *rand.Rand) []int64 {
	out := make([]int64, n)
	for i := range out {
		v := 10_000.0
		switch kind {
		case "noise5":
			v *= 1 + 0.05*rng.NormFloat64()
		case "noise20":
			v *= max(0.1, 1+0.2*rng.NormFloat64())
		case "weekly":
			if (i+phase)%7 >= 5 {
				v /= 4
			}
			v *= 1 + 0.05*rng.NormFloat64()
		case "weekdays":
			if v = 24; (i+phase+7-len(out)%7)%7 >= 5 {
				v = 0
			}
		case "growth":
			v *= math.Pow(1.02, float64(i))
		case "small":
			v = max(0, 12+math.Sqrt(12)*rng.NormFloat64())
		}
		out[i] = int64(v)
	}
	return out
}

// daysOf are counts as days up to a Sunday, all of which runs saw complete but for
// the last.
func daysOf(counts []int64) []Day {
	sunday := time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC)
	days := make([]Day, len(counts))
	for i, n := range counts {
		days[i] = Day{At: sunday.AddDate(0, 0, i+1-len(counts)), Rows: n, Seen: n}
	}
	days[len(days)-1].Seen = -1
	return days
}

func TestDailyKeepsQuietOnHonestSeries(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, kind := range []string{"constant", "noise5", "noise20", "weekly", "growth", "small", "weekdays"} {
		judged, alarms := 0, 0
		for phase := range 7 {
			s := series(kind, 62, phase, rng)
			for n := 1; n <= len(s); n++ {
				judged++
				if f := Daily("t", daysOf(s[:n])); !f.OK {
					alarms++
				}
			}
		}
		if share := float64(alarms) / float64(judged); share > 0.02 {
			t.Errorf("%s: %.1f%% of honest days alarmed", kind, share*100)
		}
	}
}

func TestDailyCatchesZeroFromTheThirdWeek(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for _, kind := range []string{"constant", "noise20", "weekly", "growth", "small"} {
		for n := 1; n < 40; n++ {
			f := Daily("t", daysOf(append(series(kind, n, 0, rng), 0)))
			if n >= 14 && (f.OK || f.Severity != Error) || n < 7 && !f.OK {
				t.Errorf("%s: zero after %d days gives %+v", kind, n, f)
			}
		}
	}
}

// What ordinary data look like must never hold a load up.
func TestDailyLeavesOrdinaryDataAlone(t *testing.T) {
	t.Parallel()
	weekdays := series("weekdays", 61, 0, nil) // 24 from Monday to Friday, and it ends on a Sunday
	unseen := func(days []Day) []Day {
		for i := range days {
			days[i].Seen = -1
		}
		return days
	}
	late := func(counts []int64, lag int) []Day { // each run sees nothing of the last days
		days := daysOf(counts)
		for i := range days {
			if days[i].Seen = 0; i >= len(days)-lag {
				days[i].Rows = 0
			}
		}
		return days
	}
	constant := series("constant", 40, 0, nil)
	batches := daysOf(constant) // a week comes on each Monday
	for i := range batches {
		if batches[i].At.Weekday() != time.Sunday {
			batches[i].Seen = 0
		}
	}
	for _, back := range []int{0, 1, 2, 3, 4, 5} { // judged on other days of the week
		days := batches[:len(batches)-back]
		if back > 0 {
			days[len(days)-1].Rows = 0
		}
		if f := Daily("t", days); !f.OK {
			t.Errorf("batches of a week, %s: %+v", days[len(days)-1].At.Weekday(), f)
		}
	}
	for name, days := range map[string][]Day{
		"a first load of years":      unseen(daysOf(append(series("constant", 61, 0, nil), 0))),
		"a Sunday of weekdays":       daysOf(weekdays),
		"a first Sunday of weekdays": unseen(daysOf(weekdays)),
		"two days late":              late(constant, 2),
		"half a day late": func() []Day {
			days := daysOf(constant)
			for i := range days {
				days[i].Seen = 5000
			}
			days[len(days)-1].Rows = 5000
			return days
		}(),
		"one day": daysOf([]int64{7}),
	} {
		if f := Daily("t", days); !f.OK {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestDailyTellsWhatItSawAndExpected(t *testing.T) {
	t.Parallel()
	history := series("constant", 28, 0, nil)
	f := Daily("shop.orders", daysOf(append(history, 5_000)))
	if f.OK || f.Observed != "5000 rows on Sunday 2026-03-08" || f.Expected != "8333 to 12000, as on the 4 Sundays before (10000 to 10000)" {
		t.Errorf("a half gives %+v", f)
	}
	f = Daily("shop.orders", daysOf(append(history, 0)))
	if f.OK || f.Severity != Error || f.Expected != "some, as on the 4 Sundays before (10000 to 10000)" {
		t.Errorf("zero gives %+v", f)
	}
	days := daysOf(append(history, 0)) // three runs saw whole days: the table's own history counts
	for i := range len(days) - 4 {
		days[i].Seen = -1
	}
	if f = Daily("shop.orders", days); f.OK || f.Severity != Error {
		t.Errorf("zero after three runs over a long table gives %+v", f)
	}
}

// One empty day, a holiday or an outage, does not make the next one ordinary; a
// third of them does.
func TestDailyAfterEmptyDays(t *testing.T) {
	t.Parallel()
	for empty, want := range []string{
		"some, as on the 8 Sundays before (10000 to 10000)",
		"some, as on 7 of the 8 Sundays before (up to 10000)",
		"some, as on 6 of the 8 Sundays before (up to 10000)",
		"",
	} {
		history := series("constant", 56, 0, nil)
		for i := range empty {
			history[7*i] = 0
		}
		f := Daily("t", daysOf(append(history, 0)))
		if want == "" && !f.OK || want != "" && (f.OK || f.Severity != Error || f.Expected != want) {
			t.Errorf("%d empty days before give %+v", empty, f)
		}
	}
}

func TestWholeIsHardOnZeroAndHalves(t *testing.T) {
	t.Parallel()
	for n := 1; n < 40; n++ {
		if f := Whole("t", 0, series("constant", n, 0, nil)); f.OK || f.Severity != Error {
			t.Errorf("zero after %d loads gives %+v", n, f)
		}
	}
	if f := Whole("t", 49, []int64{100}); f.OK || f.Severity != Error || f.Expected != "at least half of the 100 that the last load left" {
		t.Errorf("a table that halves gives %+v", f)
	}
	for _, n := range []int64{10_000, 10_001, 11_000} {
		if f := Whole("t", n, series("constant", 28, 0, nil)); !f.OK {
			t.Errorf("%d rows after 10000 gives %+v", n, f)
		}
	}
	if f := Whole("t", 0, nil); !f.OK {
		t.Errorf("a first load gives %+v", f)
	}
}

func TestFreshness(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 29, 6, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		age, within time.Duration
		ok          bool
		severity    Severity
		observed    string
	}{
		{23 * time.Hour, 0, true, Error, "23h old"},
		{17 * time.Hour, 24 * time.Hour, true, Error, "17h old"},
		{20 * time.Hour, 24 * time.Hour, false, Warn, "20h old"},
		{26 * time.Hour, 24 * time.Hour, false, Error, "26h old"},
		{50 * time.Hour, 24 * time.Hour, false, Error, "2d 2h old"},
	} {
		f := Freshness("t", now.Add(-c.age), now, c.within)
		if f.OK != c.ok || f.Severity != c.severity || f.Observed != c.observed {
			t.Errorf("age %s within %s: %+v", c.age, c.within, f)
		}
	}
	if f := Freshness("t", time.Time{}, now, time.Hour); f.OK || f.Observed != "empty" {
		t.Errorf("never loaded: %+v", f)
	}
}

func TestDrift(t *testing.T) {
	t.Parallel()
	f := Drift("t", []string{"id bigint", "a text"}, []string{"id bigint", "b text"})
	if f.OK || f.Observed != "+ b text, - a text" {
		t.Errorf("%+v", f)
	}
	if f := Drift("t", nil, []string{"id bigint"}); !f.OK {
		t.Errorf("a first load drifts: %+v", f)
	}
}
