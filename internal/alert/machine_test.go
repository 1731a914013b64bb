package alert

import (
	"testing"
	"time"
)

var (
	t0   = time.Date(2026, 3, 10, 2, 0, 0, 0, time.UTC)
	full = Place{To: "chat", When: []string{"failed", "stale", "held", Recovered}}
)

func failing(checks ...string) *Problem {
	p := &Problem{State: Failed, Title: "broken"}
	for _, c := range checks {
		p.Causes = append(p.Causes, Cause{Check: c})
	}
	return p
}

// Each line is what one run sees, and what is due after it.
func TestWhatIsDue(t *testing.T) {
	t.Parallel()
	type run struct {
		see  *Problem
		due  Due
		sent string // ok, "" surely not, unsure
	}
	held, stale := &Problem{State: Held}, &Problem{State: Stale}
	for name, c := range map[string]struct {
		place Place
		runs  []run
	}{
		"once and its recovery":                     {full, []run{{failing(), Firing, "ok"}, {failing(), Nothing, ""}, {failing(), Nothing, ""}, {nil, Recovery, "ok"}, {nil, Nothing, ""}}},
		"well from the start":                       {full, []run{{nil, Nothing, ""}, {nil, Nothing, ""}}},
		"another check fails":                       {full, []run{{failing("unique"), Firing, "ok"}, {failing("unique", "range"), Firing, "ok"}, {failing("range", "unique"), Nothing, ""}}},
		"one of two checks is well again":           {full, []run{{failing("unique", "range"), Firing, "ok"}, {failing("range"), Firing, "ok"}, {nil, Recovery, "ok"}}},
		"it grows worse":                            {full, []run{{stale, Firing, "ok"}, {held, Firing, "ok"}, {failing(), Firing, "ok"}, {nil, Recovery, "ok"}}},
		"not delivered, told by the next run":       {full, []run{{failing(), Firing, ""}, {failing(), Firing, "ok"}, {failing(), Nothing, ""}}},
		"not delivered and well by itself":          {full, []run{{failing(), Firing, ""}, {nil, Nothing, ""}}},
		"perhaps delivered is told once more":       {full, []run{{failing(), Firing, "unsure"}, {failing(), Firing, "ok"}, {failing(), Nothing, ""}}},
		"perhaps delivered, its recovery is told":   {full, []run{{failing(), Firing, "unsure"}, {nil, Recovery, "ok"}, {nil, Nothing, ""}}},
		"the recovery was not delivered":            {full, []run{{failing(), Firing, "ok"}, {nil, Recovery, ""}, {nil, Recovery, "ok"}, {nil, Nothing, ""}}},
		"well and ill again while nobody heard":     {full, []run{{failing(), Firing, "ok"}, {nil, Recovery, ""}, {failing(), Nothing, ""}, {nil, Recovery, "ok"}}},
		"a recovery that perhaps arrived is undone": {full, []run{{failing(), Firing, "ok"}, {nil, Recovery, "unsure"}, {failing(), Firing, "ok"}, {failing(), Nothing, ""}}},
		"ill again after a recovery":                {full, []run{{failing(), Firing, "ok"}, {nil, Recovery, "ok"}, {failing(), Firing, "ok"}}},
		"only what was asked for":                   {Place{When: []string{"held", Recovered}}, []run{{failing(), Nothing, ""}, {held, Firing, "ok"}, {failing(), Nothing, ""}, {nil, Recovery, "ok"}}},
		"no recovery is asked for":                  {Place{When: []string{"failed"}}, []run{{failing(), Firing, "ok"}, {nil, Clear, "ok"}, {nil, Nothing, ""}, {failing(), Firing, "ok"}}},
		"again after a day":                         {Place{When: full.When, Repeat: 24 * time.Hour}, []run{{failing(), Firing, "ok"}, {failing(), Firing, "ok"}, {failing(), Firing, "ok"}, {nil, Recovery, "ok"}}},
		"again after two days":                      {Place{When: full.When, Repeat: 48 * time.Hour}, []run{{failing(), Firing, "ok"}, {failing(), Nothing, ""}, {failing(), Firing, "ok"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r Record
			for i, run := range c.runs {
				now := t0.AddDate(0, 0, i)
				r = r.See(Observation{Subject: "shop.orders", At: now, Problem: run.see})
				due := r.Due(c.place, now)
				if due != run.due {
					t.Fatalf("run %d: due %d, want %d: %+v", i, due, run.due, r)
				}
				switch {
				case due == Nothing:
				case run.sent == "ok":
					r = r.Attempt(now).Delivered(now)
				case run.sent == "unsure":
					r = r.Attempt(now)
				}
			}
		})
	}
}

func TestAnOlderLookChangesNothing(t *testing.T) {
	t.Parallel()
	r := Record{}.See(Observation{At: t0, Problem: failing()}).See(Observation{At: t0.Add(time.Hour)})
	if late := r.See(Observation{At: t0.Add(time.Minute), Problem: failing()}); !late.Seen.ok() {
		t.Errorf("the run that looked first ended last, and won: %+v", late)
	}
}

// The time that a recovery tells is that of the whole trouble.
func TestSinceIsTheFirstBadTime(t *testing.T) {
	t.Parallel()
	r := Record{}.See(Observation{At: t0, Problem: failing("a")}).Attempt(t0).Delivered(t0)
	r = r.See(Observation{At: t0.Add(time.Hour), Problem: failing("a", "b")}).See(Observation{At: t0.Add(3 * time.Hour)})
	if !r.Since.Equal(t0) {
		t.Errorf("since %s, want %s", r.Since, t0)
	}
	if again := r.See(Observation{At: t0.Add(4 * time.Hour), Problem: failing("a")}); !again.Since.Equal(t0) {
		t.Errorf("nobody heard that it was well between, so it began at %s, not at %s", t0, again.Since)
	}
	if r = r.Attempt(t0).Delivered(t0); !r.Since.IsZero() || !r.gone() {
		t.Errorf("a new trouble would begin with the old one: %+v", r)
	}
}
