package state_test

import (
	"context"
	"testing"
	"time"

	"elt/internal/state"
	"elt/internal/warehouse"
)

// TestInvariant11 holds that a slot has one record, whoever claims it and in
// whatever order.
func TestInvariant11(t *testing.T) {
	each(t, func(t *testing.T, _ *warehouse.DB, s *state.Store) {
		ctx := context.Background()
		slot := func(hour int, status, run string) state.Slot {
			return state.Slot{Job: "nightly", At: at.Add(time.Duration(hour) * time.Hour), Status: status, RunID: run, Spec: "@hourly"}
		}
		run := func(id string) state.Run { return state.Run{ID: id, Job: "nightly", Trigger: "manual", StartedAt: at} }
		same(t, true)(s.StartJob(ctx, run("a"), slot(0, state.SlotRan, "a"), nil))
		same(t, false)(s.StartJob(ctx, run("b"), slot(0, state.SlotRan, "b"), nil)) // by hand
		ok(t, s.RecordSlots(ctx, []state.Slot{slot(0, state.SlotMissed, ""), slot(1, state.SlotSkipped, "")}, at))
		same(t, true)(s.StartJob(ctx, run("c"), slot(3, state.SlotRan, "c"), []state.Slot{slot(1, state.SlotMissed, ""), slot(2, state.SlotMissed, "")}))
		same(t, true)(s.StartJob(ctx, run("d"), slot(2, state.SlotRan, "d"), nil)) // what was missed can be made up for
		same(t, false)(s.StartJob(ctx, run("e"), state.Slot{}, nil))
		same(t, []state.Slot{slot(3, "ran", "c"), slot(2, "ran", "d"), slot(1, "skipped", ""), slot(0, "ran", "a")})(s.Slots(ctx, "nightly", 9))
		for id, want := range map[string]string{"a": "schedule", "b": "manual", "c": "schedule", "d": "schedule", "e": "manual"} {
			r, found, err := s.Run(ctx, id)
			if err != nil || !found || r.Trigger != want || r.Slot.IsZero() != (want == "manual") {
				t.Errorf("run %s: %+v, %v; want trigger %s", id, r, err, want)
			}
		}
	})
}
