package state_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elt/internal/rows"
	"elt/internal/scan"
	"elt/internal/state"
	"elt/internal/warehouse"
)

// TestPruneKeepsWhatALaterRunNeeds: what is older than the retention goes, except
// what something still refers to. Names say what must become of each.
func TestPruneKeepsWhatALaterRunNeeds(t *testing.T) {
	each(t, func(t *testing.T, db *warehouse.DB, s *state.Store) {
		ctx := context.Background()
		h := &history{t: t, db: db, s: s}
		other := &history{t: t, db: db, s: open(t, db, "other", "dev")}
		old, recent := at.AddDate(0, 0, -100), at.AddDate(0, 0, -1)

		h.run("gone_good", old, 0)
		h.run("kept_last_good", old.Add(time.Hour), 0)
		h.run("gone_failed", old.Add(2*time.Hour), 1)
		h.run("kept_recent", recent, 1)
		h.run("kept_last", recent.Add(time.Hour), 1)
		other.run("kept_other", old, 0)
		other.run("kept_other_last", old.Add(time.Hour), 0)

		h.load("gone_a", "a", "append", old, 1)
		h.load("kept_last_of_stream", "a", "append", old.Add(time.Hour), 1)
		h.load("kept_by_cursor", "b", "merge", old, 1)
		h.load("kept_newer", "b", "merge", recent, 1)
		ok(t, db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
			return s.SaveCursor(ctx, tx, "b", "c1", "kept_by_cursor")
		}))
		h.load("kept_by_open_quarantine", "c", "append", old, 2)
		h.load("kept_newer_append", "c", "append", recent, 2)
		h.reject("c", "kept_by_open_quarantine", "kept", old)
		h.load("gone_replaced", "d", "replace", old, 2)
		h.load("kept_replacing", "d", "replace", recent, 2)
		h.reject("d", "gone_replaced", "gone_replaced", old)
		h.load("kept_files_did_not_change", "e", "replace", old, 2)
		h.load("kept_nothing_read", "e", "replace", recent, 0)
		h.reject("e", "kept_files_did_not_change", "kept_still_missing", old)
		h.reject("f", "never_published", "gone_read_again", old)
		h.reject("f", "never_published_2", "kept_recent", recent)
		other.load("kept_other", "a", "append", old, 1)
		other.load("kept_other_last", "a", "append", old.Add(time.Hour), 1)

		h.exec(`INSERT INTO _elt.build (project, target, model, run_id, built_at) VALUES ('shop', 'dev', 'm', 'gone', $1), ('shop', 'dev', 'm', 'kept_last', $2)`, old, old.Add(time.Hour))
		for i := range 70 {
			h.exec(`INSERT INTO _elt.volume (project, target, relation, slot, row_count, recorded_at) VALUES ('shop', 'dev', 'd', $1, $2, $1)`, old.Add(time.Duration(i)*time.Minute), int64(i))
		}
		h.exec(`INSERT INTO _elt.sync_run (project, target, sync, target_fp, run_id, lease_epoch, started_at, status)
			VALUES ('shop', 'dev', 's', 'f', 'gone', 1, $1, 'ok'), ('shop', 'dev', 's', 'f', 'kept_last', 1, $2, 'ok'), ('shop', 'dev', 's', 'g', 'kept_last_there', 1, $1, 'ok')`, old, old.Add(time.Hour))
		h.exec(`INSERT INTO _elt.attempt (project, target, sync, target_fp, op_id, run_id, attempts, status, recorded_at)
			VALUES ('shop', 'dev', 's', 'f', 'gone', 'r', 1, 'rejected', $1), ('shop', 'dev', 's', 'f', 'kept_unknown', 'r', 1, 'unknown', $1)`, old)
		h.exec(`INSERT INTO _elt.intent (project, target, sync, target_fp, op_id, run_id, lease_epoch, key_hash, key_json, action, payload, payload_hash, state, prepared_at)
			VALUES ('shop', 'dev', 's', 'f', 'kept_unknown', 'r', 1, 'h', '{}', 'upsert', '{}', 'p', 'UNKNOWN', $1)`, old)
		h.exec(`INSERT INTO _elt.ledger (project, target, sync, target_fp, key_hash, key_json, acked_hash, acked_at, ownership, status)
			VALUES ('shop', 'dev', 's', 'f', 'kept', '{}', 'a', $1, 'created', 'live')`, old)
		h.exec(`INSERT INTO _elt.sync_quarantine (project, target, sync, target_fp, key_hash, key_json, payload_hash, first_at, attempts)
			VALUES ('shop', 'dev', 's', 'f', 'kept', '{}', 'a', $1, 1)`, old)
		for i, name := range []string{"kept_first", "gone_superseded", "gone_superseded_2", "kept_last"} {
			h.hold("s", name, old.Add(time.Duration(i)*time.Hour), time.Time{}, time.Time{})
		}
		h.hold("s", "kept_elsewhere", old, time.Time{}, time.Time{})
		h.exec(`UPDATE _elt.hold SET target_fp = 'g' WHERE run_id = 'kept_elsewhere'`)
		h.hold("s", "gone_released", old, old.Add(time.Hour), time.Time{})
		h.hold("s", "gone_approved", old, time.Time{}, old.Add(time.Hour))
		h.hold("s", "kept_released_lately", old, recent, time.Time{})
		h.hold("s", "kept_approved_lately", old, time.Time{}, recent)
		h.exec(`INSERT INTO _elt.slot (project, target, job, slot, status, run_id, recorded_at) VALUES
			('shop', 'dev', 'nightly', $1, 'ran', 'gone', $1), ('shop', 'dev', 'nightly', $2, 'missed', 'gone_2', $2), ('shop', 'dev', 'nightly', $3, 'ran', 'kept_recent', $3),
			('shop', 'dev', 'idle', $1, 'ran', 'gone_3', $1), ('shop', 'dev', 'idle', $2, 'skipped', 'kept_last', $2), ('other', 'dev', 'idle', $1, 'ran', 'kept_other', $1)`,
			old, old.Add(24*time.Hour), recent)

		before := at.AddDate(0, 0, -90)
		same(t, int64(0))(s.Prune(ctx, old.AddDate(0, 0, -1))) // nothing is that old
		n, err := s.Prune(ctx, before)
		ok(t, err)
		if n < 15 {
			t.Errorf("%d rows went", n)
		}
		want := map[string][]string{
			"run.id":                   {"kept_last", "kept_last_good", "kept_other", "kept_other_last", "kept_recent"},
			"step.run_id":              {"kept_last", "kept_last_good", "kept_other", "kept_other_last", "kept_recent"},
			"finding.run_id":           {"kept_last", "kept_last_good", "kept_other", "kept_other_last", "kept_recent"},
			"load.id":                  {"kept_by_cursor", "kept_by_open_quarantine", "kept_files_did_not_change", "kept_last_of_stream", "kept_newer", "kept_newer_append", "kept_nothing_read", "kept_other", "kept_other_last", "kept_replacing"},
			"cursor.load_id":           {"kept_by_cursor"},
			"quarantine.locator":       {"kept", "kept_recent", "kept_still_missing"},
			"build.run_id":             {"kept_last"},
			"sync_run.run_id":          {"kept_last", "kept_last_there"},
			"attempt.op_id":            {"kept_unknown"},
			"intent.op_id":             {"kept_unknown"},
			"ledger.key_hash":          {"kept"},
			"sync_quarantine.key_hash": {"kept"},
			"hold.run_id":              {"kept_approved_lately", "kept_elsewhere", "kept_first", "kept_last", "kept_released_lately"},
			"slot.run_id":              {"kept_last", "kept_other", "kept_recent"},
		}
		got := map[string][]string{}
		for name := range want {
			got[name] = h.names(name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("want -, got +:\n%s", diff)
		}
		if v, err := s.VolumeHistory(ctx, "d", 0); err != nil || len(v) != 60 || v[59].Rows != 10 {
			t.Errorf("%d volumes, %v", len(v), err)
		}
		same(t, int64(0))(s.Prune(ctx, before)) // and nothing more the second time
	})
}

// history writes records as of some time.
type history struct {
	t  *testing.T
	db *warehouse.DB
	s  *state.Store
}

func (h *history) exec(q string, args ...any) {
	h.t.Helper()
	update(h.t, h.db, func(ctx context.Context, tx *warehouse.Tx) error {
		_, err := tx.Exec(ctx, q, args...)
		return err
	})
}

func (h *history) run(id string, started time.Time, exit int) {
	h.t.Helper()
	ctx := context.Background()
	ok(h.t, h.s.StartRun(ctx, state.Run{ID: id, StartedAt: started}))
	ok(h.t, h.s.EndRun(ctx, state.Run{ID: id, Status: "ok", Exit: exit, EndedAt: started.Add(time.Minute)}))
	ok(h.t, h.s.SaveStep(ctx, state.StepRecord{RunID: id, Name: "x", Kind: "model", Status: "ok", StartedAt: started, EndedAt: started}))
	// The run's clock is not the wall clock: findings go with their run, not by it.
	ok(h.t, h.s.RecordFindings(ctx, []state.Finding{{RunID: id, Check: "c", Relation: "r", Severity: "warn", OK: true, At: at.AddDate(-3, 0, 0)}}))
}

func (h *history) load(id, stream, disposition string, recorded time.Time, read int64) {
	h.t.Helper()
	update(h.t, h.db, func(ctx context.Context, tx *warehouse.Tx) error {
		return h.s.SaveLoad(ctx, tx, state.Load{ID: id, Stream: stream, Disposition: disposition, Read: read, Status: "ok", At: recorded})
	})
}

func (h *history) hold(sync, run string, held, released, approved time.Time) {
	h.t.Helper()
	null := func(t time.Time) any {
		if t.IsZero() {
			return nil
		}
		return t
	}
	h.exec(`INSERT INTO _elt.hold (project, target, sync, target_fp, run_id, reason, plan_hash, held_at, released_at, approved_at)
		VALUES ('shop', 'dev', $1, 'f', $2, 'max_delete', 'h', $3, $4, $5)`, sync, run, held, null(released), null(approved))
}

func (h *history) reject(stream, loadID, locator string, recorded time.Time) {
	h.t.Helper()
	update(h.t, h.db, func(ctx context.Context, tx *warehouse.Tx) error {
		return h.s.SaveRejects(ctx, tx, stream, loadID, "r", []scan.Reject{{Locator: locator, Reason: "bad", Payload: "{}"}})
	})
	h.exec(`UPDATE _elt.quarantine SET recorded_at = $1 WHERE locator = $2 AND project = $3`, recorded, locator, h.s.Project())
}

// names lists a column of a table of _elt, sorted.
func (h *history) names(what string) []string {
	h.t.Helper()
	table, column := what, ""
	for i := range what {
		if what[i] == '.' {
			table, column = what[:i], what[i+1:]
		}
	}
	var out []string
	ok(h.t, warehouse.Each(context.Background(), h.db, fmt.Sprintf("SELECT %s FROM _elt.%s", column, warehouse.Quote(table)), func(r rows.Row) error {
		out = append(out, r.String(0))
		return nil
	}))
	slices.Sort(out)
	return out
}
