package scheduler

import (
	"time"

	"elt/internal/schedule"
)

// Grace is how long after its time a slot is still in time: who starts runs may be
// slow, or may spread them.
const Grace = 15 * time.Minute

// mostMissed is how many slots are told apart as missed; of those before, which a
// job of every minute has after a week, nothing is recorded.
const mostMissed = 10_000

// Known is the latest slot of a job that is recorded. The zero value: none is.
type Known struct {
	At   time.Time
	Spec string // the schedule that it is a slot of
	Ran  bool
}

// Slots is what a run of a job that begins now has to do with the schedule.
type Slots struct {
	// Due is the slot that the run takes; zero when it takes none and is one by hand.
	Due time.Time
	// Missed are the slots before Due at which nothing was started, oldest first.
	Missed []time.Time
	// Late reports that the last of Missed came too late: with catchup none.
	Late bool
}

// SlotsAt finds the slots that matter to a run of a job that begins now: spec and s
// are its schedule, in the zone of now, and last is the latest slot that is recorded.
//
// The run takes the latest slot that is due, unless a run has it, and those between
// it and last are missed: one run covers them all. Without catchup a slot is not
// taken once it is older than [Grace]. Of the time before the first record, or before
// the schedule was last changed, nobody knows what was due.
func SlotsAt(now time.Time, s schedule.Schedule, spec, catchup string, last Known) Slots {
	due := s.Last(now)
	if due.IsZero() || !last.At.IsZero() && (due.Before(last.At) || due.Equal(last.At) && last.Ran) {
		return Slots{}
	}
	var out Slots
	if !last.At.IsZero() && last.Spec == spec {
		out.Missed = s.Between(last.At, due, mostMissed)
	}
	switch {
	case catchup != "none" || now.Sub(due) <= Grace:
		out.Due = due
	case !last.At.IsZero() && last.At.Before(due):
		out.Missed, out.Late = append(out.Missed, due), true
	}
	return out
}

// IsDue reports whether a run that begins now has a slot to take, for whoever is
// started at more times than the schedule has. Before anything is recorded only a
// slot that is in time counts.
func (s Slots) IsDue(now time.Time, last Known) bool {
	return !s.Due.IsZero() && (!last.At.IsZero() || now.Sub(s.Due) <= Grace)
}
