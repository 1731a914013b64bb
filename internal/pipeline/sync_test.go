package pipeline_test

import (
	"strings"
	"testing"
	"time"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/internal/event"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// oneSync pushes the rows of one stream.
const oneSync = oneStream + `connections: {crm: {type: file}}
syncs:
  people: {model: marts.people, to: crm.people, mode: upsert, key: id, fields: {id: id}}
`

// A destination that takes nothing fails its step with what to do about it, and
// the run has what was answered before.
func TestABarredSyncFailsItsStep(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, oneSync, map[string]string{"marts/people": "select id from \"in\".things"})
		w.dest.Max.BatchRows = 1
		w.streams["things"].ids = []int64{1, 2, 3}
		w.dest.Fault = func(call int, _ activate.Batch) activatetest.Fault {
			if call == 2 {
				return activatetest.Bar
			}
			return activatetest.None
		}
		steps, _ := w.run(w.pipeline(), nil)
		got := steps["people"]
		if got.Status != event.Failed || !strings.Contains(got.Error, "the token was revoked") || !strings.Contains(got.Error, "make another token") {
			t.Errorf("%+v, want a failure that says what to do", got)
		}
		if n := w.texts(`SELECT acked || ' ' || deferred FROM _elt.sync_run`); n != "1 2" {
			t.Errorf("acked and deferred: %q, want 1 and 2", n)
		}
		w.dest.Fault = nil
		if steps, err := w.run(w.pipeline(), nil); err != nil || steps["people"].Status != event.OK {
			t.Errorf("%+v, %v, want all sent", steps["people"], err)
		}
	})
}

// Two syncs to one account share its silence.
func TestSyncsToOneAccountShareItsSilence(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, oneSync+`  more: {model: marts.people, to: crm.more, mode: upsert, key: id, fields: {id: id}}
`, map[string]string{"marts/people": "select id from \"in\".things"})
		w.streams["things"].ids = []int64{1}
		w.dest.After = 2 * time.Hour
		w.dest.Fault = func(int, activate.Batch) activatetest.Fault { return activatetest.Later }
		for range 2 {
			steps, err := w.run(w.pipeline(), nil)
			for _, name := range []string{"people", "more"} {
				if err != nil || steps[name].Status != event.Unfinished {
					t.Errorf("%s: %+v, %v, want unfinished", name, steps[name], err)
				}
			}
		}
		if w.dest.Calls() > 2 {
			t.Errorf("%d calls, want none after the account has asked to be left alone", w.dest.Calls())
		}
	})
}
