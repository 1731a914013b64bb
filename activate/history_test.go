package activate_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/internal/retry"
	"elt/internal/state"
	"elt/internal/warehouse"
	"elt/internal/warehouse/duckdb"
	"elt/internal/warehouse/warehousetest"
)

// TestInvariant8 runs random histories of the model against random faults:
// lost, partial and refused answers, rejections of rows and of whole calls, waits
// that are asked for, calls side by side, crashes before and after a call. When the faults end, the destination equals the model: nothing that
// failed was taken for delivered, and nothing was created twice.
func TestInvariant8(t *testing.T) {
	for _, mode := range []string{activate.ModeUpsert, activate.ModeInsert, activate.ModeAppend, activate.ModeMirror} {
		t.Run(mode, func(t *testing.T) { histories(t, mode) })
	}
}

func histories(t *testing.T, mode string) {
	t.Parallel()
	h := hosts{}
	rapid.Check(t, func(rt *rapid.T) {
		db, n := h.draw(t, rt)
		w := newWorld(t, db, mode, rapid.IntRange(1, 4).Draw(rt, "batch"))
		w.sync.Name = fmt.Sprintf("crm%d", n)
		w.dest.Max.Replay = rapid.SampledFrom([]activate.ReplayClass{activate.Idempotent, activate.IdempotencyKey, activate.Reconcile}).Draw(rt, "replay")
		w.dest.Max.Concurrency = rapid.IntRange(1, 3).Draw(rt, "concurrency")
		w.dest.After = rapid.SampledFrom([]time.Duration{0, 5 * time.Second, time.Hour}).Draw(rt, "after")
		w.lookup = w.dest
		w.few = rapid.IntRange(0, 3).Draw(rt, "rows in a page")
		history(rt, w)
	})
}

// hosts are the warehouses of many histories, by engine: what these leave in the
// tables would slow down those to come, so that a hundred share one.
type hosts map[string]*struct {
	db *warehouse.DB
	n  int
}

// draw is a warehouse for a history and its number there; of five histories one
// is on PostgreSQL, where they take longer.
func (h hosts) draw(t *testing.T, rt *rapid.T) (*warehouse.DB, int) {
	t.Helper()
	engine := rapid.SampledFrom([]string{"duckdb", "duckdb", "postgres", "duckdb", "duckdb"}).Draw(rt, "engine")
	host := h[engine]
	if host == nil || host.n == 100 {
		host = &struct {
			db *warehouse.DB
			n  int
		}{db: quick(t, engine)}
		h[engine] = host
	}
	host.n++
	return host.db, host.n
}

// quick is an empty warehouse for thousands of small histories: its DuckDB file is
// in memory where the system has such a folder, and one thread is faster there.
func quick(t *testing.T, engine string) *warehouse.DB {
	t.Helper()
	var d warehouse.Driver
	if engine == "postgres" {
		d = warehousetest.Open(t, engine)
	} else {
		dir, err := os.MkdirTemp("/dev/shm", "elt-test-")
		if err != nil {
			dir = t.TempDir()
		}
		if d, err = duckdb.Open(t.Context(), duckdb.Options{Path: filepath.Join(dir, "wh.duckdb"), Threads: 1, TimeZone: warehousetest.TimeZone}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
	}
	db, err := warehouse.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// foreign is the key of a row that is there and none of ours.
const foreign = 100

// current reports whether the destination has the rows as the model has them.
func (w *world) current() bool {
	return w.sync.Mode == activate.ModeUpsert || w.sync.Mode == activate.ModeMirror
}

// history is one random history; it ends with runs without faults.
func history(rt *rapid.T, w *world) {
	w.dest.Put(fmt.Sprintf(`{"customer_id":%d}`, foreign), fmt.Sprintf(`{"customer_id":%d,"name":"theirs"}`, foreign))
	sent := map[int]string{} // rows that were in the model when a run began
	rows := map[int]string{}
	refuse := &w.dest.Reject
	if rapid.Bool().Draw(rt, "whole calls are refused") {
		refuse = &w.dest.Poison
	}
	*refuse = func(c activate.Change) string {
		if strings.Contains(string(c.Fields), `"name":"bad"`) {
			return "bad"
		}
		return ""
	}
	pick := script(rt, w.dest.Max.Concurrency)
	w.dest.Fault = func(_ int, b activate.Batch) activatetest.Fault {
		return activatetest.Faults()[pick(b.Changes, len(activatetest.Faults()))]
	}
	w.dest.Blind = func(changes []activate.Change) error {
		return []error{nil, nil, errors.New("no answer"), retry.AsTransient(errors.New("busy"))}[pick(changes, 4)]
	}
	for range rapid.IntRange(1, 4).Draw(rt, "runs") {
		edit(rt, rows)
		w.model(rows)
		for id, name := range rows {
			sent[id] = name
		}
		r, crashed, err := w.run(context.Background())
		if err != nil {
			rt.Fatalf("run: %v", err)
		}
		if !crashed {
			balanced(w.t, r)
		}
		if rapid.Bool().Draw(rt, "time passes") {
			w.exec(`UPDATE _elt.quota SET not_before = NULL`)
		}
	}
	w.exec(`UPDATE _elt.quota SET not_before = NULL`)
	w.dest.Fault, w.dest.Blind = nil, nil
	for id, name := range rows {
		if name == "bad" {
			rows[id] = "mended"
		}
	}
	w.model(rows)
	for range w.settling() {
		w.mustRun()
	}
	if r := w.mustRun(); r.Unchanged != int64(len(rows)) {
		rt.Fatalf("%+v, want all %d rows unchanged", r, len(rows))
	}
	compare(rt, w, rows)
}

// script picks what happens to a call. Calls side by side come in any order, so what
// happens to them is decided beforehand, by their keys and how often those came.
func script(rt *rapid.T, concurrency int) func(changes []activate.Change, n int) int {
	if concurrency == 1 {
		return func(_ []activate.Change, n int) int { return rapid.IntRange(0, n-1).Draw(rt, "fault") }
	}
	seed := rapid.Uint64().Draw(rt, "faults")
	times := map[string]uint64{}
	return func(changes []activate.Change, n int) int {
		h := fnv.New64a()
		for _, c := range changes {
			_, _ = h.Write(c.Key)
		}
		id := string(h.Sum(nil))
		times[id]++
		return rand.New(rand.NewPCG(seed^h.Sum64(), times[id])).IntN(n)
	}
}

// settling is how many runs without faults it takes until nothing is left to do:
// with idempotency keys the first may send what was meant before; a mirror sends
// again what it knows nothing of, perhaps another payload where the first is
// refused, before it deletes it.
func (w *world) settling() int {
	if w.sync.Mode == activate.ModeMirror {
		return 4
	}
	return 2
}

// edit changes some rows of the model.
func edit(rt *rapid.T, rows map[int]string) {
	for range rapid.IntRange(1, 5).Draw(rt, "edits") {
		id := rapid.IntRange(1, 5).Draw(rt, "id")
		name := rapid.SampledFrom([]string{"a", "b", "c", "bad", ""}).Draw(rt, "name")
		if name == "" {
			delete(rows, id)
		} else {
			rows[id] = name
		}
	}
}

// compare wants the destination to have every row of the model; for the modes
// that send a key once, every key once.
func compare(rt *rapid.T, w *world, rows map[int]string) {
	var want []string
	got := w.there()
	for id, name := range rows {
		if w.current() {
			want = append(want, fmt.Sprintf("%d:%s", id, name))
		} else {
			want = append(want, fmt.Sprint(id))
		}
	}
	sort.Strings(want)
	var have []string
	seen := map[string]bool{}
	for _, pair := range got {
		id, _, _ := strings.Cut(pair, ":")
		if seen[id] {
			rt.Fatalf("row %s is there twice: %v", id, got)
		}
		seen[id] = true
		var n int
		if _, err := fmt.Sscan(id, &n); err != nil {
			rt.Fatal(err)
		}
		if _, ok := rows[n]; !ok {
			if w.sync.Mode == activate.ModeMirror && n < foreign {
				rt.Fatalf("the destination has row %s, which the model has not any more: %v", pair, got)
			}
			continue // the other modes delete nothing
		}
		if w.current() {
			have = append(have, pair)
		} else {
			have = append(have, id)
		}
	}
	if strings.Join(have, " ") != strings.Join(want, " ") {
		rt.Fatalf("the destination has %v, want %v", have, want)
	}
	if !strings.Contains(strings.Join(got, " "), fmt.Sprintf("%d:theirs", foreign)) {
		rt.Fatalf("the foreign row is gone: %v", got)
	}
	if open := w.one(`SELECT count(*) FROM `+state.Intents+` WHERE sync = $1 AND key_hash IN (SELECT key_hash FROM `+
		state.Ledger+` WHERE sync = $1 AND acked_run = $2)`, w.sync.Name, fmt.Sprintf("run%d", w.runs)); open != 0 {
		rt.Fatalf("%d acknowledged rows have open intents", open)
	}
}

// TestInvariant9 draws what the destination answers to every row and compares
// the counts of the run with those of the destination itself.
func TestInvariant9(t *testing.T) {
	t.Parallel()
	h := hosts{}
	rapid.Check(t, func(rt *rapid.T) {
		db, n := h.draw(t, rt)
		w := newWorld(t, db, activate.ModeUpsert, 3)
		w.sync.Name = fmt.Sprintf("count%d", n)
		w.dest.Max.Replay = activate.Reconcile
		rows := map[int]string{}
		edit(rt, rows)
		w.model(rows)
		w.exec(`INSERT INTO marts.customers VALUES (NULL, 'n'), (99, 'x'), (99, 'y')`)
		w.dest.Fault = func(int, activate.Batch) activatetest.Fault {
			return rapid.SampledFrom([]activatetest.Fault{activatetest.None, activatetest.LoseReply, activatetest.RetrySome}).Draw(rt, "fault")
		}
		r := w.mustRun()
		if r.Read != int64(len(rows))+3 || r.Invalid != 3 {
			rt.Fatalf("%+v, want %d read and 3 invalid", r, len(rows)+3)
		}
		ledger := w.one(`SELECT count(*) FROM _elt.ledger WHERE sync = $1`, w.sync.Name)
		unknown := w.one(`SELECT count(*) FROM _elt.intent WHERE sync = $1 AND state = 'UNKNOWN'`, w.sync.Name)
		if r.Acked != ledger || r.Unknown != unknown || r.Acked+r.Unknown < int64(len(w.dest.Rows())) {
			rt.Fatalf("%+v; ledger %d, unknown %d, destination %d", r, ledger, unknown, len(w.dest.Rows()))
		}
	})
}

// In insert mode a changed row is left alone, also when the engine is upgraded;
// what was never sent must not count as sent when the mode becomes upsert.
func TestInvariant8AnUpgradeAcknowledgesNothing(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeInsert, 10)
		w.model(map[int]string{1: "a"})
		w.mustRun()
		w.model(map[int]string{1: "b"})
		w.exec(`UPDATE _elt.sync_target SET engine = 'of last year'`)
		w.mustRun()
		w.want("1:a")
		w.sync.Mode = activate.ModeUpsert
		w.mustRun()
		w.want("1:b")
	})
}
