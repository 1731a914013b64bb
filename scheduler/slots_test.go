package scheduler_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"elt/internal/schedule"
	"elt/scheduler"
)

func TestSlotsAt(t *testing.T) {
	t.Parallel()
	day := func(d, hour, minute int) time.Time { return time.Date(2026, 11, d, hour, minute, 0, 0, time.UTC) }
	ran := func(d int) scheduler.Known { return scheduler.Known{At: day(d, 2, 0), Spec: "0 2 * * *", Ran: true} }
	s, err := schedule.Parse("0 2 * * *")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		now     time.Time
		catchup string
		last    scheduler.Known
		due     time.Time
		missed  int
		isDue   bool
		late    bool
	}{
		"in time":                    {day(24, 2, 1), "latest", ran(23), day(24, 2, 0), 0, true, false},
		"the first run":              {day(24, 2, 1), "latest", scheduler.Known{}, day(24, 2, 0), 0, true, false},
		"the first run by hand":      {day(24, 9, 0), "latest", scheduler.Known{}, day(24, 2, 0), 0, false, false},
		"twice":                      {day(24, 2, 1), "latest", ran(24), time.Time{}, 0, false, false},
		"before its time":            {day(24, 1, 59), "latest", ran(23), time.Time{}, 0, false, false},
		"after a weekend":            {day(24, 9, 0), "latest", ran(20), day(24, 2, 0), 3, true, false},
		"too late":                   {day(24, 9, 0), "none", ran(20), time.Time{}, 4, false, true},
		"in time after a weekend":    {day(24, 2, 15), "none", ran(20), day(24, 2, 0), 3, true, false},
		"the one before was skipped": {day(24, 9, 0), "latest", scheduler.Known{At: day(24, 2, 0), Spec: "0 2 * * *"}, day(24, 2, 0), 0, true, false},
		"another schedule before":    {day(24, 2, 1), "latest", scheduler.Known{At: day(20, 5, 0), Spec: "0 5 * * *", Ran: true}, day(24, 2, 0), 0, true, false},
		"a clock that went back":     {day(22, 9, 0), "latest", ran(24), time.Time{}, 0, false, false},
	} {
		got := scheduler.SlotsAt(c.now, s, "0 2 * * *", c.catchup, c.last)
		if !got.Due.Equal(c.due) || len(got.Missed) != c.missed || got.IsDue(c.now, c.last) != c.isDue || got.Late != c.late {
			t.Errorf("%s: %+v, due %t", name, got, got.IsDue(c.now, c.last))
		}
	}
}

// TestInvariant11 holds that, over random starts of a random schedule, every slot
// from the first one on is recorded once: as ran or as missed.
func TestInvariant11(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	loc, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		spec := []string{"30 2 * * *", "0 * * * *", "*/20 1-4 * * *", "@every 90m", "0 2 1,15 * 1"}[r.IntN(5)]
		catchup := []string{"latest", "none"}[r.IntN(2)]
		s, err := schedule.Parse(spec)
		if err != nil {
			t.Fatal(err)
		}
		records := map[time.Time]int{}
		var last scheduler.Known
		now := time.Date(2026, []time.Month{3, 10}[r.IntN(2)], 20, 0, 0, 0, 0, loc)
		var first time.Time
		for range 60 {
			now = now.Add(time.Duration(r.IntN(9*3600)) * time.Second)
			got := scheduler.SlotsAt(now, s, spec, catchup, last)
			for _, m := range got.Missed {
				records[m]++
				last = scheduler.Known{At: m, Spec: spec}
			}
			if !got.Due.IsZero() {
				records[got.Due]++
				last = scheduler.Known{At: got.Due, Spec: spec, Ran: true}
			}
			if first.IsZero() && !last.At.IsZero() {
				first = last.At
			}
		}
		if first.IsZero() {
			continue
		}
		for slot := first; !slot.After(last.At); slot = s.Next(slot) {
			if records[slot] != 1 {
				t.Fatalf("%s, catchup %s: slot %s has %d records", spec, catchup, slot, records[slot])
			}
			delete(records, slot)
		}
		if len(records) > 0 {
			t.Fatalf("%s, catchup %s: records of no slot: %v", spec, catchup, records)
		}
	}
}
